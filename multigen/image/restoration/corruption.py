"""Noise and JPEG compression of images in 0..1, for training and evaluating denoisers."""

import io
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from multigen.data.datasets import hash_of

__all__ = [
    "compressed",
    "draws_of",
    "is_grey",
    "nl_means",
    "noise_of",
    "noisy",
    "to_bytes",
    "to_grey",
    "total_variation",
]


def noisy(x: Tensor, sigma: float, rng: np.random.Generator) -> Tensor:
    """Adds white Gaussian noise of standard deviation `sigma` (of 255), (3, H, W) -> the same
    shape, neither rounded nor clipped; grey stays grey."""
    noise = rng.standard_normal((1 if is_grey(x) else 3, *x.shape[-2:]), dtype=np.float32)
    return x + torch.from_numpy(noise) * (sigma / 255)


def compressed(x: Tensor, quality: float) -> Tensor:
    """A JPEG round trip with 4:2:0 chroma subsampling: (3, H, W) -> the same shape; grey stays
    grey."""
    from PIL import Image

    planes = to_bytes(x[:1] if is_grey(x) else x)
    pixels = planes.permute(1, 2, 0).contiguous().numpy()
    file = io.BytesIO()
    Image.fromarray(pixels.squeeze(2) if len(planes) == 1 else pixels).save(file, "JPEG", quality=round(quality))
    read = torch.from_numpy(np.asarray(Image.open(file), np.float32) / 255)
    return (read.expand(3, -1, -1) if read.dim() == 2 else read.permute(2, 0, 1)).contiguous()


def to_bytes(x: Tensor) -> Tensor:
    """Quantises an image in 0..1 to 8 bits; uint8 is returned as it is."""
    return x if x.dtype == torch.uint8 else x.mul(255).round().clamp(0, 255).to(torch.uint8)


def to_grey(image: Tensor) -> Tensor:
    """The rounded luma of uint8 RGB (3, H, W), in all three channels."""
    red, green, blue = image.float()
    return (red * 0.299 + green * 0.587 + blue * 0.114).round().to(torch.uint8).expand(3, -1, -1)


def is_grey(x: Tensor) -> bool:
    """Whether the three channels of (3, H, W) are equal."""
    return bool(torch.equal(x[0], x[1]) and torch.equal(x[0], x[2]))


def draws_of(name: str) -> np.random.Generator:
    """A random generator seeded by a name, for reproducible test sets."""
    return np.random.default_rng(int.from_bytes(hash_of(name, 0)[:8]))


# ---------------------------------------------------------------------------------------------------- without training


def nl_means(image: Tensor) -> Tensor:
    """Non-local means (Buades et al. 2005) with an estimated noise level: uint8, or float32 in
    0..1, (3, H, W) -> uint8."""
    from skimage.restoration import denoise_nl_means

    def restore(pixels: np.ndarray, channels: int | None) -> np.ndarray:
        sigma = noise_of(pixels)
        if not sigma:
            return pixels
        return denoise_nl_means(pixels, 5, 6, 0.6 * sigma, fast_mode=True, sigma=sigma, channel_axis=channels)

    return _restored(image, restore)


def total_variation(image: Tensor) -> Tensor:
    """Total variation denoising (Chambolle 2004) with a weight tuned for JPEG: uint8, or float32 in
    0..1, (3, H, W) -> uint8."""
    from skimage.restoration import denoise_tv_chambolle

    return _restored(image, lambda pixels, channels: denoise_tv_chambolle(pixels, 0.015, channel_axis=channels))


def noise_of(pixels: np.ndarray) -> float:
    """Estimated standard deviation of white noise in an image (H, W) or (H, W, C): Immerkaer 1996,
    with the median absolute deviation."""
    residual = np.diff(np.diff(pixels, 2, axis=0), 2, axis=1)  # of white noise with standard deviation 6 sigma
    return float(np.median(np.abs(residual)) / 0.6745 / 6)


def _restored(image: Tensor, restore: Callable[[np.ndarray, int | None], np.ndarray]) -> Tensor:
    """Applies a function of float32 pixels in 0..1, (H, W, 3) or grey (H, W), and their channel
    axis to an image; returns uint8 (3, H, W)."""
    x = image.float() / 255 if image.dtype == torch.uint8 else image
    if is_grey(x):
        return to_bytes(torch.from_numpy(restore(x[0].numpy(), None))).repeat(3, 1, 1)
    return to_bytes(torch.from_numpy(restore(x.permute(1, 2, 0).numpy(), -1)).permute(2, 0, 1).contiguous())
