"""Folders that cannot be trained on, and odd ones that can, through `multigen train` with methods
of image translation."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests import tiny
from tests.tiny import pixels

WORDS = ["tiny", "--size", "0", "--crop", "24", "--steps", "1", "--device", "cpu", "--precision", "fp32"]


def folder(place: Path, names: str, size: tuple[int, int] = (24, 26), mode: str = "RGB") -> Path:
    place.mkdir(parents=True, exist_ok=True)
    for i, name in enumerate(names.split()):
        Image.fromarray(pixels(*size, seed=i)).convert(mode).save(place / name)
    return place


def pair(place: Path, names: str = "1.png 2.png 3.png") -> list[str | Path]:
    return ["--data", folder(place / "a", names), "--target", folder(place / "b", names)]


def no_pair(place: Path) -> list[str | Path]:
    folder(place / "a", "4.png 5.png")
    return pair(place)


def other_size(place: Path) -> list[str | Path]:
    words = pair(place)
    folder(place / "b", "2.png", (26, 24))
    return words


def damaged(place: Path) -> list[str | Path]:
    words = pair(place)
    (place / "b" / "2.png").write_bytes(b"no image")
    return words


def one_image(place: Path) -> list[str | Path]:
    return ["--data", folder(place / "a", "1.png")]


def one_of_b(place: Path) -> list[str | Path]:
    return ["--data", folder(place / "a", "1.png 2.png"), "--target", folder(place / "b", "7.png")]


def empty(place: Path) -> list[str | Path]:
    words = pair(place)
    (place / "empty").mkdir()
    return [*words[:3], place / "empty"]


def missing(place: Path) -> list[str | Path]:
    return [*pair(place)[:3], place / "nothing"]


def small(place: Path) -> list[str | Path]:
    return ["--data", folder(place / "a", "1.png 2.png 3.png", (23, 60))]


def odd_halves(place: Path) -> list[str | Path]:
    return ["--data", folder(place / "a", "1.png 2.png 3.png", (24, 61)), "--task", "halves"]


def no_halvings(place: Path) -> list[str | Path]:
    return [*pair(place), "--halvings", "4"]


CASES: dict[str, tuple[Callable[[Path], list[str | Path]], str, str]] = {
    "no pair": (no_pair, "pix2pix", "target: 2 images of 5 without a pair: 4.png has none; 5.png has none"),
    "pairs of different sizes": (other_size, "pix2pix", "2.png has one of 24x26 pixels, expected 26x24"),
    "a damaged partner": (damaged, "pix2pix", "b/2.png"),
    "a folder of one": (one_image, "pix2pix", "a: 1 image, expected at least 2, some of them for testing"),
    "a folder of one, without pairs": (one_of_b, "cyclegan", "b: 1 image, expected at least 2"),
    "a folder of one, CUT": (one_image, "cut", "a: 1 image, expected at least 2"),
    "an empty folder": (empty, "pix2pix", "empty"),
    "no folder": (missing, "cyclegan", "nothing: no such file or folder"),
    "smaller than the crop": (small, "pix2pix", "1.png: 60x23 pixels, smaller than the crop of 24x24"),
    "halves of an odd width": (odd_halves, "pix2pix", "1.png: 61x24 pixels, expected an even width"),
    "a crop that halvings do not divide": (no_halvings, "pix2pix", "crop 24: expected a multiple of 16"),
}


@pytest.mark.parametrize("case", CASES)
def test_what_cannot_be_trained_on_is_named_in_one_line(
    case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make, method, said = CASES[case]
    words = ["train", method, *WORDS, *make(tmp_path), "--out", tmp_path / "run"]
    assert tiny.multigen(words) == 2
    line = capsys.readouterr().err.strip().splitlines()[-1]
    assert line.startswith("error: ") and said in line
    assert not (tmp_path / "run").exists()


def test_what_is_left_is_trained_on_where_bad_files_are_skipped(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = no_pair(tmp_path)
    folder(tmp_path / "b", "2.png", (26, 24))
    given = ["train", "pix2pix", *WORDS, *words, "--skip-bad", "--out", tmp_path / "run"]
    assert tiny.multigen(given) == 0
    printed = capsys.readouterr()
    assert all(name in printed.err + printed.out for name in ("4.png", "5.png", "2.png"))


@pytest.mark.parametrize("method", ["pix2pix", "cyclegan"])
def test_domains_of_other_channels_and_depths(method: str, tmp_path: Path) -> None:
    """Grey beside colour, opacity beside none, 16 bits beside 8: all are read as RGB."""
    a, b = tmp_path / "a", folder(tmp_path / "b", "1.png 2.png 3.png", mode="RGBA")
    folder(a, "1.png 2.png", mode="L")
    Image.fromarray(pixels(24, 26)[..., 0].astype(np.uint16) * 257).save(a / "3.png")
    words = ["train", method, *WORDS, "--data", a, "--target", b, "--out", tmp_path / "run"]
    assert tiny.multigen(words) == 0
    out = tmp_path / "new.png"
    assert tiny.multigen(["translate", a / "3.png", "--model", tmp_path / "run", "--out", out]) == 0
    with Image.open(out) as made:
        assert (made.size, made.mode) == ((26, 24), "RGB")


def test_both_directions_of_a_model_that_learnt_both(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photos = folder(tmp_path / "a", "1.png 2.png 3.png")
    words = ["train", "cyclegan", *WORDS, "--data", photos, "--direction", "BA", "--out", tmp_path / "run"]
    assert tiny.multigen(words) == 0
    results = {}
    for way in ("", "AB", "BA"):
        out = tmp_path / f"new{way}.png"
        more = ["--direction", way] if way else []
        assert tiny.multigen(["translate", photos / "1.png", "--model", tmp_path / "run", "--out", out, *more]) == 0
        with Image.open(out) as made:
            results[way] = np.asarray(made)
    assert np.array_equal(results[""], results["BA"]) and not np.array_equal(results["AB"], results["BA"])
    capsys.readouterr()
    assert tiny.multigen(["train", "pix2pix", *WORDS, "--data", photos, "--direction", "CD"]) == 2


@pytest.mark.parametrize("method", ["cyclegan", "cut"])
def test_two_folders_without_pairs_there_and_back(
    method: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A is grey, B has colours and other sizes; one of A's files is damaged; CUT has no way
    back."""
    a = folder(tmp_path / "a", "0.png 1.png 2.png 3.png", mode="L")
    b = folder(tmp_path / "b", "0.png 5.png 6.png 7.png 8.png", (30, 40))
    (a / "9.png").write_bytes(b"no image")
    data = ["--data", a, "--target", b, "--skip-bad"]
    assert tiny.multigen(["train", method, *WORDS, *data, "--out", tmp_path / "run"]) == 0
    assert "9.png" in capsys.readouterr().err
    rows = json.loads((tmp_path / "run" / "evaluation.json").read_text())["rows"]
    assert {"input", "moments", "adversarial/last"} <= rows.keys() and "test/psnr" not in rows["input"]
    translated = ["translate", a / "0.png", "--model", tmp_path / "run", "--out", tmp_path / "ab.png"]
    assert tiny.multigen(translated) == 0
    with Image.open(tmp_path / "ab.png") as file:
        assert file.size == (26, 24) and file.mode == "RGB"
    capsys.readouterr()
    back = ["translate", b / "0.png", "--model", tmp_path / "run", "--out", tmp_path / "ba.png", "--direction", "BA"]
    code = tiny.multigen(back)
    if method == "cyclegan":
        assert code == 0
        with Image.open(tmp_path / "ba.png") as file:
            assert file.size == (40, 30)
    else:
        assert code == 2 and "direction BA: the model was trained for AB" in capsys.readouterr().err
