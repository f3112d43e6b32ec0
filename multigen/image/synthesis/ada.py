"""The augmentations of ADA: flips, quarter turns, shifts, scales, rotations; colours. Karras et al.
2020, arXiv:2006.06676, appendix B.

All changes of place of an image are one affine map, which is sampled once, between a twofold up-
and downsampling by an orthogonal wavelet; all changes of colour are one matrix. Each is applied to
a sample with a probability; a sample to which none is applied stays as it is, bit by bit. Equal
draws give equal images.
"""

import functools
import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import conv2d, conv_transpose2d, grid_sample, pad

__all__ = ["PIPELINES", "recoloured", "warped"]

PIPELINES = ("blit", "bg", "bgc")
"""Names of the authors: whole pixels alone, all changes of place, colours as well."""
Rand = Callable[..., Tensor]
"""rand(name, *shape): uniform numbers in [0, 1), (B, *shape)."""

SYM6 = (
    *(0.015404109327027373, 0.0034907120842174702, -0.11799011114819057, -0.048311742585633),
    *(0.4910559419267466, 0.787641141030194, 0.3379294217276218, -0.07263752278646252),
    *(-0.021060292512300564, 0.04472490177066578, 0.0017677118642428036, -0.007800708325034148),
)
"""The low-pass filter of Daubechies' least asymmetric wavelet of 12 taps."""
BORDER = 3  # pixels around an image that the filter needs
CENTRE = sum(i * tap for i, tap in enumerate(SYM6)) / sum(SYM6)
OFFSET = (len(SYM6) / 2 - 0.5 - CENTRE) / 2
"""Pixels by which the filter moves an image, being not quite symmetric."""


# ---------------------------------------------------------------------------------------------------- place


def warped(image: Tensor, geometry: bool, rand: Rand, share: float) -> Tensor:
    """Images (B, C, H, W), each moved by its own affine map; what comes in is a reflection.

    Args:
        geometry: also scales, rotations, aspects and fractional shifts, not only flips, quarter
            turns and shifts by whole pixels.
        share: probability of each.
    """
    matrix, shift, changed = _affine(image, geometry, rand, share)
    result = _sampled(image.to(matrix.dtype), matrix, shift).to(image)
    return torch.where(changed[:, None, None, None], result, image)


def _affine(image: Tensor, geometry: bool, rand: Rand, share: float) -> tuple[Tensor, Tensor, Tensor]:
    """The map of each result's place to where it comes from, p -> matrix p + shift, in pixels from
    the middle; and which images are changed, (B,)."""
    draws = _Draws(rand, share)
    flip = draws("flip", lambda u: 1 - 2 * (u[:, 0] < 0.5).to(u), 1.0)
    turn = draws("turn", lambda u: (4 * u[:, 0]).floor() * (math.pi / 2), 0.0)
    one = torch.ones_like(flip)
    sides = one.new_tensor(image.shape[:1:-1])  # width, height: x is first
    moved = draws("shift", lambda u: ((2 * u - 1) * 0.125 * sides).round(), 0.0)
    matrix = _diagonal(flip, one) @ _rotation(-turn)
    shift = _times(matrix, -moved)
    if geometry:
        rotations = 1 - math.sqrt(1 - share)  # of two, so that an image is rotated with probability `share`
        scale = draws("scale", lambda u: torch.exp2(0.2 * _normal(u[:, 0])), 1.0)
        first = draws("rotation", lambda u: (2 * u[:, 0] - 1) * math.pi, 0.0, rotations)
        aspect = draws("aspect", lambda u: torch.exp2(0.2 * _normal(u[:, 0])), 1.0)
        second = draws("later_rotation", lambda u: (2 * u[:, 0] - 1) * math.pi, 0.0, rotations)
        moved = draws("fraction", lambda u: 0.125 * _normal(u) * sides, 0.0)
        matrix = matrix @ _diagonal(1 / scale, 1 / scale) @ _rotation(-first)
        matrix = matrix @ _diagonal(1 / aspect, aspect) @ _rotation(-second)
        shift = shift + _times(matrix, -moved)
    return matrix, shift, draws.changed


class _Draws:
    """Draws of transformations by name; `changed` says which samples any of them is applied to."""

    def __init__(self, rand: Rand, share: float):
        self.rand, self.share = rand, share
        self.changed = torch.zeros(())

    def __call__(self, name: str, of: Callable[[Tensor], Tensor], neutral: float, share: float | None = None) -> Tensor:
        """`of`: two uniform numbers (B, 2) -> (B,) or (B, 2); `neutral` where it is not
        applied."""
        value = of(self.rand(name, 2))
        applied = self.rand(f"{name}/share", 1)[:, 0] < (self.share if share is None else share)
        self.changed = applied if self.changed.ndim == 0 else self.changed | applied
        return torch.where(applied if value.ndim == 1 else applied[:, None], value, neutral)


def _normal(u: Tensor) -> Tensor:
    """Uniform numbers as normal ones, which stay within 5 deviations."""
    return math.sqrt(2) * torch.erfinv((2 * u - 1).clamp(-1 + 1e-6, 1 - 1e-6))


def _diagonal(a: Tensor, b: Tensor) -> Tensor:
    return torch.diag_embed(torch.stack([a, b], 1))  # (B, 2, 2)


