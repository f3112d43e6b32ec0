"""Closed cases of the loss of a grid."""

import pytest
import torch

from multigen.losses import grid_error

SHAPE = (2, 3, 48, 64)


@pytest.mark.parametrize("period", [2, 4])
def test_a_grid_is_measured_by_its_deviation(period: int) -> None:
    real = torch.rand(SHAPE, generator=torch.Generator().manual_seed(0))
    n = period**2
    fake = real + 0.5  # the same for all pixels is no grid
    fake[..., 1::period, ::period] += 0.1  # one pixel of each square
    expected = 0.1 * (n - 1) ** 0.5 / n  # deviation of a value that is .1 in one of n cases
    torch.testing.assert_close(grid_error(fake, real, period), torch.tensor(expected), rtol=0.01, atol=0)


def test_texture_hardly_counts_and_nor_does_a_period_of_one() -> None:
    draws = torch.Generator().manual_seed(0)
    real, noise = torch.rand(SHAPE, generator=draws), 0.1 * torch.randn(SHAPE, generator=draws)
    assert grid_error(real + noise, real, 4) < 0.1 / 12 * 1.2  # of 12 x 12 squares 1 / 12 is left
    assert grid_error(real + noise, real, 1) < 2e-4


def test_a_grid_that_changes_its_sign_counts_and_small_images_do_too() -> None:
    real = torch.zeros(1, 1, 96, 96)
    fake = real.clone()
    fake[..., ::4, :] = 0.1
    fake[..., 48:, :] *= -1
    assert grid_error(fake, real, 4) > 0.5 * grid_error(fake.abs(), real, 4)
    small = torch.zeros(1, 1, 8, 8)
    assert grid_error(fake[..., :8, :8], small, 4) == pytest.approx(0.1 * 3**0.5 / 4, rel=1e-3)


def test_equal_images_have_gradients() -> None:
    image = torch.zeros(1, 1, 16, 16, requires_grad=True)
    grid_error(image, torch.zeros(1, 1, 16, 16), 4).backward()
    assert image.grad is not None and image.grad.isfinite().all()
