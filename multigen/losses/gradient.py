"""Loss of images by their gradients."""

import torch
from torch import Tensor

__all__ = ["gradient_error"]

EPS = 1e-6  # under the root, whose derivative at 0 is infinite


def gradient_error(fake: Tensor, real: Tensor) -> Tensor:
    """Mean absolute error of the lengths of the gradients of each channel, of images (B, C, H, W)
    in 0..1 of one shape; 0-d.

    It wants edges and textures as strong as the photograph's and where the photograph has them,
    while a pixel loss alone, of several possible textures, prefers none. Ma et al. 2020,
    "Structure-preserving super resolution with gradient guidance", arXiv:2003.13081, section 3.3;
    gradients here are differences of neighbours.
    """
    return (_lengths(fake) - _lengths(real)).abs().mean()


def _lengths(image: Tensor) -> Tensor:
    """(B, C, H, W) -> (B, C, H - 1, W - 1): lengths of the gradients."""
    down, across = image[:, :, 1:, 1:] - image[:, :, :-1, 1:], image[:, :, 1:, 1:] - image[:, :, 1:, :-1]
    return torch.sqrt(down.square() + across.square() + EPS)
