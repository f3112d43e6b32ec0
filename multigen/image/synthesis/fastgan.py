"""FastGAN: few images, one GPU: skip-layer excitation in G, a self-supervised D.
Liu et al. 2021, arXiv:2101.04775.

    python -m multigen.recipes.fastgan                          # embedded digits (minutes)
    python -m multigen.recipes.fastgan default --data photos/   # your own images
    python -m multigen.recipes.fastgan paper --data photos/     # the settings of the paper

G is thin: one or two convolutions with gated linear units a resolution, and layers whose channels
are scaled by an earlier layer of a sixteenth of the side (equation 1). D also decodes real images
from its features, so it must keep what they look like (equation 2). Hinge loss, no penalty.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import glu, interpolate, mse_loss, silu
from torch.nn.utils.parametrizations import spectral_norm

from multigen import losses
from multigen.engine import Adam, Batch, Linear, Optimiser, Step, Terms
from multigen.image.perceptual import PerceptualDistance, open_perceptual
from multigen.image.synthesis.base import ImageSynthesisTrainer
from multigen.image.synthesis.grids import GridConfig, grid_of
from multigen.tasks.synthesis.conditioning import with_class

__all__ = ["PRESETS", "Discriminator", "FastGANConfig", "FastGANTrainer", "Generator", "PatchHead", "conv"]

WIDTHS = {4: 16, 8: 8, 16: 4, 32: 2, 64: 2, 128: 1, 256: 1 / 2, 512: 1 / 4, 1024: 1 / 8}
"""Side of a layer of G -> its channels over `width`. Sides in this file are those of images that
begin with 4 x 4; of a grid of 4 x 6 a layer of side 8 is 8 x 12."""
TWICE = (8, 32, 128, 512)  # sides at which G has two convolutions, with noise
CLASS_FEATURES = 64  # of a patch, of which the product with a class's vector is its logit
LARGEST, SMALL, END = 256, 128, 8
"""Sides: of D's first residual block at most, of the image that its second half sees at most, and
of its last features."""


@dataclass(frozen=True)
class FastGANConfig(GridConfig):
    latent: int = 256
    width: int = 64
    """Channels of G at 128 pixels, and of D at 64; they double with each halving, in G twice as
    many at 64, 8 and 4."""
    reconstruction: Literal["mse", "efficientnet_lite0"] = "mse"
    """Distance of what D decodes to the real image: mean squared error, or a perceptual one (that
    of VGG in the paper)."""
    reconstruction_weight: float = 1.0
    """Weight of D's reconstruction loss."""
    augment: str = "color,translation"
    """DiffAugment (arXiv:2006.10738) of what D sees: color, translation, cutout, joined by
    commas."""
    lr: tuple[float, float] = (2e-4, 2e-4)
    """Learning rate at the beginning and at the end, in between a straight line (constant in the
    paper)."""
    betas: tuple[float, float] = (0.5, 0.999)
    """Betas of Adam."""

    ranges = GridConfig.ranges | {"reconstruction_weight": 0}


PRESETS = {
    "tiny": FastGANConfig(width=4, latent=16, batch=8, steps=20, ema=0.9, samples=100),
    "laptop": FastGANConfig(width=16, latent=64, batch=16, steps=2_000, lr=(1e-3, 2e-4), ema=0.995),
    "default": FastGANConfig(size=256, batch=16, steps=50_000),
    "paper": FastGANConfig(size=256, batch=8, steps=50_000),
}


# ---------------------------------------------------------------------------------------------------- layers


def conv(before: int, after: int, kernel: int, stride: int = 1, padding: int = 0, bias: bool = False) -> nn.Module:
    """A convolution whose weight has spectral norm 1, as all have in both networks."""
    return spectral_norm(nn.Conv2d(before, after, kernel, stride, padding, bias=bias))


class Noise(nn.Module):
    """x (B, C, H, W) plus noise of one plane a sample, times a learned strength that begins at 0.

    In training the noise is new each time; in use it is a fixed plane, so a sample depends on its
    latent alone.
    """

    plane: Tensor

    def __init__(self, shape: tuple[int, int]):
        super().__init__()
        self.strength = nn.Parameter(torch.zeros(1))
        self.register_buffer("plane", torch.randn(1, 1, *shape))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.strength * (torch.randn_like(x[:, :1]) if self.training else self.plane)


