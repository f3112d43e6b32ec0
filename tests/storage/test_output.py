"""Results: what may be replaced, and how a file is written so that it is whole or not there."""

import json
import os
import subprocess
from pathlib import Path

import pytest
from PIL import Image

from multigen.errors import DataError
from multigen.storage.output import check_folder, check_targets, is_own, json_table, replacing
from multigen.storage.provenance import gif, png

ABOUT = {"software": "multigen 0.2.0", "model": "m", "method": "gan"}


def picture(path: Path, about: dict[str, str] | None = None) -> Path:
    more = png(about or {}) if path.suffix == ".png" else gif(about or {})
    Image.new("L", (3, 3)).save(path, **more)
    return path


def test_a_file_of_another_origin_is_refused_and_one_of_ours_is_not(tmp_path: Path) -> None:
    ours, theirs = picture(tmp_path / "a.png", ABOUT), picture(tmp_path / "b.png")
    check_targets([ours, tmp_path / "new" / "c.png"], overwrite=False)
    for there, named in (
        ([theirs], "b.png exists and is not known"),
        ([ours, theirs, theirs], "b.png and 1 more files"),
    ):
        with pytest.raises(DataError, match=rf"{named}.*another --out.*--overwrite") as caught:
            check_targets(there, overwrite=False)
        assert "\n" not in str(caught.value)
        check_targets(there, overwrite=True)


def test_a_link_is_never_taken_for_an_earlier_result(tmp_path: Path) -> None:
    ours = picture(tmp_path / "a.png", ABOUT)
    for link, target in ((tmp_path / "link.png", ours), (tmp_path / "nowhere.png", tmp_path / "none")):
        link.symlink_to(target)
        with pytest.raises(DataError, match=f"{link.name} exists"):
            check_targets([link], overwrite=False)
        check_targets([link], overwrite=True)


@pytest.mark.parametrize("overwrite", [False, True])
def test_what_is_no_file_is_never_replaced(tmp_path: Path, overwrite: bool) -> None:
    (tmp_path / "folder.png").mkdir()
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "device.png").symlink_to("/dev/null")
    (tmp_path / "file").touch()
    for name, why in (
        ("folder.png", "it is a folder"),
        ("pipe.png", "it is no regular file"),
        ("device.png", "it is no regular file"),
        ("file/a.png", "Not a directory"),
        ("file/below/a.png", "Not a directory"),
    ):
        with pytest.raises(DataError, match=rf"{name} cannot be written \({why}\); give another --out"):
            check_targets([tmp_path / name], overwrite)
    with pytest.raises(DataError, match=r"file cannot be written \(File exists\); give another folder for --out"):
        check_folder(tmp_path / "file")


def test_a_folder_that_may_not_be_written_to_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # a test may run as root, who may write everywhere
    with pytest.raises(DataError, match=r"new/a.png cannot be written \(Permission denied\)"):
        check_targets([tmp_path / "new" / "a.png"], overwrite=False)
    with pytest.raises(DataError, match=r"new cannot be written \(Permission denied\)"):
        check_folder(tmp_path / "new")


@pytest.mark.parametrize(
    ("name", "content", "own"),
    [
        ("a.html", b"<html><h1>my notes</h1>", False),
        ("a.html", b"", False),
        ("a.md", b"# results\n", False),
        ("a.md", b"This file is generated: do not edit. `multigen bench recipes/*.toml --page a.md` writes it", True),
        ("a.onnx", b"\x08\x0a software", False),
        ("a.onnx", b"\x08\x0a...r\x1b\n\x08software\x12\x0emultigen 0.2.0", True),
        ("a.mp4", b"ftyp", False),
        ("a.mp4", b'ftyp {"software": "multigen 0.2.0"}', True),
        ("a.txt", b'{"software": "multigen 0.2.0"}', False),
        ("a.png", b'{"software": "multigen 0.2.0"}', False),
        ("a.wav", b"RIFF", False),
    ],
)
def test_files_that_say_who_wrote_them_are_known(tmp_path: Path, name: str, content: bytes, own: bool) -> None:
    (tmp_path / name).write_bytes(content)
    assert is_own(tmp_path / name) is own


def test_pictures_are_known_by_their_comment(tmp_path: Path) -> None:
    assert is_own(picture(tmp_path / "a.gif", ABOUT)) and not is_own(picture(tmp_path / "b.gif"))
    assert not is_own(picture(tmp_path / "c.png", {"software": "another program"}))


def test_a_table_that_is_none_has_no_keys(tmp_path: Path) -> None:
    for content in ("", "[1]", "{", "[" * 100_000):
        (tmp_path / "a.json").write_text(content)
        assert json_table(tmp_path / "a.json") == {}
    (tmp_path / "a.json").write_text(json.dumps({"rows": {}}))
    assert json_table(tmp_path / "a.json") == {"rows": {}}
    assert json_table(tmp_path / "none.json") == {}


def test_what_fails_leaves_the_file_before_and_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("before")
    with pytest.raises(RuntimeError), replacing(path) as file:
        file.write_text("half")
        raise RuntimeError
    assert path.read_text() == "before" and [*tmp_path.iterdir()] == [path]
    with replacing(path) as file:
        file.write_text("after")
        assert file.suffix == ".txt" and path.read_text() == "before"
    assert path.read_text() == "after" and [*tmp_path.iterdir()] == [path]


def test_a_link_is_replaced_and_not_what_it_leads_to(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("thesis")
    (tmp_path / "out.txt").symlink_to("thesis.txt")
    with replacing(tmp_path / "out.txt") as file:
        file.write_text("result")
    assert (tmp_path / "thesis.txt").read_text() == "thesis"
    assert (tmp_path / "out.txt").read_text() == "result" and not (tmp_path / "out.txt").is_symlink()


def test_what_killed_processes_left_unfinished_is_removed(tmp_path: Path) -> None:
    dead = subprocess.Popen(["true"])
    dead.wait()
    names = {
        f".0001.png.{dead.pid}.png": False,
        f".walk.gif.{dead.pid}.gif": False,
        f".0002.png.{os.getpid()}.png": True,  # of a process that runs
        f".0003.png.{dead.pid}.gif": True,  # not named as ours are
        ".hidden": True,
        "0004.png.1.png": True,
    }
    for name in names:
        (tmp_path / name).write_text("half")
        os.utime(tmp_path / name, (0, 0))
    (young := tmp_path / f".0005.png.{dead.pid}.png").write_text("perhaps another machine's")
    check_targets([tmp_path / "0000.png"], overwrite=False)
    assert {name: (tmp_path / name).exists() for name in names} == names and young.exists()
