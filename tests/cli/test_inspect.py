"""The command `multigen inspect`."""

import json
import os
import re
import shlex
from dataclasses import replace
from pathlib import Path

import pytest

from multigen.catalogue import DATA, METHODS, DataSet
from multigen.data import inspection
from multigen.text.inspection import inspect_texts
from multigen.text.synthesis.seqgan import PRESETS as SEQGAN
from tests import tiny
from tests.cases import few
from tests.data.suggestions import configured


def test_says_the_kind_the_facts_and_a_line_to_paste(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = tiny.photos(tmp_path / "my photos", count=6)
    (root / "bad.png").write_bytes(b"none")
    assert tiny.multigen(["inspect", root]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith(f"{root}: images, by its files: .png (7)\n")
    assert re.search(r"\n  unreadable +1\n", printed) and "bad.png: expected an image" in printed
    assert f"multigen train r3gan default --data {shlex.quote(str(root))} --size" in printed


def test_json_alone_is_on_standard_output(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "a.txt"
    path.write_text("the fox ran.\n\nthe hen\nslept here.\n\nthe owl\nsaw it.\n")
    assert tiny.multigen(["inspect", path, "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert (printed["data"], printed["kind"], printed["files"]) == (str(path), "text", {".txt": 1})
    assert printed["texts"] == {"count": 3, "unit": "paragraph"} and printed["unreadable"] == []
    assert printed["suggestions"][0]["command"].startswith("multigen train seqgan default --data")


@pytest.mark.parametrize("data", [data for data in DATA if not data.downloaded], ids=lambda data: data.name)
def test_data_known_by_name_can_be_inspected_and_trained_on(data: DataSet, capsys: pytest.CaptureFixture[str]) -> None:
    name = f"{data.name}:90" if data.name in ("fables", "dialogues") else data.name  # all of them take seconds
    assert tiny.multigen(["inspect", name, "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert (printed["data"], printed["kind"], printed["files"]) == (name, data.modality, {})
    suggested = {METHODS[choice["method"]].task for choice in printed["suggestions"]}
    assert data.task in suggested or data.name == "embedded-held-out"


def test_the_oracle_is_inspected_as_it_would_be_trained_on(capsys: pytest.CaptureFixture[str]) -> None:
    assert tiny.multigen(["inspect", "oracle"]) == 0
    printed = capsys.readouterr().out
    assert "vocabulary  5,000 different tokens" in printed and "length      20 tokens" in printed
    config = configured(inspect_texts("oracle").suggestions[0], "oracle")
    assert config == replace(SEQGAN["paper"], data="oracle") and config.length == 20


@pytest.mark.parametrize("words", few([[], ["--json"]]))
def test_names_of_files_that_are_no_text_can_be_printed(words: list[str], tmp_path: Path) -> None:
    root = tiny.photos(tmp_path / "photos", count=3, side=70)
    try:
        (root / os.fsdecode(b"a\xff.png")).write_bytes(b"none")
    except OSError:
        pytest.skip("this file system takes no such name")
    strict = {**os.environ, "PYTHONIOENCODING": "utf-8:strict"}
    done = tiny.python("-m", "multigen", "inspect", root, *words, cwd=tmp_path, env=strict)
    assert done.returncode == 0, done.stderr
    assert r"a\udcff.png" in done.stdout


def test_mixed_folders_are_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tiny.photos(tmp_path / "data", count=5)
    (tmp_path / "data" / "readme.txt").write_text("pictures")
    (tmp_path / "data" / "list.csv").write_text("")
    assert tiny.multigen(["inspect", tmp_path / "data"]) == 0
    printed = capsys.readouterr().out
    assert ": images, by its files: .png (5), " in printed
    assert "warning: mixed files; training on images skips the others: texts 1\n" in printed


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("nowhere", "nowhere: no such file or folder"),
        ("mnist", "digits or embedded (inspect downloads nothing)"),
        ("empty", "0 files, none of images or texts or sounds among them"),
        ("code", "1 file, none of images or texts or sounds among them"),
    ],
)
def test_what_cannot_be_inspected_is_one_line(
    data: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MULTIGEN_DATA", raising=False)
    (tmp_path / "empty").mkdir()
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "a.py").write_text("")
    assert tiny.multigen(["inspect", data]) == 2
    printed = capsys.readouterr()
    assert printed.out == "" and printed.err.count("\n") == 1 and message in printed.err


def test_relative_data_lie_in_multigen_data_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tiny.photos(tmp_path / "birds", count=4)
    monkeypatch.setenv("MULTIGEN_DATA", str(tmp_path))
    assert tiny.multigen(["inspect", "birds"]) == 0
    assert "--data birds" in capsys.readouterr().out


def test_many_items_show_their_progress(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert list(inspection.watched(range(3_001), "images")) == list(range(3_001))
    assert "reading images 3000/3001" in capsys.readouterr().err
    assert list(inspection.watched(range(3), "images")) == [0, 1, 2]
    assert capsys.readouterr().err == ""


def test_equal_files_are_found_by_content(tmp_path: Path) -> None:
    paths = []
    for name, content in {"a": b"1234", "b": b"1235", "c": b"1234", "d": b"", "e": b"", "f": b"12345"}.items():
        paths.append(tmp_path / name)
        paths[-1].write_bytes(content)
    refused = tmp_path / "g"
    refused.mkdir()  # opening a folder fails, as opening a file without permission does
    paths.append(refused)
    (tmp_path / "h").write_bytes(bytes(refused.stat().st_size))
    paths.append(tmp_path / "h")
    assert [[path.name for path in group] for group in inspection.equal_files(paths)] == [["a", "c"], ["d", "e"]]
