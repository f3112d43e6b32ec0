"""Real-ESRGAN: blind super-resolution: blur, noise and compression of the input are unknown.
Wang et al. 2021, arXiv:2107.10833.

    python -m multigen.recipes.realesrgan                          # embedded photographs (minutes)
    python -m multigen.recipes.realesrgan default --data photos/   # your own photographs
    python -m multigen.recipes.realesrgan paper --data DF2K/       # the settings of the paper

A generator learns to undo random degradations (`multigen.image.restoration.blind`), first with a
pixel loss, then against a discriminator with a logit for each pixel, with a content loss.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

import numpy as np
from torch import Tensor, nn

from multigen.engine import Batch, Callback, Run, Step
from multigen.errors import ConfigError
from multigen.image.restoration.adversarial import AdversarialRestorationConfig, AdversarialRestorationTrainer
from multigen.image.restoration.base import to_unit
from multigen.image.restoration.blind import Strength, degrade, degrade_named, sharpened
from multigen.image.restoration.networks import GENERATORS, RRDB, UNetDiscriminator
from multigen.image.restoration.test_sets import TestSet, open_test_sets
from multigen.image.restoration.upscaler import Restorer

__all__ = ["PRESETS", "RealESRGANConfig", "RealESRGANTrainer"]


@dataclass(frozen=True)
class RealESRGANConfig(AdversarialRestorationConfig):
    crop: int = 128
    """Side of the high-resolution crops, pixels; a multiple of the scale, and of 8 for the
    discriminator (256 in the paper)."""
    scale: int = 4
    """Factor between the resolutions: 1, 2, 3, 4 or 8; rrdb has no 3."""
    degradation: Strength = "strong"
    """Degradation of the inputs: the paper's (strong), that of messengers and phones (mild), or
    bicubic downsampling only (none)."""
    sharpen: bool = True
    """Sharpen the targets of the pixel and content losses, and the images that inputs are made of,
    as in the paper."""
    generator: Literal["srvgg", "compact", "span", "rrdb"] = "srvgg"
    """Generator: Real-ESRGAN's small network, our own, SPAN, or the paper's large
    one."""
    blocks: int = 16
    """Blocks of the generator (rrdb: 23 in the paper; span: 6; srvgg: convolutions, 16 and 32 in
    published weights)."""
    width: int = 64
    """Channels of the generator."""
    growth: int = 32
    """Channels that each convolution of a dense block adds; rrdb only."""
    unshuffle: int = 1
    """Pixel-unshuffle factor at the input of rrdb: 2 at scale 2 and 4 at scale 1 in published
    weights."""
    content: Literal["vgg22", "vgg54", "efficientnet_lite0"] = "efficientnet_lite0"
    """Features of the content loss."""

    ranges = AdversarialRestorationConfig.ranges | {"growth": 1, "unshuffle": (1, 4)}
    crop_multiple = 8

    def __post_init__(self):
        super().__post_init__()
        if self.unshuffle not in (1, 2, 4) or (self.unshuffle > 1 and self.generator != "rrdb"):
            raise ConfigError(f"unshuffle {self.unshuffle}: expected 1, and of rrdb 1, 2 or 4")

    @property
    def scales(self) -> tuple[int, ...]:
        return (1, 2, 4, 8) if self.generator == "rrdb" else super().scales


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


class RealESRGANTrainer(AdversarialRestorationTrainer[RealESRGANConfig]):
    """Trains G for blind super-resolution: first with a pixel loss, then so that D takes each pixel
    for one of a photograph."""

    name = "realesrgan"
    degrades_whole = False

    def __init__(self, config: RealESRGANConfig, run: Run | None = None, callbacks: Sequence[Callback] = ()):
        super().__init__(config, run, callbacks)
        if self.scale == 1:
            self.task = Restorer.task

    def degrade(self, image: Tensor, name: str) -> Tensor:
        return degrade_named(image, self.scale, self.config.degradation, name)

    def corrupt(self, crop: Tensor, rng: np.random.Generator) -> dict[str, Tensor]:
        sharp = sharpened(crop) if self.config.sharpen else crop
        return {"sharp": sharp, "input": degrade(sharp, self.scale, self.config.degradation, rng)}

    def open_tests(self) -> Sequence[TestSet]:
        """Each set with bicubic, mild and strong degradation: NAME, NAME-mild,
        NAME-strong."""
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

    def discriminator(self) -> UNetDiscriminator:
        return UNetDiscriminator(self.config.discriminator_width)

    def reference(self, batch: Batch, step: Step) -> Tensor:
        """Sharpened photographs; D sees them as they are."""
        return to_unit(batch["sharp"], step)
