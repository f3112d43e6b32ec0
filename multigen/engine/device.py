"""Which device and which precision to train in."""

import contextlib
import ctypes
import os
import platform

import torch

from multigen.errors import ConfigError

__all__ = ["autocast", "choose_device", "choose_precision", "keep_memory"]

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # parameters of glibc's mallopt


def choose_device(name: str) -> torch.device:
    """ "auto": this rank's GPU if there is one, else the CPU. Any other name is torch's own: cpu, cuda, cuda:1, mps.

    On the CPU the process keeps the memory it frees from then on: see `keep_memory`.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
        if device.type == "cuda" and device.index is None:
            device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
        torch.zeros(1, device=device).item()  # read back, which meta cannot
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(f"device {name!r} cannot be used ({reason}); give auto, cpu, cuda, cuda:N or mps") from error
    if device.type == "cpu":
        keep_memory()
    return device


def keep_memory(keep: bool = True) -> None:
    """Whether this process keeps large blocks that it frees (and the memory of its peak, until it ends), or gives each back.

    glibc gives each back, and takes it again, page by page, for the next tensor: with a vocabulary of thousands that is half the
    time of a step (`benchmarks/allocation.py`). Nothing is done where the C library is another.
    """
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        libc.mallopt(M_MMAP_MAX, 0 if keep else 65_536)  # blocks of their own, outside the heap
        libc.mallopt(M_TRIM_THRESHOLD, -1 if keep else 128 * 1_024)  # bytes free at the heap's end that are given back


def choose_precision(name: str, device: torch.device) -> str:
    """ "auto" is bf16 where the hardware multiplies it natively (GPUs since Ampere, CPUs with AMX or AVX512-BF16), else fp32."""
    if name in ("bf16", "fp16", "fp32", "fp64"):
        return name
    if name != "auto":
        raise ConfigError(f"precision {name!r}: expected auto, bf16, fp16, fp32 or fp64")
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    able = getattr(torch.cpu, "get_capabilities", dict)()
    return "bf16" if device.type == "cpu" and (able.get("amx_bf16") or able.get("avx512_bf16")) else "fp32"


def autocast(device: torch.device, precision: str) -> contextlib.AbstractContextManager:
    """Mixed precision around a loss; nothing for fp32 and fp64."""
    if precision in ("bf16", "fp16"):
        return torch.autocast(device.type, torch.bfloat16 if precision == "bf16" else torch.float16)
    return contextlib.nullcontext()
