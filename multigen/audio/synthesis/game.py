"""The game that WaveGAN and SpecGAN play (Donahue et al. 2019, arXiv:1802.04208), whatever their networks.

In the paper it is WGAN-GP with five critic steps (Gulrajani et al. 2017, arXiv:1704.00028). On a small budget the same networks
learn faster if each sample is paired with a real sound (Jolicoeur-Martineau 2018, arXiv:1807.00734), D takes one step for each
of G's, and gradients at real and at generated sounds are penalised now and then (R1 and R2; Mescheder et al. 2018,
arXiv:1801.04406).
"""

from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import torch
from torch import Tensor

from multigen import losses
from multigen.audio.synthesis.augment import parse_policy
from multigen.audio.synthesis.base import SoundConfig, SoundTrainer
from multigen.engine import Adam, Batch, Stage, Step, Terms, Update
from multigen.engine.optimisers import Optimiser
from multigen.engine.schedules import Cosine
from multigen.errors import ConfigError
from multigen.losses import penalties

__all__ = ["SMALL_GAME", "GameConfig", "GameTrainer"]

SMALL_GAME: dict[str, Any] = {"loss": "relativistic_pairing", "critic_steps": 1, "betas": (0.0, 0.99)}
"""Settings of `GameConfig` for small budgets; gamma depends on what D sees."""


@dataclass(frozen=True)
class GameConfig(SoundConfig):
    """Settings of the game."""

    loss: Literal["wasserstein", "relativistic_pairing", "non_saturating"] = "wasserstein"
    critic_steps: int = 5
    """Critic updates for each generator update."""
    penalty: float = 10.0
    """lambda: weight of WGAN-GP's penalty, at each critic update."""
    gamma: float = 0.0
    """Weight of R1 and R2, in place of WGAN-GP's penalty with the other losses."""
    lazy: int = 8
    """Steps for each update by R1 and R2, however many critic updates are in them."""
    lr: tuple[float, float] = (1e-4, 1e-4)
    """Learning rate at the beginning and at the end, in between a cosine."""
    betas: tuple[float, float] = (0.5, 0.9)
    """Of Adam."""

    ranges = SoundConfig.ranges | {"lazy": 1}

    def __post_init__(self):
        super().__post_init__()
        if self.loss == "wasserstein" and self.gamma:
            raise ConfigError(
                f"gamma {self.gamma} with loss wasserstein, which has a penalty of its own; expected gamma 0, or another loss: "
                "--loss relativistic_pairing"
            )


C = TypeVar("C", bound=GameConfig)


class GameTrainer(SoundTrainer[C]):
    """Trains G against D, by WGAN-GP or on the differences of pairs."""

    def optimisers(self) -> Optimiser:
        return Adam(Cosine(*self.config.lr), self.config.betas)

    def stages(self) -> list[Stage]:
        c = self.config
        mixed = "mix" in parse_policy(c.augment)  # couples the rows of a batch
        lazy = Update("r1", trains=["D"], loss=self.r1, every=c.lazy, lazy=True, couples=mixed)
        return [
            Stage("adversarial", c.steps, [
                Update("discriminator", trains=["D"], loss=self.discriminator_loss, repeat=c.critic_steps, couples=mixed),
                *([lazy] if c.gamma else []),
                Update("generator",     trains=["G"], loss=self.generator_loss, couples=mixed),
            ], best=self.best(), controls=[self.collapse()]),
        ]  # fmt: skip

    def discriminator_loss(self, batch: Batch, step: Step) -> Terms:
        c = self.config
        real, fake, label = self.pairs(batch, step)
        terms = {c.loss: losses.LOSSES[c.loss].discriminator(self.D(real, label), self.D(fake, label))}
        if c.loss == "wasserstein":
            D = self.nets["D"]  # raw, if compiled: it is differentiated twice
            mix = step.rand("mix", *[1] * (real.ndim - 1))
            # Of several critics the mean, which is what the loss is made of.
            terms["penalty"] = penalties.wgan_gp(lambda x: _mean(D(x, label)), real, fake, mix) * c.penalty
        return terms

    def r1(self, batch: Batch, step: Step) -> Terms:
        """Gradients of D at real and at generated sounds."""
        real, fake, label = self.pairs(batch, step)
        D, gamma = self.nets["D"], self.config.gamma
        r1, r2 = (penalties.r1(lambda x: D(x, label), sound) for sound in (real, fake))
        return {"r1": r1 * gamma, "r2": r2 * gamma}

    def generator_loss(self, batch: Batch, step: Step) -> Terms:
        loss = losses.LOSSES[self.config.loss]
        fake, label = self.fakes(batch, step)
        real = None
        if loss.paired:
            with torch.no_grad():
                real = self.D(self.augmented(self.reals(batch, step), step, "real"), label)
        fake = self.D(self.augmented(fake, step, "fake"), label)
        return {loss.name: loss.generator(fake, real)}


def _mean(logits: Tensor) -> Tensor:
    """(B,) or (B, critics) -> (B,)."""
    return logits.reshape(len(logits), -1).mean(1)
