"""Generators: fully convolutional, so that one trained on crops translates images of any size.

Their layers are as published, with three changes. Features are enlarged by nearest-neighbour
interpolation and a convolution, in place of transposed convolutions, which leave a grid (Odena et
al. 2016, "Deconvolution and checkerboard artifacts"). All norms are instance norms without
parameters, so that an image is translated alike in training and in use, and whatever it shares a
batch with: batch norm at the published batch of 1 is that in training, and something else in use.
And borders are reflected in the U-Net too: where an input is flat, instance norm would enlarge what
zeros beyond the border leave, to a pattern at a fixed place.
"""

from itertools import pairwise

import torch
from torch import Tensor, nn

__all__ = ["GENERATORS", "ResNetGenerator", "UNetGenerator", "initialise_"]

GENERATORS = ("unet", "resnet")
"""Values of a setting `generator`."""


class ResNetGenerator(nn.Module):
    """The generator of CycleGAN (Zhu et al. 2017, arXiv:1703.10593, appendix 7.2): (B, 3, H, W) in
    -1..1 -> the same shape and range, H and W multiples of 4, at least 8.

    Args:
        width: channels of the first layer; those of the blocks are 4 times as many.
        blocks: residual blocks (6 at 128 pixels, 9 at 256 in the paper).
        shortcut: whether the last layer sees the image too, and begins near it: detail of single
            pixels then need not pass through the blocks, for which narrow ones have no room.
    """

    multiple, least = 4, 8
    whole, radius = True, None  # instance norm looks at all of the image

    def __init__(self, width: int = 64, blocks: int = 9, shortcut: bool = False):
        super().__init__()
        self.shortcut = shortcut
        widths = (width, 2 * width, 4 * width)
        self.encoder = nn.Sequential(
            nn.Sequential(conv(3, width, 7), *after(width)),  # (B, C, H, W)
            *(nn.Sequential(conv(a, b, 3, stride=2), *after(b)) for a, b in pairwise(widths)),
            *(ResidualBlock(4 * width) for _ in range(blocks)),  # (B, 4 C, H / 4, W / 4)
        )
        last = nn.Conv2d(width + 3 * shortcut, 3, 7, padding=3, padding_mode="reflect")
        self.decoder = nn.Sequential(
            *(
                nn.Sequential(nn.Upsample(scale_factor=2), conv(a, b, 3), *after(b))
                for a, b in pairwise(reversed(widths))
            ),
            last,
        )
        self.apply(initialise_)
        if shortcut:
            with torch.no_grad():
                last.weight[:, width:, 3, 3] += torch.eye(3)

    def forward(self, image: Tensor) -> Tensor:
        x = self.decoder[:-1](self.encoder(image))  # (B, C, H, W)
        if self.shortcut:
            x = torch.cat([x, image], dim=1)
        return self.decoder[-1](x).tanh()


class ResidualBlock(nn.Module):
    """Two convolutions + input, (B, C, H, W) -> the same shape."""

    def __init__(self, width: int):
        super().__init__()
        self.layers = nn.Sequential(
            conv(width, width, 3), *after(width), conv(width, width, 3), nn.InstanceNorm2d(width)
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x)


class UNetGenerator(nn.Module):
    """The U-Net of pix2pix (Isola et al. 2017, arXiv:1611.07004, appendix 6.1.1): (B, 3, H, W) in
    -1..1 -> the same shape and range, H and W multiples of 2^halvings. Its last layer sees the
    image too: enlarged features alone have no detail of single pixels.

    Args:
        width: channels of the first layer; each of the next three has twice as many.
        halvings: of height and width (8 at 256 pixels in the paper, down to one).
        dropout: share of the features dropped in the inner layers of the decoder (three of 8) in
            training.
    """

    whole, radius = True, None

    def __init__(self, width: int = 64, halvings: int = 8, dropout: float = 0.0):
        super().__init__()
        self.multiple = self.least = 2**halvings
        widths = [width * min(2**i, 8) for i in range(halvings)]
        self.down = nn.ModuleList([nn.Conv2d(3, width, 4, stride=2, padding=1, padding_mode="reflect")])
        for i, (before, wide) in enumerate(pairwise(widths), 2):
            innermost = i == halvings  # without a norm, which would leave nothing of a single pixel
            layer = nn.Conv2d(before, wide, 4, stride=2, padding=1, bias=innermost, padding_mode="reflect")
            norm = nn.Identity() if innermost else nn.InstanceNorm2d(wide)
            self.down.append(nn.Sequential(nn.LeakyReLU(0.2), layer, norm))
        self.up = nn.ModuleList()
        for i, (wide, before) in enumerate(pairwise(reversed(widths))):
            inner = wide if i == 0 else 2 * wide  # with the encoder's features, but for the innermost layer
            layers = [nn.ReLU(), nn.Upsample(scale_factor=2), conv(inner, before, 3), nn.InstanceNorm2d(before)]
            layers += [nn.Dropout(dropout)] if dropout and 1 <= i < halvings - 4 else []
            self.up.append(nn.Sequential(*layers))
        self.last = nn.Sequential(nn.ReLU(), nn.Upsample(scale_factor=2))
        inner = (1 if halvings == 1 else 2) * width
        self.tail = nn.Conv2d(inner + 3, 3, 3, padding=1, padding_mode="reflect")
        self.apply(initialise_)
        with torch.no_grad():  # begins near the image, so that its detail need not be learnt first
            self.tail.weight[:, inner:, 1, 1] += torch.eye(3)

    def forward(self, image: Tensor) -> Tensor:
        features = [image]
        for layer in self.down:
            features.append(layer(features[-1]))  # at last (B, 8 C, H / 2^halvings, W / 2^halvings)
        x = features.pop()
        for layer in self.up:
            x = torch.cat([layer(x), features.pop()], dim=1)
        return self.tail(torch.cat([self.last(x), image], dim=1)).tanh()


def conv(before: int, wide: int, side: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(before, wide, side, stride, padding=side // 2, padding_mode="reflect", bias=False)


def after(width: int) -> tuple[nn.Module, nn.Module]:
    """What follows a convolution."""
    return nn.InstanceNorm2d(width), nn.ReLU()


def initialise_(module: nn.Module) -> None:
    """Weights from N(0, .02^2), biases 0, as in both papers."""
    if isinstance(module, nn.Conv2d):
        nn.init.normal_(module.weight, 0.0, 0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
