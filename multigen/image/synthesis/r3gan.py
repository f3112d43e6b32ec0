"""R3GAN: a modern ResNet GAN baseline (relativistic loss, R1 + R2).
Huang et al. 2024, arXiv:2501.05441.

    python -m multigen.recipes.r3gan                          # embedded digits (minutes)
    python -m multigen.recipes.r3gan default --data photos/   # your own images
    python -m multigen.recipes.r3gan paper --data cifar10     # the paper's settings for CIFAR-10

A relativistic loss that pairs each sample with a real image, and gradient penalties on both (R1,
R2), every step: training then converges without normalisation or other stabilisers. The networks
are ResNets with grouped convolutions, alike in both. Learning rate, second moment, penalty,
augmentation and running average follow one cosine over the run.
"""

import math
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import leaky_relu, pixel_shuffle, pixel_unshuffle

from multigen import losses
from multigen.engine import Adam, Batch, Step, Terms
from multigen.engine.optimisers import Optimiser
from multigen.engine.schedules import Cosine, Schedule, value_at
from multigen.errors import ConfigError
from multigen.image.resample import Downsample, Pointwise, Upsample
from multigen.image.synthesis.base import ImageSynthesisConfig, ImageSynthesisTrainer, doublings
from multigen.losses import penalties
from multigen.tasks.synthesis.conditioning import ProjectionHead, with_class

__all__ = ["PRESETS", "Discriminator", "Generator", "R3GANConfig", "R3GANTrainer"]

SLOPE = 0.2  # of the leaky rectifier
GAIN = math.sqrt(2 / (1 + SLOPE**2))  # keeps the variance of activations through it


@dataclass(frozen=True)
class R3GANConfig(ImageSynthesisConfig):
    latent: int = 64
    width: int = 64
    """Channels at the highest resolution; they double with each halving, up to `max_channels`."""
    patch: int = 1
    """Side of the squares of pixels that the networks take as one position with `patch`^2 times the
    channels: all blocks then run at size / patch, for about 1 / patch^2 of the time. A power of
    two; 1 in the paper."""
    max_channels: int = 512
    """Channels at most (768 in the paper)."""
    blocks: int = 1
    """Residual blocks a resolution (2 in the paper)."""
    expansion: int = 1
    """Channels inside a block, over those outside (2 in the paper)."""
    group: int = 16
    """Channels of a group in the grouped convolutions."""
    lr: tuple[float, float] = (2e-4, 5e-5)
    """Learning rate at the beginning and at the end; in between a cosine, as in the following
    pairs."""
    beta2: tuple[float, float] = (0.9, 0.99)
    """Second beta of Adam; the first is 0."""
    gamma: tuple[float, float] = (2.0, 0.2)
    """Weight of both penalties (CIFAR-10 .05 to .005, faces of 64 pixels 2 to .2 in the paper)."""
    augment_share: tuple[float, float] = (0.0, 0.3)
    """Probability of each augmentation, where `augment` names any."""
    half_life: float = 0.03
    """Half-life of the running average in the end, as a share of the run; it grows from 0."""

    ranges = ImageSynthesisConfig.ranges | {
        **{"max_channels": 1, "blocks": (1, 1_000), "expansion": 1, "group": 1},
        **{"half_life": 0, "augment_share": (0, 1)},
    }

    def __post_init__(self):
        super().__post_init__()
        if self.patch not in (legal := [1 << i for i in range(doublings(self.size) + 1)]):
            raise ConfigError(
                f"patch {self.patch}: expected a side that leaves at least 4 x 4 squares of an image of {self.size} pixels: one "
                f"of {', '.join(map(str, legal))}"
            )
        for inner in (width * self.expansion for width in self.widths):
            if inner > self.group and inner % self.group:
                raise ConfigError(
                    f"width {self.width}: {inner} channels do not divide into groups of {self.group}; take a multiple of "
                    f"{self.group} for width and max_channels, or another --group"
                )

    @property
    def widths(self) -> list[int]:
        """Channels from 4 x 4 up to size / patch."""
        levels = doublings(self.size) - (self.patch.bit_length() - 1)
        return [min(self.max_channels, self.width << i) for i in reversed(range(levels + 1))]


PRESETS = {
    "tiny": R3GANConfig(width=16, max_channels=32, batch=16, steps=20, samples=100),
    "laptop": R3GANConfig(width=16, max_channels=128, batch=16, steps=4_000, lr=(1e-3, 1e-4), gamma=(1.0, 0.1)),
    "default": R3GANConfig(size=64, steps=50_000),
    "paper": R3GANConfig(
        width=768,
        max_channels=768,
        blocks=2,
        expansion=2,
        batch=512,
        steps=200_000,
        gamma=(0.05, 0.005),
        conditional=True,
        mirror=True,
        augment="color,translation,cutout",
        augment_share=(0.0, 0.55),
    ),
}


def scaled_(layer: nn.Module, gain: float) -> nn.Module:
    """Weights of deviation gain / sqrt(inputs); the bias, if any, is 0."""
    weight = layer.weight
    nn.init.normal_(weight, 0.0, gain / math.sqrt(weight[0].numel()))  # pyright: ignore
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)  # pyright: ignore
    return layer


