"""Atomic file writes, JSON, logs, and checksums."""

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
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from multigen.errors import ConfigError, DataError
from multigen.storage.reading import check_expansion, open_regular, read_bounded

if TYPE_CHECKING:
    import numpy as np

__all__ = [
    "MARK",
    "backup_path",
    "ends",
    "existing_or_backup",
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
"""Name of a file in the temporary folders of `writing_whole`, which marks them: everything in them
may be removed."""
LOG, LINE = 1 << 30, 1 << 16
"""Maximum bytes of a log, and of one of its lines."""
NOT_FINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


def to_json(value: Any, indent: int | None = None) -> str:
    """A value as JSON in printable ASCII. Numbers that are not finite, which JSON lacks, become the
    strings NaN, Infinity and -Infinity."""
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
    """The inverse of `to_json`; non-finite numbers are restored in tables. Raises ValueError."""

    def numbers(table: dict[str, Any]) -> dict[str, Any]:
        return {key: NOT_FINITE.get(value, value) if isinstance(value, str) else value for key, value in table.items()}

    try:
        return json.loads(text, object_hook=numbers)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def read_json(path: Path, most: int, inside: Path | None = None) -> Any:
    """`from_json` of a regular file of at most `most` bytes, inside the folder `inside` if given.
    Raises OSError or ValueError."""
    return from_json(read_bounded(path, most, inside))


REMEDIES = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT, errno.EFBIG), "free space there"),
    **dict.fromkeys((errno.EACCES, errno.EPERM, errno.EROFS), "make it writable"),
    **dict.fromkeys((errno.ENOENT, errno.ENOTDIR, errno.ESTALE), "its folder is gone: restore it"),
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


def sha256_of(path: Path, most: int | None = None) -> str:
    """SHA-256 of all of a regular file, in hexadecimal, of at most `most` bytes if given. Raises
    OSError."""
    with open_regular(path, most) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fingerprint(path: Path) -> str:
    """Hash of a file, or of the files in a folder with their names: of their sizes and `ends`, so
    that large ones take no time. Raises DataError."""
    files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
    parts = [(p.relative_to(path).as_posix(), *ends(p)) for p in files]
    return hashlib.blake2b(repr(parts).encode(), digest_size=8).hexdigest()


def remedy(error: OSError) -> str:
    """The remedy for a write error, for its message."""
    return REMEDIES.get(error.errno or 0, "check the disk")


