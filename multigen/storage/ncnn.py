"""Reading networks of ncnn: NAME.param says in text which layers there are, NAME.bin holds their
weights one after another.

Only what published networks of image restoration are made of is read: convolutions and PReLU; other
layers have no weights.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from multigen.errors import CheckpointError, one_line
from multigen.storage.reading import read_bounded

__all__ = ["Layer", "read_ncnn"]

MAGIC = "7767517"
HALF, FLOAT = 0x01306B47, 0
"""What stands before the weights of a convolution: they are float16, padded to 4 bytes, or
float32."""
PARAM, BIN = 1 << 20, 1 << 30
"""Bytes at most; Real-ESRGAN's largest files take 117 kB and 33 MB."""
WITHOUT_WEIGHTS = {"BinaryOp", "Concat", "Eltwise", "Input", "Interp", "PixelShuffle", "ReLU", "Split"}


@dataclass(frozen=True)
class Layer:
    """A layer with weights, in the order in which they are computed."""

    kind: str
    """ "Convolution" or "PReLU"."""
    weight: np.ndarray
    """float32 (out, in, k, k); of a PReLU the slopes (C,)."""
    bias: np.ndarray | None = None
    """float32 (out,)."""


def read_ncnn(param: Path, binary: Path) -> list[Layer]:
    """The layers that have weights. Raises CheckpointError for files that are missing, too large,
    of another form, or where the counts in one do not fit the other."""
    try:
        lines = read_bounded(param, PARAM).decode("ascii").split("\n")
        reader = _Reader(read_bounded(binary, BIN))
        layers = [layer for line in _layers(lines) if (layer := _read(line, reader)) is not None]
        reader.end()
    except (OSError, ValueError) as error:
        raise CheckpointError(
            f"{param}: no network of ncnn can be read from it and {binary.name} ({one_line(error)}); copy both files again"
        ) from error
    return layers


class _Reader:
    """Numbers from the content of a .bin file, in order."""

    def __init__(self, content: bytes):
        self.content, self.at = content, 0

    def take(self, count: int, kind: Any) -> np.ndarray:
        """`count` numbers, float32. Raises ValueError where there are not as many."""
        size = count * np.dtype(kind).itemsize
        if size > len(self.content) - self.at:
            raise ValueError(f"{size:,} bytes expected at {self.at:,}, there are {len(self.content) - self.at:,}")
        numbers = np.frombuffer(self.content, kind, count, self.at)
        self.at += -(-size // 4) * 4
        return numbers.astype(np.float32)

    def flagged(self, count: int) -> np.ndarray:
        """`count` numbers, float32, of the type that the flag before them says."""
        flag = int(np.frombuffer(self.content[self.at : self.at + 4].ljust(4, b"\xff"), "<u4")[0])
        self.at += 4
        if flag not in (HALF, FLOAT):
            raise ValueError(f"weights of type {flag:#x}; expected float16 ({HALF:#x}) or float32 (0x0)")
        return self.take(count, "<f2" if flag == HALF else "<f4")

    def end(self) -> None:
        if self.at != len(self.content):
            raise ValueError(f"{len(self.content):,} bytes of weights, the layers have {self.at:,}")


def _layers(lines: list[str]) -> list[list[str]]:
    """The words of each layer's line. Raises ValueError for another format, or another number of
    lines than the file says."""
    if lines[0].strip() != MAGIC:
        raise ValueError(f"it begins with {lines[0][:20]!r}; expected {MAGIC}")
    layers = [words for line in lines[2:] if (words := line.split())]
    message = lines[1].split()[:1]
    if message != [str(len(layers))]:
        raise ValueError(f"{len(layers):,} layers; its second line says {' '.join(message)!r}")
    return layers


def _read(words: list[str], reader: _Reader) -> Layer | None:
    """The weights of a layer: "KIND NAME INPUTS OUTPUTS", names of these, and settings
    NUMBER=VALUE."""
    kind = words[0]
    if kind in WITHOUT_WEIGHTS:
        return None
    if kind not in ("Convolution", "PReLU"):
        raise ValueError(f"a layer {kind[:40]!r}; expected convolutions and PReLU")
    settings = dict(word.split("=", 1) for word in words if "=" in word)
    out = int(settings["0"]) if "0" in settings else 0
    if out < 1:
        raise ValueError(f"a layer of {out} channels")
    if kind == "PReLU":
        return Layer(kind, reader.take(out, "<f4"))
    side, count = int(settings.get("1", 1)), int(settings.get("6", 0))
    if side < 1 or count < 1 or count % (out * side * side):
        raise ValueError(f"a convolution of {count:,} weights; expected a multiple of {out} x {side} x {side}")
    weight = reader.flagged(count).reshape(out, -1, side, side)
    return Layer(kind, weight, reader.take(out, "<f4") if settings.get("5") == "1" else None)