class Block(nn.Module):
    """x + 1x1, grouped 3x3, 1x1, leaky rectifiers between them: (B, C, H, W) -> the same shape.

    The last convolution begins at 0, the others smaller the more blocks there are (Zhang et al.
    2019, arXiv:1901.09321).
    """

    def __init__(self, width: int, c: R3GANConfig, depth: int):
        super().__init__()
        gain, inner = GAIN * depth**-0.25, width * c.expansion
        self.conv1 = scaled_(Pointwise(width, inner), gain)
        self.conv2 = scaled_(nn.Conv2d(inner, inner, 3, padding=1, groups=max(1, inner // c.group)), gain)
        self.conv3 = scaled_(Pointwise(inner, width, bias=False), 0.0)

    def forward(self, x: Tensor) -> Tensor:
        h = leaky_relu(self.conv1(x), SLOPE)
        h = leaky_relu(self.conv2(h), SLOPE)
        return x + self.conv3(h)


class Resample(nn.Module):
    """2x up- or downsampling with the binomial filter [1, 3, 3, 1], and a 1x1 convolution where the
    channels change."""

    def __init__(self, before: int, after: int, up: bool):
        super().__init__()
        self.up = up
        self.conv = scaled_(Pointwise(before, after, bias=False), 1.0) if before != after else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return 4 * Upsample.apply(self.conv(x)) if self.up else self.conv(Downsample.apply(x))


class Generator(nn.Module):
    """z (B, latent), label (B,) -> image (B, channels, size, size); about -1..1, not bounded."""

    def __init__(self, c: R3GANConfig, channels: int, classes: int = 0):
        super().__init__()
        self.classes, self.patch = classes, c.patch
        widths = c.widths
        depth = c.blocks * len(widths)
        self.basis = nn.Parameter(torch.randn(widths[0], 4, 4))
        self.first = scaled_(nn.Linear(c.latent + self.classes, widths[0], bias=False), 1.0)
        layers: list[nn.Module] = [Block(widths[0], c, depth) for _ in range(c.blocks)]
        for before, after in pairwise(widths):
            layers.append(Resample(before, after, up=True))
            layers += [Block(after, c, depth) for _ in range(c.blocks)]
        self.layers = nn.Sequential(*layers, scaled_(Pointwise(widths[-1], channels * c.patch**2, bias=False), 1.0))

    def forward(self, z: Tensor, label: Tensor | None = None) -> Tensor:
        scale = self.first(with_class(z, label, self.classes))  # (B, top)
        folded = self.layers(self.basis * scale[:, :, None, None])  # (B, channels * patch^2, size/patch, size/patch)
        return pixel_shuffle(folded, self.patch)


class Discriminator(nn.Module):
    """image (B, channels, size, size), label (B,) -> logit (B,): the generator's mirror image."""

    def __init__(self, c: R3GANConfig, channels: int, classes: int = 0):
        super().__init__()
        self.patch = c.patch
        widths = c.widths[::-1]
        depth = c.blocks * len(widths)
        layers: list[nn.Module] = [scaled_(Pointwise(channels * c.patch**2, widths[0], bias=False), 1.0)]
        layers += [Block(widths[0], c, depth) for _ in range(c.blocks)]
        for before, after in pairwise(widths):
            layers.append(Resample(before, after, up=False))
            layers += [Block(after, c, depth) for _ in range(c.blocks)]
        top = widths[-1]
        layers.append(scaled_(nn.Conv2d(top, top, 4, groups=top, bias=False), 1.0))  # (B, top, 4, 4) -> (B, top, 1, 1)
        self.layers = nn.Sequential(*layers, nn.Flatten())
        self.head = ProjectionHead(top, classes)
        scaled_(self.head.score, 1.0)

    def forward(self, image: Tensor, label: Tensor | None = None) -> Tensor:
        folded = pixel_unshuffle(image, self.patch)  # (B, channels * patch^2, size/patch, size/patch)
        return self.head(self.layers(folded), label)


class R3GANTrainer(ImageSynthesisTrainer[R3GANConfig]):
    """Trains G and D with the relativistic pairing loss."""

    name = "r3gan"

    def generator(self) -> Generator:
        return Generator(self.config, self.data_info.channels, self.conditions)

    def discriminator(self) -> Discriminator:
        return Discriminator(self.config, self.data_info.channels, self.conditions)

    def optimisers(self) -> Optimiser:
        c = self.config
        return Adam(Cosine(*c.lr), (0.0, Cosine(*c.beta2)))

    def averaged(self) -> dict[str, Schedule]:
        """A half-life that grows from 0 to a share of the run; none where `ema` is 0."""
        c = self.config
        if not c.ema:
            return {}
        growing = Cosine(0.0, c.half_life * c.steps)

        def decay(progress: float) -> float:
            return 0.5 ** (1 / max(value_at(growing, progress), 1e-3))

        return {"G": decay}

    def discriminator_loss(self, batch: Batch, step: Step) -> Terms:
        """Relativistic pairing plus gamma (R1 + R2), whose gradients are taken at the images before
        they are augmented."""
        gamma = value_at(Cosine(*self.config.gamma), step.progress)
        real, fake, label = self.bare_pairs(batch, step)
        real_scores, r1 = penalties.scores_and_r1(self.augmented_critic(step, "real"), real, label)
        fake_scores, r2 = penalties.scores_and_r1(self.augmented_critic(step, "fake"), fake, label)
        adversarial = losses.relativistic_pairing.discriminator(real_scores, fake_scores)
        return {"adversarial": adversarial, "r1": r1 * gamma, "r2": r2 * gamma}

    def generator_loss(self, batch: Batch, step: Step) -> Terms:
        fake, label = self.fakes(batch, step)
        with torch.no_grad():
            real = self.D(self.reals(batch, step), label)
        scores = self.D(fake, label)
        rows = self.best_rows(scores, step)  # of both, so that a pair has one class
        return {"adversarial": losses.relativistic_pairing.generator(scores[rows], real[rows])}

    def augment_share(self, step: Step) -> float:
        return value_at(Cosine(*self.config.augment_share), step.progress)
