"""Folders of files, whatever these hold: finding them, the splits train and test, classes by folder, file name or table."""

import csv
import io
import os
from collections.abc import Collection, Sequence
from pathlib import Path

from multigen.console import counted, say_once
from multigen.data.locate import NotFound, locate, may_not_be_read
from multigen.errors import ConfigError, DataError
from multigen.storage.reading import open_regular
from multigen.storage.run_folder import is_run

__all__ = ["NoTestSplit", "file_classes", "files_in", "split_folder"]


TABLE = 1 << 28  # bytes of a table of labels, at most


class NoTestSplit(DataError):
    """The data can be read, but bring no test items of their own."""


def files_in(folder: Path) -> list[Path]:
    """All files in a folder and the folders in it, sorted, but hidden ones, those in hidden folders, and those of runs: their
    previews and samples are no data.

    Links are followed, but no folder is entered twice, whatever leads to it, nor one that the link itself is in. Links that are
    not followed are named.

    Raises DataError if the folder, or one in it, may not be read.
    """
    found, waiting, entered, broken = [], [folder], set[str](), []
    try:
        while waiting:
            top = waiting.pop(0)  # links come after the folders themselves, whose files so keep their names
            if top != folder and not _to_follow(top, folder, entered):
                continue
            for place, inside, names in os.walk(top, onerror=_refused):
                if (real := os.path.realpath(place)) in entered:  # a link led to it before
                    inside.clear()
                    continue
                entered.add(real)
                seen = [Path(place, name) for name in sorted(inside) if not name.startswith(".")]
                inside[:] = [path.name for path in seen if not path.is_symlink() and not _is_run(path)]
                waiting += [path for path in seen if path.is_symlink()]
                files = [Path(place, name) for name in names if not name.startswith(".")]
                found += [path for path in files if path.is_file()]
                broken += [path for path in files if not path.exists()]
    except PermissionError as error:  # the names in the folder may be read, but not what they are
        _refused(error)
    if broken:
        say_once(
            f"{folder}: {counted(len(broken), 'links')} to files that are not there, such as {min(broken)}: left out"
        )
    return sorted(found)


def _to_follow(link: Path, folder: Path, entered: Collection[str]) -> bool:
    """Whether a link to a folder leads to files that are not in the data yet; if not, or to a run, that is said."""
    target = os.path.realpath(link)
    if any(Path(os.path.realpath(below)).is_relative_to(target) for below in (folder, link.parent)):
        say_once(f"{link}: a link to {target}, which it is in: left out of the data")
    elif target in entered:
        say_once(f"{link}: a link to {target}, which is in the data already: left out")
    else:
        return not _is_run(link)
    return False


def _is_run(folder: Path) -> bool:
    """Whether a folder in the data is a run, which is left out with a line."""
    if found := is_run(folder):
        say_once(f"{folder} is a run: left out of the data")
    return found


def _refused(error: OSError) -> None:
    raise may_not_be_read(error.filename) from error


def split_folder(root: Path, split: str) -> Path:
    """The folder in `root` that holds a split ("train" or "test").

    With folders train and test, or else val, in it, these are its splits; other folders have only "train", themselves.
    Raises NoTestSplit where there is no test split.
    """
    inside = {p.name for p in root.iterdir() if p.is_dir() and not p.name.startswith(".") and not _is_run(p)}
    tests = [part for part in ("test", "val") if part in inside]
    divided = "train" in inside and (tests or inside == {"train"})
    if split == "train":
        return root / "train" if divided else root
    if not divided or not tests:
        raise NoTestSplit(f"{root}: no folders train and test (or val) in it; name a test set: --test FOLDER")
    return root / tests[0]


def file_classes(root: Path, folder: Path, paths: Sequence[Path], labels: str) -> list[str] | None:
    """The name of each file's class; None without classes.

    Args:
        root: the folder of the whole data; a table names files relative to it.
        folder: that of the split (see `split_folder`), in which the first folder names the class.
        paths: files in `folder`.
        labels: "" for the folders, if each file lies in one, "none", "name" (the file name before the last _), "first" (the
            file name before the first _), or a CSV file with the columns `file`, relative to the root, and `label`.

    Raises:
        ConfigError: no such table.
        DataError: the table cannot be read or does not fit the files, or a file's name gives no class.
    """
    if labels == "none":
        return None
    if labels in ("name", "first"):
        find = str.rfind if labels == "name" else str.find
        stems = [path.stem[: max(find(path.stem, "_"), 0)] for path in paths]
        if "" in stems:
            raise DataError(
                f"{paths[stems.index('')]}: expected CLASS_NAME in the file's name; rename it, or --labels none"
            )
        return stems
    if labels:
        table = _read_csv(labels, root)
        listed = [table.get(path.relative_to(root).as_posix()) for path in paths]
        if None in listed:
            raise DataError(f"{paths[listed.index(None)]}: {labels} has no label for this file; add it to the table")
        return [label for label in listed if label is not None]
    parts = [path.relative_to(folder).parts for path in paths]
    return [part[0] for part in parts] if all(len(part) > 1 for part in parts) else None


def _read_csv(labels: str, root: Path) -> dict[str, str]:
    """File, relative to the root -> label."""
    try:
        path = locate(labels, "a CSV file")
    except NotFound as error:
        raise ConfigError(
            f"labels {labels!r}: expected none, name, first, or the path of a CSV file; there is no such file"
        ) from error
    table: dict[str, str] = {}
    try:
        with open_regular(path, TABLE) as opened, io.TextIOWrapper(opened, "utf-8-sig", newline="") as file:
            rows = csv.DictReader(file, strict=True)
            if not {"file", "label"} <= set(rows.fieldnames or ()):
                raise DataError(
                    f"{path}: columns {rows.fieldnames}, expected file and label; name them in the first line"
                )
            for row in rows:
                name = Path(row["file"] or "")
                where = f"{path}, line {rows.line_num}: file {row['file']!r}, label {row['label']!r}"
                if not row["file"] or not row["label"] or name.as_posix() in table:
                    raise DataError(f"{where}; expected each file once with its label; correct this line")
                if name.is_absolute() or ".." in name.parts:
                    raise DataError(f"{where}; expected a path inside {root}, relative to it; correct this line")
                if not (root / name).is_file():
                    raise DataError(f"{where}; there is no such file in {root}; remove this line, or add the file")
                table[name.as_posix()] = row["label"]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: cannot be read as CSV ({error}); save it as UTF-8 text with commas") from error
    return table
