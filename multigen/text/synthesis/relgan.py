"""RelGAN: a text GAN whose generator is a relational memory, trained through a Gumbel softmax.
Nie et al. 2019, ICLR, "RelGAN: Relational Generative Adversarial Networks for Text Generation".

    python -m multigen.recipes.relgan                           # embedded fables (minutes)
    python -m multigen.recipes.relgan default --data texts/     # your own texts
    python -m multigen.recipes.relgan paper --data oracle       # the settings and data of the paper

There are no rewards: D reads, in place of G's tokens, their Gumbel softmax, through which its
gradient flows into G. The inverse temperature rises during the adversarial stage, so the relaxed
tokens become ever more like those that G writes. D judges a text in several embeddings at once, and
the loss compares each with a real text's.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from multigen.engine import Adam, Batch, Best, Stage, Step, Terms, Update
from multigen.losses import relativistic_pairing
from multigen.text.decoding import relaxed, token_mask
from multigen.text.networks.discriminators import RELGAN_FILTERS, Representations
from multigen.text.synthesis.base import TextSynthesisTrainer
from multigen.text.synthesis.config import Network, TextSynthesisConfig

__all__ = ["PRESETS", "SCHEDULES", "RelGANConfig", "RelGANTrainer"]

SCHEDULES: dict[str, Callable[[float, float, int], float]] = {
    "constant": lambda beta, share, steps: beta,
    "linear": lambda beta, share, steps: 1 + (beta - 1) * share,
    "exponential": lambda beta, share, steps: beta**share,
    "logarithmic": lambda beta, share, steps: 1 + (beta - 1) * math.log1p(share * steps) / math.log1p(steps),
    "sigmoid": lambda beta, share, steps: 1 + (beta - 1) / (1 + math.exp(20 * (0.5 - share))),
    "quadratic": lambda beta, share, steps: 1 + (beta - 1) * share**2,
    "root": lambda beta, share, steps: 1 + (beta - 1) * math.sqrt(share),
}
"""Name -> (the largest inverse temperature, share of the steps that is done, steps) -> the present
one."""


@dataclass(frozen=True)
class RelGANConfig(TextSynthesisConfig):
    network: Network = "relational"
    """G: a relational memory, an LSTM, a transformer of GPT-2's shape, or a trained causal model
    (`pretrained`)."""
    heads: int = 2
    """Attention heads of the relational memory or of the transformer."""
    representations: int = 16
    """Embeddings of a token in D, each judged on its own; they share `discriminator_embedding`."""
    filters: tuple[tuple[int, int], ...] = ((2, 100), (3, 100), (4, 100), (5, 100))
    """D's filters: width in tokens, and how many."""
    dropout: float = 0.25
    """Share of D's features dropped in training (the authors' code)."""
    beta: float = 100.0
    """Largest inverse temperature of the Gumbel softmax."""
    schedule: Literal["constant", "linear", "exponential", "logarithmic", "sigmoid", "quadratic", "root"] = (
        "exponential"
    )
    """How the inverse temperature rises from 1 to `beta` during the adversarial stage."""
    schedule_steps: int = 0
    """Adversarial steps after which it is `beta`; 0: all of them (5,000 in the authors' code, which
    makes 2,000 or 3,000)."""

    ranges = TextSynthesisConfig.ranges | {
        "representations": 1,
        "dropout": (0, 1),
        "beta": (1, 1e6),
        "schedule_steps": 0,
    }


