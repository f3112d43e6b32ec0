"""Bad input of the methods that make images from noise, through their commands: exit code 2, one
line, value and remedy."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from multigen.errors import ConfigError, DataError
from multigen.image import R3GANConfig
from multigen.image.datasets import open_images
from multigen.image.files import open_photos, read_image
from multigen.image.synthesis.base import ImageInfo
from multigen.recipes import dcgan
from multigen.runs.runner import main
from tests import tiny
from tests.cases import few

WORDS = ["--size", "16", "--steps", "2", "--batch", "4", "--width", "4", "--samples", "20", "--validation-size", "0"]
WORDS += ["--device", "cpu", "--precision", "fp32"]


def pictures(folder: Path, count: int = 12) -> Path:
    folder.mkdir()
    for i in range(count):
        Image.fromarray(tiny.pixels(18, 16, seed=i)).save(folder / f"{i}.png")
    return folder


def dcgan_tiny(*words: str | Path) -> int:
    return tiny._run(lambda: main(dcgan.TRAINER, dcgan.PRESETS), ["tiny", *WORDS, *words])


def mixed(place: Path) -> list[str | Path]:
    pictures(place / "p")
    Image.fromarray(tiny.pixels(16, 16)).convert("L").save(place / "p" / "grey.png")
    return ["--data", place / "p"]


def not_a_number(place: Path) -> list[str | Path]:
    np.savez(place / "bad.npz", images=np.full((20, 16, 16), np.nan, np.float32))
    return ["--data", place / "bad.npz"]


CASES: dict[str, tuple[Callable[[Path], list[str | Path]], str]] = {
    "no labels": (lambda p: ["--data", pictures(p / "p"), "--conditional"], "/p has no labels; sort the images"),
    "one image": (lambda p: ["--data", pictures(p / "p", 1)], "/p: 1 image, expected at least 2; add images"),
    "three images": (lambda p: ["--data", pictures(p / "p", 3)], "/p: 3 images, expected at least 4, two of them"),
    "mixed": (mixed, "make them so: --channels 3 or 1"),
    "size": (
        lambda p: ["--data", pictures(p / "p"), "--size", "48"],
        "size 48: the network doubles 4 pixels; the nearest",
    ),
    "negative": (lambda p: ["--data", pictures(p / "p"), "--steps", "-5"], "steps -5: expected 1 or more"),
    "no average": (lambda p: ["--data", pictures(p / "p"), "--ema", "1.5"], "ema 1.5: expected 0 to 1"),
    "a decay of 1": (lambda p: ["--betas", "0.5", "1"], "betas 1.0: expected 0 to 0.999999"),
    "one of two": (lambda p: ["--data", pictures(p / "p"), "--lr", "1e-3", "-1"], "lr -1.0: expected 0 or more"),
    "both": (
        lambda p: ["--data", pictures(p / "p"), "--test", p / "p", "--test-classes", "1"],
        "both name the test data; give one of them",
    ),
    "NaN": (not_a_number, "bad.npz: 5120 of 5120 values are not finite; leave their images out, or correct them"),
    "augment": (lambda p: ["--data", pictures(p / "p"), "--augment", "blur"], "augment 'blur': 'blur' is unknown"),
    "name": (lambda p: ["--data", "mnits"], "mnits: no such file or folder"),
    "classes": (
        lambda p: ["--data", pictures(p / "p"), "--test-classes", "2"],
        "no labels; give --labels, or hold out none",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_bad_input(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make, message = CASES[name]
    assert dcgan_tiny(*make(tmp_path), "--out", tmp_path / "run") == 2
    printed = capsys.readouterr().err
    assert printed.startswith("error: ") and printed.count("\n") == 1 and message in printed
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("count", few([4, 12], 4))
def test_fewer_pictures_than_a_batch_will_do(count: int, tmp_path: Path) -> None:
    """And a run that was trained is not lost because there are too few images to measure it by
    neighbours."""
    assert dcgan_tiny("--data", pictures(tmp_path / "p", count), "--batch", "16", "--out", tmp_path / "run") == 0
    assert (tmp_path / "run" / "evaluation.json").exists() and (tmp_path / "run" / "model" / "G.safetensors").exists()


def test_a_class_that_was_never_trained_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    conditional = dcgan.TRAINER(replace(dcgan.PRESETS["tiny"], size=16, width=4, conditional=True))
    tiny.untrained(tmp_path / "run", conditional, ImageInfo(classes=("cat", "dog"), channels=1))
    assert tiny.multigen(["sample", "--model", tmp_path / "run", "--class", "cow", "--out", tmp_path / "s"]) == 2
    assert "class 'cow' is unknown; choose from cat, dog" in capsys.readouterr().err


def test_a_test_set_of_another_mode_is_made_to_fit(tmp_path: Path) -> None:
    Image.fromarray(tiny.pixels(16, 16)).save(pictures(tmp_path / "t", 6) / "more.png")
    grey = tmp_path / "p"
    grey.mkdir()
    for i in range(8):
        Image.fromarray(tiny.pixels(16, 16, seed=i)).convert("L").save(grey / f"{i}.png")
    assert dcgan_tiny("--data", grey, "--test", tmp_path / "t", "--out", tmp_path / "run") == 0


def test_samples_of_another_run_do_not_stay_among_new_ones(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    generator = dcgan.TRAINER(replace(dcgan.PRESETS["tiny"], size=16, width=4))
    tiny.untrained(tmp_path / "run", generator, ImageInfo(channels=1))
    words = ["sample", "--model", tmp_path / "run", "--out", tmp_path / "s"]
    assert tiny.multigen([*words, "-n", "5"]) == 0 and tiny.multigen([*words, "-n", "5", "--seed", "1"]) == 0
    capsys.readouterr()
    assert tiny.multigen([*words, "-n", "4"]) == 2
    assert "1 other samples would remain in it, such as 0004.png; choose another folder" in capsys.readouterr().err


def test_widths_that_do_not_divide_into_groups_are_named() -> None:
    with pytest.raises(
        ConfigError, match="width 56: 56 channels do not divide into groups of 16; take a multiple of 16"
    ):
        R3GANConfig(width=56)


def test_damaged_metadata_are_no_warning(tmp_path: Path) -> None:
    """Pillow warns of a noted orientation that is cut off; the image is whole."""
    path = tmp_path / "p.jpg"
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(tiny.pixels(16, 24)).save(path, exif=exif.tobytes()[:-8])
    for i in range(2):
        Image.fromarray(tiny.pixels(16, 24)).save(tmp_path / f"{i}.png")
    assert read_image(path).shape[0] == 3
    assert len(open_images(str(tmp_path), 16)) == 3 and len(open_photos(str(path))) == 1


def test_a_picture_of_a_very_long_side_is_refused(tmp_path: Path) -> None:
    """Its header may be damaged; reducing it takes a matrix of its side times its side."""
    Image.new("L", (12_289, 1)).save(tmp_path / "long.png")
    Image.new("L", (40, 40)).save(tmp_path / "p.png")
    with pytest.raises(
        DataError, match=r"long\.png: a side of 12,289 pixels, expected 12,288 at most; cut it into parts"
    ):
        open_photos(str(tmp_path))
    result = open_photos(str(tmp_path), skip_bad=True)
    assert [photo.name for photo in result] == ["p.png"] and len(result.skipped) == 1
