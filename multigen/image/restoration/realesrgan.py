"""Real-ESRGAN: blind super-resolution: blur, noise and compression of the input are unknown. Wang et al. 2021, arXiv:2107.10833.

    python -m multigen.recipes.realesrgan                          # embedded photographs, minutes on a laptop
    python -m multigen.recipes.realesrgan default --data photos/   # your own photographs
    python -m multigen.recipes.realesrgan paper --data DF2K/       # the paper's networks, losses and steps

A generator learns to undo degradations that are drawn for each crop (`multigen.image.restoration.blind`), first for the least
pixel error, then against a discriminator that gives a logit for each pixel, with a content loss.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, leaky_relu
from torch.nn.utils.parametrizations import spectral_norm

from multigen import losses
from multigen.engine import Adam, Batch, Callback, Run, Stage, Step, Terms, Update
from multigen.engine.optimisers import Optimiser
from multigen.engine.schedules import Cosine
from multigen.errors import ConfigError
from multigen.image.restoration.base import ImageRestorationConfig, ImageRestorationTrainer, to_unit
from multigen.image.restoration.blind import Strength, degrade, degrade_named, sharpened
from multigen.image.restoration.networks import GENERATORS, RRDB
from multigen.image.restoration.test_sets import TestSet, open_test_sets
from multigen.image.restoration.upscaler import Restorer
from multigen.tasks.restoration.base import RANGES

__all__ = ["PRESETS", "Discriminator", "RealESRGANConfig", "RealESRGANTrainer"]


@dataclass(frozen=True)
class RealESRGANConfig(ImageRestorationConfig):
    crop: int = 128
    """Side of the high-resolution crops, pixels; a multiple of the scale, and of 8 for the discriminator (256 in the paper)."""
    scale: int = 4
    """Factor between the resolutions: 1, 2, 3, 4 or 8; rrdb has no 3."""
    degradation: Strength = "strong"
    """What inputs are made by: the paper's (strong), one of messengers and phones (mild), or bicubic reduction alone (none)."""
    sharpen: bool = True
    """Sharpen the targets of the pixel and content losses, and what inputs are made of, as in the paper."""
    generator: Literal["srvgg", "compact", "span", "rrdb"] = "srvgg"
    """Real-ESRGAN's small network, our own, SPAN, or the paper's large one."""
    blocks: int = 16
    """Blocks of the generator (rrdb: 23 in the paper; span: 6; srvgg: convolutions, 16 and 32 in published weights)."""
    width: int = 64
    """Channels of the generator."""
    growth: int = 32
    """Channels that each convolution of a dense block adds; rrdb only."""
    unshuffle: int = 1
    """Side of the squares of pixels that rrdb takes as channels: 2 at scale 2 and 4 at scale 1 in published weights."""
    discriminator_width: int = 64
    """Channels of the discriminator's first layer."""
    content: Literal["vgg22", "vgg54", "efficientnet_lite0"] = "efficientnet_lite0"
    """Features of the content loss."""
    content_weight: float = 1.0
    """Weight of the content loss."""
    pixel_weight: float = 1.0
    """Weight of the pixel loss in the second stage."""
    adversarial_weight: float = 0.1
    """Weight of the adversarial loss."""
    pretrain_steps: int = 20_000
    """Steps of the first stage."""
    pretrain_lr: float = 5e-4
    """Learning rate of the first stage; falls to 0 along half a cosine."""
    lr: float = 1e-4
    """Learning rate of the second stage, constant."""

    ranges = RANGES | {"steps": 0, "pretrain_steps": 0, "growth": 1, "unshuffle": (1, 4)}

    def __post_init__(self):
        super().__post_init__()
        scales = (1, 2, 4, 8) if self.generator == "rrdb" else (1, 2, 3, 4, 8)
        if self.scale not in scales:
            raise ConfigError(
                f"scale {self.scale}: {self.generator} has {', '.join(f'x{s}' for s in scales)}; give one of them"
            )
        if self.unshuffle not in (1, 2, 4) or (self.unshuffle > 1 and self.generator != "rrdb"):
            raise ConfigError(f"unshuffle {self.unshuffle}: expected 1, and of rrdb 1, 2 or 4")
        if self.crop < 16 or self.crop % 8 or self.crop % self.scale:
            raise ConfigError(f"crop {self.crop}: expected a multiple of 8, at least 16, and of the scale {self.scale}")
        if not self.pretrain_steps + self.steps:
            raise ConfigError("pretrain_steps 0, steps 0: nothing to train; expected steps in one of the stages")

    @property
    def distance(self) -> str:
        return self.content


