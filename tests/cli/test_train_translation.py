"""Training a translation through the command: what is refused, in one line that names it; and a run
of both methods without pairs."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from tests import tiny

SIDE = 24
SMALL = ["--size", "0", "--crop", "16", "--discriminator-layers", "1", "--device", "cpu", "--precision", "fp32"]


def flat(folder: Path, count: int, size: tuple[int, int] = (SIDE, SIDE), mode: str = "RGB") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(count):
        Image.new(mode, size, 10 * i if mode == "L" else (10 * i, 0, 0)).save(folder / f"{i}.png")
    return folder


def no_pair(folder: Path) -> list[str]:
    return ["pix2pix", "--data", str(flat(folder / "a", 4)), "--target", str(flat(folder / "b", 3))]


def pairs_of_different_sizes(folder: Path) -> list[str]:
    b = flat(folder / "b", 3, (SIDE, 2 * SIDE))
    return ["pix2pix", "--data", str(flat(folder / "a", 3)), "--target", str(b)]


def one_image(folder: Path) -> list[str]:
    return ["cut", "--data", str(flat(folder / "a", 1)), "--task", "night"]


def one_image_in_b(folder: Path) -> list[str]:
    return ["cyclegan", "--data", str(flat(folder / "a", 4)), "--target", str(flat(folder / "b", 1))]


def nothing_in_b(folder: Path) -> list[str]:
    return ["cyclegan", "--data", str(flat(folder / "a", 4)), "--target", str(folder / "b")]


def odd_width(folder: Path) -> list[str]:
    return ["pix2pix", "--data", str(flat(folder / "a", 3, (33, SIDE))), "--task", "halves"]


def smaller_than_the_crop(folder: Path) -> list[str]:
    return ["cyclegan", "--data", str(flat(folder / "a", 3, (12, 40))), "--task", "swap"]


def neither_task_nor_target(folder: Path) -> list[str]:
    return ["cut", "--data", str(flat(folder / "a", 3)), "--task", "none"]


def task_of_the_preset_and_target(folder: Path) -> list[str]:
    return ["cut", "--data", str(flat(folder / "a", 3)), "--target", str(folder / "a"), "--task", "swap"]


def another_direction(folder: Path) -> list[str]:
    return ["cyclegan", "--data", str(flat(folder / "a", 3)), "--direction", "AC"]


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (no_pair, "target: 1 image of 4 without a pair: 3.png has none"),
        (pairs_of_different_sizes, "has one of 24x48 pixels, expected 24x24"),
        (one_image, "1 image, expected at least 2"),
        (one_image_in_b, "1 image, expected at least 2"),
        (nothing_in_b, "no such file or folder"),
        (odd_width, "33x24 pixels, expected an even width"),
        (smaller_than_the_crop, "12x40 pixels, smaller than the crop of 16x16"),
        (neither_task_nor_target, "expected a second folder (--target), folders A and B in it"),
        (task_of_the_preset_and_target, "expected one of them; say --task none, or leave out --target"),
        (another_direction, "AC"),
    ],
)
def test_bad_data_are_refused_in_one_line(
    make: Callable[[Path], list[str]], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    method, *words = make(tmp_path)
    task = ["--task", "none"] if "--target" in words and "--task" not in words else []
    code = tiny.multigen(["train", method, "tiny", *words, *task, *SMALL[:6], "--out", tmp_path / "run"])
    printed = capsys.readouterr().err
    assert code == 2 and said in printed.replace("\n", " ") and "Traceback" not in printed
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("method", ["cyclegan", "cut"])
def test_two_folders_without_pairs(method: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A is grey, B has colours and other sizes; one of A's files is damaged."""
    a, b = flat(tmp_path / "a", 4, mode="L"), flat(tmp_path / "b", 5, (40, 30))
    (a / "9.png").write_bytes(b"no image")
    data = ["--data", a, "--target", b, "--task", "none", "--skip-bad", "--steps", "2"]
    assert tiny.multigen(["train", method, "tiny", *data, *SMALL, "--out", tmp_path / "run"]) == 0
    assert "9.png" in capsys.readouterr().err
    rows = json.loads((tmp_path / "run" / "evaluation.json").read_text())["rows"]
    assert {"input", "moments", "adversarial/last"} <= rows.keys() and "test/psnr" not in rows["input"]
    translated = ["translate", a / "0.png", "--model", tmp_path / "run", "--out", tmp_path / "ab.png"]
    assert tiny.multigen(translated) == 0
    with Image.open(tmp_path / "ab.png") as file:
        assert file.size == (SIDE, SIDE) and file.mode == "RGB"
    capsys.readouterr()
    back = ["translate", b / "0.png", "--model", tmp_path / "run", "--out", tmp_path / "ba.png", "--direction", "BA"]
    code = tiny.multigen(back)
    if method == "cyclegan":
        assert code == 0
        with Image.open(tmp_path / "ba.png") as file:
            assert file.size == (40, 30)
    else:
        assert code == 2 and "direction BA: the model was trained for AB" in capsys.readouterr().err
