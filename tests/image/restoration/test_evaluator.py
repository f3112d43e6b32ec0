"""Scores of restoration against their parts, and the image that compares models."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from multigen.image.degrade import imresize, reduced
from multigen.image.metrics import psnr_y, ssim_y
from multigen.image.perceptual import open_perceptual
from multigen.image.restoration.evaluator import comparison, score
from multigen.image.restoration.test_sets import TestSet, open_test_set
from tests.tiny import pixels


def image_of(height: int, width: int, seed: int = 0) -> Tensor:
    """uint8 (3, H, W)."""
    return torch.from_numpy(pixels(height, width, seed)).permute(2, 0, 1)


def half(image: Tensor, name: str = "") -> Tensor:
    return reduced(image, 2)


def bicubic(image: Tensor) -> Tensor:
    return imresize(image, 2)


def nearest(image: Tensor) -> Tensor:
    """Stands for a model."""
    return image.repeat_interleave(2, 1).repeat_interleave(2, 2)


def test_scores_are_means_over_the_images_of_a_set(tmp_path: Path) -> None:
    for name, sizes in (("a", [(40, 48), (56, 36)]), ("b", [(44, 44)])):
        (tmp_path / name).mkdir()
        for i, size in enumerate(sizes):
            Image.fromarray(pixels(*size, seed=i)).save(tmp_path / name / f"{i}.png")
    sets = [open_test_set(str(tmp_path / name), 2, half) for name in ("a", "b")]
    distance = open_perceptual("efficientnet_lite0")
    rows = score({"bicubic": bicubic, "ours": nearest}, sets, [distance], torch.device("cpu"))

    assert list(rows) == ["bicubic", "ours"]
    for row, enlarge in (("bicubic", bicubic), ("ours", nearest)):
        for test in sets:
            pairs = [(enlarge(given), target) for given, target in zip(test.inputs, test.targets, strict=True)]
            far = [distance(a[None] / 255, b[None] / 255).item() for a, b in pairs]
            expected = {
                f"{test.name}/psnr_y": np.mean([psnr_y(a, b, 2).item() for a, b in pairs]),
                f"{test.name}/ssim_y": np.mean([ssim_y(a, b, 2).item() for a, b in pairs]),
                f"{test.name}/efficientnet_lite0": np.mean(far),
            }
            assert {k: v for k, v in rows[row].items() if k in expected} == pytest.approx(expected, rel=1e-5)
        assert len(rows[row]) == 6
    assert rows["bicubic"]["a/psnr_y"] != rows["ours"]["a/psnr_y"]


# -- comparison --------------------------------------------------------------------------------------------------


def sheet_cell(sheet: Image.Image, row: int, column: int, side: int) -> np.ndarray:
    """The crop at a place of the sheet, at the size it had before it was doubled: (side, side,
    3)."""
    top, left = 16 + row * (2 * side + 4), column * (2 * side + 4)
    return np.asarray(sheet)[top : top + 2 * side : 2, left : left + 2 * side : 2]


def test_the_comparison_shows_the_busiest_crop_of_each() -> None:
    image = np.full((96, 112, 3), 90, np.uint8)
    image[64:96, 48:80] = np.random.default_rng(0).integers(0, 256, (32, 32, 3))
    targets = [torch.from_numpy(image).permute(2, 0, 1), image_of(40, 44), image_of(20, 24)]
    inputs = [*map(half, targets)]
    test = TestSet("set", 2, ("a", "b", "c"), tuple(targets), tuple(inputs))
    sheet = comparison({"bicubic": bicubic, "ours": nearest}, test, side=32)

    assert sheet.size == (3 * (2 * 32 + 4), 3 * (2 * 32 + 4) + 16)
    window = np.s_[64:96, 48:80]
    assert np.array_equal(sheet_cell(sheet, 0, 2, 32), image[window])
    for column, enlarged in ((0, bicubic(inputs[0])), (1, nearest(inputs[0]))):
        assert np.array_equal(sheet_cell(sheet, 0, column, 32), enlarged.permute(1, 2, 0).numpy()[window])
    # An image smaller than a crop is shown whole.
    assert np.array_equal(sheet_cell(sheet, 2, 2, 32)[:20, :24], targets[2].permute(1, 2, 0).numpy())
    assert (np.asarray(sheet)[:16, :204] < 255).any()  # names


def test_the_comparison_shows_four_images_at_most() -> None:
    targets = tuple(image_of(24, 24, seed) for seed in range(3))
    test = TestSet("set", 2, ("a", "b", "c"), targets, tuple(map(half, targets)))
    sheet = comparison({"bicubic": bicubic}, test, test, side=16)
    assert sheet.size == (2 * (2 * 16 + 4), 4 * (2 * 16 + 4) + 16)
    first, again, second, _ = (sheet_cell(sheet, row, 1, 16) for row in range(4))
    assert np.array_equal(first, again) and not np.array_equal(first, second), "of the sets by turns"
