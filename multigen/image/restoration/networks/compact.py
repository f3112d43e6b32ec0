"""A generator without batch norm that is fast to train on a CPU."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["CompactGenerator"]


class CompactGenerator(nn.Module):
    """Residual blocks without batch norm at low resolution, one pixel shuffle, added to bilinear interpolation.

    RGB (B, 3, H, W) in 0..1 -> (B, 3, scale H, scale W). Without batch norm as in EDSR (Lim et al. 2017, arXiv:1707.02921).
    """

    def __init__(self, scale: int = 4, blocks: int = 8, width: int = 32):
        super().__init__()
        self.scale, self.radius = scale, 2 * blocks + 3
        self.head = nn.Conv2d(3, width, 3, padding=1)
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.Conv2d(width, width, 3, padding=1), nn.ReLU(), nn.Conv2d(width, width, 3, padding=1))
            for _ in range(blocks)
        )
        self.last = nn.Conv2d(width, width, 3, padding=1)
        self.tail = nn.Conv2d(width, 3 * scale**2, 3, padding=1)
        with torch.no_grad():  # blocks begin near the identity, which allows the high learning rate
            for block in self.blocks:
                block[2].weight.mul_(0.1)  # pyright: ignore[reportIndexIssue]

    def forward(self, image: Tensor) -> Tensor:
        x = skip = self.head(image - 0.5)  # (B, C, H, W)
        for block in self.blocks:
            x = x + block(x)
        x = self.tail(skip + self.last(x))  # (B, 3 scale^2, H, W)
        smooth = F.interpolate(image, scale_factor=self.scale, mode="bilinear", align_corners=False)
        return smooth + F.pixel_shuffle(x, self.scale)  # (B, 3, scale H, scale W)
