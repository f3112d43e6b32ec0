"""Files that are there whole or not at all, and what tells whole ones from damaged ones."""

import contextlib
import errno
import json
import math
import os
import re
import shutil
import warnings
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from multigen.errors import DataError

if TYPE_CHECKING:
    import numpy as np

__all__ = [
    "aside",
    "flush_folder",
    "from_json",
    "read_log",
    "read_npz",
    "remedy",
    "remove_leftovers",
    "sealed",
    "standing",
    "to_json",
    "unsealed",
    "write_flushed",
    "write_json",
    "write_whole",
    "writing",
    "writing_whole",
]


NOT_FINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


def to_json(value: Any, indent: int | None = None) -> str:
    """JSON of a value. Numbers that are not finite, of which JSON has none, become the strings NaN, Infinity and -Infinity."""
    return json.dumps(_named(value), indent=indent, allow_nan=False)


def _named(value: Any) -> Any:
    match value:
        case float() if not math.isfinite(value):
            return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
        case Mapping():
            return {key: _named(each) for key, each in value.items()}
        case list() | tuple():
            return [_named(each) for each in value]
    return value


def from_json(text: str | bytes) -> Any:
    """What `to_json` made JSON of; numbers that are not finite come back in tables. Raises ValueError or RecursionError."""

    def numbers(table: dict[str, Any]) -> dict[str, Any]:
        return {key: NOT_FINITE.get(value, value) if isinstance(value, str) else value for key, value in table.items()}

    return json.loads(text, object_hook=numbers)


REMEDIES = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT, errno.EFBIG), "make room there"),
    **dict.fromkeys((errno.EACCES, errno.EPERM, errno.EROFS), "make it writable"),
    **dict.fromkeys((errno.ENOENT, errno.ENOTDIR, errno.ESTALE), "its folder is gone: bring it back"),
}


def remedy(error: OSError) -> str:
    """What to do where something cannot be written."""
    return REMEDIES.get(error.errno or 0, "check the disk")


def write_whole(path: Path, text: str, by: Path | None = None) -> None:
    """Writes under a temporary name and renames: whoever reads finds the old file or the new one, also after a power cut.

    The temporary file, which remains of a killed process, is in the folder `by`, on the same disk; by default beside the file.
    """
    temporary = (by or path.parent) / f".{path.name}.{os.getpid()}"
    try:
        write_flushed(temporary, text.encode())
        temporary.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    with contextlib.suppress(OSError):  # the file is there; some file systems cannot flush a folder
        flush_folder(path.parent)


LEFTOVER = re.compile(r"\.(.+)\.\d+")


def remove_leftovers(folder: Path, names: re.Pattern[str]) -> None:
    """Removes what killed processes left of files of these names that they were writing."""
    for path in folder.glob(".*"):
        if (form := LEFTOVER.fullmatch(path.name)) and names.fullmatch(form[1]) and path.is_file():
            with contextlib.suppress(OSError):
                path.unlink()


@contextlib.contextmanager
def writing_whole(folder: Path) -> Iterator[Path]:
    """An empty folder that takes the place of `folder` as the block ends; of one that fails nothing remains.

    What `folder` was stands under another name for the instant between two renamings: see `standing`.
    """
    new, old = folder.with_name(f".{folder.name}.new"), aside(folder)
    shutil.rmtree(new, ignore_errors=True)  # of a killed process
    try:
        new.mkdir(parents=True)
        yield new
        if folder.exists():
            shutil.rmtree(old, ignore_errors=True)
            folder.rename(old)
        new.rename(folder)
        flush_folder(folder.parent)
    except BaseException:
        shutil.rmtree(new, ignore_errors=True)
        raise
    shutil.rmtree(old, ignore_errors=True)


def aside(folder: Path) -> Path:
    """Where a folder stands while a new one takes its place."""
    return folder.with_name(f".{folder.name}.old")


def standing(folder: Path) -> Path:
    """`folder`; or where it was put aside, if the process that was about to replace it got no further."""
    return aside(folder) if aside(folder).exists() and not folder.exists() else folder


@contextlib.contextmanager
def writing(out: Path, other: str = "another file for --out") -> Iterator[None]:
    """Within it a command writes what the user asked for to `out`: an OSError becomes a DataError that says to give `other`."""
    try:
        yield
    except OSError as error:
        raise DataError(f"{out} cannot be written ({error.strerror or error}); give {other}") from error


def write_flushed(path: Path, data: bytes) -> None:
    """Writes, and waits until it is on the disk."""
    with open(path, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def flush_folder(folder: Path) -> None:
    """Waits until the names in a folder, after a renaming, are on the disk."""
    handle = os.open(folder, os.O_RDONLY)
    os.fsync(handle)
    os.close(handle)


def sealed(record: Mapping[str, Any]) -> bytes:
    """JSON of a record, with its checksum."""
    return _json({**record, "checksum": zlib.crc32(_json(record))})


def unsealed(data: bytes) -> dict[str, Any]:
    """The record that `sealed` made JSON of. Raises ValueError where the data are not as it left them."""
    try:
        record = json.loads(data)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    if not isinstance(record, dict) or record.pop("checksum", None) != zlib.crc32(_json(record)):
        raise ValueError("not as written: its checksum is another")
    return record


def _json(record: Mapping[str, Any]) -> bytes:
    return json.dumps(record, indent=1).encode()


def read_log(path: Path) -> tuple[list[dict[str, Any]], int]:
    """Lines of a metrics.jsonl, none without a file; and the number of those left out, which a power cut or a bad disk spoilt."""
    lines = path.read_bytes().split(b"\n") if path.exists() else []
    kept = []
    for line in filter(None, lines[:-1]):  # behind the last line break is what a killed process was writing
        try:
            record = from_json(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(record, dict) and type(record.get("step")) is int:
            kept.append(record)
    return kept, sum(map(bool, lines[:-1])) - len(kept)


def read_npz(path: str | Path) -> "dict[str, np.ndarray]":
    """Arrays of an .npz file by name, never unpickled.

    Of a damaged file it raises as many kinds of errors as numpy, zipfile and zlib have, so catch Exception.
    """
    import numpy as np

    with warnings.catch_warnings(), open(path, "rb") as opened, np.load(opened, allow_pickle=False) as file:
        warnings.simplefilter("ignore")  # of headers that look old
        arrays = {name: file[name] for name in file.files}
    if strange := [name for name, array in arrays.items() if not isinstance(array, np.ndarray)]:
        raise ValueError(f"{', '.join(strange)} hold no array")
    return arrays


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Writes whole or not at all; `multigen.storage.files.from_json` reads it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, to_json(content, indent=1) + "\n")
