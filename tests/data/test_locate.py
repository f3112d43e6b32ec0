"""Folders whose permissions close them, named in one line; what the places of data are said to
be."""

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from multigen.audio.datasets import open_sounds
from multigen.catalogue import MODALITIES
from multigen.data.folders import files_in
from multigen.data.locate import NotFound, locate
from multigen.data.unread import find_files
from multigen.errors import DataError
from multigen.image.datasets import open_images
from multigen.image.files import open_photos
from multigen.text.files import open_texts
from tests import tiny

OPEN: dict[str, Callable[[str], Any]] = {
    "sounds": lambda data: open_sounds(data, 8000, 1024),
    "pictures": lambda data: open_images(data, 16),
    "photographs": open_photos,
    "texts": open_texts,
}


@pytest.fixture
def closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that may be neither listed nor entered, simulated, since nothing is closed to root;
    its parent is open."""
    folder = tmp_path / "data" / "closed"
    folder.mkdir(parents=True)
    scandir, access = os.scandir, os.access

    def refuse(path: Any = ".") -> Any:
        if Path(path) == folder:
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != folder and access(path, mode))
    monkeypatch.delenv("MULTIGEN_DATA", raising=False)
    return folder


@pytest.mark.parametrize("name", OPEN)
@pytest.mark.parametrize("inside", [False, True])
def test_a_closed_folder_is_named(name: str, inside: bool, closed: Path) -> None:
    """Also one inside of the data: its files would be missing in silence."""
    with pytest.raises(DataError, match=f"{closed}: this folder cannot be read; .*; change its permissions") as result:
        OPEN[name](str(closed.parent if inside else closed))
    assert not isinstance(result.value, NotFound)


def test_the_command_says_it_in_one_line(closed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert tiny.multigen(["evaluate", "--real", closed, "--fake", closed]) == 2
    assert re.fullmatch(f"error: {closed}: this folder cannot be read; .*\n", capsys.readouterr().err)


def test_a_folder_whose_files_cannot_be_looked_at_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that may be listed but not entered."""
    (tmp_path / "a.wav").touch()

    def refuse(self: Path) -> bool:
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "is_file", refuse)
    with pytest.raises(DataError, match=f"{tmp_path}/a.wav: this folder cannot be read"):
        files_in(tmp_path)


def test_files_are_found_sorted_without_hidden_ones(tmp_path: Path) -> None:
    for name in ("b/2.wav", "b/1.WAV", "a.wav", ".hidden/3.wav", "b/.4.wav", "c.txt", "d.wav/5.wav"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
    (tmp_path / "link.wav").symlink_to(tmp_path / "c.txt")
    names = [path.relative_to(tmp_path).as_posix() for path in find_files(tmp_path, MODALITIES["audio"])]
    assert names == ["a.wav", "b/1.WAV", "b/2.wav", "d.wav/5.wav", "link.wav"]
    assert (tmp_path / "c.txt") in files_in(tmp_path)


def test_a_missing_name_is_reported_with_what_was_expected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MULTIGEN_DATA", str(tmp_path))
    for name in ("gone", "", "x" * 5000):
        with pytest.raises(NotFound, match=f"{name}: no such file or folder .*; expected a thing; .*MULTIGEN_DATA"):
            locate(name, "a thing")
    (tmp_path / "there").mkdir()
    assert locate("there", "a thing") == tmp_path / "there"
