"""LSGAN: a least-squares loss that regresses D's output to targets.
Mao et al. 2017, arXiv:1611.04076.

    python -m multigen.recipes.lsgan                          # embedded digits (minutes)
    python -m multigen.recipes.lsgan --targets -1 1 0         # the targets of equation 8
    python -m multigen.recipes.lsgan default --data photos/   # your own images, cut to squares

The cross entropy of a GAN hardly moves samples that D already takes for real, however far they are
from real images. Least squares penalise by distance: they pull those samples back too, and are flat
at one point only (section 3.2.1). The networks are DCGAN's.
"""

from dataclasses import dataclass

from multigen import losses
from multigen.engine import Adam, Batch, Linear, Optimiser, Step, Terms
from multigen.image.synthesis import ImageSynthesisConfig, ImageSynthesisTrainer
from multigen.image.synthesis.dcgan import Discriminator, Generator

__all__ = ["PRESETS", "LSGANConfig", "LSGANTrainer"]


@dataclass(frozen=True)
class LSGANConfig(ImageSynthesisConfig):
    latent: int = 100
    """Dimensions of z ~ N(0, I)."""
    width: int = 64
    """Channels of the layers at the highest resolution; they double with each halving."""
    targets: tuple[float, float, float] = (0.0, 1.0, 1.0)
    """a, b, c: what D is to answer to samples and to real images, and what G wants it to answer to
    samples (equation 9; equation 8: -1 1 0)."""
    lr: tuple[float, float] = (1e-3, 1e-3)
    """Learning rate at the beginning and at the end, in between a straight line (constant in the
    paper)."""
    betas: tuple[float, float] = (0.5, 0.999)
    """Betas of Adam."""


PRESETS = {
    "tiny": LSGANConfig(width=8, batch=16, steps=20, ema=0.9, samples=100),
    "laptop": LSGANConfig(width=32, latent=24, steps=2_400, lr=(2e-3, 2e-4), betas=(0.5, 0.99), ema=0.995, clusters=20),
    "default": LSGANConfig(size=64, steps=50_000, lr=(2e-4, 2e-4)),
    "paper": LSGANConfig(size=128, steps=100_000, ema=0.0),
}


class LSGANTrainer(ImageSynthesisTrainer[LSGANConfig]):
    """Trains G to generate images whose D output is near G's target."""

    name = "lsgan"

    def generator(self) -> Generator:
        c = self.config
        return Generator(c.latent, c.width, c.size, self.data_info.channels, self.conditions)

    def discriminator(self) -> Discriminator:
        c = self.config
        return Discriminator(c.width, c.size, self.data_info.channels, self.conditions)

    def optimisers(self) -> Optimiser:
        return Adam(Linear(*self.config.lr), self.config.betas)

    def discriminator_loss(self, batch: Batch, step: Step) -> Terms:
        real, fake, label = self.pairs(batch, step)
        loss = losses.least_squares_to(*self.config.targets)
        return {"adversarial": loss.discriminator(self.D(real, label), self.D(fake, label))}

    def generator_loss(self, batch: Batch, step: Step) -> Terms:
        fake, label = self.fakes(batch, step)
        return {
            "adversarial": losses.least_squares_to(*self.config.targets).generator(self.best(self.D(fake, label), step))
        }
