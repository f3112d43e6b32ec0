"""Tensors as safetensors files; pickles are refused. The header is checked before a byte of data is
read."""

import io
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NamedTuple

from multigen.errors import CheckpointError, one_line
from multigen.storage.reading import WEIGHTS, open_regular

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Stored", "TensorFile", "from_bytes", "load_tensors", "to_bytes", "to_parts"]

MOST_DIMENSIONS = 8
BYTES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U8": 1, "BOOL": 1}
"""Data types of networks and optimisers -> bytes per number."""
KINDS = {
    **{"int64": "I64", "float64": "F64", "float32": "F32", "int32": "I32", "bfloat16": "BF16", "float16": "F16"},
    **{"int16": "I16", "int8": "I8", "uint8": "U8", "bool": "BOOL"},
}
"""The same by torch's names, in the order in which their tensors stand in a file."""
LARGEST_HEADER = 1 << 24
"""Maximum bytes of a header: about 150,000 tensors; a transformer of 1,000 layers with its
optimiser has 36,000."""


class Stored(NamedTuple):
    """A header's entry for one tensor; begin and end are offsets in bytes."""

    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int


def to_bytes(tensors: "Mapping[str, Tensor]") -> bytes:
    """The tensors as a safetensors file. Weights shared by two layers are stored twice."""
    return b"".join(to_parts(tensors))


def to_parts(tensors: "Mapping[str, Tensor]") -> "Iterator[bytes | memoryview]":
    """What `to_bytes` gives, the header and then one tensor after the other, so that a file can be
    written without a second copy of all. The bytes are those of the safetensors package."""
    kinds = {name: str(t.dtype).removeprefix("torch.") for name, t in tensors.items()}
    if unknown := {*kinds.values()} - {*KINDS}:
        raise ValueError(f"tensors of type {min(unknown)}, expected one of {', '.join(KINDS)}")
    order = sorted(tensors, key=lambda name: ([*KINDS].index(kinds[name]), name))
    table, at = {}, 0
    for name in order:
        size = tensors[name].nbytes
        shape = list(tensors[name].shape)
        table[name] = {"dtype": KINDS[kinds[name]], "shape": shape, "data_offsets": [at, at + size]}
        at += size
    header = json.dumps(table, ensure_ascii=False, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)
    yield len(header).to_bytes(8, "little") + header
    for name in order:
        data: Any = _flat(tensors[name]).numpy()
        yield memoryview(data)


def _flat(tensor: "Tensor") -> "Tensor":
    """The bytes of a tensor, uint8 (n,), in the memory that it has if it is contiguous."""
    import torch

    return tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8)


def from_bytes(data: bytes) -> "dict[str, Tensor]":
    """The tensors of a safetensors file. Raises ValueError for any other data."""
    from safetensors import SafetensorError
    from safetensors.torch import load

    _read_header(io.BytesIO(data), len(data))
    try:
        return load(data)
    except SafetensorError as error:
        raise ValueError(str(error)) from error


def load_tensors(path: Path) -> "dict[str, Tensor]":
    """All tensors of a safetensors file. A pickle is refused whatever its name."""
    return dict(TensorFile.open(path))


@dataclass(frozen=True, eq=False)
class TensorFile(Mapping[str, "Tensor"]):
    """A safetensors file: its header, and its tensors, each of which is read on access.

    Raises CheckpointError for a file that is missing, incomplete, or not in this format, whatever
    its name.
    """

    path: Path
    stored: Mapping[str, Stored]

    @classmethod
    def open(cls, path: Path, inside: Path | None = None) -> "TensorFile":
        """The file at `path`, which must be in the folder `inside` once links are followed."""
        if path.suffix in {".pt", ".pth", ".pkl", ".ckpt", ".bin"}:
            raise CheckpointError(
                f"{path} is a pickle, which can run code; convert it to .safetensors where you trust it"
            )
        try:
            with open_regular(path, WEIGHTS, inside) as file:
                return cls(path, _read_header(file, path.stat().st_size))
        except (OSError, ValueError) as error:
            raise CheckpointError(
                f"{path} is not a complete safetensors file ({one_line(error)}); copy or convert it again"
            ) from error

    @property
    def nbytes(self) -> int:
        """Size of all tensors together."""
        return sum(each.end - each.begin for each in self.stored.values())

    def __getitem__(self, name: str) -> "Tensor":
        if name not in self.stored:
            raise KeyError(name)
        from safetensors import SafetensorError

        try:
            return self._opened.get_tensor(name)
        except (OSError, MemoryError, RuntimeError, SafetensorError) as error:
            raise CheckpointError(f"{self.path} cannot be read ({error}); copy or convert it again") from error

    @cached_property
    def _opened(self) -> Any:
        from safetensors import safe_open

        return safe_open(self.path, "pt")

    def __iter__(self) -> Iterator[str]:
        return iter(self.stored)

    def __len__(self) -> int:
        return len(self.stored)


def _read_header(file: IO[bytes], size: int) -> dict[str, Stored]:
    """The header of a safetensors file of `size` bytes. Raises ValueError where the header does not
    fit the size."""
    length = int.from_bytes(file.read(8), "little")
    if not 2 <= length <= min(LARGEST_HEADER, size - 8):
        raise ValueError(f"a header of {length:,} bytes in a file of {size:,}")
    try:
        table = json.loads(file.read(length), object_pairs_hook=_unique)
        stored = _stored_in(table)
    except (KeyError, TypeError, RecursionError) as error:
        raise ValueError(f"its header has another form: {error}") from error
    at = 0
    for each in sorted(stored.values(), key=lambda s: (s.begin, s.end)):
        if each.begin != at:
            raise ValueError(f"data from {each.begin} on, expected {at}: they overlap, or leave a gap")
        at = each.end
    if 8 + length + at != size:
        raise ValueError(f"{size:,} bytes, expected {8 + length + at:,}")
    return stored


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table = dict(pairs)
    if len(table) < len(pairs):
        raise ValueError("a name is in its header twice")
    return table


def _stored_in(table: Any) -> dict[str, Stored]:
    stored = {}
    for name, about in table.items() if isinstance(table, dict) else [("", table)]:
        if name == "__metadata__":
            continue
        dtype, shape, (begin, end) = about["dtype"], about["shape"], about["data_offsets"]
        if dtype not in BYTES:
            raise ValueError(f"{name} of type {dtype!r}, expected one of {', '.join(BYTES)}")
        if len(shape) > MOST_DIMENSIONS or not all(type(n) is int and 0 <= n < 1 << 48 for n in (*shape, begin, end)):
            raise ValueError(f"{name} of another shape, or in another place, than a tensor can have")
        if end - begin != BYTES[dtype] * math.prod(shape):
            raise ValueError(f"{name} of shape {shape} in {end - begin} bytes")
        stored[name] = Stored(dtype, tuple(shape), begin, end)
    return stored
