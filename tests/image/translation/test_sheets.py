"""`multigen inspect --task`: the sheet of images and what translation makes of them."""

from pathlib import Path

import pytest
from PIL import Image

from multigen.image.translation.made import MADE
from multigen.image.translation.sheets import made_sheet
from tests import tiny


def test_a_sheet_has_a_column_for_each_task() -> None:
    one, names = made_sheet("embedded-held-out", "edges")
    every, same = made_sheet("embedded-held-out", "all")
    assert sorted(names) == ["chelsea", "china"] and sorted(same) == sorted(names)
    assert every.width == one.width // 2 * (1 + len(MADE)) and every.height == one.height


def test_the_command_writes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    photos = tiny.photos(tmp_path / "photos", 2)
    (photos / "bad.png").write_bytes(b"no image")
    assert tiny.multigen(["inspect", photos, "--task", "segments"]) == 0
    assert "task-segments.png: 2 images of" in capsys.readouterr().out
    with Image.open("task-segments.png") as file:
        assert file.width > file.height


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--task", "paint"], "task 'paint': expected one of colour, edges"),
        (["drums", "--task", "edges"], "--task: for images only, and drums holds sounds"),
        (["--task", "edges", "--degradation", "mild"], "each is a sheet; give one of them"),
        (["--task", "edges", "--out", "a.jpg"], "expected a file ending in .png"),
        (["gone", "--task", "edges"], "gone"),
    ],
)
def test_what_is_no_sheet_is_refused(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert tiny.multigen(["inspect", *words]) == 2 and said in capsys.readouterr().err
