"""Latents z ~ N(0, I): truncation, and the way from one to another."""

import math

import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity

from multigen.errors import ConfigError

__all__ = ["slerp", "truncated"]


def truncated(z: Tensor, truncation: float) -> Tensor:
    """z ~ N(0, I) of any shape -> draws of the normal distribution truncated to |z_i| <=
    truncation.

    The truncation trick of BigGAN (Brock et al. 2019, arXiv:1809.11096, section 3.1). Values
    outside are not resampled, as they are there: each z_i moves to the same quantile of the
    truncated distribution, so it keeps its sign and rank. P(|z_i| <= a) is erf(a / sqrt 2), for the
    truncated distribution erf(a / sqrt 2) / erf(truncation / sqrt 2).

    Raises ConfigError for a truncation that is not positive.
    """
    if not truncation > 0:
        raise ConfigError(
            f"truncation {truncation:g}: expected a positive number, such as 0.7; without it, nothing is truncated"
        )
    share = math.erf(truncation / math.sqrt(2)) * torch.erf(z.double().abs() / math.sqrt(2))
    size = (math.sqrt(2) * torch.erfinv(share)).clamp(max=truncation)
    return size.copysign(z).to(z.dtype)


def slerp(start: Tensor, end: Tensor, along: Tensor) -> Tensor:
    """Spherical interpolation of vectors (..., D), from `start` at `along` (..., 1) = 0 to `end` at
    1.

    Shoemake 1985; for latents White 2016, arXiv:1609.04468: a straight line between two of them
    passes through vectors shorter than those of a normal distribution, which the generator has not
    seen. Parallel vectors are interpolated linearly.
    """
    angle = cosine_similarity(start, end, dim=-1).clamp(-1, 1).acos()[..., None]
    sine = angle.sin()
    curved = (((1 - along) * angle).sin() * start + (along * angle).sin() * end) / sine
    return torch.where(sine > 1e-6, curved, start.lerp(end, along))
