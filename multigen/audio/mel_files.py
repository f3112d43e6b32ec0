"""Files of log-mels: .npy, whose header is read here, since numpy's reader evaluates it."""

import math
import re
from pathlib import Path
from typing import BinaryIO, Literal

import numpy as np

from multigen.errors import DataError
from multigen.storage.reading import UnreadableFile, open_regular

__all__ = ["MELS", "read_mels"]

MELS = (".npy",)
"""Suffixes of files of mels."""
LARGEST = 1 << 31  # bytes of a file of mels: 18 hours of 80 bands
MAGIC = b"\x93NUMPY"
HEADER = 1 << 12  # bytes of a header at most; numpy's of an array of two dimensions has 118
ENTRY = re.compile(
    r"""\s*['"](descr|fortran_order|shape)['"]\s*:\s*(['"][^'"]*['"]|True|False|\([\d, ]*\))\s*(?:,|$)"""
)
KIND = re.compile(r"[<>=|]?([biufcOSUVMm?])\d{0,4}")
SIZES = re.compile(r"\((?:\d{1,12}(?:, ?\d{1,12}){0,7},?)?\)")
DAMAGED = "it is damaged, or no .npy file"


def read_mels(path: Path) -> np.ndarray:
    """An array of numbers in a .npy file, in float16 or float32, as it is there; other floats
    become float32. Of float32 the file is mapped into memory. Raises DataError for anything else,
    and for a file that is shorter than its header says."""
    try:
        with open_regular(path, LARGEST) as file:
            dtype, order, shape = _header(file)
            at, size = file.tell(), file.seek(0, 2)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, UnreadableFile) else DAMAGED
        raise _unusable(path, str(reason)) from error
    if dtype.kind != "f":
        raise DataError(
            f"{path}: {dtype}, expected an array of floats; save the mels by numpy.save, or skip it: --skip-bad"
        )
    wanted = math.prod(shape) * dtype.itemsize
    if not wanted or at + wanted > size:
        lacks = f"{size - at:,} bytes of {wanted:,} are there" if wanted else f"an array {shape} holds nothing"
        raise _unusable(path, f"{DAMAGED}: {lacks}")
    mels = np.memmap(path, dtype, "c", at, shape, order)
    native = np.dtype(np.float16 if dtype.itemsize == 2 else np.float32)
    with np.errstate(over="ignore"):  # infinite numbers are refused as such
        return mels.astype(native, copy=False)


def _header(file: BinaryIO) -> tuple[np.dtype, Literal["C", "F"], tuple[int, ...]]:
    """Type, order and shape of the array that follows. Raises ValueError for what is no header."""
    start = file.read(len(MAGIC) + 2)
    version = start[len(MAGIC) :]
    if not start.startswith(MAGIC) or version not in (b"\1\0", b"\2\0", b"\3\0"):
        raise ValueError("no .npy file")
    length = int.from_bytes(file.read(2 if version == b"\1\0" else 4), "little")
    text = file.read(min(length, HEADER)).decode("latin-1").strip() if length <= HEADER else ""
    inside, at, fields = text[1:-1].rstrip(), 0, {}
    while entry := ENTRY.match(inside, at):
        fields[entry[1]] = entry[2]
        at = entry.end()
    kind, order, shape = (fields.get(name, "") for name in ("descr", "fortran_order", "shape"))
    whole = text.startswith("{") and text.endswith("}") and at == len(inside)
    if not whole or not KIND.fullmatch(kind[1:-1]) or order not in ("True", "False") or not SIZES.fullmatch(shape):
        raise ValueError("no header of an array")
    try:
        dtype = np.dtype(kind[1:-1])
    except TypeError as error:
        raise ValueError("no type of an array") from error
    return dtype, "F" if order == "True" else "C", tuple(map(int, re.findall(r"\d+", shape)))


def _unusable(path: Path, reason: str) -> DataError:
    return DataError(f"{path}: {reason}; expected log-mels in a .npy file; make it again, or skip it: --skip-bad")
