"""The discriminator of overlapping patches that methods of image translation share."""

from itertools import pairwise

from torch import Tensor, nn

from multigen.image.translation.networks.generators import initialise_

__all__ = ["PatchDiscriminator", "least_crop"]


class PatchDiscriminator(nn.Module):
    """The discriminator of pix2pix (Isola et al. 2017, arXiv:1611.07004, appendix 6.1.2), with
    instance norm: images (B, channels, H, W) in -1..1 -> logits (B, 1, h, w) of each patch's being
    of real ones.

    Args:
        channels: 3, or 6 for an input and its output.
        width: channels of the first layer; each of the next three has twice as many.
        layers: of stride 2: 3 give patches of 70 x 70 pixels, 2 of 34 x 34, 1 of 16 x 16.
    """

    def __init__(self, channels: int = 3, width: int = 64, layers: int = 3):
        super().__init__()
        widths = [width * min(2**i, 8) for i in range(layers + 1)]
        blocks: list[nn.Module] = [nn.Conv2d(channels, width, 4, stride=2, padding=1), nn.LeakyReLU(0.2)]
        for i, (before, wide) in enumerate(pairwise(widths), 2):
            stride = 1 if i > layers else 2
            blocks += [nn.Conv2d(before, wide, 4, stride, padding=1, bias=False), nn.InstanceNorm2d(wide)]
            blocks += [nn.LeakyReLU(0.2)]
        self.layers = nn.Sequential(*blocks, nn.Conv2d(widths[-1], 1, 4, padding=1))
        self.apply(initialise_)

    def forward(self, image: Tensor) -> Tensor:
        return self.layers(image)


def least_crop(layers: int) -> int:
    """Side of the smallest images that a discriminator of so many layers of stride 2 takes,
    pixels."""
    return 3 * 2**layers
