"""Texts in tables: CSV, TSV and JSON Lines."""

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest

from multigen.errors import DataError
from multigen.text.files import open_texts
from multigen.text.inspection import inspect_texts
from tests.data.suggestions import configured, facts

ROWS: list[dict[str, Any]] = [
    {"id": 1, "review": 'He said "hi",\nand left.', "note": "a"},
    {"id": 2, "review": "Ünïcode; tab\there", "note": "b"},
    {"id": 3, "review": " ", "note": "blank"},
    {"id": 4, "review": "x" * 200_000, "note": "large"},
]
READ = [row["review"] for row in ROWS if row["review"].strip()]


def as_csv(rows: list[dict[str, Any]], separator: str = ",") -> str:
    file = io.StringIO()
    table = csv.DictWriter(file, [*rows[0]], delimiter=separator)
    table.writeheader()
    table.writerows(rows)
    return file.getvalue()


FORMS = {
    "a.csv": as_csv(ROWS).encode(),
    "mark.csv": as_csv(ROWS).encode("utf-8-sig"),
    "excel.csv": as_csv(ROWS, ";").encode("utf-8-sig"),
    "wide.tsv": as_csv(ROWS, "\t").encode("utf-16"),
    "a.TSV": as_csv(ROWS, "\t").encode(),
    "a.jsonl": "\n".join(json.dumps(row, ensure_ascii=False) for row in ROWS).encode("utf-8-sig"),
    "a.ndjson": "\n".join(map(json.dumps, ROWS)).encode() + b"\n\n",
}


@pytest.mark.parametrize("name", FORMS)
def test_a_column_of_a_table(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(FORMS[name])
    before = csv.field_size_limit()
    assert open_texts(str(path), column="review") == open_texts(str(tmp_path), column="review") == READ
    assert csv.field_size_limit() == before
    with pytest.raises(DataError, match=r"no column 'reviews'; expected one of those there: .*'review'.*--column NAME"):
        open_texts(str(path), column="reviews")
    with pytest.raises(DataError, match=r"several columns, none of them called text; expected one of .*'review'"):
        open_texts(str(path))


def test_a_column_of_the_usual_name_or_the_only_one(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("id,text\n1,one\n2,two\n3\n")
    (tmp_path / "b.csv").write_text("line\none, as it is\n".replace(", ", " "))
    (tmp_path / "c.jsonl").write_text('{"n": 1, "line": "one"}\n{"n": 2, "line": null}\n{"n": 3}\n')
    assert open_texts(str(tmp_path / "a.csv")) == ["one", "two"]
    assert open_texts(str(tmp_path / "b.csv")) == ["one as it is"]
    assert open_texts(str(tmp_path / "c.jsonl")) == ["one"]


def test_quotes_of_a_tsv_may_be_signs_like_others(tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_text('id\ttext\n1\t"Hello" she said\n2\tsix "o\'clock\n')
    assert open_texts(str(tmp_path / "a.tsv")) == ['"Hello" she said', "six \"o'clock"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", 'text\n"one\ntwo\n', "cannot be read as a table"),
        ("a.csv", 'text\n"one" and two\n', "line 2: cannot be read as a table"),
        ("a.csv", "text\n", "holds no text"),
        ("a.csv", "", "this file is empty"),
        ("a.jsonl", '{"text": "one"}\n[1]\n', 'line 2: expected a table such as {"text"'),
        ("a.jsonl", '{"text": "one"}\n{\n', "line 2: no JSON"),
        ("a.jsonl", '{"text": "one"}\n{"text": 7}\n', "line 2: text is 7, expected a string"),
        ("a.jsonl", "[" * 100_000, "line 1: no JSON"),
        ("a.csv", "text\n" + "x" * 10_000_001, "cannot be read as a table"),
        ("a.jsonl", '{"text": "a fox"}\n{"text": "half \\ud83d"}\n', "line 2: '\\ud83d' is half of a character"),
    ],
)
def test_a_table_that_cannot_be_read_is_one_line(name: str, content: str, message: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(DataError, match=r"^[^\n]*$") as caught:
        open_texts(str(tmp_path / name))
    assert message in str(caught.value) and name in str(caught.value)


def test_plain_text_has_no_column(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("one\ntwo\n")
    with pytest.raises(DataError, match=r"plain text has no column 'text'; expected a table"):
        open_texts(str(tmp_path / "a.txt"), column="text")


def test_what_is_suggested_for_a_table_can_be_trained_on(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(as_csv([{"id": i, "tweet": f"caf\u00e9 #{i} at 10:30"} for i in range(50)]).encode("cp1252"))
    result = inspect_texts(str(path), column="tweet")
    assert facts(result)["layout"].value == {"rows": 50} and [reason for _, reason in result.unreadable]
    config = configured(result.suggestions[0], path)
    assert (config.column, config.encoding, config.tokenizer, config.skip_bad) == ("tweet", "cp1252", "bpe", False)
    read = open_texts(str(path), config.unit, column=config.column, encoding=config.encoding)
    assert read == [f"café #{i} at 10:30" for i in range(50)]
