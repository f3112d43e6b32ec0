"""GGUF files, in which llama.cpp and related programs keep language models: the header, checked
before memory is taken, and tensors as float32, each on access.

The format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md, versions 2 and 3. Quantised
tensors are unpacked by the package gguf (extra `lm`), which sees their bytes alone.
"""

import math
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from multigen.errors import CheckpointError, one_line
from multigen.storage.reading import WEIGHTS, open_regular
from multigen.storage.tensors import Stored

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["EXTRA", "GGUFFile"]

EXTRA = "pip install 'multigen[lm]'"
LARGEST_HEADER = 1 << 26
"""Maximum bytes of a header. It holds the vocabulary; that of 256,000 tokens takes 12 MiB."""
MOST_ENTRIES, MOST_TENSORS, MOST_DIMENSIONS = 4_096, 65_536, 4
MOST_VALUES = 1 << 22
"""Maximum values of all lists, each of which is an object; a vocabulary of 256,000 tokens has a
million, with scores, types and merges."""
NUMBERS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
"""Types of values -> their codes in `struct`."""
STRING, ARRAY = 8, 9
LEAST_STRING = 8  # bytes: its length
TYPES = {
    **{0: ("F32", 1, 4), 1: ("F16", 1, 2), 30: ("BF16", 1, 2)},
    **{2: ("Q4_0", 32, 18), 3: ("Q4_1", 32, 20), 6: ("Q5_0", 32, 22), 7: ("Q5_1", 32, 24), 8: ("Q8_0", 32, 34)},
    **{10: ("Q2_K", 256, 84), 11: ("Q3_K", 256, 110), 12: ("Q4_K", 256, 144), 13: ("Q5_K", 256, 176)},
    **{14: ("Q6_K", 256, 210), 20: ("IQ4_NL", 32, 18), 23: ("IQ4_XS", 256, 136)},
}
"""Types of tensors -> name, numbers in a block, bytes of a block."""


@dataclass(frozen=True, eq=False)
class GGUFFile(Mapping[str, "Tensor"]):
    """A GGUF file: its settings, and its tensors, each of which is read and unpacked on access."""

    path: Path
    settings: Mapping[str, Any]
    """Numbers, texts and lists of these, by name."""
    stored: Mapping[str, Stored]
    """Types, shapes in the order of torch, and places in the file."""

    @classmethod
    def open(cls, path: Path) -> "GGUFFile":
        """Reads and checks the header. Raises CheckpointError for a file that is not complete, or
        in another format."""
        try:
            with open_regular(path, WEIGHTS) as file:
                reader = Reader(file.read(LARGEST_HEADER))
                return cls(path, *_header(reader, path.stat().st_size))
        except FileNotFoundError as error:
            raise CheckpointError(f"{path}: no such file; give the path of a .gguf file") from error
        except (OSError, ValueError) as error:
            raise CheckpointError(
                f"{path} is not a complete GGUF file ({one_line(error)}); copy or download it again"
            ) from error

    @property
    def numbers(self) -> int:
        """How many numbers all tensors have together."""
        return sum(math.prod(each.shape) for each in self.stored.values())

    def __getitem__(self, name: str) -> "Tensor":
        import numpy as np
        import torch

        try:
            from gguf import GGMLQuantizationType, dequantize  # pyright: ignore
        except ImportError as error:
            raise CheckpointError(f"{self.path}: its weights need the package gguf to be unpacked: {EXTRA}") from error
        about = self.stored[name]
        try:
            with open_regular(self.path, WEIGHTS) as file:
                file.seek(about.begin)
                data = np.frombuffer(file.read(about.end - about.begin), np.uint8)
            rows = data.reshape(*about.shape[:-1], -1)  # a row of bytes for each row of numbers
            values = dequantize(
                rows.view(np.float32) if about.dtype == "F32" else rows, GGMLQuantizationType[about.dtype]
            )
            return torch.from_numpy(np.array(values, np.float32).reshape(about.shape))
        except (OSError, ValueError) as error:
            raise CheckpointError(f"{self.path}: {name} cannot be read ({one_line(error)}); copy it again") from error

    def __iter__(self) -> Iterator[str]:
        return iter(self.stored)

    def __len__(self) -> int:
        return len(self.stored)


