"""Degradation of images: bicubic reduction as MATLAB's `imresize` does it.

Super-resolution is measured on images reduced by that function, and other bicubic filters (most of
all those without antialiasing) shift the figures by whole decibels. The kernel is Keys 1981, "Cubic
convolution interpolation for digital image processing", with a = -1/2.
"""

import functools
import math
from collections.abc import Callable

import torch
from torch import Tensor

from multigen.errors import ConfigError, DataError

__all__ = ["Degrade", "imresize", "reduced"]

Degrade = Callable[[Tensor, str], Tensor]
"""(whole image, uint8 (3, H, W); its name) -> what is restored from it, uint8 (C, H / scale, W /
scale). The same each time."""


def imresize(image: Tensor, scale: float | tuple[int, int]) -> Tensor:
    """Bicubic resizing: kernel widened by 1/scale when shrinking, images mirrored at their borders.

    Args:
        image: (..., H, W), float32 or float64 of any range, or uint8. Floats are differentiable and
            may overshoot their range; uint8 is computed in float64 and, as in MATLAB, rounded half
            up and clamped after *each* of the two passes (the direction that shrinks most comes
            first; rows, if equal).
        scale: factor for both directions (the result has ceil(H * scale) rows and ceil(W * scale)
            columns), or the (height, width) of the result, pixels.

    Returns:
        (..., H', W') of the same type and device.

    Raises:
        ConfigError: the scale is not above 0.
        DataError: the image is of another type, or empty.
    """
    if image.dtype not in (torch.float32, torch.float64, torch.uint8):
        raise DataError(f"imresize: float32, float64 or uint8 expected, got {image.dtype}; convert with .float() first")
    if image.ndim < 2 or 0 in image.shape[-2:]:
        raise DataError(f"imresize: an image (..., H, W) of at least one pixel expected, got {tuple(image.shape)}")
    sides = image.shape[-2:]
    if not min(scale if isinstance(scale, tuple) else (scale,)) > 0:
        raise ConfigError(f"imresize: scale {scale} given, expected a factor or a (height, width) above 0")
    if isinstance(scale, tuple):
        sizes, factors = scale, [length / side for length, side in zip(scale, sides, strict=True)]
    else:
        sizes, factors = [math.ceil(side * scale) for side in sides], [scale, scale]

    whole = image.dtype == torch.uint8
    x = image.double() if whole else image
    for factor, dim in sorted(zip(factors, (-2, -1), strict=True)):
        weights = _weights(sides[dim], sizes[dim], factor, x.dtype, x.device)
        with torch.autocast(x.device.type, enabled=False):
            x = weights @ x if dim == -2 else x @ weights.mT  # (..., H', W), then (..., H', W')
        if whole:
            # The small addend lets an exact half round up whatever the order of summation made of it.
            x = (x + (0.5 + 1e-9)).floor_().clamp_(0, 255)
    return x.to(image.dtype)


def reduced(image: Tensor, scale: int) -> Tensor:
    """Bicubic reduction (..., H / scale, W / scale) of an image (..., H, W), H and W multiples of
    the scale, by `imresize`."""
    return imresize(image, (image.shape[-2] // scale, image.shape[-1] // scale))


@functools.lru_cache(maxsize=16)
def _weights(side: int, size: int, scale: float, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Matrix (size, side) that resizes one direction; rows sum to 1."""
    shrink = min(scale, 1.0)
    support = 4 / shrink  # width of the widened kernel
    with torch.inference_mode(False):  # cached: it must serve autograd too
        centre = (torch.arange(size, dtype=torch.float64) + 0.5) / scale - 0.5  # (size,) in pixels of the input
        left = torch.floor(centre - support / 2)
        taps = left[:, None] + torch.arange(math.ceil(support) + 2)  # (size, taps)
        weights = _cubic((centre[:, None] - taps) * shrink)
        weights = weights / weights.sum(dim=1, keepdim=True)
        place = taps.long() % (2 * side)  # mirrored: 0 .. side-1, side-1 .. 0
        place = torch.where(place < side, place, 2 * side - 1 - place)
        matrix = torch.zeros(size, side, dtype=torch.float64).scatter_add_(1, place, weights)
        return matrix.to(dtype).to(device)


def _cubic(x: Tensor) -> Tensor:
    """Keys 1981, equation 15: the kernel with a = -1/2."""
    x = x.abs()
    inner = 1.5 * x**3 - 2.5 * x**2 + 1
    outer = -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
    return torch.where(x <= 1, inner, torch.where(x <= 2, outer, 0.0))
