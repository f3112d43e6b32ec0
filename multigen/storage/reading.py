"""Reading files that others may have made: regular files of bounded size, inside the folder they belong to; never a named pipe,
a device or a socket, which would hang or never end."""

import os
import stat
from pathlib import Path
from typing import BinaryIO

__all__ = ["UnreadableFile", "check_file", "open_regular", "read_bounded"]

FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
"""Without O_NONBLOCK, opening a named pipe waits for its writer."""
KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}
PIECE = 1 << 20  # bytes read at once


class UnreadableFile(OSError):
    """A file that is not read: what it is, and what was expected, in one line without the file's name."""

    def __init__(self, reason: str):
        super().__init__(reason)
        self.strerror = reason  # what other errors of files have


def open_regular(path: str | Path, most: int | None = None, inside: str | Path | None = None) -> BinaryIO:
    """A regular file, opened to read its bytes.

    Args:
        most: bytes that it may have.
        inside: folder that it must be in, once links are followed; the folder itself may be a link.

    Raises UnreadableFile (an OSError) for what is none of these, else the OSError of `open`.
    """
    if inside is not None and not Path(os.path.realpath(path)).is_relative_to(os.path.realpath(inside)):
        raise UnreadableFile(f"a link that leads out of {inside}; expected a file in that folder")
    _check(os.stat(path), most)  # before it is opened, which alone makes some devices act
    descriptor = os.open(path, FLAGS)
    try:
        _check(os.fstat(descriptor), most)
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def _check(about: os.stat_result, most: int | None) -> None:
    if not stat.S_ISREG(about.st_mode):
        kind = KINDS.get(stat.S_IFMT(about.st_mode), "no file")
        raise UnreadableFile(f"{kind}; expected a regular file")
    if most is not None and about.st_size > most:
        raise UnreadableFile(f"{about.st_size:,} bytes; expected at most {most:,}")


def check_file(path: str | Path, most: int | None = None, inside: str | Path | None = None) -> None:
    """Raises OSError where `open_regular` does: for libraries that open a file by its name."""
    open_regular(path, most, inside).close()


def read_bounded(path: str | Path, most: int, inside: str | Path | None = None) -> bytes:
    """The content of a regular file of at most `most` bytes. Arguments and errors as of `open_regular`."""
    content = bytearray()
    with open_regular(path, most, inside) as file:
        # Counted too: files of /proc say that they have 0 bytes, and others grow.
        while piece := file.read(min(PIECE, most + 1 - len(content))):
            content += piece
    if len(content) > most:
        raise UnreadableFile(f"more than {most:,} bytes; expected no more")
    return bytes(content)
