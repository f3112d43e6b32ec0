"""The files of a modality in a folder; those that are not read are named, with what to do about
them."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path

from multigen.catalogue import Modality
from multigen.catalogue.formats import Format
from multigen.console import counted, say_once
from multigen.data.folders import files_in
from multigen.errors import DataError
from multigen.storage.run_folder import SYSTEM

__all__ = ["check_readable", "find_files", "known", "report_unread", "unread"]

NAMED = 5  # suffixes of other files
SYSTEMS = {name.lower() for name in SYSTEM}


def find_files(folder: str | Path, modality: Modality, noun: str = "") -> list[Path]:
    """Files of a modality that are read on this machine, in a folder and the folders in it, sorted
    (see `files_in`).

    Raises DataError if there is no such folder, one that may not be read, or no such file in it,
    which are called `noun` then and not as the modality's items: it names the files of formats that
    are known but not read, and what to do about them.
    """
    folder, noun = Path(folder), noun or modality.items
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder; expected a folder of {noun}, check the path")
    files = files_in(folder)
    readable = [path for path in files if path.suffix.lower() in modality.readable]
    if not readable:
        lines = [f"no {noun} in this folder", *known(files, modality)]
        raise DataError(f"{folder}: {'; '.join(lines)}; expected files ending in {' '.join(modality.readable)}")
    return readable


def unread(files: Iterable[Path], modality: Modality) -> list[str]:
    """The files that a modality does not read: a line per known format, and one for all other
    files."""
    files = list(files)
    foreign = [path for path in files if not modality.unread(path.suffix.lower()) and not _reads(modality, path)]
    return [*known(files, modality), *other(foreign)]


def known(files: Iterable[Path], modality: Modality) -> list[str]:
    """A line for each known format among the files that is not read on this machine."""
    formats: dict[Format, list[Path]] = defaultdict(list)
    for path in files:
        if entry := modality.unread(path.suffix.lower()):
            formats[entry].append(path)
    return [
        f"{counted(len(paths), entry.name)} left out, such as {paths[0].name}; to use such a file, {entry.remedy}"
        for entry, paths in formats.items()
    ]


def _reads(modality: Modality, path: Path) -> bool:
    named = bool(modality.names) and modality.names in path.name
    return named or path.suffix.lower() in (*modality.readable, *modality.archives)


def other(files: Iterable[Path]) -> list[str]:
    """A line for files of other kinds, except those that operating systems create by themselves;
    empty where there are none."""
    counts = Counter(path.suffix.lower() or "without suffix" for path in files if path.name.lower() not in SYSTEMS)
    suffixes = ", ".join(suffix for suffix, _ in counts.most_common(NAMED)) + (
        " and more" if len(counts) > NAMED else ""
    )
    return [f"{counted(counts.total(), 'other files')} ignored: {suffixes}"] if counts else []


def report_unread(folder: Path, modality: Modality, labels: str = "") -> None:
    """Reports which files of a folder are not read, once per command. `labels`: a table among them,
    which is read."""
    files = [path for path in files_in(folder) if not labels or path.name != Path(labels).name]
    for line in unread(files, modality):
        say_once(f"{folder}: {line}")


def check_readable(path: Path, modality: Modality) -> None:
    """Raises DataError for one file of a format that is known, but not read on this machine,
    whatever is in it."""
    if entry := modality.unread(path.suffix.lower()):
        raise DataError(f"{path} is {entry.one}, which cannot be read; {entry.remedy}")
