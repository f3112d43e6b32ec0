"""Blind degradation: random blur, resizing, noise and JPEG compression, in two passes. Wang et al.
2021 (Real-ESRGAN), arXiv:2107.10833, section 3; its released options where the paper leaves them
open."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from multigen.image.degrade import reduced
from multigen.image.restoration.corruption import compressed, draws_of
from multigen.image.restoration.kernels import blur, gaussian, random_gaussian, sinc

__all__ = ["STRENGTHS", "Strength", "degrade", "degrade_named", "sharpened"]

Strength = Literal["none", "mild", "strong"]
RESIZES = ("area", "bilinear", "bicubic")
Range = tuple[float, float]


@dataclass(frozen=True)
class Pass:
    """Distributions of one degradation pass: shares are probabilities, ranges are of uniform
    distributions."""

    blur: float
    """Probability of a blur."""
    sigma: Range
    """Standard deviation of the blur kernel, pixels."""
    ringing: float
    """Probability of a sinc kernel, which rings."""
    enlarged: float
    reduced: float
    """Probabilities; otherwise the size is kept."""
    factor: Range
    gaussian: Range
    """Standard deviation of the noise, of 255."""
    poisson: Range
    """Strength of the Poisson (shot) noise, relative to one photon per grey level."""
    jpeg: Range
    """JPEG quality."""


STRENGTHS: dict[str, tuple[Pass, Pass]] = {
    # Real-ESRGAN's.
    "strong": (
        Pass(1.0, (0.2, 3.0), 0.1, 0.2, 0.7, (0.15, 1.5), (1, 30), (0.05, 3), (30, 95)),
        Pass(0.8, (0.2, 1.5), 0.1, 0.3, 0.4, (0.3, 1.2), (1, 25), (0.05, 2.5), (30, 95)),
    ),
    # Our own: photographs of today's phones, sent once or twice by messengers.
    "mild": (
        Pass(0.5, (0.2, 1.0), 0.05, 0.2, 0.5, (0.5, 1.2), (0, 6), (0.01, 0.3), (70, 95)),
        Pass(0.2, (0.2, 0.6), 0.05, 0.2, 0.3, (0.7, 1.2), (0, 3), (0.01, 0.15), (75, 95)),
    ),
}
"""Strength -> the two passes."""
GREY = 0.4  # share of noise that is the same in all channels
LAST_RINGING = 0.8
SIZES = np.arange(7, 22, 2)  # of kernels


def degrade(image: Tensor, scale: int, strength: Strength, rng: np.random.Generator) -> Tensor:
    """uint8 (3, H, W), H and W multiples of the scale -> uint8 (3, H / scale, W / scale). "none":
    bicubic downsampling only."""
    if strength == "none":
        return reduced(image, scale)
    height, width = image.shape[-2] // scale, image.shape[-1] // scale
    first, second = STRENGTHS[strength]
    x = _noisy(_resized(_blurred(image.float() / 255, first, rng), first, rng, image.shape[-2:]), first, rng)
    x = compressed(x, rng.uniform(*first.jpeg))
    x = _noisy(_resized(_blurred(x, second, rng), second, rng, (height, width)), second, rng)
    last = sinc(int(rng.choice(SIZES)), rng.uniform(np.pi / 3, np.pi)) if rng.random() < LAST_RINGING else None
    quality, mode = rng.uniform(*second.jpeg), str(rng.choice(RESIZES))
    if rng.random() < 0.5:  # the last operation is JPEG or the resizing
        x = compressed(_last(x, (height, width), mode, last), quality)
    else:
        x = _last(compressed(x, quality), (height, width), mode, last)
    return (x * 255).round().clamp(0, 255).to(torch.uint8)


def degrade_named(image: Tensor, scale: int, strength: Strength, name: str) -> Tensor:
    """`degrade` with random numbers seeded by the name, for reproducible test sets."""
    return degrade(image, scale, strength, draws_of(name))


def sharpened(image: Tensor) -> Tensor:
    """Unsharp masking, for the targets of the pixel and content losses: uint8 (3, H, W) -> the
    same. Half of the difference to a Gaussian blur of 8 pixels is added where it exceeds 10 of
    255."""
    x = image.float() / 255
    line = gaussian(51, 8.0).sum(0, keepdim=True)  # (1, 51): a Gaussian is the product of two

    def smooth(image: Tensor) -> Tensor:
        return blur(blur(image, line), line.mT)

    residual = x - smooth(x)
    mask = smooth((residual.abs() * 255 > 10).float())
    sharp = (x + 0.5 * residual).clamp(0, 1)
    return ((mask * sharp + (1 - mask) * x) * 255).round().to(torch.uint8)


def _blurred(x: Tensor, p: Pass, rng: np.random.Generator) -> Tensor:
    if rng.random() >= p.blur:
        return x
    size = int(rng.choice(SIZES))
    if rng.random() < p.ringing:
        return blur(x, sinc(size, rng.uniform(np.pi / (3 if size < 13 else 5), np.pi)))
    return blur(x, random_gaussian(rng, size, p.sigma))


def _resized(x: Tensor, p: Pass, rng: np.random.Generator, sides: tuple[int, ...]) -> Tensor:
    """Resizes by a factor relative to `sides`, with one of three filters, two of them not
    antialiased."""
    kind, low, high = rng.random(), *p.factor
    factor = (
        rng.uniform(1, high) if kind < p.enlarged else rng.uniform(low, 1) if kind < p.enlarged + p.reduced else 1.0
    )
    return _to_size(x, (max(1, round(sides[0] * factor)), max(1, round(sides[1] * factor))), str(rng.choice(RESIZES)))


def _to_size(x: Tensor, size: tuple[int, int], mode: str) -> Tensor:
    if tuple(x.shape[-2:]) == size:
        return x
    return F.interpolate(x[None], size, mode=mode, align_corners=None if mode == "area" else False)[0]


def _noisy(x: Tensor, p: Pass, rng: np.random.Generator) -> Tensor:
    """Adds Gaussian or Poisson noise, with equal probability; clips to 0..1."""
    x = x.clamp(0, 1)
    gaussian_noise, is_grey = rng.random() < 0.5, rng.random() < GREY
    if gaussian_noise:
        shape = (1 if is_grey else 3, *x.shape[-2:])
        noise = rng.standard_normal(shape, dtype=np.float32) * (rng.uniform(*p.gaussian) / 255)
    else:
        signal = (x[0] * 0.299 + x[1] * 0.587 + x[2] * 0.114)[None] if is_grey else x
        whole = (signal * 255).round().to(torch.uint8).numpy()
        photons = 2.0 ** np.ceil(np.log2(max(2, np.count_nonzero(np.bincount(whole.ravel())))))  # by its levels
        levels = whole / np.float32(255)
        noise = (rng.poisson(levels * photons) / photons - levels) * rng.uniform(*p.poisson)
    return (x + torch.from_numpy(noise.astype(np.float32))).clamp(0, 1)


def _last(x: Tensor, size: tuple[int, int], mode: str, kernel: Tensor | None) -> Tensor:
    x = _to_size(x, size, mode)
    return (blur(x, kernel) if kernel is not None else x).clamp(0, 1)
