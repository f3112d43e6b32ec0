"""Files that are there whole or not at all, and what tells whole ones from damaged ones."""

import contextlib
import errno
import hashlib
import itertools
import json
import math
import os
import re
import shutil
import warnings
import zipfile
import zlib
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from multigen.errors import ConfigError, DataError
from multigen.storage.reading import check_expansion, open_regular, read_bounded

if TYPE_CHECKING:
    import numpy as np

__all__ = [
    "MARK",
    "aside",
    "ends",
    "expanded",
    "fingerprint",
    "flush_folder",
    "from_json",
    "log_records",
    "read_json",
    "read_log",
    "read_npz",
    "remedy",
    "remove_leftovers",
    "standing",
    "to_json",
    "verify_checksum",
    "with_checksum",
    "write_flushed",
    "write_json",
    "write_whole",
    "writing",
    "writing_whole",
]


MARK = ".multigen"
"""Name of a file in the temporary folders of `writing_whole`, which marks them: everything in them may be removed."""
LOG, LINE = 1 << 30, 1 << 16
"""Bytes of a log, and of one of its lines, at most."""
NOT_FINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


def to_json(value: Any, indent: int | None = None) -> str:
    """A value as JSON in printable ASCII. Numbers that are not finite, which JSON lacks, become the strings NaN, Infinity and
    -Infinity."""
    return json.dumps(_named(value), indent=indent, allow_nan=False).replace("\x7f", "\\u007f")


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
    """What `to_json` made JSON of; numbers that are not finite come back in tables. Raises ValueError."""

    def numbers(table: dict[str, Any]) -> dict[str, Any]:
        return {key: NOT_FINITE.get(value, value) if isinstance(value, str) else value for key, value in table.items()}

    try:
        return json.loads(text, object_hook=numbers)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def read_json(path: Path, most: int, inside: Path | None = None) -> Any:
    """`from_json` of a regular file of at most `most` bytes, which is in the folder `inside`, if given. Raises OSError or
    ValueError."""
    return from_json(read_bounded(path, most, inside))


REMEDIES = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT, errno.EFBIG), "make room there"),
    **dict.fromkeys((errno.EACCES, errno.EPERM, errno.EROFS), "make it writable"),
    **dict.fromkeys((errno.ENOENT, errno.ENOTDIR, errno.ESTALE), "its folder is gone: bring it back"),
}


END = 1 << 16  # bytes at each end of a file that its fingerprint covers


def ends(path: Path) -> tuple[int, int]:
    """Size of a file, bytes, and the CRC-32 of its first and last `END` bytes. Raises DataError."""
    try:
        with open_regular(path) as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(0)
            crc = zlib.crc32(file.read(END))
            file.seek(max(0, size - END))
            return size, zlib.crc32(file.read(END), crc)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error}); check the file") from error


def fingerprint(path: Path) -> str:
    """Hash of a file, or of the files in a folder with their names: of their sizes and `ends`, so
    that large ones take no time. Raises DataError."""
    files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
    parts = [(p.relative_to(path).as_posix(), *ends(p)) for p in files]
    return hashlib.blake2b(repr(parts).encode(), digest_size=8).hexdigest()


def remedy(error: OSError) -> str:
    """What to do about an error of writing, for its message."""
    return REMEDIES.get(error.errno or 0, "check the disk")


def write_whole(path: Path, text: str, by: Path | None = None) -> None:
    """Writes under a temporary name and renames: a reader finds the old file or the new one, also after a power cut.

    Args:
        by: folder of the temporary file, which a killed process leaves there, on the same disk; by default that of the file.
    """
    temporary = (by or path.parent) / f".{path.name}.{os.getpid()}"
    try:
        write_flushed(temporary, text.encode())
        temporary.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    flush_folder(path.parent)


LEFTOVER = re.compile(r"\.(.+?)\.\d+(\.\w+)?")


def remove_leftovers(folder: Path, names: re.Pattern[str]) -> None:
    """Removes temporary files that killed processes left in `folder` while they wrote files of these names."""
    for path in folder.glob(".*"):
        if (form := LEFTOVER.fullmatch(path.name)) and names.fullmatch(form[1]) and path.is_file():
            with contextlib.suppress(OSError):
                path.unlink()


@contextlib.contextmanager
def writing_whole(folder: Path, ours: Collection[str] = ()) -> Iterator[Path]:
    """An empty folder that takes the place of `folder` when the block ends; if the block fails, it is removed.

    For the moment between two renamings, the old folder has another name: see `standing`.

    Args:
        ours: names of the files in `folder` that this package wrote, and may replace or remove. All others belong to the user
            and are kept. Raises FileExistsError where one has the name of a new file, or `folder` is a link.
    """
    old, new = aside(folder), folder.with_name(f".{folder.name}.new")
    before = folder if folder.exists() else old if _marked(old) else None
    _remove_marked(new)
    with contextlib.suppress(OSError):  # of a process killed before it had left its mark
        new.rmdir()
    new = _unused(new)
    new.mkdir(parents=True)
    try:
        (new / MARK).touch()
        yield new
        if before:
            _keep_others(before, new, (*ours, MARK))
        if folder.exists():
            _remove_marked(old)
            old = _unused(old)
            (folder / MARK).touch()
            folder.rename(old)
        new.rename(folder)
        (folder / MARK).unlink()
        flush_folder(folder.parent)
    except BaseException:
        shutil.rmtree(new, ignore_errors=True)
        raise
    _remove_marked(old)


def _marked(folder: Path) -> bool:
    """Whether a folder is a temporary one of ours, which may be removed."""
    return (folder / MARK).exists() and not folder.is_symlink()


def _remove_marked(folder: Path) -> None:
    if _marked(folder):
        shutil.rmtree(folder, ignore_errors=True)


