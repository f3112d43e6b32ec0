"""Safe reading of files of unknown origin: only regular files of bounded size inside their folder;
never a named pipe, a device or a socket, which could block or never end."""

import mmap
import os
import re
import stat
from io import BufferedReader
from pathlib import Path

__all__ = [
    "CONFIG",
    "JSON",
    "WEIGHTS",
    "UnreadableFile",
    "check_expansion",
    "check_file",
    "check_folder",
    "check_netpbm",
    "check_scans",
    "is_inside",
    "open_regular",
    "read_bounded",
]

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
CONFIG, JSON, WEIGHTS = 1 << 20, 1 << 26, 1 << 37
"""Maximum bytes of a config.json or config.toml (1 MiB), of another JSON file (64 MiB), of a
weights file (128 GiB)."""
EXPANSION, SMALL = 200, 1 << 26
"""Compressed data may expand by this factor, or to this many bytes. Images compress to a tenth,
decompression bombs to a thousandth."""
SCANS = 64
"""Maximum scans of a JPEG: encoders write about ten. Each takes as long to decode as the whole
image, and may have only ten bytes."""
MARKER = re.compile(rb"\xff[^\x00\x01\xd0-\xd7\xff]")
"""Start of a JPEG segment; END is the last one, and a SCAN holds pixels."""
COMMENT = re.compile(rb"#[^\r\n]*")
"""Comments in the header of a PPM and related formats, which is read byte by byte."""
END, SCAN = b"\xff\xd9", b"\xff\xda"


class UnreadableFile(OSError):
    """A file is refused. The message states what it is and what was expected, in one line without
    the file's name."""

    def __init__(self, reason: str):
        super().__init__(reason)
        self.strerror = reason  # as in other OSErrors


def open_regular(path: str | Path, most: int | None = None, inside: str | Path | None = None) -> BufferedReader:
    """Opens a regular file for reading bytes.

    Args:
        most: maximum size, bytes.
        inside: the folder that must hold the file, once links are followed; the folder itself may
            be a link.

    Raises UnreadableFile (an OSError) for a file that does not meet these conditions, else the
    errors of `open`.
    """
    if inside is not None and not is_inside(path, inside):
        raise UnreadableFile(f"a link that leads out of {inside}; expected a file in that folder")
    _check(os.stat(path), most)  # before opening, which alone triggers some devices
    descriptor = os.open(path, FLAGS)
    try:
        _check(os.fstat(descriptor), most)
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def is_inside(path: str | Path, folder: str | Path) -> bool:
    """Whether a file or folder is in `folder`, once links are followed."""
    return Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder))


def _check(about: os.stat_result, most: int | None) -> None:
    if not stat.S_ISREG(about.st_mode):
        kind = KINDS.get(stat.S_IFMT(about.st_mode), "no file")
        raise UnreadableFile(f"{kind}; expected a regular file")
    if most is not None and about.st_size > most:
        raise UnreadableFile(f"{about.st_size:,} bytes; expected at most {most:,}")


def check_file(path: str | Path, most: int | None = None, inside: str | Path | None = None) -> None:
    """Raises the errors of `open_regular`: for libraries that open a file by name."""
    open_regular(path, most, inside).close()


def check_folder(folder: Path) -> None:
    """Raises the errors of `open_regular` for any file in a folder: for libraries that open all of
    them."""
    for path in sorted(folder.iterdir()):
        if not path.is_dir():
            try:
                check_file(path, JSON if path.suffix == ".json" else WEIGHTS)
            except UnreadableFile as error:
                raise UnreadableFile(f"{path.name}: {error}") from error


def read_bounded(path: str | Path, most: int, inside: str | Path | None = None) -> bytes:
    """The content of a regular file of at most `most` bytes. Arguments and errors as of
    `open_regular`."""
    content = bytearray()
    with open_regular(path, most, inside) as file:
        # Bytes are counted as well: files in /proc have a size of 0, and others grow.
        while piece := file.read(min(PIECE, most + 1 - len(content))):
            content += piece
    if len(content) > most:
        raise UnreadableFile(f"more than {most:,} bytes; expected no more")
    return bytes(content)


def check_expansion(size: int, packed: int) -> None:
    """Raises ValueError where a header states more bytes (`size`) than `packed` compressed bytes
    can plausibly hold."""
    if size > max(EXPANSION * packed, SMALL):
        raise ValueError(
            f"its header promises {size:,} bytes, unpacked from {packed:,}; expected at most {EXPANSION} times as many"
        )


def check_scans(path: str | Path) -> None:
    """Raises ValueError for a JPEG with more scans than any encoder writes, which would take
    minutes to decode."""
    with open_regular(path) as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        at = scans = 0
        while (marker := MARKER.search(content, at)) and marker[0] != END and scans <= SCANS:
            scans += marker[0] == SCAN
            at = marker.end()
            at += 0 if marker.start() == 0 else int.from_bytes(content[at : at + 2])
    if scans > SCANS:
        raise ValueError(f"more than {SCANS} scans; expected a JPEG of about ten")


def check_netpbm(path: str | Path) -> None:
    """Raises ValueError for a PPM, or a related format, whose header does not end within 64 KiB: it
    would take minutes to read."""
    with open_regular(path) as file:
        head = file.read(1 << 16)
    if head[:1] == b"P" and len(head) == 1 << 16 and len(COMMENT.sub(b"", head).split()) < 4:
        raise ValueError("no end of its header in 65,536 bytes; expected width, height and the greatest value there")
