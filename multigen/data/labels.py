"""Classes of files: by folder, by file name, or by a table."""

import csv
import io
from collections.abc import Collection, Sequence
from pathlib import Path

from multigen.data.locate import NotFound, locate
from multigen.data.parts import Parts
from multigen.errors import ConfigError, DataError
from multigen.storage.reading import open_regular

__all__ = ["differing_classes", "file_classes", "some"]

TABLE = 1 << 28  # bytes of a table of labels, at most
NAMED = 5  # classes that are named


def file_classes(parts: Parts, paths: Sequence[Path], labels: str) -> list[str] | None:
    """The name of each file's class; None without classes.

    Args:
        parts: the whole data; a table names files relative to their root.
        paths: some of their files.
        labels: "" for the first folder below the data, or below a split, if each file lies in one,
            "none", "name" (the file name before the last _), "first" (the file name before the
            first _), or a CSV file with the columns `file`, relative to the root, and `label`.

    Raises:
        ConfigError: no such table.
        DataError: the table cannot be read or does not fit the files, or a file's name gives no
            class.
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
        table = _read_csv(labels, parts.root)
        listed = [table.get(path.relative_to(parts.root).as_posix()) for path in paths]
        if None in listed:
            raise DataError(f"{paths[listed.index(None)]}: {labels} has no label for this file; add it to the table")
        return [label for label in listed if label is not None]
    below = [parts.below(path) for path in paths]
    return [names[0] for names in below] if all(len(names) > 1 for names in below) else None


def differing_classes(trained: Collection[str], others: Collection[str]) -> str:
    """In which classes another split differs from that for training; "" where it has the same."""
    more, fewer = sorted({*others} - {*trained}), sorted({*trained} - {*others})
    lines = [f"classes that training lacks, so its labels are not used: {some(more)}"] if more else []
    lines += [f"no item of the classes {some(fewer)}"] if fewer else []
    return "; ".join(lines)


def some(names: Sequence[str]) -> str:
    """The first of these names, and how many more there are."""
    return ", ".join(names[:NAMED]) + (f" and {len(names) - NAMED} more" if len(names) > NAMED else "")


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