def write_whole(path: Path, text: str, by: Path | None = None) -> None:
    """Writes atomically, under a temporary name, then renames: a reader finds the old file or the
    new one, even after a power failure.

    Args:
        by: folder of the temporary file, on the same disk; a killed process may leave the file
            there. Default: the target's folder.
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
    """Removes temporary files in `folder` that killed processes left while writing files of these
    names."""
    for path in folder.glob(".*"):
        if (form := LEFTOVER.fullmatch(path.name)) and names.fullmatch(form[1]) and path.is_file():
            with contextlib.suppress(OSError):
                path.unlink()


@contextlib.contextmanager
def writing_whole(folder: Path, ours: Collection[str] = ()) -> Iterator[Path]:
    """Writes a folder atomically: yields an empty folder that replaces `folder` when the block
    ends; if the block fails, it is removed.

    Between the two renamings, the old folder has its backup name: see `existing_or_backup`.

    Args:
        ours: names of the files in `folder` that this package wrote, and may replace or remove. All
            others are the user's and are preserved. Raises FileExistsError where one has the name
            of a new file, or `folder` is a link.
    """
    old, new = backup_path(folder), folder.with_name(f".{folder.name}.new")
    before = folder if folder.exists() else old if _marked(old) else None
    _remove_marked(new)
    with contextlib.suppress(OSError):  # of a process killed before it made the mark
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
    """Whether a folder is one of our temporary folders, which may be removed."""
    return (folder / MARK).exists() and not folder.is_symlink()


def _remove_marked(folder: Path) -> None:
    if _marked(folder):
        shutil.rmtree(folder, ignore_errors=True)


def _unused(path: Path) -> Path:
    """`path`, or PATH-2 and so on where that name exists."""
    names = (path if i == 1 else path.with_name(f"{path.name}-{i}") for i in itertools.count(1))
    return next(name for name in names if not os.path.lexists(name))


def _keep_others(folder: Path, new: Path, ours: Collection[str]) -> None:
    """Links the content of `folder`, except the files `ours`, into `new`. Raises FileExistsError
    where a name exists there."""
    others = [path for path in folder.iterdir() if path.name not in ours]
    conflicts = sorted(path.name for path in others if os.path.lexists(new / path.name))
    if conflicts or folder.is_symlink():
        what = f"{', '.join(conflicts)} in it" if conflicts else "it is a link, which"
        raise FileExistsError(errno.EEXIST, f"{what} was not written by multigen; move it elsewhere")
    for path in others:
        if path.is_dir() and not path.is_symlink():
            shutil.copytree(path, new / path.name, symlinks=True, copy_function=_link)
        else:
            _link(path, new / path.name)


def _link(path: str | Path, target: str | Path) -> None:
    """Makes a hard link to a file, or a copy where the file system has no links."""
    try:
        os.link(path, target, follow_symlinks=False)
    except (OSError, NotImplementedError):  # Windows cannot tell a link from its target here
        shutil.copy2(path, target, follow_symlinks=False)


def backup_path(folder: Path) -> Path:
    """Name of a folder while a new one replaces it."""
    return folder.with_name(f".{folder.name}.old")


def existing_or_backup(folder: Path) -> Path:
    """`folder`, or its backup if the process that was replacing it was killed in between."""
    return backup_path(folder) if backup_path(folder).exists() and not folder.exists() else folder


@contextlib.contextmanager
def writing(out: Path, other: str = "another file for --out") -> Iterator[None]:
    """Around writing a result to `out`: turns an OSError into a DataError that suggests `other`."""
    try:
        yield
    except OSError as error:
        raise DataError(f"{out} cannot be written ({error.strerror or error}); give {other}") from error


def expanded(path: str | Path) -> Path:
    """The path with ~ expanded to the home folder: a shell does so in `--out ~/run` but not in
    `--out=~/run`.

    Raises ConfigError for an impossible path: too long, or with a null byte.
    """
    full = os.path.expanduser(path)
    try:
        os.lstat(full)
    except ValueError as error:
        raise ConfigError(f"{str(full)!r}: not a valid path ({error}); choose another") from error
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            raise ConfigError(f"{full}: not a valid path ({error.strerror}); choose a shorter one") from error
    return Path(full)


def write_flushed(path: Path, data: bytes | Iterable[bytes | memoryview]) -> None:
    """Writes data, or their parts one after the other, and waits until they are on disk."""
    with open(path, "wb") as file:
        file.writelines([data] if isinstance(data, bytes) else data)
        file.flush()
        os.fsync(file.fileno())


def flush_folder(folder: Path) -> None:
    """Waits until renamings in a folder are on disk. Windows and some file systems cannot do
    that."""
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
    """The record in JSON from `with_checksum`. Raises ValueError where its checksum does not
    match."""
    try:
        record = json.loads(data)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    if not isinstance(record, dict) or record.pop("checksum", None) != zlib.crc32(_json(record)):
        raise ValueError("its checksum does not match")
    return record


def _json(record: Mapping[str, Any]) -> bytes:
    return json.dumps(record, indent=1).encode()


def read_log(path: Path) -> tuple[list[dict[str, Any]], int]:
    """The intact lines of a metrics.jsonl, [] without a file, and the number of damaged ones."""
    records = list(log_records(path))
    intact = [record for record in records if record is not None]
    return intact, len(records) - len(intact)


def log_records(path: Path, inside: Path | None = None) -> Iterator[dict[str, Any] | None]:
    """Yields the lines of a log, None for a damaged one; nothing without a file. Raises OSError."""
    if not path.exists():
        return
    with open_regular(path, LOG, inside) as file:
        while line := file.readline(LINE):
            if not line.endswith(b"\n"):
                while line and not line.endswith(b"\n"):  # the rest of a line that is too long
                    line = file.readline(LINE)
                if line:  # an incomplete last line was being written by a killed process
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
    """Arrays of an .npz file by name, never unpickled. Their sizes are checked against the file's
    before memory is allocated.

    For a damaged file numpy, zipfile and zlib raise many kinds of errors, so catch Exception.
    """
    with warnings.catch_warnings(), open_regular(path) as opened, zipfile.ZipFile(opened) as file:
        warnings.simplefilter("ignore")  # about old headers
        entries = {entry.filename.removesuffix(".npy"): entry for entry in file.infolist()}
        check_expansion(sum(entry.file_size for entry in file.infolist()), os.fstat(opened.fileno()).st_size)
        return {name: _array(file, entry, name) for name, entry in entries.items()}


def _array(file: zipfile.ZipFile, entry: zipfile.ZipInfo, name: str) -> "np.ndarray":
    from numpy.lib import format as npy

    with file.open(entry) as content:
        try:
            version = npy.read_magic(content)
        except ValueError as error:
            raise ValueError(f"{name} is not an array") from error
        # Version 3.0 differs from 2.0 only in the encoding of names.
        read_header = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, _, kind = read_header(content)
        if (size := math.prod(shape) * kind.itemsize) != (
            present := entry.file_size - content.tell()
        ) and not kind.hasobject:
            raise ValueError(f"{name}: {size:,} bytes for {kind} {shape}, but it holds {present:,}")
    with file.open(entry) as content:
        return npy.read_array(content, allow_pickle=False)


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Writes atomically; `from_json` reads it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, to_json(content, indent=1) + "\n")
