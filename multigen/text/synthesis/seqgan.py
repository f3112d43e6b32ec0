"""SeqGAN: a text generator trained by policy gradient with rewards from a discriminator.
Yu et al. 2017, arXiv:1609.05473.

    python -m multigen.recipes.seqgan                           # embedded fables (minutes)
    python -m multigen.recipes.seqgan default --data texts/     # your own texts
    python -m multigen.recipes.seqgan paper --data oracle       # the settings and data of the paper

Text is discrete, so D's gradient cannot flow into G. G is a policy: each token is an action, and
its value is the mean output of D for full texts completed from the tokens so far (Monte-Carlo
search, section 3.1). G first learns by maximum likelihood, D then to tell G's texts from real ones,
and in the adversarial stage both are trained in turn (algorithm 1).
"""

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from multigen import losses
from multigen.engine import Batch, Copy, Stage, Step, Terms
from multigen.text.networks.discriminators import SEQGAN_FILTERS, Convolutional
from multigen.text.synthesis.config import PolicyGradientConfig
from multigen.text.synthesis.policy import PolicyGradientTrainer
from multigen.text.synthesis.rollout import rewards

__all__ = ["PRESETS", "SeqGANConfig", "SeqGANTrainer"]

TOGETHER = 512  # texts that D reads at a time


@dataclass(frozen=True)
class SeqGANConfig(PolicyGradientConfig):
    rollouts: int = 16
    """N: continuations of each prefix of a text (equation 4)."""
    follow: float = 1.0
    """The share by which the roll-out policy moves towards G each step; 1: it is G itself (as in
    the authors' code)."""
    filters: tuple[tuple[int, int], ...] = ((1, 50), (2, 100), (3, 100), (4, 100), (6, 50), (8, 50))
    """D's filters: width in tokens, and how many."""
    dropout: float = 0.25
    """Share of D's features dropped in training (the authors' code)."""
    weight_decay: float = 0.2
    """Weight of half the squared norm of D's last layer (the authors' code)."""

    ranges = PolicyGradientConfig.ranges | {"rollouts": 1, "follow": (0, 1), "dropout": (0, 1), "weight_decay": 0}


PRESETS = {
    "tiny": SeqGANConfig(
        data="fables:200", embedding=8, width=16, mle_steps=20, discriminator_steps=5, control_steps=2, steps=2, critic_steps=1,
        rollouts=2, negatives=32, batch=16, samples=20, lm_steps=10, filters=((2, 8), (3, 8)),
    ),
    "laptop": SeqGANConfig(
        data="fables:40000", length=49, network="transformer", width=128, layers=2, mle_steps=4_000, mle_lr=(3e-3, 1e-4),
        rollouts=2, baseline="mean", kl=0.1, discriminator_steps=200, control_steps=30, steps=30, lr=3e-5,
    ),
    "default": SeqGANConfig(width=512, mle_steps=20_000, steps=500, baseline="mean", patience=5),
    "paper": SeqGANConfig(
        data="oracle", length=20, embedding=32, width=32, mle_steps=18_840, mle_lr=(1e-2, 1e-2), begin_from="last",
        discriminator_steps=23_550, control_steps=200, steps=200, critic_steps=2_355, negatives=10_000, refill=471,
        lr=1e-2, discriminator_lr=1e-4, filters=SEQGAN_FILTERS,
    ),
}  # fmt: skip


class SeqGANTrainer(PolicyGradientTrainer[SeqGANConfig]):
    """Maximum likelihood, the controls, D, and the two against each other."""

    name = "seqgan"

    def discriminator(self) -> Convolutional:
        c = self.config
        return Convolutional(self.data_info.tokens, c.discriminator_embedding, c.filters, c.dropout)

    def discriminator_loss(self, batch: Batch, step: Step) -> Terms:
        """Equation 5, and the L2 term on D's last layer."""
        D: Any = self.nets["D"]
        real, fake = self.D(batch["real"]), self.D(batch["fake"])
        adversarial = losses.non_saturating.discriminator(real, fake)
        return {"adversarial": adversarial, "l2": self.config.weight_decay * D.penalty()}

    @torch.no_grad()
    def reward(self, tokens: Tensor, step: Step) -> Tensor:
        """Q(Y_1:t-1, y_t) of each token of G's texts (B, T), by Monte-Carlo search: equation 4."""
        c, info = self.config, self.data_info
        uniform = step.rand("rollouts", c.rollouts, c.length - 1, c.length)
        policy: Any = self.copies.get("lagged", self.G)
        return rewards(policy, self.realness, tokens, uniform, info.last, info.pad)

    def realness(self, tokens: Tensor) -> Tensor:
        """P(real) of whole texts (M, T) by D: (M,)."""
        D: Any = self.nets["D"]
        return torch.cat([D.score(part) for part in tokens.split(TOGETHER)])

    def adversarial_stage(self) -> Stage:
        """With a roll-out policy that lags behind G, if so configured."""
        stage, follow = super().adversarial_stage(), self.config.follow
        lagged = {"lagged": Copy("G", follow)} if follow < 1 else {}
        return replace(stage, copies={**stage.copies, **lagged})
