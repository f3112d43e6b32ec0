"""Chooses the device, the precision and the memory format."""

import contextlib
import ctypes
import os
import platform

import torch
from torch import Tensor, nn

from multigen.errors import ConfigError

__all__ = ["DEFAULT_LAYOUT", "autocast", "choose_device", "choose_precision", "keep_memory", "to_layout", "to_network"]

LAYOUTS = {"channels_last": torch.channels_last, "contiguous": torch.contiguous_format}
"""Memory formats of images and of 2-d convolution weights, by the values of `Run.layout`."""
DEFAULT_LAYOUT = "channels_last"

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # parameters of glibc's mallopt


def choose_device(name: str) -> torch.device:
    """ "auto": this rank's GPU if there is one, else the CPU. Any other name is torch's own: cpu,
    cuda, cuda:1, mps.

    On the CPU, the process from then on keeps the memory that it frees: see `keep_memory`.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
        if device.type == "cuda" and device.index is None:
            device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
        torch.zeros(1, device=device).item()  # read back, which the device meta cannot
    except (RuntimeError, AssertionError) as error:
        if name.lower().startswith("gpu"):
            raise ConfigError(f"device {name!r}: expected auto, cpu, cuda, cuda:N or mps; a GPU is cuda") from error
        reason = str(error).splitlines()[0]
        raise ConfigError(f"device {name!r} cannot be used ({reason}); give auto, cpu, cuda, cuda:N or mps") from error
    if device.type == "cpu":
        keep_memory()
    return device


def keep_memory(keep: bool = True) -> None:
    """Sets whether this process keeps large blocks that it frees (so its peak memory, until it
    ends), or returns them to the system.

    By default glibc returns each block and requests it again, page by page, for the next tensor:
        with a vocabulary of thousands this takes half the time of a step
        (`benchmarks/allocation.py`). Does nothing with another C library.
    """
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        libc.mallopt(M_MMAP_MAX, 0 if keep else 65_536)  # blocks of their own, outside the heap
        libc.mallopt(M_TRIM_THRESHOLD, -1 if keep else 128 * 1_024)  # free bytes at the heap's end that are returned


def choose_precision(name: str, device: torch.device) -> str:
    """ "auto" is bf16 where the hardware multiplies it natively (GPUs since Ampere, CPUs with AMX
    or AVX512-BF16), else fp32.

    bf16 is not always faster: where this returns bf16, training measures both
    (`multigen.engine.trial`).
    """
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


def to_layout(network: nn.Module, layout: str) -> None:
    """Puts a network's weights into a memory format. The parameters stay the same objects."""
    network.to(memory_format=LAYOUTS[layout])  # pyright: ignore[reportCallIssue]


def to_network(t: Tensor, device: torch.device, dtype: torch.dtype, layout: str) -> Tensor:
    """A tensor of a batch as networks expect it: on their device, floats in their dtype, images in
    their memory format."""
    kind = dtype if t.is_floating_point() else t.dtype
    form = LAYOUTS[layout] if t.dim() == 4 else torch.preserve_format
    return t.to(device, kind, non_blocking=True, memory_format=form)
