"""Training objectives by the name of the loss: WGAN-GP for `wasserstein`, else the adversarial loss
of that name.

On a small budget a relativistic pairing loss (Jolicoeur-Martineau 2018, arXiv:1807.00734) with R1
and R2 (Mescheder et al. 2018, arXiv:1801.04406) every few steps trains faster than WGAN-GP with
five critic steps (Gulrajani et al. 2017, arXiv:1704.00028).
"""

from collections.abc import Callable

import torch
from torch import Tensor

from multigen.losses.adversarial import LOSSES
from multigen.losses.penalties import Critic, r1, r2, wgan_gp

__all__ = ["discriminator_terms", "generator_terms", "r1_r2_terms"]


def discriminator_terms(
    name: str, D: Critic, real: Tensor, fake: Tensor, label: Tensor | None, mix: Tensor, penalty: float
) -> dict[str, Tensor]:
    """D's loss on real and generated samples (B, ...) and their labels; for `wasserstein` with its
    gradient penalty.

    Args:
        name: a key of `LOSSES`.
        mix: as in `penalties.wgan_gp`.
        penalty: weight of the gradient penalty, lambda.
    """
    terms = {name: LOSSES[name].discriminator(D(real, label), D(fake, label))}
    if name == "wasserstein":
        terms["penalty"] = wgan_gp(D, real, fake, mix, label) * penalty
    return terms


def generator_terms(name: str, scores: Tensor, reals: Callable[[], Tensor]) -> dict[str, Tensor]:
    """G's loss, from D's scores (B, ...) of its samples; `reals` returns those of at least as many
    real samples, for a paired loss."""
    real_scores = None
    if LOSSES[name].paired:
        with torch.no_grad():
            real_scores = reals()[: len(scores)]
    return {name: LOSSES[name].generator(scores, real_scores)}


def r1_r2_terms(D: Critic, real: Tensor, fake: Tensor, label: Tensor | None, gamma: float) -> dict[str, Tensor]:
    """R1 and R2 gradient penalties, weighted by `gamma`, at real and generated samples (B, ...)."""
    return {"r1": r1(D, real, label) * gamma, "r2": r2(D, fake, label) * gamma}
