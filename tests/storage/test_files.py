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

import multigen
from multigen.errors import ConfigError, DataError
from multigen.storage import files
from multigen.storage.files import (
    LINE,
    from_json,
    log_records,
    read_json,
    read_log,
    read_npz,
    remove_leftovers,
    verify_checksum,
    with_checksum,
    write_whole,
    writing,
)
from multigen.storage.run_folder import find_run

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
    assert verify_checksum(with_checksum(RECORD)) == RECORD
    assert json.loads(with_checksum(RECORD))["step"] == 6


@pytest.mark.parametrize(
    "data",
    [
        with_checksum(RECORD).replace(b"6", b"7", 1),
        with_checksum(RECORD).replace(b'"step"', b'"stop"'),
        with_checksum(RECORD)[:-5],
        b"{}",
        b"[1]",
        b"\xff",
        b"[" * 100_000,
    ],
    ids=["number", "name", "cut off", "empty", "list", "no text", "deep"],
)
def test_what_was_changed_is_noticed(data: bytes) -> None:
    with pytest.raises(ValueError):
        verify_checksum(data)


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
    result = read_npz(path)
    assert result.keys() == {"a", "b"} and result["a"].tolist() == [0, 1, 2]
    with zipfile.ZipFile(path, "a") as file:
        file.writestr("c.npy", b"no array")
    with pytest.raises(ValueError, match="c is not an array"):
        read_npz(path)


def test_an_old_header_is_no_warning(tmp_path: Path) -> None:
    held = io.BytesIO()
    np.save(held, np.arange(3))
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as file:
        file.writestr("a.npy", held.getvalue().replace(b"(3,), ", b"(3L,),"))
    assert read_npz(tmp_path / "a.npz")["a"].tolist() == [0, 1, 2]


def test_a_line_that_is_too_long_is_one_damaged_line(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    long = b'{"step": 1, "x": "' + b"a" * (3 * LINE) + b'"}'
    path.write_bytes(b'{"step": 1}\n' + long + b'\n{"step": 2}\n' + long)
    assert read_log(path) == ([{"step": 1}, {"step": 2}], 1)


def test_a_log_elsewhere_or_without_end_is_refused(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "elsewhere").write_text('{"step": 1}\n')
    path = tmp_path / "run" / "log.jsonl"
    path.symlink_to(tmp_path / "elsewhere")
    assert [*log_records(path)] == [{"step": 1}]
    with pytest.raises(OSError, match="leads out of"):
        next(log_records(path, inside=tmp_path / "run"))
    os.truncate(tmp_path / "elsewhere", 1 << 40)
    with pytest.raises(OSError, match="expected at most"):
        read_log(path)


def test_json_that_would_take_for_ever_is_a_value_error(tmp_path: Path) -> None:
    for text in ("[" * 100_000, "9" * 100_000):
        with pytest.raises(ValueError):
            from_json(text)
    path = tmp_path / "a.json"
    path.write_text('{"a": "NaN", "a": 1e999}')
    assert read_json(path, 100) == {"a": float("inf")}
    with pytest.raises(OSError, match="24 bytes; expected at most 23"):
        read_json(path, 23)


def npy(shape: str, kind: str = "|u1", content: bytes = b"") -> bytes:
    """A .npy with this header."""
    header = f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode() + content


BOMBS = {
    "a shape of 100 GB": (npy("(100000, 1000, 1000)"), "100,000,000,000 bytes for uint8"),
    "elements of 100 GB": (npy("(1,)", "|V99999999999"), "holds 0|invalid|descr"),
    "a product beyond 64 bits": (npy("(4294967296, 4294967296, 4294967296)"), "but it holds 0"),
    "fewer than promised": (npy("(100,)", content=bytes(99)), "100 bytes for uint8 .*holds 99"),
    "more than promised": (npy("(100,)", content=bytes(101)), "100 bytes for uint8 .*holds 101"),
    "objects": (npy("(1,)", "|O", content=b"cos\nsystem\n."), "Object arrays"),
    "an archive": (b"PK\x03\x04", "is not an array"),
}


@pytest.mark.parametrize("name", BOMBS)
def test_arrays_whose_headers_promise_what_is_not_there_take_no_memory(name: str, tmp_path: Path) -> None:
    content, reason = BOMBS[name]
    with zipfile.ZipFile(tmp_path / "a.npz", "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("images.npy", content)
    with pytest.raises(ValueError, match=reason):
        read_npz(tmp_path / "a.npz")


def test_an_entry_that_unpacks_to_gigabytes_is_not_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("multigen.storage.reading.SMALL", 1000)
    np.savez_compressed(tmp_path / "a.npz", images=np.zeros((100, 100, 100), np.uint8))
    with pytest.raises(ValueError, match=r"1,000,\d+ bytes, unpacked from .*; expected at most 200 times as many"):
        read_npz(tmp_path / "a.npz")
    np.savez(tmp_path / "a.npz", images=np.zeros((100, 100, 100), np.uint8))
    assert read_npz(tmp_path / "a.npz")["images"].shape == (100, 100, 100)


def test_no_array_is_read_from_a_named_pipe(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.npz")
    with pytest.raises(OSError, match="a named pipe"):
        read_npz(tmp_path / "a.npz")


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
    ours = {".a.json.12", ".b.txt.99999", ".b.txt.99999.txt"}
    others = {".a.json", ".a.txt.12.txt", ".a.json.old", ".mine.12", "a.json.12", ".profile"}
    for name in ours | others:
        (tmp_path / name).touch()
    remove_leftovers(tmp_path, re.compile(r"a\.json|b\.txt"))
    assert {path.name for path in tmp_path.iterdir()} == others


@pytest.mark.parametrize("name", ["x" * 300, "a/" * 3_000, "a\0b"])
def test_a_path_that_no_file_can_have_is_one_line(name: str) -> None:
    for act in (multigen.load, files.expanded, find_run):
        with pytest.raises(ConfigError, match=r"^[^\n]*: not a valid path \([^\n]*\); choose [^\n]*$"):
            act(name)


def test_a_checksum_is_of_all_of_a_regular_file(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    assert files.sha256_of(tmp_path / "a") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    with pytest.raises(OSError, match="expected at most"):
        files.sha256_of(tmp_path / "a", most=2)
    with pytest.raises(OSError):
        files.sha256_of(tmp_path)
