"""Blind degradation: kernels against their formulas, draws that follow from their keys, what each
strength does."""

import math

import numpy as np
import pytest
import torch
from scipy.ndimage import convolve
from torch import Tensor

from multigen.image.degrade import reduced
from multigen.image.restoration import blind
from multigen.image.restoration.blind import STRENGTHS, degrade, degrade_named, sharpened
from multigen.image.restoration.kernels import blur, gaussian, random_gaussian, sinc
from tests import tiny


@pytest.fixture(scope="module")
def image() -> Tensor:
    return torch.from_numpy(tiny.pixels(48, 64)).permute(2, 0, 1).contiguous()


def test_gaussian_kernels_have_the_widths_asked_for() -> None:
    across, along, angle = 1.5, 3.0, 0.6
    kernel = gaussian(41, across, along, angle).double()
    y, x = (side - 20.0 for side in torch.meshgrid(torch.arange(41.0), torch.arange(41.0), indexing="ij"))
    covariance = torch.stack([(kernel * a * b).sum() for a in (x, y) for b in (x, y)]).reshape(2, 2)
    turn = torch.tensor([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    expected = turn @ torch.diag(torch.tensor([across**2, along**2])) @ turn.T
    assert kernel.sum().item() == pytest.approx(1, abs=1e-6)
    assert torch.allclose(covariance.float(), expected, atol=0.01)


def test_other_shapes_are_their_formulas() -> None:
    row = gaussian(9, 2.0, shape=0.5)[4].double()
    ratios = torch.tensor([math.exp(-abs(i / 2) / 2) for i in range(-4, 5)], dtype=torch.float64)
    assert torch.allclose(row / row[4], ratios, atol=1e-6)
    row = gaussian(9, 2.0, shape=2.0, plateau=True)[4].double()
    ratios = torch.tensor([1 / (1 + (i / 2) ** 4) for i in range(-4, 5)], dtype=torch.float64)
    assert torch.allclose(row / row[4], ratios, atol=1e-6)


def test_sinc_passes_what_is_below_its_cutoff_and_nothing_above() -> None:
    spectrum = torch.fft.fft2(sinc(61, math.pi / 2), (256, 256)).abs()
    assert spectrum[0, 32].item() == pytest.approx(1, abs=0.06)  # pi / 4
    assert spectrum[0, 96].item() == pytest.approx(0, abs=0.06)  # 3 pi / 4
    assert sinc(7, math.pi / 2).sum().item() == pytest.approx(1, abs=1e-6)


def test_blur_is_a_convolution_with_mirrored_borders() -> None:
    x = torch.rand(2, 9, 11)
    kernel = random_gaussian(np.random.default_rng(0), 7, (0.5, 2.0))
    expected = np.stack([convolve(plane, kernel.numpy()[::-1, ::-1], mode="mirror") for plane in x.numpy()])
    assert np.allclose(blur(x, kernel).numpy(), expected, atol=1e-5)
    assert blur(torch.rand(3, 2, 2), kernel).shape == (3, 2, 2)  # smaller than the kernel


@pytest.mark.parametrize("strength", ["none", "mild", "strong"])
@pytest.mark.parametrize("scale", [1, 2, 4])
def test_a_degradation_has_the_size_of_the_reduction_and_follows_from_its_key(
    image: Tensor, strength: blind.Strength, scale: int
) -> None:
    low = degrade_named(image, scale, strength, "a")
    assert low.dtype == torch.uint8 and low.shape == (3, 48 // scale, 64 // scale)
    assert torch.equal(low, degrade_named(image, scale, strength, "a"))
    same = torch.equal(low, degrade_named(image, scale, strength, "b"))
    assert same == (strength == "none")
    if strength == "none":
        assert torch.equal(low, reduced(image, scale))


def test_strong_destroys_more_than_mild(image: Tensor) -> None:
    clean = reduced(image, 2).float()

    def error(strength: blind.Strength) -> float:
        errors = [(degrade(image, 2, strength, np.random.default_rng(i)) - clean).abs().mean() for i in range(20)]
        return torch.stack(errors).mean().item()

    assert 1 < error("mild") < 0.6 * error("strong")


def test_noise_has_the_strength_that_was_drawn() -> None:
    first = STRENGTHS["strong"][0]
    grey = torch.full((3, 200, 200), 0.5)
    stds, alike = [], []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        noise = blind._noisy(grey, first, rng) - grey
        stds.append(noise.std().item() * 255)
        alike.append(torch.equal(noise[0], noise[1]))
    assert 0 < min(stds) < 6 and 15 < max(stds) < 300
    assert 0.2 < np.mean(alike) < 0.6  # grey noise in four of ten


def test_jpeg_is_that_of_its_quality(image: Tensor) -> None:
    x = image.float() / 255
    errors = [(blind.compressed(x, quality) - x).square().mean().item() for quality in (95, 60, 30)]
    assert 0 < errors[0] < errors[1] < errors[2] < 0.01


def test_sharpening_raises_edges_and_leaves_smooth_parts() -> None:
    step = torch.full((3, 64, 64), 100, dtype=torch.uint8)
    step[:, :, 32:] = 180
    sharp = sharpened(step).int()
    assert sharp[0, 32, 33] > 185 and sharp[0, 32, 30] < 95
    gentle = torch.linspace(100, 110, 64).round().to(torch.uint8).expand(3, 64, 64)
    assert torch.equal(sharpened(gentle), gentle)
