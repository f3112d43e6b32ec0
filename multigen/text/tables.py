"""Texts in tables: a column of a CSV, TSV or JSON Lines file, each row a text."""

import csv
import io
import json
from collections.abc import Iterator, Sequence
from typing import Any

from multigen.catalogue import MODALITIES
from multigen.errors import DataError, one_line
from multigen.text import conversations

__all__ = ["TABLES", "rows_of"]

TABLES = MODALITIES["text"].tables
"""Suffixes of their files."""
SEPARATORS = {".tsv": "\t", ".tab": "\t", ".csv": ",;\t"}
"""Of a .csv the one that most of the first line's columns are separated by; spreadsheets of many
countries take ; or a tab."""
LONGEST = 10_000_000  # characters of a field
MESSAGES = "messages"  # column of JSON Lines with conversations


def rows_of(where: str, suffix: str, content: str, column: str = "", label: str = "") -> Iterator[tuple[str, str, str]]:
    """(place, text, label) of each row of a table that has a text.

    Args:
        where: the file, for errors.
        suffix: of `TABLES`, in lower case.
        column: of the texts. Empty: `text`, or else of JSON `messages`, whose rows are
            conversations, or else the only one (of JSON: of strings).
        label: a column of labels; empty: none, and the label is "".

    Raises DataError for a table that cannot be read, has no such column, or holds in it what is no
    text.
    """
    json_lines = suffix in (".jsonl", ".ndjson")
    rows = _objects(where, content) if json_lines else _cells(where, suffix, content)
    strings, names = _names(where, content) if json_lines else 2 * ([*next(rows, ("", {}))[1]],)
    usual = "text" if "text" in strings or len(strings) != 1 else strings[0]
    if json_lines and MESSAGES in names and "text" not in strings:
        usual = MESSAGES
    known = names if json_lines and (column or usual) == MESSAGES else strings
    texts = _find(where, known, column or usual, column, "column")
    labels = _find(where, names, label, label, "label-column") if label else ""
    if texts == MESSAGES:
        for number, row in rows:
            if row.get(MESSAGES) is not None:
                place, kind = f"{where}, {number}", row.get(labels)
                yield place, conversations.read(place, row[MESSAGES]), _label(place, kind)
        return
    for number, row in rows:
        text, kind = row.get(texts), row.get(labels)
        if text is not None and not isinstance(text, str):
            raise DataError(
                f"{where}, {number}: {texts} is {text!r:.40}, expected a string; name another column: --column NAME"
            )
        if text and text.strip():
            place = f"{where}, {number}"
            yield place, _whole(place, text), _label(place, kind)


def _label(where: str, value: Any) -> str:
    return "" if value is None else _whole(where, str(value).strip())


def _whole(where: str, text: str) -> str:
    """A text as it is. Raises DataError for half of a character, which JSON can spell (a surrogate
    without its other)."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise DataError(f"{where}: {text[error.start]!r} is half of a character; correct this row") from error
    return text


def _find(where: str, names: Sequence[str], name: str, requested: str, flag: str) -> str:
    if name not in names:
        fault = f"no column {requested!r}" if requested else "several columns, none of them called text"
        listing = ", ".join(map(repr, names[:30])) or "none"
        raise DataError(f"{where}: {fault}; expected one of those there: {listing}; say which: --{flag} NAME")
    return name


def _cells(where: str, suffix: str, content: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """(line number, column -> cell) of each row; the first is that of the names."""
    first = content.partition("\n")[0]
    how: dict[str, Any] = {
        "delimiter": max(SEPARATORS[suffix], key=lambda sign: len(next(csv.reader([first], delimiter=sign), [])))
    }
    before = csv.field_size_limit(LONGEST)
    try:
        if suffix != ".csv" and not _is_quoted(content, how):
            how["quoting"] = csv.QUOTE_NONE  # many have quotes that are signs as others
        reader = csv.reader(io.StringIO(content, newline=""), strict=True, **how)
        names = next(reader, [])
        yield "line 1", dict.fromkeys(names)
        for cells in reader:
            yield f"line {reader.line_num}", dict(zip(names, cells, strict=False))
    except csv.Error as error:
        raise DataError(
            f"{where}, line {reader.line_num}: cannot be read as a table ({error}); correct this line, or save it again"
        ) from error
    finally:
        csv.field_size_limit(before)


def _is_quoted(content: str, how: dict[str, Any]) -> bool:
    """Whether the quotes in a table enclose its cells."""
    try:
        return all(row is not None for row in csv.reader(io.StringIO(content, newline=""), strict=True, **how))
    except csv.Error:
        return False


def _names(where: str, content: str) -> tuple[list[str], list[str]]:
    """Columns of JSON Lines: those that hold strings, and all."""
    names: dict[str, bool] = {}
    for _, row in _objects(where, content):
        for name, value in row.items():
            names[name] = names.get(name, False) or isinstance(value, str)
    return [name for name, strings in names.items() if strings], [*names]


def _objects(where: str, content: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for number, line in enumerate(io.StringIO(content), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise DataError(
                f"{where}, line {number}: no JSON ({one_line(error)}); expected a table on each line; correct this line"
            ) from error
        if not isinstance(row, dict):
            raise DataError(f'{where}, line {number}: expected a table such as {{"text": "..."}}; correct this line')
        yield f"line {number}", row
