"""`multigen evaluate --pairs`: two folders of images matched by name."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from multigen.image.files import read_image
from multigen.image.metrics import psnr, psnr_y, ssim, ssim_y
from multigen.image.perceptual import open_perceptual
from tests import tiny

METRICS = ["psnr_y", "ssim_y", "psnr", "ssim", "efficientnet_lite0"]


def save(path: Path, pixels: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """Three images and, in another format, noisy versions of them: RGB, grey, transparent; and one
    in a folder, of 16 bits."""
    a, b, rng = tmp_path / "a", tmp_path / "b", np.random.default_rng(0)
    for i, channels in enumerate((3, 1, 4)):
        image = tiny.pixels(40, 48, seed=i)
        image = image[..., 0] if channels == 1 else np.dstack([image, image[..., :1]]) if channels == 4 else image
        save(a / f"{i}.png", image)
        save(b / f"{i}.tif", np.clip(image + rng.integers(-9, 10, image.shape), 0, 255).astype(np.uint8))
    for side, factor in ((a, 200), (b, 257)):
        save(side / "deep" / "3.png", tiny.pixels(40, 48, seed=3)[..., 0].astype(np.uint16) * factor)
    return a, b


def evaluate(*words: str | Path) -> int:
    return tiny.multigen(["evaluate", "--device", "cpu", *words])


def test_pairs_have_the_figures_of_everywhere(
    folders: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    a, b = folders
    out = tmp_path / "pairs.json"
    assert evaluate("--pairs", a, b, "--border", "2", "--json", "--out", out) == 0
    table = json.loads(capsys.readouterr().out)
    assert table == json.loads(out.read_text())
    assert [*table["pairs"]] == ["0.png", "1.png", "2.png", "deep/3.png"] and [*table["rows"]] == ["mean"]
    distance = open_perceptual("efficientnet_lite0")
    for name, row in table["pairs"].items():
        x, y = read_image(a / name), read_image(b / name if "deep" in name else (b / name).with_suffix(".tif"))
        with torch.no_grad():
            far = distance(x[None] / 255, y[None] / 255)
        expected = [psnr_y(y, x, 2), ssim_y(y, x, 2), psnr(y, x), ssim(y, x), far]
        assert [*row] == METRICS
        assert [*row.values()] == pytest.approx([each.item() for each in expected], rel=1e-5)
    for metric in METRICS:
        values = [row[metric] for row in table["pairs"].values()]
        assert table["rows"]["mean"][metric] == pytest.approx(sum(values) / 4)
    assert "2 pixels at each border left out" in table["definitions"]["psnr_y"]
    assert evaluate("--pairs", a, b, "--out", out) == 0  # over its own result
    message = capsys.readouterr().out
    assert message.split()[0] == "mean" and "no border left out" in message and "0.png" not in message


def test_what_does_not_match_is_listed_or_left_out(
    folders: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    a, b = folders
    save(a / "only.png", tiny.pixels(40, 48))
    save(b / "other.png", tiny.pixels(40, 48))
    save(b / "0.tif", tiny.pixels(20, 24))
    save(b / "1.jpg", tiny.pixels(40, 48))
    assert evaluate("--pairs", a, b) == 2
    message = capsys.readouterr().err
    for part in (
        "4 images without a pair",
        f"{a}/0.png has 48x40 pixels, {b}/0.tif 24x20",
        f"{a}/1.png has the name of another image",
        f"{a}/only.png has none in {b}",
        f"{b}/other.png has none in {a}",
        "--skip-bad",
    ):
        assert part in message
    assert message.count("\n") == 1
    assert evaluate("--pairs", a, b, "--skip-bad", "--json") == 0
    printed = capsys.readouterr()
    assert [*json.loads(printed.out)["pairs"]] == ["2.png", "deep/3.png"] and "4 images skipped" in printed.err


def test_pairs_that_cannot_be_measured(folders: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    a, b = folders
    for side in folders:
        save(side / "small.png", tiny.pixels(12, 40))
    assert evaluate("--pairs", a, b) == 2
    assert "small.png: 40x12 pixels, expected 16x16 at least" in capsys.readouterr().err
    (b / "2.tif").write_bytes((b / "2.tif").read_bytes()[:200])
    assert evaluate("--pairs", a, b, "--skip-bad", "--json") == 0
    assert [*json.loads(capsys.readouterr().out)["pairs"]] == ["0.png", "1.png", "deep/3.png"]
    for path in (a, b):
        for each in sorted(path.rglob("*.*")):
            if each.stem != "small":
                each.unlink()
    assert evaluate("--pairs", a, b, "--skip-bad") == 2
    assert "no pair is left to measure" in capsys.readouterr().err


def test_two_files_are_a_pair(folders: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    a, _ = folders
    assert evaluate("--pairs", a / "0.png", a / "2.png", "--json") == 0
    assert [*json.loads(capsys.readouterr().out)["pairs"]] == ["0.png"]
    assert evaluate("--pairs", a / "0.png", a / "0.png", "--json") == 0
    table = json.loads(capsys.readouterr().out)
    assert table["rows"]["mean"]["psnr"] == "Infinity" and "PSNR infinite" in table["remarks"]["equal"]


def test_options_that_do_not_fit_are_refused(
    folders: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    a, b = folders
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "a.txt").write_text("one\ntwo\n")
    for words, reason in (
        (["--pairs", "drums", "drums"], "--pairs: for images only, and drums holds sounds; give --real and --fake"),
        (["--pairs", tmp_path / "texts", tmp_path / "texts"], "holds texts; give --real and --fake"),
        (["--pairs", a, "drums"], "holds images, and drums sounds; expected two sets of one kind"),
        (["--pairs", a, b, "--features", "words"], "--features: not for --pairs of images; leave it out"),
        (["--pairs", a, b, "--size", "32"], "--size: not for --pairs of images; leave it out"),
        (["--pairs", a, b, "--real", a], "--real --pairs given: expected"),
        (["--pairs", a, b, "--border", "-1"], "--border -1: expected 0 pixels or more"),
        (["--pairs", a, b, "--border", "30"], "a border of 30 left out"),
        (["--real", a, "--fake", b, "--border", "1"], "--border: not for images"),
        (["--pairs", a, tmp_path / "gone"], "gone"),
    ):
        assert evaluate(*words) == 2
        assert reason in capsys.readouterr().err
