"""`multigen inspect --degradation`: a sheet of crops, to choose a strength by eye."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from multigen.image.restoration.evaluator import SIDE
from tests import tiny


@pytest.fixture(scope="module")
def album(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.photos(tmp_path_factory.mktemp("degradation") / "photos", count=2)


@pytest.mark.parametrize("name", ["mild", "strong", "noise40", "jpeg5"])
def test_the_sheet_shows_three_draws_beside_the_original(album: Path, tmp_path: Path, name: str) -> None:
    out = tmp_path / "sheet.png"
    assert tiny.multigen(["inspect", album, "--degradation", name, "--out", out]) == 0
    with Image.open(out) as sheet:
        pixels = np.asarray(sheet, int)
    cell = 2 * SIDE + 4
    assert pixels.shape == (16 + 2 * cell, 4 * cell, 3)
    crops = [pixels[16 : 16 + 96 : 2, i * cell : i * cell + 112 : 2] for i in range(4)]
    assert np.array_equal(crops[3], tiny.pixels(48, 56))
    assert all(np.abs(crop - crops[3]).mean() > 1 for crop in crops[:3])
    assert np.array_equal(crops[0], crops[1]) == (name == "jpeg5")  # which draws nothing


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--degradation", "hard", "--out", "sheet.png"], "degradation 'hard': expected mild or strong"),
        (["--degradation", "jpeg0", "--out", "sheet.png"], "degradation 'jpeg0': expected"),
        (["--degradation", "noise300", "--out", "sheet.png"], "degradation 'noise300': expected"),
        (["--degradation", "strong"], "--degradation and --out: expected both"),
        (["--out", "sheet.png"], "--degradation and --out: expected both"),
        (["--degradation", "strong", "--out", "sheet.jpg"], "--out sheet.jpg: a sheet is a PNG file"),
    ],
)
def test_what_is_wrong_is_said(
    album: Path, words: list[str], message: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(album.parent)
    assert tiny.multigen(["inspect", album, *words]) == 2
    assert message in capsys.readouterr().err
    assert not (album.parent / "sheet.png").exists()


def test_other_data_have_no_degradation(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert tiny.multigen(["inspect", "fables", "--degradation", "mild", "--out", tmp_path / "sheet.png"]) == 2
    assert "--degradation: for images only, and fables holds texts; leave it out" in capsys.readouterr().err


def test_a_file_of_others_is_kept(album: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Image.new("RGB", (2, 2)).save(out := tmp_path / "sheet.png")
    words = ["inspect", album, "--degradation", "mild", "--out", out]
    assert tiny.multigen(words) == 2 and "sheet.png" in capsys.readouterr().err
    assert tiny.multigen([*words, "--overwrite"]) == 0
