"""Squares of pixels as channels, so that a network works at a lower resolution."""

from torch import Tensor
from torch.nn import functional as F

__all__ = ["unshuffled"]


def unshuffled(image: Tensor, side: int) -> Tensor:
    """(B, C, H, W) -> (B, C side^2, H / side, W / side), rounded up: the last row and column are
    repeated where pixels lack."""
    if side == 1:
        return image
    height, width = image.shape[-2:]
    return F.pixel_unshuffle(F.pad(image, (0, -width % side, 0, -height % side), mode="replicate"), side)
