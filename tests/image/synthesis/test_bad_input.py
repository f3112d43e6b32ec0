"""More bad input of the methods that make images from noise than in test_bad_pictures.py: labels,
test images, damage."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from multigen.image.synthesis import evaluator as evaluator
from multigen.recipes import dcgan
from multigen.runs.runner import main
from multigen.tasks.synthesis.extractors import Extractor
from tests import tiny

Words = list[str | Path]
WORDS: Words = ["tiny", "--size", "16", "--steps", "2", "--batch", "4", "--width", "4", "--samples", "20"]
WORDS += ["--device", "cpu", "--precision", "fp32"]


def recipe(place: Path, *words: str | Path) -> int:
    """Exit code of `python -m multigen.recipes.dcgan WORDS`, run in this process, in
    `place`/run."""
    return tiny._run(lambda: main(dcgan.TRAINER, dcgan.PRESETS), [*WORDS, "--out", place / "run", *words])


def pictures(folder: Path, count: int = 12) -> Path:
    folder.mkdir(parents=True)
    for i in range(count):
        Image.fromarray(tiny.pixels(18, 16, seed=i)).save(folder / f"{i}.png")
    return folder


def classes(folder: Path) -> Path:
    for name in ("cat", "dog"):
        pictures(folder / name, 6)
    return folder


def spoilt(folder: Path) -> Path:
    (pictures(folder) / "bad.png").write_bytes(b"no image")
    return folder


def table(place: Path, *lines: str) -> Words:
    (place / "labels.csv").write_text("file,label\n" + "".join(f"{line}\n" for line in lines))
    return ["--data", pictures(place / "p"), "--labels", place / "labels.csv"]


CASES: dict[str, tuple[Callable[[Path], Words], str]] = {
    "no table": (
        lambda p: ["--data", pictures(p / "p"), "--labels", "no.csv"],
        r"labels 'no\.csv': expected none, name, first, or the path of a CSV file",
    ),
    "a table without a file": (
        lambda p: table(p, "0.png,a"),
        r"/p/1\.png: .*labels\.csv has no label for this file; add it",
    ),
    "a table that leaves the folder": (
        lambda p: table(p, "../p/0.png,a"),
        r"labels\.csv, line 2: file '\.\./p/0\.png'.*expected a path inside .*correct this line",
    ),
    "labels that are none": (
        lambda p: ["--data", "digits", "--labels", "name"],
        "labels 'name': digits holds no image files",
    ),
    "names without classes": (
        lambda p: ["--data", pictures(p / "p"), "--labels", "name"],
        r"/p/0\.png: expected CLASS_NAME in the file's name; rename it, or --labels none",
    ),
    "labels that are refused": (
        lambda p: ["--data", classes(p / "p"), "--labels", "none", "--conditional"],
        "/p has no labels; .*give --labels",
    ),
    "all classes held out": (
        lambda p: ["--data", classes(p / "p"), "--test-classes", "2"],
        "2 of 2 classes are to be held out, expected 0 to 1; hold out fewer",
    ),
    "no class left to learn": (
        lambda p: ["--data", classes(p / "p"), "--test-classes", "1", "--conditional"],
        "no labels",
    ),
    "a class that there is not": (
        lambda p: ["--data", classes(p / "p"), "--classes", "a", "zebra"],
        "classes 'zebra': .*/p has ",
    ),
    "classes of none": (
        lambda p: ["--data", pictures(p / "p"), "--classes", "a"],
        "classes a: .*/p has no classes; sort the images into one folder per class, or give --labels",
    ),
    "more to train on than there are": (
        lambda p: ["--data", pictures(p / "p"), "--train-size", "99"],
        r"train_size 99: .*/p has \d+ images to train on; expected 2 to \d+, or 0 for all",
    ),
    "no test set": (
        lambda p: ["--data", pictures(p / "p"), "--test", p / "gone"],
        "/gone: no such file or folder",
    ),
    "one test image": (
        lambda p: ["--data", pictures(p / "p"), "--test", pictures(p / "t", 1)],
        "/t: 1 image, expected at least 2; add images",
    ),
    "damaged": (lambda p: ["--data", spoilt(p / "p")], r"/p/bad\.png: expected an image.*--skip-bad"),
    "damaged for testing": (
        lambda p: ["--data", pictures(p / "p"), "--test", spoilt(p / "t")],
        r"/t/bad\.png: expected an image.*--skip-bad",
    ),
    "an empty folder": (lambda p: ["--data", p], "no images in this folder; expected files ending in .*png"),
    "channels": (
        lambda p: ["--data", pictures(p / "p"), "--channels", "2"],
        r"channels 2, .*: expected .*0, 1, 3 or \(with opacity\) 4 channels",
    ),
    "a classifier of nothing": (
        lambda p: ["--data", pictures(p / "p"), "--features", "classifier"],
        "extractor classifier: the images have no labels; take efficientnet_lite0",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_bad_input_is_one_line_with_the_value_and_the_remedy(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MULTIGEN_DATA", raising=False)
    make, message = CASES[name]
    assert recipe(tmp_path, *make(tmp_path)) == 2
    printed = capsys.readouterr()
    assert re.fullmatch(f"error: .*{message}.*\n", printed.err), printed.err
    assert printed.out == "" and not (tmp_path / "run").exists()


@pytest.mark.parametrize("size", ["15", "48", "257"])
def test_the_nearest_sizes_are_named(size: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    nearest = {"15": "16 and 32", "48": "32 and 64", "257": "128 and 256"}[size]
    assert recipe(tmp_path, "--data", pictures(tmp_path / "p"), "--size", size) == 2
    printed = capsys.readouterr().err
    assert printed == f"error: size {size}: the network doubles 4 pixels; the nearest it has are {nearest}\n"


@pytest.mark.parametrize("where", ["--data", "--test"])
def test_damaged_pictures_that_are_skipped_are_counted_and_the_first_is_named(
    where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    quick = Extractor(lambda image: (image.float().mean((2, 3)), None))
    monkeypatch.setattr(evaluator, "open_extractor", lambda *arguments: quick)
    monkeypatch.setenv("MULTIGEN_CACHE", str(tmp_path / "cache"))
    other = "--test" if where == "--data" else "--data"
    words = [
        where,
        spoilt(tmp_path / "bad"),
        other,
        pictures(tmp_path / "good"),
        "--skip-bad",
        "--validation-size",
        "0",
    ]
    assert recipe(tmp_path, *words) == 0
    printed = capsys.readouterr()
    message = printed.out + printed.err
    assert "1 image skipped" in message and str(tmp_path / "bad" / "bad.png") in message
