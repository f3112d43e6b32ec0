"""Temporary storage of samples: in memory, or in an unnamed file where there are many."""

import contextlib
import io
import tempfile
import threading
import weakref
from collections.abc import Iterator
from typing import IO

import numpy as np
import torch
from torch import Tensor

from multigen.errors import DataError
from multigen.storage.cache import cache_folder, private_folder

__all__ = ["BLOCK", "MEMORY", "Store"]

BLOCK = 1 << 18  # frames read at once
MEMORY = 1 << 25  # bytes that are kept in memory
BYTES = 4  # of a sample


class Store:
    """A sound, float32 (C, T), that grows at its end, and of which parts are read:
    `store[first:end]`.

    Beyond `most` bytes it is in a file in the cache folder, which the system removes with the
    process, however that ends.
    """

    def __init__(self, channels: int = 1, most: int = MEMORY):
        self.channels, self.frames, self.most = channels, 0, most
        self.on_disk = False
        self._file: IO[bytes] = io.BytesIO()
        self._lock = threading.Lock()  # batches are made ahead by threads

    def __len__(self) -> int:
        return self.frames

    def append(self, sound: Tensor) -> None:
        """Adds samples (C, T). Raises DataError where the disk has no room for them."""
        samples = np.ascontiguousarray(sound.numpy().T, dtype=np.float32)  # (T, C)
        try:
            if not self.on_disk and BYTES * self.channels * self.frames + samples.nbytes > self.most:
                held, self._file, self.on_disk = self._file, _temporary(), True
                weakref.finalize(self, self._file.close)
                self._file.write(held.getbuffer())  # pyright: ignore[reportAttributeAccessIssue]
            self._file.seek(0, io.SEEK_END)
            self._file.write(samples.data)
        except OSError as error:
            raise DataError(
                f"{cache_folder()}: recordings cannot be kept there while they are used ({error.strerror}); make room, or name "
                "another folder with the environment variable MULTIGEN_CACHE"
            ) from error
        self.frames += len(samples)

    def __getitem__(self, span: slice) -> Tensor:
        first, end, _ = span.indices(self.frames)
        size = BYTES * self.channels
        with self._lock:
            self._file.seek(size * first)
            buffer = bytearray(self._file.read(size * max(end - first, 0)))
        samples = np.frombuffer(buffer, np.float32).reshape(-1, self.channels)
        return torch.from_numpy(np.ascontiguousarray(samples.T))  # (C, T)

    def blocks(self, size: int = BLOCK, backwards: bool = False) -> Iterator[tuple[int, Tensor]]:
        """All of it in blocks of `size` frames, each with its first frame."""
        starts = range(0, self.frames, size)
        for first in reversed(starts) if backwards else starts:
            yield first, self[first : first + size]


def _temporary() -> IO[bytes]:
    folder = None  # the system's, where the cache is not the user's alone
    with contextlib.suppress(OSError):
        folder = private_folder()
    return tempfile.TemporaryFile(prefix="sounds-", dir=folder)