PRESETS = {
    "tiny": RealESRGANConfig(
        validation_size=0, crop=48, blocks=2, width=16, discriminator_width=8, batch=4, pretrain_steps=20, steps=4, ema=0.9
    ),
    "laptop": RealESRGANConfig(
        validation_size=0, crop=96, degradation="mild", generator="compact", blocks=8, width=32, discriminator_width=16,
        pretrain_steps=2_000, pretrain_lr=1e-3, steps=300, lr=3e-4,
    ),
    "default": RealESRGANConfig(steps=20_000),
    "paper": RealESRGANConfig(
        crop=256, generator="rrdb", blocks=23, batch=48, content="vgg54", pretrain_steps=1_000_000, pretrain_lr=2e-4,
        steps=400_000,
    ),
}  # fmt: skip


class Discriminator(nn.Module):
    """A U-Net with spectral norm (section 3.4): RGB (B, 3, H, W) in 0..1, sides multiples of 8 -> logits (B, 1, H, W) of each
    pixel's being of a photograph."""

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


class RealESRGANTrainer(ImageRestorationTrainer[RealESRGANConfig]):
    """Trains G to enlarge images of unknown degradation: first for the least pixel error, then so that D takes each pixel for a
    photograph's."""

    name = "realesrgan"
    budget = ("pretrain_steps", "steps")
    degrades_whole = False

    def __init__(self, config: RealESRGANConfig, run: Run | None = None, callbacks: Sequence[Callback] = ()):
        super().__init__(config, run, callbacks)
        if self.scale == 1:
            self.task = Restorer.task

    @property
    def scale(self) -> int:
        return self.config.scale

    def degrade(self, image: Tensor, name: str) -> Tensor:
        return degrade_named(image, self.scale, self.config.degradation, name)

    def corrupt(self, crop: Tensor, rng: np.random.Generator) -> dict[str, Tensor]:
        sharp = sharpened(crop) if self.config.sharpen else crop
        return {"sharp": sharp, "input": degrade(sharp, self.scale, self.config.degradation, rng)}

    def open_tests(self) -> Sequence[TestSet]:
        """Each set after bicubic reduction, and after mild and strong degradation: NAME, NAME-mild, NAME-strong."""
        sets, names = [], [*self.config.test, *self.own_tests()]
        strengths: tuple[Strength, ...] = ("none", "mild", "strong")
        for strength in strengths:
            degrade = partial(degrade_named, scale=self.scale, strength=strength)
            for test in open_test_sets(
                names, self.scale, lambda image, name, degrade=degrade: degrade(image, name=name)
            ):
                sets.append(test if strength == "none" else replace(test, name=f"{test.name}-{strength}"))
        return sets

    def generator(self) -> nn.Module:
        c = self.config
        if c.generator == "rrdb":
            return RRDB(c.scale, c.blocks, c.width, c.growth, c.unshuffle)
        return GENERATORS[c.generator](c.scale, c.blocks, c.width)

    def discriminator(self) -> Discriminator:
        return Discriminator(self.config.discriminator_width)

    def optimisers(self) -> Optimiser:
        return Adam(lr=Cosine(self.config.pretrain_lr, 0.0), betas=self.config.betas)

    def stages(self) -> list[Stage]:
        c = self.config
        return [
            Stage("pretrain", c.pretrain_steps, [
                Update("generator", trains=["G"], loss=self.pixel_loss),
            ], best=self.best("psnr_y", "max")),
            Stage("adversarial", c.steps, [
                Update("discriminator", trains=["D"], loss=self.discriminator_loss),
                Update("generator",     trains=["G"], loss=self.generator_loss),
            ], best=self.best(c.distance), optim=Adam(c.lr, c.betas)),
        ]  # fmt: skip

    def pixel_loss(self, batch: Batch, step: Step) -> Terms:
        return {"pixel": (self.G(self.inputs(batch, step)) - to_unit(batch["sharp"], step)).abs().mean()}

    def discriminator_loss(self, batch: Batch, step: Step) -> Terms:
        """Photographs as they are, not sharpened, against G's images."""
        with torch.no_grad():
            fake = self.G(self.inputs(batch, step))
        return {"adversarial": losses.non_saturating.discriminator(self.D(self.targets(batch, step)), self.D(fake))}

    def generator_loss(self, batch: Batch, step: Step) -> Terms:
        c, sharp = self.config, to_unit(batch["sharp"], step)
        fake = self.G(self.inputs(batch, step)).to(sharp.dtype)
        return {
            "pixel": (fake - sharp).abs().mean() * c.pixel_weight,
            "content": self.distance(fake, sharp).mean() * c.content_weight,
            "adversarial": losses.non_saturating.generator(self.D(fake)) * c.adversarial_weight,
        }
