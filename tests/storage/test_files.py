"""Files that tell whether they are whole."""

import errno
import io
import json
import os
import re
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from multigen.errors import DataError
from multigen.storage.files import read_log, read_npz, remove_leftovers, sealed, unsealed, write_whole, writing

RECORD = {"step": 6, "lr": 0.1 + 0.2, "name": "päth", "state": {"a": [1, None], "b": float("inf")}}


def test_what_cannot_be_written_is_named_with_the_remedy(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    out = tmp_path / "file" / "x.json"
    named = r"file/x.json cannot be written \(Not a directory\); give another file for --out"
    with pytest.raises(DataError, match=named), writing(out):
        out.write_text("")
    other = r"\(the encoder's words\); give another folder for --out"
    with pytest.raises(DataError, match=other), writing(out, "another folder for --out"):
        raise OSError("the encoder's words")


def test_what_is_sealed_comes_back() -> None:
    assert unsealed(sealed(RECORD)) == RECORD
    assert json.loads(sealed(RECORD))["step"] == 6


@pytest.mark.parametrize(
    "data",
    [
        sealed(RECORD).replace(b"6", b"7", 1),
        sealed(RECORD).replace(b'"step"', b'"stop"'),
        sealed(RECORD)[:-5],
        b"{}",
        b"[1]",
        b"\xff",
        b"[" * 100_000,
    ],
    ids=["number", "name", "cut off", "empty", "list", "no text", "deep"],
)
def test_what_was_changed_is_noticed(data: bytes) -> None:
    with pytest.raises(ValueError):
        unsealed(data)


def test_lines_of_a_log_that_are_damaged_are_counted(tmp_path: Path) -> None:
    good: list[dict[str, Any]] = [{"step": 1, "loss": 0.5}, {"step": 2, "stage": "a"}]
    lines = [json.dumps(good[0]).encode(), b'{"step": 1, "loss": 0.', b"\xff\xfe", b"\0" * 20, b"[1]", b'{"step": "1"}']
    lines += [b"[" * 100_000, b"", json.dumps(good[1]).encode()]
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(b"\n".join(lines) + b'\n{"step": 3, "lo')
    assert read_log(path) == (good, 6)
    assert read_log(tmp_path / "none") == ([], 0)


def test_arrays_and_nothing_else_are_read(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    np.savez(path, a=np.arange(3), b=np.array("x"))
    found = read_npz(path)
    assert found.keys() == {"a", "b"} and found["a"].tolist() == [0, 1, 2]
    with zipfile.ZipFile(path, "a") as file:
        file.writestr("c.npy", b"no array")
    with pytest.raises(ValueError, match="c hold no array"):
        read_npz(path)


def test_an_old_header_is_no_warning(tmp_path: Path) -> None:
    held = io.BytesIO()
    np.save(held, np.arange(3))
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as file:
        file.writestr("a.npy", held.getvalue().replace(b"(3,), ", b"(3L,),"))
    assert read_npz(tmp_path / "a.npz")["a"].tolist() == [0, 1, 2]


def test_a_file_is_on_the_disk_before_it_takes_the_place_of_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    replace = Path.replace

    def noted(path: Path, target: Path) -> Path:
        done.append("rename")
        return replace(path, target)

    monkeypatch.setattr(os, "fsync", lambda handle: done.append(Path(os.readlink(f"/proc/self/fd/{handle}")).name))
    monkeypatch.setattr(Path, "replace", noted)
    (tmp_path / "model").mkdir()
    write_whole(tmp_path / "model" / "README.md", "text", by=tmp_path)
    assert done == [f".README.md.{os.getpid()}", "rename", "model"]
    assert (tmp_path / "model" / "README.md").read_text() == "text"


def test_of_a_write_that_fails_nothing_remains(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    (tmp_path / "a.json").write_text("old")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_whole(tmp_path / "a.json", "new")
    assert [path.read_text() for path in tmp_path.iterdir()] == ["old"]


def test_leftovers_of_files_of_ours_are_removed_and_no_others(tmp_path: Path) -> None:
    ours = {".a.json.12", ".b.txt.99999"}
    others = {".a.json", ".a.json.old", ".mine.12", "a.json.12", ".profile"}
    for name in ours | others:
        (tmp_path / name).touch()
    remove_leftovers(tmp_path, re.compile(r"a\.json|b\.txt"))
    assert {path.name for path in tmp_path.iterdir()} == others
