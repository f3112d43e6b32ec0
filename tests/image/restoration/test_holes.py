"""Metrics of filled holes against closed forms, and what fills holes without training."""

import numpy as np
import pytest
import torch

from multigen.image.restoration.holes import METRICS, biharmonic, central, composed, masked, mean_colour, smooth


def given_with(hole: np.ndarray, value: int = 100) -> tuple[torch.Tensor, torch.Tensor]:
    """A plain image, and the same with a hole."""
    image = torch.full((3, *hole.shape), value, dtype=torch.uint8)
    return image, masked(image, hole)


def square(side: int = 16) -> np.ndarray:
    hole = np.zeros((side, side), bool)
    hole[4:8, 4:8] = True
    return hole


def test_what_a_network_is_given() -> None:
    image, given = given_with(square())
    assert given.dtype == torch.uint8 and given.shape == (4, 16, 16)
    assert given[:, 5, 5].tolist() == [0, 0, 0, 255] and given[:, 0, 0].tolist() == [100, 100, 100, 0]
    assert torch.equal(composed(given, image), image)
    assert composed(given, torch.zeros_like(image)).sum() == 3 * 100 * (256 - 16)


def test_psnr_is_of_the_hole_alone() -> None:
    image, given = given_with(square())
    wrong = image.clone()
    wrong[:, 4:8, 4:8] += 10
    wrong[:, 0, 0] = 0  # outside
    assert METRICS["psnr_hole"](wrong, image, given) == pytest.approx(20 * np.log10(255 / 10))
    assert METRICS["psnr_hole"](image, image, given) == 60


def test_the_seam_is_the_step_across_the_edge_beside_the_original() -> None:
    image, given = given_with(square())
    assert METRICS["seam"](image, image, given) == 1
    brighter = image.clone()
    brighter[:, 4:8, 4:8] += 20
    step = 20 * (65.481 + 128.553 + 24.966) / 255
    assert METRICS["seam"](brighter, image, given) == pytest.approx(1 + step)
    assert METRICS["seam"](image, brighter, given) == pytest.approx(1 / (1 + step))
    inner = image.clone()
    inner[:, 5:7, 5:7] += 20  # touches no edge
    assert METRICS["seam"](inner, image, given) == 1


def test_baselines_keep_what_is_known() -> None:
    ramp = torch.arange(16, dtype=torch.uint8).mul(8).expand(3, 16, 16).contiguous()
    given = masked(ramp, square())
    known = given[3] == 0
    filled = {f.__name__: f(given) for f in (mean_colour, biharmonic, smooth)}
    assert all(torch.equal(image[:, known], ramp[:, known]) for image in filled.values())
    mean = ramp[0][known].double().mean().round()
    assert (filled["mean_colour"][:, ~known] == mean).all()
    assert (filled["biharmonic"].int() - ramp.int()).abs().max() <= 1, "a ramp is its own smoothest surface"
    assert (filled["smooth"].int() - ramp.int()).abs().max() <= 8


def test_the_middle_of_an_image() -> None:
    image = torch.arange(7 * 10).reshape(1, 7, 10).expand(3, 7, 10)
    assert central(image, 4)[0].tolist() == image[0, 1:5, 3:7].tolist()
    assert central(image, 8).shape == (3, 7, 8) and central(image, 50).shape == (3, 7, 10)
