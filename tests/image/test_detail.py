"""Metrics of fine detail against closed cases."""

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from multigen.image.detail import detail, gradient_correlation, gradient_lengths, grid
from multigen.image.metrics import ImageScores

NOISE = torch.from_numpy(np.random.default_rng(0).normal(128, 20, (1, 160, 200)))


def test_detail_is_the_share_of_the_gradients_length() -> None:
    halved = (NOISE - 128) / 2 + 128
    assert detail(halved, NOISE).item() == pytest.approx(0.5, abs=1e-4)
    assert detail(NOISE, NOISE).item() == pytest.approx(1)
    assert detail(torch.zeros_like(NOISE), NOISE).item() == pytest.approx(0, abs=1e-4)


def test_flat_and_equal_images_have_finite_values() -> None:
    flat = torch.full_like(NOISE, 128)
    assert detail(flat, flat).item() == 1
    assert detail(NOISE, flat).isfinite()
    assert gradient_correlation(flat, flat).item() == 0
    assert grid(NOISE, NOISE, 4).item() == grid(flat + 3, flat, 4).item() == 0


def test_gradients_are_differences_of_neighbours() -> None:
    ramp = 3.0 * torch.arange(5)[:, None] + 4.0 * torch.arange(6)
    assert gradient_lengths(ramp).unique().tolist() == [5.0]
    assert gradient_lengths(ramp).shape == (4, 5)


def test_the_correlation_is_numpys_of_the_gradients_lengths() -> None:
    blurred = torch.from_numpy(gaussian_filter(NOISE.numpy(), (0, 1, 1)))
    lengths = [gradient_lengths(x).flatten().numpy() for x in (blurred, NOISE)]
    assert gradient_correlation(blurred, NOISE).item() == pytest.approx(np.corrcoef(lengths[0], lengths[1])[0, 1])
    assert gradient_correlation(torch.zeros_like(NOISE), NOISE).item() == 0


@pytest.mark.parametrize("period", [2, 3, 4, 8])
def test_a_lattice_is_seen_at_its_period_and_noise_is_not(period: int) -> None:
    rows, columns = torch.meshgrid(torch.arange(160), torch.arange(200), indexing="ij")
    lattice = torch.where((rows % period == 0) & (columns % period == 0), 30.0, 0.0)
    image = gaussian_filter(NOISE.numpy(), (0, 3, 3))
    noisy = torch.from_numpy(image) + torch.randn(1, 160, 200, generator=torch.Generator().manual_seed(1)) * 3
    assert grid(noisy, torch.from_numpy(image), period) < 5
    assert grid(noisy + lattice, torch.from_numpy(image), period) > 15


def test_a_period_of_one_and_small_images_have_no_grid() -> None:
    assert grid(NOISE, NOISE + 1, 1).item() == 0
    assert grid(NOISE[:, :31], NOISE[:, :31] + 1, 4).item() == 0


def test_they_are_metrics_of_images() -> None:
    target = torch.randint(0, 256, (2, 3, 96, 80), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    blurred = torch.from_numpy(gaussian_filter(target.numpy(), (0, 0, 1, 1)))
    scores = ImageScores(4, ("detail", "gradient_correlation", "grid"))
    scores.update(blurred, target)
    figures = scores.compute()
    assert 0 < figures["detail"] < 1
    assert 0 < figures["gradient_correlation"] < 1
    assert figures["grid"] > 0
