"""Random blur kernels of blind degradation: generalised Gaussians, and sinc filters, which
ring. Wang et al. 2021 (Real-ESRGAN), arXiv:2107.10833, section 3.2."""

import math

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = ["blur", "gaussian", "random_gaussian", "sinc"]

SHARES = {("plain", True): 0.45, ("plain", False): 0.25, ("generalised", True): 0.12, ("generalised", False): 0.03,
          ("plateau", True): 0.12, ("plateau", False): 0.03}  # fmt: skip
"""(kind, isotropic) -> probability."""


def random_gaussian(rng: np.random.Generator, size: int, sigma: tuple[float, float]) -> Tensor:
    """A kernel (size, size) of random kind, angle and shape, with widths in `sigma`."""
    kinds = list(SHARES)
    kind, is_round = kinds[rng.choice(len(kinds), p=list(SHARES.values()))]
    across = rng.uniform(*sigma)
    along = across if is_round else rng.uniform(*sigma)
    angle = 0.0 if is_round else rng.uniform(-math.pi, math.pi)
    steep = rng.random() < 0.5
    shape = {"plain": 1.0, "generalised": rng.uniform(1, 4) if steep else rng.uniform(0.5, 1),
             "plateau": rng.uniform(1, 2) if steep else 1.0}[kind]  # fmt: skip
    return gaussian(size, across, along, angle, shape, plateau=kind == "plateau")


def gaussian(
    size: int, across: float, along: float = 0.0, angle: float = 0.0, shape: float = 1.0, *, plateau: bool = False
) -> Tensor:
    """exp(-q^shape / 2), or as a plateau 1 / (1 + q^shape), q the squared distance in units of the
    widths; (size, size), sum 1.

    Args:
        across, along: standard deviations, pixels; `along` 0: as `across`.
        angle: of the first direction, radians.
    """
    y, x = _grid(size)
    u, v = x * math.cos(angle) + y * math.sin(angle), y * math.cos(angle) - x * math.sin(angle)
    q = (u / across) ** 2 + (v / (along or across)) ** 2
    kernel = 1 / (1 + q**shape) if plateau else torch.exp(-(q**shape) / 2)
    return (kernel / kernel.sum()).float()


def sinc(size: int, cutoff: float) -> Tensor:
    """The ideal low-pass filter in two dimensions (equation 6), (size, size), sum 1; `cutoff` in
    radians a pixel, up to pi."""
    y, x = _grid(size)
    r = torch.hypot(y, x)
    r[size // 2, size // 2] = 1.0
    kernel = cutoff * torch.special.bessel_j1(cutoff * r) / (2 * math.pi * r)
    kernel[size // 2, size // 2] = cutoff**2 / (4 * math.pi)
    return (kernel / kernel.sum()).float()


def _grid(size: int) -> tuple[Tensor, Tensor]:
    side = torch.arange(size, dtype=torch.float64) - size // 2
    return side[:, None].expand(size, size), side[None, :].expand(size, size)


def blur(image: Tensor, kernel: Tensor) -> Tensor:
    """An image (C, H, W) under a kernel of odd sides; mirrored at its borders, where it is larger
    than the kernel.

    Computed by FFT, which for 21 x 21 weights takes a fifth of the time of a convolution.
    """
    (height, width), below, beside = image.shape[-2:], kernel.shape[0] // 2, kernel.shape[1] // 2
    mode = "reflect" if height > below and width > beside else "replicate"
    padded = F.pad(image[None], (beside, beside, below, below), mode=mode)[0]
    sides = padded.shape[-2:]
    whole = torch.fft.irfft2(torch.fft.rfft2(padded) * torch.fft.rfft2(kernel, sides), sides)
    return whole[:, 2 * below :, 2 * beside :]  # (C, H, W): what has not wrapped around
