"""WGAN: a critic that estimates the Wasserstein distance of samples to data.
Arjovsky et al. 2017, arXiv:1701.07875.

WGAN-GP, with a penalty in place of weight clipping: Gulrajani et al. 2017, arXiv:1704.00028.

    python -m multigen.recipes.wgan                            # embedded digits (minutes)
    python -m multigen.recipes.wgan --constraint clip          # weight clipping, as first published
    python -m multigen.recipes.wgan paper --data cifar10       # WGAN-GP's settings

The critic approximates the Wasserstein distance if it is 1-Lipschitz. WGAN clips its weights after
each step; WGAN-GP penalises gradients whose norm is not 1. The networks are DCGAN's; with the
penalty the critic has no batch norm (section 4 of WGAN-GP).
"""

from dataclasses import dataclass
from typing import Literal

from multigen import losses
from multigen.engine import Adam, Batch, RMSprop, Step, Terms, Update
from multigen.engine.optimisers import Optimiser
from multigen.image.synthesis.base import ImageSynthesisConfig, ImageSynthesisTrainer
from multigen.image.synthesis.dcgan import Discriminator as Critic
from multigen.image.synthesis.dcgan import Generator
from multigen.losses import penalties

__all__ = ["PRESETS", "WGANConfig", "WGANTrainer"]


@dataclass(frozen=True)
class WGANConfig(ImageSynthesisConfig):
    latent: int = 128
    width: int = 64
    """Channels of the layers at the highest resolution; they double with each halving."""
    constraint: Literal["gp", "clip"] = "gp"
    """How the critic is kept Lipschitz: gradient penalty, or weight clipping."""
    critic_steps: int = 5
    """n_critic: critic updates for each generator update."""
    penalty: float = 10.0
    """lambda: weight of the gradient penalty."""
    clip: float = 0.01
    """c: bound of the critic's weights."""
    lr: float = 1e-4
    """Learning rate (5e-5 in WGAN, whose optimiser is RMSprop)."""
    betas: tuple[float, float] = (0.0, 0.9)
    """Betas of Adam, with the penalty (algorithm 1 of WGAN-GP)."""


PRESETS = {
    "tiny": WGANConfig(width=8, batch=16, steps=20, critic_steps=2, ema=0.9, samples=100),
    "laptop": WGANConfig(width=32, steps=600, lr=5e-4, critic_steps=3, ema=0.99),
    "default": WGANConfig(size=64, steps=50_000),
    "paper": WGANConfig(steps=200_000, ema=0.0),
}


class WGANTrainer(ImageSynthesisTrainer[WGANConfig]):
    """Trains G to minimise the distance that D, the critic, estimates."""

    name = "wgan"

    def generator(self) -> Generator:
        return Generator(self.config.latent, self.config.width, *self.shape)

    def discriminator(self) -> Critic:
        return Critic(self.config.width, *self.shape, norm=self.config.constraint == "clip")

    def optimisers(self) -> Optimiser:
        c = self.config
        return Adam(c.lr, c.betas) if c.constraint == "gp" else RMSprop(c.lr)

    def updates(self) -> list[Update]:
        c = self.config
        clip = (lambda: penalties.clip_weights_(self.D, c.clip)) if c.constraint == "clip" else None
        return [
            Update("critic",    trains=["D"], loss=self.discriminator_loss, repeat=c.critic_steps, after=clip),
            Update("generator", trains=["G"], loss=self.generator_loss, couples=self.couples),
        ]  # fmt: skip

    def discriminator_loss(self, batch: Batch, step: Step) -> Terms:
        real, fake, label = self.pairs(batch, step)
        terms = {"wasserstein": losses.wasserstein.discriminator(self.D(real, label), self.D(fake, label))}
        if self.config.constraint == "gp":
            mix = step.rand("mix", 1, 1, 1)
            terms["penalty"] = penalties.wgan_gp(self.D, real, fake, mix, label) * self.config.penalty
        return terms

    def generator_loss(self, batch: Batch, step: Step) -> Terms:
        fake, label = self.fakes(batch, step)
        return {"wasserstein": losses.wasserstein.generator(self.best(self.D(fake, label), step))}
