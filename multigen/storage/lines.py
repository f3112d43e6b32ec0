"""Optional outputs of a run, such as logs and previews: where they cannot be written, a warning is
printed and the run continues."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from multigen.console import say_once
from multigen.errors import DataError
from multigen.storage.files import remedy

__all__ = ["LineFile", "optional"]

BLOCK = 1 << 16  # bytes read at once


@contextlib.contextmanager
def optional(what: Path | str) -> Iterator[None]:
    """Around writing an optional output: an OSError, or a DataError caused by one, becomes a
    printed warning, once per reason."""
    try:
        yield
    except (OSError, DataError) as raised:
        error = raised if isinstance(raised, OSError) else raised.__cause__
        if not isinstance(error, OSError):
            raise
        say_once(f"{what} cannot be written ({error.strerror or error}); the run continues without; {remedy(error)}")


class LineFile:
    """A file to which lines are appended, each written immediately. A line that cannot be written
    is retried with the next one.

    An incomplete last line of a killed process is removed before the first line is appended.
    """

    def __init__(self, path: Path):
        self.path = path
        self._file: BinaryIO | None = None
        self._waiting = b""

    def add(self, line: str) -> None:
        self._waiting += line.encode() + b"\n"
        with optional(self.path):
            if self._file is None:
                self._file = open(self.path, "a+b", buffering=0)  # noqa: SIM115 (pyright cannot tell that it is a FileIO)
                _cut_torn(self._file)
            while self._waiting:  # after a partial write the rest follows, so that no line is torn
                self._waiting = self._waiting[self._file.write(self._waiting) :]

    def flush(self) -> None:
        """Waits until the lines are on disk."""
        if self._file is not None:
            with optional(self.path):
                getattr(os, "fdatasync", os.fsync)(self._file.fileno())

    def close(self) -> None:
        if self._file is not None:
            with optional(self.path):
                self._file.close()


def _cut_torn(file: BinaryIO) -> None:
    """Removes everything after the last line break."""
    end = file.seek(0, os.SEEK_END)
    while end:
        start = max(0, end - BLOCK)
        file.seek(start)
        last_break = file.read(end - start).rfind(b"\n")
        end = start + last_break + 1
        if last_break >= 0:
            break
    file.truncate(end)