class Gated(nn.Module):
    """3x3 convolution to twice the channels, noise (of this shape, if any), batch norm, gated linear
    unit: (B, before, H, W) -> (B, after, H, W)."""

    def __init__(self, before: int, after: int, noise: tuple[int, int] | None = None):
        super().__init__()
        self.conv = conv(before, 2 * after, 3, padding=1)
        self.noise = Noise(noise) if noise else nn.Identity()
        self.norm = nn.BatchNorm2d(2 * after)

    def forward(self, x: Tensor) -> Tensor:
        return glu(self.norm(self.noise(self.conv(x))), dim=1)


class Excitation(nn.Module):
    """Skip-layer excitation: y (B, after, H, W) scaled by channel by what `x` (B, before, h, w)
    says of it; equation 1 and figure 3. `x` is pooled to the grid that images begin with."""

    def __init__(self, before: int, after: int, grid: tuple[int, int] = (4, 4)):
        super().__init__()
        self.grid = grid
        self.conv1, self.conv2 = spectral_norm(nn.Conv2d(before, after, grid, bias=False)), conv(after, after, 1)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        pooled = resized(x, self.grid)  # (B, before, rows, columns)
        return y * self.conv2(silu(self.conv1(pooled))).sigmoid()  # by (B, after, 1, 1)


class PatchHead(nn.Module):
    """Features (B, C, H, W), label (B,) -> a logit for each window of 4 x 4, (B, patches).

    With classes a window's logit is the product of its 64 features and a vector of the class.
    """

    def __init__(self, features: int, classes: int = 0):
        super().__init__()
        self.conv = conv(features, CLASS_FEATURES if classes else 1, 4)
        self.classes = nn.Embedding(classes, CLASS_FEATURES) if classes else None

    def forward(self, h: Tensor, label: Tensor | None = None) -> Tensor:
        windows = self.conv(h).flatten(2)  # (B, 1 or 64, patches)
        if self.classes is None:
            return windows[:, 0]
        return (windows * self.classes(label)[:, :, None]).sum(1) * CLASS_FEATURES**-0.5


def grid_for(size: int | tuple[int, int]) -> tuple[int, int, int]:
    """Rows and columns of the grid that images of a size begin with, and the side of their last
    layer."""
    rows, columns, doublings = grid_of(*((size, size) if isinstance(size, int) else size))
    return rows, columns, 4 << doublings


def resized(image: Tensor, shape: Sequence[int]) -> Tensor:
    """(B, C, H, W) -> (B, C, *shape), each pixel the mean of those that it covers."""
    return image if tuple(image.shape[2:]) == tuple(shape) else interpolate(image, size=tuple(shape), mode="area")


