"""Projected GAN: discriminators on the features of a frozen, pretrained network.
Sauer et al. 2021, arXiv:2111.01007.

    python -m multigen.recipes.projected                          # embedded digits (minutes)
    python -m multigen.recipes.projected default --data photos/   # your own images
    python -m multigen.recipes.projected paper --data photos/     # the settings of the paper

An ImageNet network's features of four resolutions are mixed across channels and scales by random
weights that are never trained; a small discriminator sees each mixture. G is FastGAN's. Training
converges in a fraction of the images that other methods need.

D is trained on EfficientNet-lite0, so distances in its features flatter these samples: evaluations
mark them "used by D". Compare by another network: `--features classifier`, `inception`,
`squeezenet1_1` or `vgg34`.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from multigen import losses
from multigen.engine import Adam, Batch, Linear, Optimiser, Step, Terms
from multigen.errors import ConfigError
from multigen.image.backbones import PYRAMID, PYRAMID_CHANNELS, EfficientNetLite0
from multigen.image.synthesis.base import ImageSynthesisTrainer
from multigen.image.synthesis.fastgan import Down, Generator, PatchHead
from multigen.image.synthesis.grids import GridConfig

__all__ = ["PRESETS", "Discriminator", "Features", "ProjectedConfig", "ProjectedTrainer"]

STRIDE, END = 32, 8  # of the last features; side from which on a discriminator no longer halves them


def check_channels(channels: int) -> None:
    """Raises ConfigError for images that EfficientNet-lite0 does not take."""
    if channels not in (1, 3):
        raise ConfigError(
            f"channels {channels}: EfficientNet-lite0 takes colour images, or grey ones repeated; use --channels 3, or another "
            "method, such as fastgan"
        )


@dataclass(frozen=True)
class ProjectedConfig(GridConfig):
    latent: int = 256
    width: int = 64
    """Channels of G at 128 pixels; they double with each halving, and twice as many at 64, 8 and
    4."""
    discriminator_width: int = 64
    """Channels of the mixture of the highest resolution; 2 and 4 times as many in the last two."""
    input_size: int = 224
    """Shorter side in pixels to which images are resized for the pretrained network: a multiple of
    32, at least 64, as the longer side becomes too. Smaller is faster."""
    augment: str = "color,translation,cutout"
    """DiffAugment (arXiv:2006.10738) of what D sees: color, translation, cutout, joined by
    commas."""
    lr: tuple[float, float] = (2e-4, 2e-4)
    """Learning rate at the beginning and at the end, in between a straight line (constant in the
    paper)."""
    betas: tuple[float, float] = (0.0, 0.99)
    """Betas of Adam."""

    ranges = GridConfig.ranges | {"discriminator_width": 1, "input_size": (64, 1_024)}

    def __post_init__(self):
        super().__post_init__()
        check_channels(self.channels or 3)
        if self.input_size % STRIDE:
            below = self.input_size // STRIDE * STRIDE
            raise ConfigError(
                f"input_size {self.input_size}: expected a multiple of {STRIDE}, such as {below} or {below + STRIDE}"
            )


PRESETS = {
    "tiny": ProjectedConfig(
        width=4, discriminator_width=4, input_size=64, latent=16, batch=8, steps=20, ema=0.9, samples=100
    ),
    "laptop": ProjectedConfig(
        width=16, discriminator_width=32, input_size=96, latent=64, batch=16, steps=1_500, lr=(1e-3, 2e-4), ema=0.995
    ),
    "default": ProjectedConfig(size=256, batch=16, steps=50_000),
    "paper": ProjectedConfig(size=256, batch=64, steps=100_000),
}


class Pretrained(EfficientNetLite0):
    """EfficientNet-lite0 without a place in checkpoints: its weights are those of the package."""

    def state_dict(self, *args, destination=None, prefix="", keep_vars=False):
        return {} if destination is None else destination


class Features(nn.Module):
    """image (B, 1 or 3, H, W) in -1..1 -> four mixtures of features, of `input_size` / 2, / 4, / 8
    and / 16 on the shorter side; section 3.2.

    The mixing weights, 1x1 convolutions across channels and across scales, stay as they were drawn:
    they are in checkpoints, but no update trains them.
    """

    def __init__(self, width: int, input_size: int):
        super().__init__()
        self.input_size = input_size
        self.network = Pretrained(PYRAMID)
        self.widths = [width, width, 2 * width, 4 * width]
        mixed = [width << i for i in range(4)]
        self.channel_mixing = nn.ModuleList(
            nn.Conv2d(before, after, 1) for before, after in zip(PYRAMID_CHANNELS, mixed, strict=True)
        )
        self.scale_mixing = nn.ModuleList(
            nn.Conv2d(before, after, 1) for before, after in zip(mixed, self.widths, strict=True)
        )
        self.requires_grad_(False)

    def forward(self, image: Tensor) -> list[Tensor]:
        x = (image.expand(-1, 3, -1, -1) + 1) / 2
        if x.shape[2:] != (shape := self.shape_of(*x.shape[2:])):
            x = x.to(torch.promote_types(x.dtype, torch.float32))  # torch does not reduce bfloat16 on a CPU
        x = interpolate(x, size=shape, mode="bilinear", antialias=True)
        features = [mix(h) for mix, h in zip(self.channel_mixing, self.network(x), strict=True)]
        result, below = list[Tensor](), None
        for mix, h in zip(reversed(self.scale_mixing), reversed(features), strict=True):  # from the smallest
            h = h if below is None else h + below
            below = mix(interpolate(h, scale_factor=2, mode="bilinear", align_corners=True))
            result.append(below)
        return result[::-1]

    def shape_of(self, height: int, width: int) -> tuple[int, int]:
        """Height and width at which the pretrained network sees images of a size."""
        scale = self.input_size / min(height, width) / STRIDE
        return round(height * scale) * STRIDE, round(width * scale) * STRIDE


class Discriminator(nn.Module):
    """image (B, 1 or 3, H, W) in -1..1, label (B,) -> logits (B, patches) of four discriminators,
    each of which halves its features to a shorter side of at most 8."""

    def __init__(self, width: int, input_size: int, channels: int, classes: int = 0):
        super().__init__()
        check_channels(channels)
        self.features = Features(width, input_size)
        self.discriminators, self.heads = nn.ModuleList(), nn.ModuleList()
        widths = [*self.features.widths, 8 * width]
        for level in range(4):
            side, last, layers = input_size // 2 >> level, level, list[nn.Module]()
            while side > END:
                after = min(last + 1, 4)
                layers.append(Down(widths[last], widths[after]))
                side, last = side // 2, after
            self.discriminators.append(nn.Sequential(*layers))
            self.heads.append(PatchHead(widths[last], classes))

    def forward(self, image: Tensor, label: Tensor | None = None) -> Tensor:
        levels = zip(self.heads, self.discriminators, self.features(image), strict=True)
        return torch.cat([head(layers(h), label) for head, layers, h in levels], 1)


class ProjectedTrainer(ImageSynthesisTrainer[ProjectedConfig]):
    """Trains G and the discriminators with the hinge loss; section 3.1."""

    name = "projected"

    def generator(self) -> Generator:
        c = self.config
        return Generator(c.latent, c.width, c.sides, self.data_info.channels, self.conditions)

    def discriminator(self) -> Discriminator:
        c = self.config
        return Discriminator(c.discriminator_width, c.input_size, self.data_info.channels, self.conditions)

    def optimisers(self) -> Optimiser:
        return Adam(Linear(*self.config.lr), self.config.betas)

    def trained_with(self) -> tuple[str, ...]:
        return ("efficientnet_lite0",)

    def discriminator_loss(self, batch: Batch, step: Step) -> Terms:
        real, fake, label = self.pairs(batch, step)
        return {"hinge": losses.hinge.discriminator(self.D(real, label), self.D(fake, label))}

    def generator_loss(self, batch: Batch, step: Step) -> Terms:
        fake, label = self.fakes(batch, step)
        return {"hinge": losses.hinge.generator(self.best(self.D(fake, label), step))}