class Reader:
    """Reads values one after the other; ValueError where the data end before they do."""

    def __init__(self, data: bytes):
        self.data, self.at, self.left = data, 0, MOST_VALUES

    def number(self, kind: int) -> Any:
        form = struct.Struct("<" + NUMBERS[kind])
        self.check(form.size)
        (value,) = form.unpack_from(self.data, self.at)
        self.at += form.size
        return value

    def string(self) -> str:
        length = self.number(10)
        self.check(length)
        text = self.data[self.at : self.at + length].decode()
        self.at += length
        return text

    def value(self, kind: int) -> Any:
        """A value of a type; a list of at most one level."""
        if kind != ARRAY:
            return self.string() if kind == STRING else self.number(kind)
        of, count = self.number(4), self.number(10)
        self.left -= count
        if self.left < 0:
            raise ValueError(f"a list of {count:,} values, expected at most {MOST_VALUES:,} in all")
        if of == STRING:
            self.check(count * LEAST_STRING)
            return [self.string() for _ in range(count)]
        form = NUMBERS[of]
        size = struct.calcsize("<" + form)
        self.check(count * size)
        values = struct.unpack_from(f"<{count}{form}", self.data, self.at)
        self.at += count * size
        return [*values]

    def check(self, size: int) -> None:
        if size > len(self.data) - self.at:
            raise ValueError(f"{size:,} bytes from {self.at:,} on, expected them within {len(self.data):,}")


def _header(reader: Reader, size: int) -> tuple[dict[str, Any], dict[str, Stored]]:
    """Settings and tensors of a file of `size` bytes. Raises ValueError where they do not fit
    it."""
    if reader.data[:4] != b"GGUF":
        raise ValueError("it does not begin with GGUF")
    reader.at = 4
    version, tensors, entries = reader.number(4), reader.number(10), reader.number(10)
    if version not in (2, 3):
        raise ValueError(f"version {version:,}, expected 2 or 3")
    if tensors > MOST_TENSORS or entries > MOST_ENTRIES:
        raise ValueError(
            f"{tensors:,} tensors and {entries:,} settings, expected at most {MOST_TENSORS:,} and {MOST_ENTRIES:,}"
        )
    try:
        settings = {reader.string(): reader.value(reader.number(4)) for _ in range(entries)}
        infos = [_info(reader) for _ in range(tensors)]
    except KeyError as error:
        raise ValueError(f"a value of type {error}, which there is not") from error
    alignment = settings.get("general.alignment", 32)
    if not isinstance(alignment, int) or not 1 <= alignment <= 1 << 16:
        raise ValueError(f"alignment {alignment!r}, expected a number such as 32")
    begin = -(-reader.at // alignment) * alignment
    stored: dict[str, Stored] = {}
    for name, kind, shape, nbytes, offset in infos:
        if name in stored:
            raise ValueError(f"{name} is in its header twice")
        if begin + offset + nbytes > size:
            raise ValueError(f"{size:,} bytes, expected {begin + offset + nbytes:,} at least")
        stored[name] = Stored(kind, shape, begin + offset, begin + offset + nbytes)
    return settings, stored


def _info(reader: Reader) -> tuple[str, str, tuple[int, ...], int, int]:
    """A tensor's name, type, shape, bytes and offset."""
    name, dimensions = reader.string(), reader.number(4)
    if not 1 <= dimensions <= MOST_DIMENSIONS:
        raise ValueError(f"{name} of {dimensions:,} dimensions, expected at most {MOST_DIMENSIONS}")
    shape = tuple(reader.number(10) for _ in range(dimensions))[::-1]
    kind, offset = reader.number(4), reader.number(10)
    if kind not in TYPES:
        raise ValueError(f"{name} of type {kind}, expected one of {', '.join(each for each, *_ in TYPES.values())}")
    about, block, nbytes = TYPES[kind]
    if not all(0 < n < 1 << 32 for n in shape) or shape[-1] % block:
        raise ValueError(f"{name} of shape {shape} in blocks of {block}")
    return name, about, shape, math.prod(shape) // block * nbytes, offset