def quarters(x: Tensor, which: Tensor) -> Tensor:
    """One quarter of each image: (B, C, H, W), which (B,) in 0..3 -> (B, C, H/2, W/2)."""
    rows = x.unflatten(2, (2, x.shape[2] // 2)).unflatten(4, (2, x.shape[3] // 2))  # (B, C, 2, H/2, 2, W/2)
    return rows[torch.arange(len(x), device=x.device), :, which // 2, :, which % 2]


# ---------------------------------------------------------------------------------------------------- networks


class Generator(nn.Module):
    """z (B, latent), label (B,) -> image (B, channels, H, W) in -1..1. `size`: H and W, or one number
    for both."""

    def __init__(self, latent: int, width: int, size: int | tuple[int, int], channels: int, classes: int = 0):
        super().__init__()
        self.classes = classes
        rows, columns, largest = grid_for(size)
        self.jump = min(16, largest // 4)  # of an excitation; smaller images have one from 4 x 4 to all of them
        sides = [side for side in WIDTHS if side <= largest]
        widths = {side: max(1, int(width * WIDTHS[side])) for side in sides}
        self.first = spectral_norm(nn.ConvTranspose2d(latent + classes, 2 * widths[4], (rows, columns), bias=False))
        self.norm = nn.BatchNorm2d(2 * widths[4])
        self.blocks, self.excitations = nn.ModuleDict(), nn.ModuleDict()
        for before, side in pairwise(sides):
            noise = (rows * side // 4, columns * side // 4) if side in TWICE else None
            layers = [Gated(widths[before], widths[side], noise)]
            layers += [Gated(widths[side], widths[side], noise)] if side in TWICE else []
            self.blocks[str(side)] = nn.Sequential(nn.Upsample(scale_factor=2), *layers)
            if 4 <= side // self.jump <= 32:
                self.excitations[str(side)] = Excitation(widths[side // self.jump], widths[side], (rows, columns))
        self.last = conv(widths[largest], channels, 3, padding=1, bias=True)

    def forward(self, z: Tensor, label: Tensor | None = None) -> Tensor:
        latent = with_class(z, label, self.classes)[:, :, None, None]
        x = glu(self.norm(self.first(latent)), dim=1)  # (B, 16 width, rows, columns)
        layers = {4: x}
        for name, block in self.blocks.items():
            side, x = int(name), block(x)
            layers[side] = x = self.excitations[name](layers[side // self.jump], x) if name in self.excitations else x
        return self.last(x).tanh()  # (B, channels, H, W)


class Down(nn.Module):
    """Half the size: (B, before, H, W) -> (B, after, H/2, W/2). `residual`: the mean of two
    convolutions and of pooling with one."""

    def __init__(self, before: int, after: int, residual: bool = False):
        super().__init__()
        layers = [conv(before, after, 4, 2, 1), nn.BatchNorm2d(after), nn.LeakyReLU(0.2)]
        layers += [conv(after, after, 3, padding=1), nn.BatchNorm2d(after), nn.LeakyReLU(0.2)] if residual else []
        direct = [nn.AvgPool2d(2), conv(before, after, 1), nn.BatchNorm2d(after), nn.LeakyReLU(0.2)]
        self.layers, self.direct = nn.Sequential(*layers), nn.Sequential(*direct) if residual else None

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x) if self.direct is None else (self.layers(x) + self.direct(x)) / 2


class Decoder(nn.Module):
    """Features (B, C, h, w), of side 8 -> image (B, channels, H, W) in -1..1, of another side."""

    def __init__(self, features: int, width: int, channels: int, side: int):
        super().__init__()
        widths = [max(1, int(width * WIDTHS[s] / 2)) for s in WIDTHS if END < s <= side]
        steps = pairwise([features, *widths])
        layers = [nn.Sequential(nn.Upsample(scale_factor=2), Gated(before, after)) for before, after in steps]
        self.layers = nn.Sequential(*layers, conv([features, *widths][-1], channels, 3, padding=1))

    def forward(self, h: Tensor) -> Tensor:
        return self.layers(h).tanh()


class Discriminator(nn.Module):
    """image (B, channels, H, W) in -1..1, label (B,) -> logits (B, patches) of two halves, of which
    the second sees the image at half its size, or smaller. `size`: H and W, or one number for both.

    With quarter (B,), which of each image: logits, the whole image as decoded from the last
    features, that quarter of it as decoded from its features of 16 x 16.
    """

    def __init__(self, width: int, size: int | tuple[int, int], channels: int, classes: int = 0):
        super().__init__()
        rows, columns, largest = grid_for(size)
        sides = [side for side in reversed(WIDTHS) if END <= side <= min(largest, LARGEST)]
        widths = {side: max(1, width * 64 // side) for side in (2 * LARGEST, *sides)}
        stem: list[nn.Module] = [conv(channels, widths[sides[0]], 3, padding=1), nn.LeakyReLU(0.2)]
        if largest > LARGEST:  # 512 and 1,024 pixels are halved first
            first = widths[2 * LARGEST] if largest > 2 * LARGEST else widths[LARGEST]
            stem = [conv(channels, first, 4, 2, 1), nn.LeakyReLU(0.2)]
            stem += [Down(first, widths[LARGEST])] if largest > 2 * LARGEST else []
        self.stem, self.blocks, self.excitations = nn.Sequential(*stem), nn.ModuleDict(), nn.ModuleDict()
        self.first = sides[0]
        for before, side in pairwise(sides):
            self.blocks[str(side)] = Down(widths[before], widths[side], residual=True)
            if 8 * side in widths and 8 * side <= sides[0]:
                self.excitations[str(side)] = Excitation(widths[8 * side], widths[side], (rows, columns))
        top = 2 * widths[END]
        self.wide = nn.Sequential(conv(widths[END], top, 1), nn.BatchNorm2d(top), nn.LeakyReLU(0.2))
        self.head = PatchHead(top, classes)

        small = min(SMALL, largest // 2)
        self.small = rows * small // 4, columns * small // 4
        halved = [side for side in reversed(WIDTHS) if min(END, small // 2) <= side < small]
        least = [max(1, width * 32 // side) for side in halved]
        layers = [Down(before, after) for before, after in pairwise(least)]
        self.second = nn.Sequential(conv(channels, least[0], 4, 2, 1), nn.LeakyReLU(0.2), *layers)
        self.second_head = PatchHead(least[-1], classes)

        self.whole = Decoder(widths[END], width, channels, min(SMALL, largest))
        self.part = Decoder(widths[16], width, channels, min(SMALL, largest // 2))

    def forward(
        self, image: Tensor, label: Tensor | None = None, quarter: Tensor | None = None
    ) -> Tensor | tuple[Tensor, Tensor, Tensor]:
        h = self.stem(image)
        layers = {self.first: h}
        for name, block in self.blocks.items():
            side, h = int(name), block(h)
            layers[side] = h = self.excitations[name](layers[8 * side], h) if name in self.excitations else h
        second = self.second_head(self.second(resized(image, self.small)), label)
        logits = torch.cat([self.head(self.wide(h), label), second], 1)
        return logits if quarter is None else (logits, self.whole(h), self.part(quarters(layers[16], quarter)))


# ---------------------------------------------------------------------------------------------------- training


class FastGANTrainer(ImageSynthesisTrainer[FastGANConfig]):
    """Trains G and D with the hinge loss, and D to decode the real images that it sees."""

    name = "fastgan"
    distance: PerceptualDistance | None = None

    def generator(self) -> Generator:
        c = self.config
        return Generator(c.latent, c.width, c.sides, self.data_info.channels, self.conditions)

    def discriminator(self) -> Discriminator:
        return Discriminator(self.config.width, self.config.sides, self.data_info.channels, self.conditions)

    def optimisers(self) -> Optimiser:
        return Adam(Linear(*self.config.lr), self.config.betas)

    def trained_with(self) -> tuple[str, ...]:
        return (self.config.reconstruction,)  # that of the squared error is no network's

    def discriminator_loss(self, batch: Batch, step: Step) -> Terms:
        real, fake, label = self.pairs(batch, step)
        quarter = (4 * step.rand("quarter")).long().clamp(max=3)  # (B,)
        scores, whole, part = self.D(real, label, quarter)
        decoded = ((whole, real), (part, quarters(real, quarter)))
        reconstruction = sum(self.difference(x, resized(target, x.shape[2:])) for x, target in decoded)
        return {
            "hinge": losses.hinge.discriminator(scores, self.D(fake, label)),
            "reconstruction": reconstruction * self.config.reconstruction_weight,
        }

    def generator_loss(self, batch: Batch, step: Step) -> Terms:
        fake, label = self.fakes(batch, step)
        return {"hinge": losses.hinge.generator(self.best(self.D(fake, label), step))}

    def difference(self, decoded: Tensor, target: Tensor) -> Tensor:
        """Distance of decoded images (B, C, H, W) in -1..1 to their targets, by
        `reconstruction`."""
        if self.config.reconstruction == "mse":
            return mse_loss(decoded, target)
        if self.distance is None:
            self.distance = open_perceptual(self.config.reconstruction).to(self.device)
        images = (((x[:, :3] + 1) / 2).clamp(0, 1).expand(-1, 3, -1, -1) for x in (decoded, target))  # not the opacity
        return self.distance(*images).mean()
