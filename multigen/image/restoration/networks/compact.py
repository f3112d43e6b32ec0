"""A generator without batch norm that is fast to train on a CPU."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from multigen.image.restoration.networks.unshuffle import unshuffled

__all__ = ["CompactGenerator"]


class CompactGenerator(nn.Module):
    """Residual blocks without batch norm at low resolution, one pixel shuffle, added to bilinear
    interpolation.

    RGB (B, 3, H, W) in 0..1 -> (B, 3, scale H, scale W). Without batch norm as in EDSR (Lim et al.
    2017, arXiv:1707.02921).

    Args:
        unshuffle: side of the squares of pixels that become channels first: the blocks work at a
            resolution that is lower by it.
    """

    def __init__(self, scale: int = 4, blocks: int = 8, width: int = 32, unshuffle: int = 1):
        super().__init__()
        self.scale, self.unshuffle = scale, unshuffle
        # Pixels of the input, on each side, that an output may depend on: whole squares, one more for where in its own it lies.
        self.radius = unshuffle * (2 * blocks + 3 + (unshuffle > 1))
        self.head = nn.Conv2d(3 * unshuffle**2, width, 3, padding=1)
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.Conv2d(width, width, 3, padding=1), nn.ReLU(), nn.Conv2d(width, width, 3, padding=1))
            for _ in range(blocks)
        )
        self.last = nn.Conv2d(width, width, 3, padding=1)
        self.tail = nn.Conv2d(width, 3 * (scale * unshuffle) ** 2, 3, padding=1)
        with torch.no_grad():  # blocks begin near the identity, which allows the high learning rate
            for block in self.blocks:
                block[2].weight.mul_(0.1)  # pyright: ignore[reportIndexIssue]

    def forward(self, image: Tensor) -> Tensor:
        height, width = (self.scale * side for side in image.shape[-2:])
        x = skip = self.head(unshuffled(image - 0.5, self.unshuffle))  # (B, C, H / unshuffle, W / unshuffle)
        for block in self.blocks:
            x = x + block(x)
        x = self.tail(skip + self.last(x))  # (B, 3 (scale unshuffle)^2, H / unshuffle, W / unshuffle)
        x = F.pixel_shuffle(x, self.scale * self.unshuffle)[..., :height, :width]
        if self.scale == 1:
            return image + x
        return (
            F.interpolate(image, scale_factor=self.scale, mode="bilinear", align_corners=False) + x
        )  # (B, 3, scale H, ...)
