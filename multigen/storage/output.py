"""Writes a command's results to a user's path: never replaces a file of other origin, never leaves
one half written.

    check_targets([out], overwrite)  # before anything is computed
    ...
    with replacing(out) as file:
        image.save(file)
"""

import contextlib
import mmap
import os
import re
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from multigen.errors import DataError
from multigen.memory import size
from multigen.storage import provenance
from multigen.storage.files import read_json
from multigen.storage.reading import JSON, open_regular

__all__ = ["check_folder", "check_space", "check_targets", "is_own", "json_table", "replacing"]

LONG = 200  # characters of a name that its temporary name keeps, which might otherwise be too long for the disk
BLOCK = 4096  # bytes of the disk that a file takes at least
SIGNS = {
    ".html": rb"default-src 'none'; style-src 'unsafe-inline'; img-src data:; media-src data:",
    ".md": rb"This file is generated: do not edit. `multigen bench|; result: `recipes/results/",
    **dict.fromkeys((".m4v", ".mkv", ".mov", ".mp4", ".webm"), rb'\{"software": "multigen '),
    ".onnx": rb"\n\x08software\x12.multigen ",
}
"""Suffix -> a pattern that all files of this kind written by commands contain."""


def check_targets(
    targets: Iterable[Path], overwrite: bool, other: str = "another --out", own: Callable[[Path], bool] | None = None
) -> None:
    """Raises DataError where a command's output file cannot be written, or exists and is not an
    earlier result.

    Args:
        overwrite: allow replacing any existing file.
        other: the alternative that the message suggests.
        own: whether a file is an earlier result; default: `is_own`.
    """
    existing = []
    targets = list(targets)
    for folder in {path.parent for path in targets}:
        _remove_leftovers(folder)
    for path in targets:
        if os.path.isdir(path):
            raise DataError(f"{path} cannot be written (it is a folder); give {other}")
        if os.path.exists(path) and not os.path.isfile(path):
            raise DataError(f"{path} cannot be written (it is no regular file); give {other}")
        if os.path.lexists(path):
            if not overwrite and (path.is_symlink() or not (own or is_own)(path)):
                existing.append(path)
        else:
            _check_place(path, path.parent, other)
    if existing:
        more = f" and {len(existing) - 1} more files exist and are" if len(existing) > 1 else " exists and is"
        raise DataError(
            f"{existing[0]}{more} not known as results of multigen; give {other}, or --overwrite to replace them"
        )


def check_folder(out: Path, other: str = "another folder for --out") -> None:
    """Raises DataError where results cannot be written to the folder `out`, which need not
    exist."""
    if os.path.lexists(out) and not out.is_dir():
        raise DataError(f"{out} cannot be written (File exists); give {other}")
    _check_place(out, out, other)


def _check_place(path: Path, folder: Path, other: str) -> None:
    """Raises DataError where `folder`, or its nearest existing ancestor, is not a writable
    folder."""
    folder = folder.absolute()
    ancestor = next(place for place in (folder, *folder.parents) if os.path.lexists(place))
    if not ancestor.is_dir() or not os.access(ancestor, os.W_OK | os.X_OK):
        why = "Permission denied" if ancestor.is_dir() else "Not a directory"
        raise DataError(f"{path} cannot be written ({why}); give {other}")


def check_space(n: int, items: str, out: Path, each: int, remedy: str) -> None:
    """Raises DataError where the disk of OUT has no space for n files, even of minimum size."""
    place = next(folder for folder in (out.absolute(), *out.absolute().parents) if folder.exists())
    free, least = shutil.disk_usage(place).free, n * max(BLOCK, each)
    files = os.statvfs(place).f_favail if hasattr(os, "statvfs") else 0
    if least > free or 0 < files < n:
        has = f"{size(free)} are free" if least > free else f"{files} more files fit"
        raise DataError(f"--out {out}: {n} {items} take {size(least)} at least, and {has} there; {remedy}")


UNFINISHED = re.compile(r"\..*(\.\w+)\.(\d+)\1")  # .a.png.123.png: see `replacing`
MINUTE = 60.0


def _remove_leftovers(folder: Path) -> None:
    """Removes the unfinished files of `replacing` that processes left which were killed: they are
    no longer running, and wrote nothing for a minute, as a process on another machine would."""
    for path in folder.glob(".*") if folder.is_dir() else ():
        if (form := UNFINISHED.fullmatch(path.name)) and path.is_file() and not path.is_symlink():
            with contextlib.suppress(OSError):
                if time.time() - path.stat().st_mtime > MINUTE and not _runs(int(form[2])):
                    path.unlink()


def _runs(pid: int) -> bool:
    """Whether there is a process of this number, anybody's."""
    try:
        os.kill(pid, 0) if os.name == "posix" else None
    except PermissionError:
        return True
    except (OSError, OverflowError):
        return False
    return True


def is_own(path: Path) -> bool:
    """Whether a file states that multigen wrote it. Text and JSON files carry no such statement."""
    suffix = path.suffix.lower()
    if suffix in SIGNS:
        return _holds(path, SIGNS[suffix])
    if suffix in (*provenance.PICTURES, *provenance.SOUNDS):
        with contextlib.suppress(DataError):
            return str(provenance.read(path).get("software", "")).startswith("multigen ")
    return False


def json_table(path: Path) -> dict[str, Any]:
    """The content of a JSON file that holds a table; {} for any other file."""
    try:
        content = read_json(path, JSON)
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _holds(path: Path, pattern: bytes) -> bool:
    try:
        with open_regular(path) as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            return re.search(pattern, content, re.DOTALL) is not None
    except (OSError, ValueError):  # ValueError: an empty file
        return False


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yields a temporary path with the same suffix. The file replaces `path` when the block ends,
    and is removed if the block fails. A link is replaced, not its target. Raises OSError."""
    temporary = path.with_name(f".{path.name[:LONG]}.{os.getpid()}{path.suffix}")  # `remove_leftovers` knows such names
    try:
        yield temporary
        if os.path.lexists(path):
            _flush(temporary)  # otherwise a power failure may leave neither file
        temporary.replace(path)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def _flush(path: Path) -> None:
    with path.open("r+b") as file:  # Windows flushes only what is open for writing
        os.fsync(file.fileno())
