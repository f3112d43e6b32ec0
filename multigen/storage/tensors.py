"""Tensors as safetensors files; pickles are refused."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from multigen.errors import CheckpointError
from multigen.storage.reading import WEIGHTS, check_file

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["load_tensors", "to_bytes"]


def to_bytes(tensors: "Mapping[str, Tensor]") -> bytes:
    """A safetensors file. Weights that two layers share are in it twice."""
    import torch
    from safetensors.torch import save

    return save({k: t.detach().cpu().clone(memory_format=torch.contiguous_format) for k, t in tensors.items()})


def load_tensors(path: Path, inside: Path | None = None) -> dict[str, "Tensor"]:
    """Tensors of a safetensors file, in the folder `inside`. A pickle is refused whatever its name."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if path.suffix in {".pt", ".pth", ".pkl", ".ckpt", ".bin"}:
        raise CheckpointError(f"{path} is a pickle, which can run code; convert it to .safetensors where you trust it")
    try:
        check_file(path, WEIGHTS, inside)
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{path} is no whole safetensors file ({error}); copy or convert it again") from error
