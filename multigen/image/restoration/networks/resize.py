"""A generator that enlarges its features before it convolves them, and so leaves no grid."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from multigen.image.restoration.networks.compact import CompactGenerator

__all__ = ["ResizeGenerator"]

FACTORS = {1: (1,), 2: (2,), 3: (3,), 4: (2, 2), 8: (2, 2, 2)}  # scale -> factors of the enlargements


class ResizeGenerator(nn.Module):
    """The body of `CompactGenerator`, then nearest-neighbour enlargements, each followed by a
    convolution.

    RGB (B, 3, H, W) in 0..1 -> (B, 3, scale H, scale W). A pixel shuffle gives each of the scale^2
    pixels of a square weights of its own, so that a discriminator's gradients soon draw a grid; a
    convolution of enlarged features has the same weights for all (Odena et al. 2016, "Deconvolution
    and checkerboard artifacts").
    """

    def __init__(self, scale: int = 4, blocks: int = 8, width: int = 32):
        super().__init__()
        body = CompactGenerator(scale, blocks, width)
        self.scale, self.factors = scale, FACTORS[scale]
        # The last two convolutions look two pixels far, which are less than one of an input that is enlarged.
        self.radius = body.radius + (1 if scale == 1 else 0)
        self.head, self.blocks, self.last = body.head, body.blocks, body.last
        thin = max(width // 2, 1)
        widths = [width, *(thin for _ in self.factors)]
        self.ups = nn.ModuleList(nn.Conv2d(before, thin, 3, padding=1) for before in widths[:-1])
        self.tail = nn.Conv2d(thin, 3, 3, padding=1)
        with torch.no_grad():  # begins near the interpolated input
            self.tail.weight.mul_(0.1)

    def forward(self, image: Tensor) -> Tensor:
        x = skip = self.head(image - 0.5)  # (B, C, H, W)
        for block in self.blocks:
            x = x + block(x)
        x = skip + self.last(x)
        for factor, up in zip(self.factors, self.ups, strict=True):
            x = F.interpolate(x, scale_factor=factor, mode="nearest")
            x = F.leaky_relu(up(x), 0.2)  # at last (B, C / 2, scale H, scale W)
        smooth = F.interpolate(image, scale_factor=self.scale, mode="bilinear", align_corners=False)
        return smooth + self.tail(x)  # (B, 3, scale H, scale W)
