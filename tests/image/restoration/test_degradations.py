"""`multigen inspect --degradation`: the table of degradations, and the sheet on which people choose
a strength by eye."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from multigen.image.restoration.degradations import (
    COLUMNS,
    DEGRADATIONS,
    GAP,
    HEAD,
    SIDE,
    ZOOM,
    degradation_of,
    degradation_sheet,
)
from tests import tiny

STEP = SIDE * ZOOM + GAP


def cells(sheet: Image.Image) -> np.ndarray:
    """(rows, columns, side, side, 3)."""
    pixels = np.asarray(sheet)[HEAD:]
    rows, columns = (pixels.shape[0] + GAP) // STEP, (pixels.shape[1] + GAP) // STEP
    side = SIDE * ZOOM
    return np.stack(
        [
            np.stack([pixels[r * STEP : r * STEP + side, c * STEP : c * STEP + side] for c in range(columns)])
            for r in range(rows)
        ]
    )


@pytest.mark.parametrize(("name", "draws"), [("noise40", True), ("jpeg5", False)])
def test_degradations_of_a_number(name: str, draws: bool) -> None:
    image = torch.from_numpy(tiny.pixels(61, 75)).permute(2, 0, 1)
    one, two = (degradation_of(name)(image, np.random.default_rng(seed)) for seed in (0, 1))
    assert one.shape == image.shape and torch.equal(one, two) != draws
    assert (one.float() - image).abs().mean() > 1


@pytest.mark.parametrize("name", DEGRADATIONS)
def test_degradations_are_drawn_and_seeded(name: str) -> None:
    image = torch.from_numpy(tiny.pixels(61, 75)).permute(2, 0, 1)
    made = [DEGRADATIONS[name](image, np.random.default_rng(seed)) for seed in (0, 0, 1)]
    assert all(each.dtype == torch.uint8 and each.shape[0] == 3 for each in made)
    assert torch.equal(made[0], made[1]) and not torch.equal(made[0], made[2])
    assert made[0].shape[1:] == ((15, 18) if name in ("strong", "mild") else (61, 75))


def test_a_sheet_shows_originals_beside_degraded_versions(tmp_path: Path) -> None:
    sheet, names = degradation_sheet("embedded-held-out", "strong")
    shown = cells(sheet)
    assert shown.shape[:2] == (len(names), 1 + COLUMNS) and len(names) == 2
    again = cells(degradation_sheet("embedded-held-out", "strong")[0])
    assert np.array_equal(shown, again)
    other, order = degradation_sheet("embedded-held-out", "strong", seed=1)
    rows = [order.index(name) for name in names]
    assert np.array_equal(cells(other)[rows, 0], shown[:, 0])  # the same crops
    assert not np.array_equal(cells(other)[rows, 1:], shown[:, 1:])

    def far(one: np.ndarray, two: np.ndarray) -> float:
        return float(np.abs(one.astype(float) - two).mean())

    mild = cells(degradation_sheet("embedded-held-out", "mild")[0])
    assert np.array_equal(mild[:, 0], shown[:, 0])
    for row, gentle in zip(shown, mild, strict=True):
        versions = [far(row[0], each) for each in row[1:]]
        assert 2 < np.mean([far(gentle[0], each) for each in gentle[1:]]) < np.mean(versions)
        assert len(set(versions)) == COLUMNS


def test_the_command_writes_the_sheet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    photos = tiny.photos(tmp_path / "photos", count=6)
    (photos / "bad.png").write_bytes(b"junk")
    Image.fromarray(tiny.pixels(8, 90)).save(photos / "thin.png")
    assert (
        tiny.multigen(["inspect", photos, "--degradation", "jpeg", "--seed", "2", "--out", "sheet.png", "--json"]) == 0
    )
    printed = json.loads(capsys.readouterr().out)
    assert printed["files"] == ["sheet.png"] and len(printed["images"]) == 4 and printed["seed"] == 2
    assert "thin.png" not in printed["images"]
    first = Path("sheet.png").read_bytes()
    assert (
        tiny.multigen(["inspect", photos, "--degradation", "jpeg", "--seed", "2", "--out", "sheet.png"]) == 0
    )  # its own
    assert Path("sheet.png").read_bytes() == first

    assert tiny.multigen(["inspect", "--degradation", "mild"]) == 0  # embedded photographs
    assert "degradation-mild.png: 4 images of embedded beside mild versions" in capsys.readouterr().out
    assert Path("degradation-mild.png").is_file()


def test_mistakes_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine.png").write_bytes(b"mine")
    (tmp_path / "thin").mkdir()
    Image.fromarray(tiny.pixels(8, 90)).save(tmp_path / "thin" / "a.png")
    for words, reason in (
        ([], "DATA is missing; expected a folder or file of images"),
        (["digits", "--out", "a.png"], "--out: for the sheet of --degradation or --task only"),
        (["digits", "--seed", "1"], "--seed: for the sheet of --degradation or --task only"),
        (["drums", "--degradation", "mild"], "--degradation: for images only, and drums holds sounds; leave it out"),
        (["fables", "--degradation", "mild"], "--degradation: for images only, and fables holds texts; leave it out"),
        (["--degradation", "jpeg0"], "degradation 'jpeg0': expected one of strong, mild, noise"),
        (["--degradation", "noise300"], "degradation 'noise300': expected one of"),
        (["--degradation", "mild", "--out", "mine.png"], "mine.png exists and is not known as"),
        (["--degradation", "mild", "--out", "mine.jpg"], "expected a file ending in .png"),
        (["--degradation", "mild", "--seed", "-1"], "--seed -1: expected 0 or more"),
        (
            ["--degradation", "jpeg", "--encoding", "zzz"],
            "--encoding: for texts only, and embedded holds images; leave it out",
        ),
        (["thin", "--degradation", "jpeg", "--label-column", "q", "--column", "nope"], "--column: for texts only"),
        (["--degradation", "wild"], "degradation 'wild': expected one of strong, mild"),
        (["thin", "--degradation", "mild"], "90x8 pixels; expected 32x32 at least"),
        (["gone", "--degradation", "mild"], "gone"),
    ):
        assert tiny.multigen(["inspect", *words]) == 2
        message = capsys.readouterr().err
        assert reason in message and "Traceback" not in message
    assert Path("mine.png").read_bytes() == b"mine"
