"""Noise and JPEG compression of images in 0..1, as denoising is trained and measured with."""

import io

import numpy as np
import torch
from torch import Tensor

__all__ = ["compressed", "is_grey", "noisy", "to_bytes", "to_grey"]


def noisy(x: Tensor, sigma: float, rng: np.random.Generator) -> Tensor:
    """With independent Gaussian noise of standard deviation `sigma` of 255, (3, H, W) -> the same shape, neither rounded nor
    clipped; grey stays grey."""
    noise = rng.standard_normal((1 if is_grey(x) else 3, *x.shape[-2:]), dtype=np.float32)
    return x + torch.from_numpy(noise) * (sigma / 255)


def compressed(x: Tensor, quality: float) -> Tensor:
    """Written as JPEG, with colour at half the resolution, and read again: (3, H, W) -> the same shape; grey stays grey."""
    from PIL import Image

    planes = to_bytes(x[:1] if is_grey(x) else x)
    pixels = planes.permute(1, 2, 0).contiguous().numpy()
    file = io.BytesIO()
    Image.fromarray(pixels.squeeze(2) if len(planes) == 1 else pixels).save(file, "JPEG", quality=round(quality))
    read = torch.from_numpy(np.asarray(Image.open(file), np.float32) / 255)
    return (read.expand(3, -1, -1) if read.dim() == 2 else read.permute(2, 0, 1)).contiguous()


def to_bytes(x: Tensor) -> Tensor:
    """What a file of 8 bits holds of an image in 0..1, uint8; uint8 as it is."""
    return x if x.dtype == torch.uint8 else x.mul(255).round().clamp(0, 255).to(torch.uint8)


def to_grey(image: Tensor) -> Tensor:
    """The luma of uint8 RGB (3, H, W), 0..255, rounded, in all three channels."""
    red, green, blue = image.float()
    return (red * 0.299 + green * 0.587 + blue * 0.114).round().to(torch.uint8).expand(3, -1, -1)


def is_grey(x: Tensor) -> bool:
    """Whether the three channels of (3, H, W) are the same."""
    return bool(torch.equal(x[0], x[1]) and torch.equal(x[0], x[2]))