def _rotation(angle: Tensor) -> Tensor:
    cos, sin = angle.cos(), angle.sin()
    return torch.stack([torch.stack([cos, -sin], 1), torch.stack([sin, cos], 1)], 1)  # (B, 2, 2)


def _times(matrix: Tensor, vector: Tensor) -> Tensor:
    return (matrix @ vector[..., None])[..., 0]


def _sampled(image: Tensor, matrix: Tensor, shift: Tensor) -> Tensor:
    """Images (B, C, H, W) at the places that an affine map gives."""
    channels, (height, width) = image.shape[1], image.shape[2:]
    column, row = _filters(channels, image.dtype, image.device)
    start, more = len(SYM6) - 1, 2 * BORDER - 1  # of the whole result of the filter; places around the image, doubled

    up = pad(image, [BORDER] * 4, mode="reflect")
    up = conv_transpose2d(up, column, stride=(2, 1), groups=channels)[:, :, start : start + 2 * height]
    up = conv_transpose2d(up, row, stride=(1, 2), groups=channels)[:, :, :, start : start + 2 * width]

    def places(side: int) -> Tensor:  # of the doubled result, in pixels from the middle
        return (torch.arange(-more, 2 * side + more).to(matrix) + 0.5) / 2 - side / 2 + OFFSET

    y, x = torch.meshgrid(places(height), places(width), indexing="ij")
    at = torch.stack([x, y], -1).flatten(0, 1) @ matrix.mT + shift[:, None] - OFFSET  # (B, places, 2)
    grid = (2 * at / at.new_tensor([width, height])).unflatten(1, x.shape)
    result = Sample.apply(up, grid)  # (B, C, 2 H + 10, 2 W + 10)
    return conv2d(conv2d(result, column, stride=(2, 1), groups=channels), row, stride=(1, 2), groups=channels)


@functools.lru_cache(16)
def _filters(channels: int, dtype: torch.dtype, device: torch.device) -> tuple[Tensor, Tensor]:
    """Along columns and along rows, for each channel. Up- and downsampling by them is the
    identity."""
    taps = torch.tensor(SYM6, dtype=torch.float64).to(device, dtype)
    return taps.view(1, 1, -1, 1).repeat(channels, 1, 1, 1), taps.view(1, 1, 1, -1).repeat(channels, 1, 1, 1)


class Sample(torch.autograd.Function):
    """Bilinear sampling of images (B, C, H, W) at a grid (B, H', W', 2), with reflected borders. It
    is linear in the images, so its derivative is `Spread`, and the other way round; torch has no
    second derivative of `grid_sample`."""

    @staticmethod
    def forward(ctx: Any, image: Tensor, grid: Tensor) -> Tensor:
        ctx.save_for_backward(grid)
        ctx.shape = image.shape
        return grid_sample(image, grid, padding_mode="reflection", align_corners=False)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        return Spread.apply(gradient, ctx.saved_tensors[0], ctx.shape), None


class Spread(torch.autograd.Function):
    """The transpose of `Sample`: each value is added to the four pixels around its place."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, grid: Tensor, shape: torch.Size) -> Tensor:
        ctx.save_for_backward(grid)
        bilinear, reflection = 0, 2
        backward = torch.ops.aten.grid_sampler_2d_backward
        return backward(values, values.new_zeros(shape), grid, bilinear, reflection, False, [True, False])[0]

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        return Sample.apply(gradient, ctx.saved_tensors[0]), None, None


# ---------------------------------------------------------------------------------------------------- colour


def recoloured(image: Tensor, rand: Rand, share: float) -> Tensor:
    """Images (B, C, H, W), each with its own brightness, contrast, inverted luma, hue and
    saturation; those of grey images are a factor and an addend. A fourth channel is opacity and
    stays."""
    draws = _Draws(rand, share)
    added = draws("brightness", lambda u: 0.2 * _normal(u[:, 0]), 0.0)
    contrast = draws("contrast", lambda u: torch.exp2(0.5 * _normal(u[:, 0])), 1.0)
    luma = draws("luma", lambda u: 1 - 2 * (u[:, 0] < 0.5).to(u), 1.0)
    hue = draws("hue", lambda u: (2 * u[:, 0] - 1) * math.pi, 0.0)
    saturation = draws("saturation", lambda u: torch.exp2(_normal(u[:, 0])), 1.0)

    grey = contrast.new_full((3, 3), 1 / 3)  # projects a colour on the grey axis; the rest is turned by hue
    rest = torch.eye(3).to(grey) - grey
    cross = contrast.new_tensor([[0, -1, 1], [1, 0, -1], [-1, 1, 0]]) / math.sqrt(3)
    turned = saturation[:, None, None] * (hue.cos()[:, None, None] * rest + hue.sin()[:, None, None] * cross)
    matrix = contrast[:, None, None] * (luma[:, None, None] * grey + turned)  # (B, 3, 3)
    added = (contrast * luma * added)[:, None, None, None]
    colours, opacity = image[:, :3], image[:, 3:]
    if image.shape[1] == 1:
        result = colours * (contrast * luma)[:, None, None, None] + added
    else:
        result = torch.einsum("bij,bjhw->bihw", matrix.to(image), colours) + added
    result = torch.cat([result.to(image), opacity], 1)
    return torch.where(draws.changed[:, None, None, None], result, image)
