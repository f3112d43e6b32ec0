"""The compact generator of Real-ESRGAN (SRVGGNetCompact): a plain chain of convolutions. Wang et
al. 2021, arXiv:2107.10833."""

from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["SRVGG"]


class SRVGG(nn.Module):
    """`blocks` + 1 convolutions with PReLU at low resolution, one pixel shuffle, added to the
    enlarged input.

    RGB (B, 3, H, W) in 0..1 -> (B, 3, scale H, scale W). Parameters are named as in the published
    weights.
    """

    def __init__(self, scale: int = 4, blocks: int = 16, width: int = 64):
        super().__init__()
        self.scale = scale
        layers: list[nn.Module] = []
        for channels in [3, *[width] * blocks]:
            layers += [nn.Conv2d(channels, width, 3, padding=1), nn.PReLU(width)]
        layers.append(nn.Conv2d(width, 3 * scale**2, 3, padding=1))
        self.body = nn.Sequential(*layers)
        self.radius = blocks + 2  # pixels of the input, on each side, that an output may depend on

    def forward(self, image: Tensor) -> Tensor:
        residual = F.pixel_shuffle(self.body(image), self.scale)  # (B, 3, scale H, scale W)
        return residual + F.interpolate(image, scale_factor=self.scale, mode="nearest")
