"""ESRGAN: super-resolution with dense residual blocks and a relativistic discriminator.
Wang et al. 2018, arXiv:1809.00219.

    python -m multigen.recipes.esrgan                           # embedded photographs (minutes)
    python -m multigen.recipes.esrgan default --data photos/    # your own photographs
    python -m multigen.recipes.esrgan paper --data DF2K/        # the settings of the paper

A generator without batch norm is trained first with a pixel loss, then against a relativistic
discriminator, which predicts whether a photograph is more real than G's images, with a content loss
on features before activation.
"""

from dataclasses import dataclass
from typing import Literal

from multigen.engine.schedules import Schedule, Steps
from multigen.image.restoration.adversarial import AdversarialRestorationConfig, AdversarialRestorationTrainer
from multigen.image.restoration.networks import RRDB, VGGDiscriminator
from multigen.losses import relativistic_average

__all__ = ["PRESETS", "ESRGANConfig", "ESRGANTrainer"]


@dataclass(frozen=True)
class ESRGANConfig(AdversarialRestorationConfig):
    crop: int = 96
    """Side of the high-resolution crops, pixels; a multiple of the scale, and of 16 for the
    discriminator (128 in the paper)."""
    scale: int = 4
    """Factor between the resolutions: 2, 4 or 8."""
    blocks: int = 6
    """Residual-in-residual dense blocks of the generator (23 in the paper)."""
    width: int = 32
    """Channels of the generator (64 in the paper)."""
    growth: int = 16
    """Channels that each convolution of a dense block adds (32 in the paper)."""
    discriminator_width: int = 32
    """Channels of the discriminator's first layer (64 in the paper)."""
    content: Literal["vgg22_preactivation", "vgg54_preactivation", "efficientnet_lite0"] = "efficientnet_lite0"
    """Features of the content loss (vgg54_preactivation in the paper); only features before
    an activation."""
    content_weight: float = 1.0
    """Weight of the content loss (1 in equation 3)."""
    pixel_weight: float = 1.0
    """Weight of the pixel loss in the second stage (eta of equation 3, 1e-2 in the paper, whose
    features depend on brightness)."""
    adversarial_weight: float = 5e-3
    """Weight of the adversarial loss (lambda in equation 3)."""
    pretrain_lr: float = 5e-4
    """Learning rate of the first stage, halved after each fifth of it (2e-4 in the paper)."""
    lr: float = 1e-4
    """Learning rate of the second stage; halved after an eighth, a quarter, a half and three
    quarters of it."""

    ranges = AdversarialRestorationConfig.ranges | {"growth": 1}

    @property
    def scales(self) -> tuple[int, ...]:
        return (2, 4, 8)


PRESETS = {
    "tiny": ESRGANConfig(
        validation_size=0, crop=48, blocks=1, width=16, growth=8, discriminator_width=8, batch=4, pretrain_steps=20,
        steps=4, ema=0.9,
    ),
    "laptop": ESRGANConfig(
        validation_size=0, blocks=2, discriminator_width=16, pretrain_steps=1_000, pretrain_lr=1e-3, steps=300, lr=3e-4
    ),
    "default": ESRGANConfig(),
    "paper": ESRGANConfig(
        crop=128, blocks=23, width=64, growth=32, discriminator_width=64, content="vgg54_preactivation",
        pixel_weight=1e-2, pretrain_steps=1_000_000, pretrain_lr=2e-4, steps=400_000,
    ),
}  # fmt: skip


class ESRGANTrainer(AdversarialRestorationTrainer[ESRGANConfig]):
    """Trains G for super-resolution: first with a pixel loss, then so that D takes its images for
    more real than the average photograph.

    D minimises equation 1, G equation 3: content loss + lambda adversarial loss (equation 2) + eta
    pixel loss.
    """

    name = "esrgan"
    adversarial = relativistic_average

    def generator(self) -> RRDB:
        c = self.config
        return RRDB(c.scale, c.blocks, c.width, c.growth)

    def discriminator(self) -> VGGDiscriminator:
        c = self.config
        return VGGDiscriminator(c.crop - c.shift, c.discriminator_width)

    def pretrain_rate(self) -> Schedule:
        return _halved(self.config.pretrain_lr, (0.2, 0.4, 0.6, 0.8))

    def adversarial_rate(self) -> Schedule:
        return _halved(self.config.lr, (0.125, 0.25, 0.5, 0.75))


def _halved(rate: float, at: tuple[float, ...]) -> Steps:
    """A learning rate that is halved at these shares of a stage."""
    return Steps(tuple(rate / 2**i for i in range(len(at) + 1)), at)