PRESETS = {
    "tiny": RelGANConfig(
        data="fables:200", embedding=8, width=16, mle_steps=20, discriminator_steps=2, steps=2, critic_steps=1, batch=16,
        samples=20, lm_steps=10, discriminator_embedding=8, representations=4, filters=((2, 8), (3, 8)),
    ),
    "laptop": RelGANConfig(
        data="fables:40000", length=49, width=128, mle_steps=3_000, mle_lr=(3e-3, 1e-4), discriminator_steps=100, steps=60,
        lr=3e-5, discriminator_lr=1e-4, kl=0.1, representations=8, filters=((2, 50), (3, 50), (4, 50), (5, 50)),
    ),
    "default": RelGANConfig(
        tokenizer="bpe", width=512, mle_steps=20_000, patience=5, steps=500, lr=3e-5, discriminator_lr=1e-4, kl=0.1,
    ),
    "paper": RelGANConfig(
        data="oracle", length=20, embedding=32, width=512, mle_steps=23_400, mle_lr=(1e-2, 1e-2), begin_from="last",
        discriminator_steps=0, steps=3_000, lr=1e-4, discriminator_lr=1e-4, representations=64, filters=RELGAN_FILTERS,
        schedule_steps=5_000, samples=10_000,
    ),
}  # fmt: skip


class RelGANTrainer(TextSynthesisTrainer[RelGANConfig]):
    """Maximum likelihood; then D and G against each other, by the gradient of relaxed tokens."""

    name = "relgan"

    def discriminator(self) -> Representations:
        c = self.config
        return Representations(
            self.data_info.tokens, c.discriminator_embedding, c.representations, c.filters, c.dropout
        )

    def discriminator_update(self, repeat: int = 1) -> Update:
        return Update("discriminator", ["D"], self.discriminator_loss, repeat=repeat, clip_norm=self.config.clip_norm)

    def adversarial_stage(self) -> Stage:
        """G by D's gradient, then D `critic_steps` times."""
        c = self.config
        generator = Update("generator", ["G"], self.generator_loss, clip_norm=c.clip_norm)
        updates = [generator, *([self.discriminator_update(c.critic_steps)] if c.critic_steps else [])]
        optim, best = {"G": Adam(c.lr)}, Best("nll_validation")
        return Stage("adversarial", c.steps, updates, optim, starts=self.starts(), copies=self.reference(), best=best)

    def discriminator_loss(self, batch: Batch, step: Step) -> Terms:
        """Relativistic: each representation of a real text against that of a text of G."""
        with torch.no_grad():
            tokens = self.draw(self.G, step.rand("tokens", self.config.length))
            fake = self.relaxed_texts(self.G(tokens), tokens, step)
        return {"adversarial": relativistic_pairing.discriminator(self.D(batch["tokens"]), self.D(fake))}

    def generator_loss(self, batch: Batch, step: Step) -> Terms:
        """The same with the roles exchanged, and the KL term."""
        tokens = self.draw(self.G, step.rand("tokens", self.config.length))  # (B, T)
        logits = self.G(tokens)  # (B, T, V)
        with torch.no_grad():
            real = self.D(batch["tokens"])
        adversarial = relativistic_pairing.generator(self.D(self.relaxed_texts(logits, tokens, step)), real)
        return {"adversarial": adversarial, **self.divergence(logits, tokens)}

    def relaxed_texts(self, logits: Tensor, tokens: Tensor, step: Step) -> Tensor:
        """What D reads of G's texts (B, T), by the logits that they were drawn by: distributions
        (B, T, V); one-hot after their ends.

        G's input at each position is the token before it, not its relaxation, as in the authors'
        code. So the logits of all positions come from one pass over the finished text.
        """
        soft = relaxed(logits, tokens, step.rand("gumbel", *logits.shape[1:]), self.inverse_temperature(step))
        inside = token_mask(tokens, self.data_info.last)[:, :, None]
        return soft.where(inside, one_hot(tokens, logits.shape[2]).to(soft))

    def inverse_temperature(self, step: Step) -> float:
        """That of the schedule in the adversarial stage, 1 before it."""
        c = self.config
        if step.stage != "adversarial":
            return 1.0
        steps = c.schedule_steps or c.steps
        return SCHEDULES[c.schedule](c.beta, min(1.0, step.index / steps), steps)
