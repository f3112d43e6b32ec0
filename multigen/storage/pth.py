"""Tensors of PyTorch's own files (.pth) of unknown origin: nothing is unpickled but tensors and
plain containers."""

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from multigen.errors import CheckpointError, one_line
from multigen.storage.reading import open_regular

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["read_pth"]

LARGEST = 1 << 33
"""Bytes of a file: 8 GiB."""
WRAPPERS = ("params_ema", "params-ema", "params", "state_dict", "model_state_dict", "model", "net", "netG", "generator")
"""Keys under which training scripts save a network's weights, those that are best for use first."""
MARKERS = ("pro",)
"""Entries beside the tensors that tell a variant of a network (of Real-CUGAN), whatever their
values."""
PREFIXES = ("module.", "netG.", "_orig_mod.")
"""What wrappers of networks put before the name of each tensor."""


def read_pth(path: Path) -> "dict[str, Tensor]":
    """The tensors of one network. Raises CheckpointError for TorchScript, pickles of other objects,
    files that are too large or damaged, and for what holds no network."""
    import torch

    try:
        with open_regular(path, LARGEST) as file:
            _check_zip(file)
            size = file.seek(0, 2)
            file.seek(0)
            content = torch.load(file, map_location="cpu", weights_only=True)
        tensors = _network_in(content)
        if (needed := sum(t.numel() * t.element_size() for t in tensors.values())) > size:
            raise ValueError(f"tensors of {needed:,} bytes in a file of {size:,}")
        return tensors
    except Exception as error:  # of a damaged pickle, whatever its opcodes do
        raise CheckpointError(
            f"{path}: no weights can be read from it ({_reason(error)}); expected the weights of one network, as torch.save "
            "writes them, .safetensors, or .param beside .bin"
        ) from error


def _check_zip(file: IO[bytes]) -> None:
    """Raises ValueError for TorchScript, which is code, and for compressed content, which may
    unpack to any size."""
    if not zipfile.is_zipfile(file):  # the format before PyTorch 1.6
        return
    with zipfile.ZipFile(file) as archive:
        entries = archive.infolist()
    if any(part in ("code", "constants.pkl") for entry in entries for part in entry.filename.split("/")[1:2]):
        raise ValueError("it is TorchScript, which holds code")
    if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
        raise ValueError("its content is compressed")


def _network_in(content: Any) -> "dict[str, Tensor]":
    """The tensors of the network that a checkpoint holds, under the names that it gives them."""
    import torch
    from torch import Tensor

    for _ in range(3):  # wrappers within wrappers
        if isinstance(content, Mapping) and not any(isinstance(value, Tensor) for value in content.values()):
            inner = [content[key] for key in WRAPPERS if isinstance(content.get(key), Mapping)]
            inner += [value for value in content.values() if isinstance(value, Mapping)][: len(content) == 1]
            if inner:
                content = inner[0]
    tensors = {str(k): v for k, v in content.items() if isinstance(v, Tensor)} if isinstance(content, Mapping) else {}
    if not tensors:
        raise ValueError("it holds no network")
    if any(v.layout != torch.strided or v.is_quantized or v.is_meta for v in tensors.values()):
        raise ValueError("its tensors are sparse or quantised")
    for prefix in PREFIXES:
        if all(name.startswith(prefix) for name in tensors):
            tensors = {name.removeprefix(prefix): value for name, value in tensors.items()}
    return tensors | {name: torch.zeros(1) for name in MARKERS if name in content}


def _reason(error: BaseException) -> str:
    text = one_line(error)
    return "it holds other objects than tensors, which could run code" if "weights_only" in text.lower() else text
