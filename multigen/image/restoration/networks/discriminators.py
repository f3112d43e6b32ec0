"""Discriminators that several methods of image restoration have."""

from itertools import pairwise

from torch import Tensor, nn
from torch.nn.functional import interpolate, leaky_relu
from torch.nn.utils.parametrizations import spectral_norm

__all__ = ["PatchDiscriminator", "UNetDiscriminator", "VGGDiscriminator"]


class VGGDiscriminator(nn.Module):
    """The discriminator of SRGAN (Ledig et al. 2017, arXiv:1609.04802, figure 4).

    RGB (B, 3, crop, crop) in 0..1, crop a multiple of 16 -> logit (B,) of a photograph.
    """

    def __init__(self, crop: int = 96, width: int = 64, norm: bool = True):
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(3, width, 3, padding=1), nn.LeakyReLU(0.2)]
        before = width
        for i in range(1, 8):  # strides 2, 1, 2, 1, ..; channels double at every stride of 1
            after = width * 2 ** (i // 2)
            layers.append(nn.Conv2d(before, after, 3, stride=1 + i % 2, padding=1, bias=not norm))
            layers += [nn.BatchNorm2d(after)] if norm else []
            layers.append(nn.LeakyReLU(0.2))
            before = after
        self.features = nn.Sequential(*layers)  # (B, 8 width, crop / 16, crop / 16)
        self.head = nn.Sequential(
            nn.Flatten(), nn.Linear(before * (crop // 16) ** 2, 16 * width), nn.LeakyReLU(0.2), nn.Linear(16 * width, 1)
        )

    def forward(self, image: Tensor) -> Tensor:
        return self.head(self.features(image * 2 - 1)).squeeze(1)  # (B,)


class UNetDiscriminator(nn.Module):
    """The discriminator of Real-ESRGAN, a U-Net with spectral norm (Wang et al. 2021,
    arXiv:2107.10833, section 3.4).

    RGB (B, 3, H, W) in 0..1, sides multiples of 8 -> logits (B, 1, H, W) of each pixel's being of a
    photograph.
    """

    def __init__(self, width: int = 64):
        super().__init__()
        self.first = nn.Conv2d(3, width, 3, padding=1)
        widths = [width, 2 * width, 4 * width, 8 * width]
        pairs = list(pairwise(widths))
        self.down = nn.ModuleList(
            spectral_norm(nn.Conv2d(before, after, 4, stride=2, padding=1, bias=False)) for before, after in pairs
        )
        self.up = nn.ModuleList(
            spectral_norm(nn.Conv2d(after, before, 3, padding=1, bias=False)) for before, after in reversed(pairs)
        )
        self.last = nn.ModuleList(spectral_norm(nn.Conv2d(width, width, 3, padding=1, bias=False)) for _ in range(2))
        self.head = nn.Conv2d(width, 1, 3, padding=1)

    def forward(self, image: Tensor) -> Tensor:
        x = leaky_relu(self.first(image), 0.2)  # (B, C, H, W)
        skips = []
        for layer in self.down:
            skips.append(x)
            x = leaky_relu(layer(x), 0.2)  # at last (B, 8 C, H / 8, W / 8)
        for layer in self.up:
            x = interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
            x = leaky_relu(layer(x), 0.2) + skips.pop()
        for layer in self.last:
            x = leaky_relu(layer(x), 0.2)
        return self.head(x)


class PatchDiscriminator(nn.Module):
    """A discriminator of overlapping patches (Isola et al. 2017, arXiv:1611.07004, appendix 6.1.2)
    that shows its features.

    RGB (B, 3, H, W) in 0..1 -> features (B, C, h, w) of each layer, at last the logits (B, 1, H /
    16, W / 16) of each patch's being of a photograph. Group norm, which does not mix the images of
    a batch, allows gradient penalties.

    Args:
        width: channels of the first layer, a multiple of 4.
        channels: of the input, where it is more than one image.
    """

    def __init__(self, width: int = 64, channels: int = 3):
        super().__init__()
        self.first = nn.Conv2d(channels, width, 4, stride=2, padding=1)
        pairs = pairwise([width, 2 * width, 4 * width, 8 * width])
        down = [nn.Sequential(nn.Conv2d(a, b, 4, stride=2, padding=1), nn.GroupNorm(8, b)) for a, b in pairs]
        last = nn.Sequential(nn.Conv2d(8 * width, 8 * width, 3, padding=1), nn.GroupNorm(8, 8 * width))
        self.layers = nn.ModuleList([*down, last])
        self.head = nn.Conv2d(8 * width, 1, 3, padding=1)

    def forward(self, image: Tensor) -> list[Tensor]:
        features = [leaky_relu(self.first(image * 2 - 1), 0.2)]
        for layer in self.layers:
            features.append(leaky_relu(layer(features[-1]), 0.2))
        return [*features, self.head(features[-1])]
