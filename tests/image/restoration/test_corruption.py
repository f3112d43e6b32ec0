"""Noise and JPEG compression of images, and the denoisers without training that models are compared
with."""

import io
import math

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from multigen.image.metrics import psnr
from multigen.image.restoration.corruption import (
    compressed,
    draws_of,
    is_grey,
    nl_means,
    noise_of,
    noisy,
    to_bytes,
    to_grey,
    total_variation,
)
from tests.tiny import pixels


@pytest.fixture(scope="module")
def colour() -> Tensor:
    return torch.from_numpy(pixels(64, 80)).permute(2, 0, 1).contiguous()


@pytest.fixture(scope="module")
def smooth() -> Tensor:
    """uint8 (3, 64, 80), without noise of its own."""
    y, x = torch.meshgrid(torch.arange(64.0), torch.arange(80.0), indexing="ij")
    planes = [128 + 60 * torch.sin(x / (5 + i)) * torch.cos(y / 9) + 40 * (x > 40) for i in range(3)]
    return torch.stack(planes).round().to(torch.uint8)


def test_noise_has_its_deviation_and_is_not_clipped() -> None:
    x = torch.tensor([0.0, 0.1, 0.2]).reshape(3, 1, 1).expand(3, 200, 200)
    noise = noisy(x, 25, np.random.default_rng(0)) - x
    assert noise.std().item() * 255 == pytest.approx(25, rel=0.02) and (x + noise).min() < 0
    assert not is_grey(noise)
    assert abs(np.corrcoef(noise[0].ravel(), noise[1].ravel())[0, 1]) < 0.02
    assert torch.equal(noisy(x, 0, np.random.default_rng(0)), x)


def test_grey_images_stay_grey(colour: Tensor) -> None:
    x = to_grey(colour).float() / 255
    assert is_grey(x) and is_grey(noisy(torch.rand(1, 9, 9).expand(3, -1, -1), 25, np.random.default_rng(0)))
    assert is_grey(compressed(x, 10)) and not is_grey(compressed(colour.float() / 255, 10))
    assert is_grey(nl_means(noisy(x, 25, np.random.default_rng(0)))) and is_grey(total_variation(x))


def test_grey_is_the_luma_of_pillow(colour: Tensor) -> None:
    expected = np.asarray(Image.fromarray(colour.permute(1, 2, 0).numpy()).convert("L"), np.int16)
    assert np.abs(to_grey(colour)[0].numpy().astype(np.int16) - expected).max() <= 1


@pytest.mark.parametrize("grey", [False, True])
def test_jpeg_is_what_pillow_writes(colour: Tensor, grey: bool) -> None:
    image = to_grey(colour) if grey else colour
    picture = Image.fromarray(image[0].numpy() if grey else image.permute(1, 2, 0).numpy())
    picture.save(file := io.BytesIO(), "JPEG", quality=30)
    expected = np.asarray(Image.open(file))
    result = compressed(image.float() / 255, 30.4)
    assert result.shape == image.shape and result.dtype == torch.float32
    assert np.array_equal(to_bytes(result)[0].numpy(), expected if grey else expected[..., 0])


def test_bytes_are_rounded_and_clipped() -> None:
    x = torch.tensor([-0.2, 0.4, 100.6 / 255, 1.7])
    assert to_bytes(x).tolist() == [0, 102, 101, 255]
    assert to_bytes(to_bytes(x)) is not None and to_bytes(to_bytes(x)).tolist() == [0, 102, 101, 255]


def test_draws_follow_from_the_name() -> None:
    assert draws_of("a").random() == draws_of("a").random() != draws_of("b").random()


@pytest.mark.parametrize("sigma", [5, 25, 50])
def test_the_strength_of_noise_is_estimated(smooth: Tensor, sigma: float) -> None:
    x = noisy(smooth.float() / 255, sigma, np.random.default_rng(0))
    assert noise_of(x.permute(1, 2, 0).numpy()) * 255 == pytest.approx(sigma, rel=0.1)


@pytest.mark.parametrize("grey", [False, True])
def test_denoisers_without_training_are_better_than_the_input(smooth: Tensor, grey: bool) -> None:
    target = to_grey(smooth) if grey else smooth
    x = noisy(target.float() / 255, 25, np.random.default_rng(0))
    assert psnr(nl_means(x), target) > psnr(x, target) + 5
    jpeg = compressed(target.float() / 255, 5)
    assert psnr(total_variation(to_bytes(jpeg)), target) > psnr(jpeg, target) + 0.2


def test_a_flat_image_has_no_noise_to_remove() -> None:
    flat = torch.full((3, 20, 20), 90, dtype=torch.uint8)
    assert torch.equal(nl_means(flat), flat) and torch.equal(total_variation(flat), flat)


def test_the_psnr_of_noise_is_its_definition(smooth: Tensor) -> None:
    x = noisy(smooth.float() / 255, 50, np.random.default_rng(0))
    assert psnr(x, smooth).item() == pytest.approx(20 * math.log10(255 / 50), abs=0.1)