def _unused(path: Path) -> Path:
    """`path`; PATH-2 and so on where something has that name."""
    names = (path if i == 1 else path.with_name(f"{path.name}-{i}") for i in itertools.count(1))
    return next(name for name in names if not os.path.lexists(name))


def _keep_others(folder: Path, new: Path, ours: Collection[str]) -> None:
    """Links what is in `folder`, without the files `ours`, into `new`. Raises FileExistsError where a name is taken."""
    others = [path for path in folder.iterdir() if path.name not in ours]
    taken = sorted(path.name for path in others if os.path.lexists(new / path.name))
    if taken or folder.is_symlink():
        named = f"{', '.join(taken)} in it" if taken else "it is a link, which"
        raise FileExistsError(errno.EEXIST, f"{named} was not written by multigen; move it elsewhere")
    for path in others:
        if path.is_dir() and not path.is_symlink():
            shutil.copytree(path, new / path.name, symlinks=True, copy_function=_link)
        else:
            _link(path, new / path.name)


def _link(path: str | Path, target: str | Path) -> None:
    """A hard link to a file; a copy where the disk has no links."""
    try:
        os.link(path, target, follow_symlinks=False)
    except (OSError, NotImplementedError):  # Windows cannot tell a link from its target here
        shutil.copy2(path, target, follow_symlinks=False)


def aside(folder: Path) -> Path:
    """Where a folder stands while a new one takes its place."""
    return folder.with_name(f".{folder.name}.old")


def standing(folder: Path) -> Path:
    """`folder`; or where it was put aside, if the process that was about to replace it got no further."""
    return aside(folder) if aside(folder).exists() and not folder.exists() else folder


@contextlib.contextmanager
def writing(out: Path, other: str = "another file for --out") -> Iterator[None]:
    """For writing what the user asked for to `out`: an OSError within it becomes a DataError that suggests `other`."""
    try:
        yield
    except OSError as error:
        raise DataError(f"{out} cannot be written ({error.strerror or error}); give {other}") from error


def expanded(path: str | Path) -> Path:
    """A path whose ~ is the home folder, which a shell replaces in `--out ~/run` but not in `--out=~/run`.

    Raises ConfigError for what cannot be the path of a file, since it is too long or holds a zero.
    """
    found = os.path.expanduser(path)
    try:
        os.lstat(found)
    except ValueError as error:
        raise ConfigError(f"{str(found)!r}: no path of a file ({error}); give another") from error
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            raise ConfigError(f"{found}: no path of a file ({error.strerror}); give a shorter one") from error
    return Path(found)


def write_flushed(path: Path, data: bytes) -> None:
    """Writes, and waits until it is on the disk."""
    with open(path, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def flush_folder(folder: Path) -> None:
    """Waits until the names in a folder, after a renaming, are on the disk. Windows and some file systems cannot do that."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def with_checksum(record: Mapping[str, Any]) -> bytes:
    """JSON of a record, with its checksum."""
    return _json({**record, "checksum": zlib.crc32(_json(record))})


def verify_checksum(data: bytes) -> dict[str, Any]:
    """The record that `with_checksum` made JSON of. Raises ValueError where the data are not as it left them."""
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
    """The lines of a metrics.jsonl, none without a file, and the number of damaged ones, which are left out."""
    records = list(log_records(path))
    kept = [record for record in records if record is not None]
    return kept, len(records) - len(kept)


def log_records(path: Path, inside: Path | None = None) -> Iterator[dict[str, Any] | None]:
    """The lines of a log one after another, None for a damaged one; nothing without a file. Raises OSError."""
    if not path.exists():
        return
    with open_regular(path, LOG, inside) as file:
        while line := file.readline(LINE):
            if not line.endswith(b"\n"):
                while line and not line.endswith(b"\n"):  # the rest of a line that is too long
                    line = file.readline(LINE)
                if line:  # what follows the last line break, a killed process was writing
                    yield None
            elif line != b"\n":
                yield _record(line)


def _record(line: bytes) -> dict[str, Any] | None:
    try:
        record = from_json(line)
    except ValueError:
        return None
    return record if isinstance(record, dict) and type(record.get("step")) is int else None


def read_npz(path: str | Path) -> "dict[str, np.ndarray]":
    """Arrays of an .npz file by name, never unpickled. Their sizes are compared with that of the file before memory is allocated.

    For a damaged file numpy, zipfile and zlib raise many kinds of errors, so catch Exception.
    """
    with warnings.catch_warnings(), open_regular(path) as opened, zipfile.ZipFile(opened) as file:
        warnings.simplefilter("ignore")  # of headers that look old
        entries = {entry.filename.removesuffix(".npy"): entry for entry in file.infolist()}
        check_expansion(sum(entry.file_size for entry in file.infolist()), os.fstat(opened.fileno()).st_size)
        return {name: _array(file, entry, name) for name, entry in entries.items()}


def _array(file: zipfile.ZipFile, entry: zipfile.ZipInfo, name: str) -> "np.ndarray":
    from numpy.lib import format as npy

    with file.open(entry) as content:
        try:
            version = npy.read_magic(content)
        except ValueError as error:
            raise ValueError(f"{name} holds no array") from error
        # Version 3.0 differs from 2.0 in the encoding of names alone.
        read_header = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, _, kind = read_header(content)
        if (size := math.prod(shape) * kind.itemsize) != (
            held := entry.file_size - content.tell()
        ) and not kind.hasobject:
            raise ValueError(f"{name}: {size:,} bytes for {kind} {shape}, but it holds {held:,}")
    with file.open(entry) as content:
        return npy.read_array(content, allow_pickle=False)


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Writes whole or not at all; `multigen.storage.files.from_json` reads it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, to_json(content, indent=1) + "\n")
