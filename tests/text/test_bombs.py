"""Texts that never end, and what is no file: one line, and no memory taken."""

import os
from pathlib import Path

import pytest

import multigen.text.units
from multigen.errors import DataError
from multigen.text.datasets import open_corpus
from multigen.text.files import open_texts
from multigen.text.inspection import inspect_texts
from tests.special import SPECIAL

LINES = "the fox ran\na hen sat\nthe hen ran\na fox sat by\n"


def test_texts_of_more_than_memory_holds_are_refused_before_they_are_read(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text(LINES)
    (tmp_path / "b.txt").write_text(LINES)
    os.truncate(tmp_path / "b.txt", 10**12)  # sparse
    for act in (open_texts, inspect_texts, lambda place: open_corpus(place, 6)):
        for place in (tmp_path, tmp_path / "b.txt"):
            with pytest.raises(DataError, match=rf"^{place}: 1,000,[\d,]+ bytes of text, [^\n]*; give a part of it$"):
                act(str(place))


@pytest.mark.parametrize(
    ("unit", "what"), [("line", "lines"), ("file", "files"), ("paragraph", "files")], ids=lambda value: value
)
def test_a_text_without_end_is_named_or_skipped(
    unit: str, what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(multigen.text.units, "LONGEST", 1_000)
    (tmp_path / "a.txt").write_text(LINES.replace("\n", "\n\n") if unit == "paragraph" else LINES)
    (tmp_path / "b.txt").write_text("word " * 300)
    with pytest.raises(DataError, match=r"b\.txt: a text of more than 1,000 characters; divide it .*--skip-bad"):
        open_texts(str(tmp_path), unit)  # pyright: ignore[reportArgumentType]
    texts = open_texts(str(tmp_path), unit, skip_bad=True)  # pyright: ignore[reportArgumentType]
    assert len(texts) == (1 if unit == "file" else 4)
    assert f"{what} left out, of more than 1,000 characters: 1" in capsys.readouterr().err


def test_a_long_file_of_short_lines_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(multigen.text.units, "LONGEST", 100)
    (tmp_path / "a.txt").write_text(LINES * 100)
    assert len(open_texts(str(tmp_path / "a.txt"), "line")) == 400


@pytest.mark.parametrize("kind", ["a named pipe", "a socket", "a device"])
def test_what_is_no_regular_file_is_named_alone_and_skipped_in_a_folder(kind: str, tmp_path: Path) -> None:
    SPECIAL[kind](tmp_path / "x.txt")
    (tmp_path / "a.txt").write_text(LINES)
    assert len(open_texts(str(tmp_path))) == 4
    for act in (open_texts, inspect_texts):
        with pytest.raises(
            DataError, match=rf"^[^\n]*x\.txt: cannot be read \({kind}; expected a regular file\)[^\n]*$"
        ):
            act(str(tmp_path / "x.txt"))


def test_an_oracle_and_lines_of_json_are_regular_files(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "o.npz")
    with pytest.raises(DataError, match=r"o\.npz holds no oracle \(a named pipe; expected a regular file\)"):
        open_corpus(str(tmp_path / "o.npz"), 6)
    pytest.importorskip("datasets")
    (tmp_path / "data").mkdir()
    SPECIAL["a device"](tmp_path / "data" / "x.jsonl")
    with pytest.raises(DataError, match="a device; expected a regular file"):
        open_texts(f"hf:{tmp_path / 'data'}")
