"""ScratchGAN: a text GAN with a reward for each token, from a recurrent D.
de Masson d'Autume et al. 2019, arXiv:1905.09922.

    python -m multigen.recipes.scratchgan                           # embedded fables (minutes)
    python -m multigen.recipes.scratchgan default --data texts/     # your own texts
    python -m multigen.recipes.scratchgan paper --data texts/       # the paper: no pretraining

D is recurrent: it classifies each token as real or generated, given those before it. The reward of
a token is 2 D - 1, its value the discounted sum of the rewards from there on, so no roll-outs are
needed. The paper trains from random weights; the other presets first train G by maximum likelihood,
as SeqGAN does.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import softplus

from multigen.config import BELOW_ONE
from multigen.engine import Adam, Batch, Optimiser, Step, Terms
from multigen.errors import ConfigError
from multigen.losses.adversarial import at_least_float32
from multigen.losses.policy_gradient import returns
from multigen.text.decoding import token_mask
from multigen.text.networks.adapters import Adapted
from multigen.text.networks.discriminators import OnFeatures, Recurrent
from multigen.text.synthesis.config import PolicyGradientConfig
from multigen.text.synthesis.policy import PolicyGradientTrainer

__all__ = ["PRESETS", "ScratchGANConfig", "ScratchGANTrainer"]


@dataclass(frozen=True)
class ScratchGANConfig(PolicyGradientConfig):
    mle_steps: int = 3_000
    """Steps of maximum likelihood; 0: training from scratch, as in the paper."""
    discount: float = 0.95
    """gamma (.23 in the authors' code)."""
    betas: tuple[float, float] = (0.9, 0.999)
    """Betas of Adam in the adversarial stage (.5, .999 in the authors' code)."""
    baseline: Literal["none", "mean", "critic"] = "mean"
    """What is subtracted from values: nothing, the mean of the other texts of the batch, or the
    output of a learned critic."""

    frozen_features: bool = False
    """D reads the hidden states of the pretrained model, as it is without adapters, in place of
    tokens; needs `lora_rank`."""

    ranges = PolicyGradientConfig.ranges | {"mle_steps": 0, "discount": (0, 1), "betas": (0, BELOW_ONE)}

    def __post_init__(self):
        super().__post_init__()
        if self.frozen_features and not (self.network == "pretrained" and self.lora_rank):
            raise ConfigError(
                "frozen_features: only a model with adapters is frozen; give --network pretrained --lora-rank 16"
            )
        for name in ("control_steps", "kl"):
            if not self.mle_steps and (value := getattr(self, name)):
                raise ConfigError(
                    f"{name} {value}: expected 0 with mle_steps 0, since it needs a model of maximum likelihood; give "
                    f"--{name.replace('_', '-')} 0, or more --mle-steps"
                )
        if not self.mle_steps and not self.steps:
            raise ConfigError("mle_steps 0 and steps 0: expected steps of either, to train G; give more --steps")


PRESETS = {
    "tiny": ScratchGANConfig(
        data="fables:200", embedding=8, width=16, mle_steps=20, discriminator_steps=5, control_steps=2, steps=2, critic_steps=1,
        negatives=32, batch=16, samples=20, lm_steps=10,
    ),
    "laptop": ScratchGANConfig(
        data="fables:40000", length=49, network="transformer", width=128, layers=2, mle_steps=4_500, mle_lr=(3e-3, 1e-4),
        kl=0.1, discriminator_steps=200, control_steps=40, steps=60, lr=3e-5,
    ),
    "default": ScratchGANConfig(width=512, mle_steps=20_000, steps=500, kl=0.1, lr=3e-5, patience=5),
    "paper": ScratchGANConfig(
        tokenizer="words", vocabulary_size=20_000, batch=512, width=512, layers=2, mle_steps=0, discriminator_steps=0,
        control_steps=0, steps=200_000, critic_steps=1, negatives=512, refill=1, discount=0.23, betas=(0.5, 0.999), lr=9.59e-5,
        discriminator_lr=9.38e-3, clip_norm=0.0, samples=10_000,
    ),
}  # fmt: skip


class ScratchGANTrainer(PolicyGradientTrainer[ScratchGANConfig]):
    """Maximum likelihood, if any; then D and G against each other, with a reward for each token."""

    name = "scratchgan"

    def discriminator(self) -> Recurrent | OnFeatures:
        c, G = self.config, self.nets["G"]
        if isinstance(G, Adapted) and c.frozen_features:
            return OnFeatures(G.width, c.width)
        return Recurrent(self.data_info.tokens, c.discriminator_embedding, c.width)

    def logits(self, tokens: Tensor) -> Tensor:
        """D's logit of each token (B, T), that it is real."""
        if isinstance(self.G, Adapted) and self.config.frozen_features:
            return at_least_float32(self.D(self.G.features(tokens)))
        return at_least_float32(self.D(tokens))

    def discriminator_loss(self, batch: Batch, step: Step) -> Terms:
        """Cross-entropy of each token, as means over the tokens of all real and of all generated
        texts."""
        logits = {"real": -self.logits(batch["real"]), "fake": self.logits(batch["fake"])}  # (B, T)
        masks = {name: token_mask(batch[name], self.data_info.last) for name in logits}
        return {name: ((softplus(x) * masks[name]).sum(), masks[name].sum()) for name, x in logits.items()}

    @torch.no_grad()
    def reward(self, tokens: Tensor, step: Step) -> Tensor:
        """R_t = sum over s >= t of gamma^(s - t) r_s with r = 2 D - 1, of each token of G's texts
        (B, T)."""
        mask = token_mask(tokens, self.data_info.last)
        return returns(2 * torch.sigmoid(self.logits(tokens)) - 1, mask, self.config.discount)

    def starts(self) -> dict[str, tuple[str, str]]:
        return super().starts() if self.config.mle_steps else {}

    def optimisers(self) -> Mapping[str, Optimiser]:
        return {**super().optimisers(), "D": Adam(self.config.discriminator_lr, self.config.betas)}

    def policy_optimiser(self) -> Optimiser:
        return Adam(self.config.lr, self.config.betas)
