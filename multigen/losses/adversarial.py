"""Adversarial losses, named as in their papers.

A loss takes logits, the discriminator's raw outputs, of any shape (B, ...), such as one per sample
or one per patch; larger means more real. It returns a scalar, the mean over *this rank's* logits;
the engine weights the ranks by their share of the batch and sums them. All arithmetic is in
float32, whatever the logits' dtype (float64 stays float64).

    losses.hinge.discriminator(D(real), D(fake.detach()))
    losses.hinge.generator(D(fake))
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch.nn.functional import relu, softplus

from multigen.engine.distributed import all_sum

__all__ = [
    "LOSSES",
    "AdversarialLoss",
    "GeneratorLoss",
    "at_least_float32",
    "global_means",
    "hinge",
    "least_squares",
    "least_squares_to",
    "minimax",
    "non_saturating",
    "relativistic_average",
    "relativistic_pairing",
    "wasserstein",
]


class GeneratorLoss(Protocol):
    """The generator's loss, from the logits of its samples and, for a paired loss, those of real
    data."""

    def __call__(self, fake: Tensor, real: Tensor | None = None) -> Tensor: ...


@dataclass(frozen=True)
class AdversarialLoss:
    """The losses of discriminator and generator."""

    name: str
    """Key in `LOSSES`."""
    discriminator: Callable[[Tensor, Tensor], Tensor]
    """(real, fake) -> scalar that the discriminator minimises."""
    generator: GeneratorLoss
    """(fake, real=None) -> scalar that the generator minimises. ValueError if the loss is paired
    and `real` is None."""
    paired: bool = False
    """Whether the generator's loss needs the real logits. They may be detached, since they do not
    depend on the generator."""
    couples: bool = False
    """Whether it couples the rows of a batch, which micro-batches would change: see
    `Update.couples`."""


def at_least_float32(x: Tensor) -> Tensor:
    """`x` in float32; float64 is kept."""
    return x if x.dtype == torch.float64 else x.float()


def global_means(real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
    """Means of the real and of the fake logits over the batches of all ranks, 0-d; differentiable,
    one reduction."""
    parts = [part for x in (real, fake) for part in (x.sum(), x.new_full((), x.numel()))]
    real_sum, real_count, fake_sum, fake_count = all_sum(torch.stack(parts)).unbind()
    return real_sum / real_count, fake_sum / fake_count


def _required(real: Tensor | None) -> Tensor:
    if real is None:
        raise ValueError(
            "real=None: a relativistic loss compares fake logits with real ones also for the generator; "
            "call generator(fake, real) with real = D(x)"
        )
    return real


def _cross_entropy(real: Tensor, fake: Tensor) -> Tensor:
    # -log sigmoid(l) = softplus(-l) and -log(1 - sigmoid(l)) = softplus(l), which cannot overflow.
    return softplus(-at_least_float32(real)).mean() + softplus(at_least_float32(fake)).mean()


def _minimax_generator(fake: Tensor, real: Tensor | None = None) -> Tensor:
    return -softplus(at_least_float32(fake)).mean()


def _non_saturating_generator(fake: Tensor, real: Tensor | None = None) -> Tensor:
    return softplus(-at_least_float32(fake)).mean()


def _hinge_discriminator(real: Tensor, fake: Tensor) -> Tensor:
    return relu(1 - at_least_float32(real)).mean() + relu(1 + at_least_float32(fake)).mean()


def _minus_mean(fake: Tensor, real: Tensor | None = None) -> Tensor:
    return -at_least_float32(fake).mean()


def _wasserstein_critic(real: Tensor, fake: Tensor) -> Tensor:
    return at_least_float32(fake).mean() - at_least_float32(real).mean()


def _pairing_discriminator(real: Tensor, fake: Tensor) -> Tensor:
    if real.shape != fake.shape:
        raise ValueError(
            f"real logits {tuple(real.shape)}, fake logits {tuple(fake.shape)}: pairs need one shape; "
            "draw as many fakes as there are real samples, or use relativistic_average"
        )
    return softplus(at_least_float32(fake) - at_least_float32(real)).mean()


def _pairing_generator(fake: Tensor, real: Tensor | None = None) -> Tensor:
    return _pairing_discriminator(fake, _required(real))  # the same game with the roles exchanged


def _average_discriminator(real: Tensor, fake: Tensor) -> Tensor:
    real, fake = at_least_float32(real), at_least_float32(fake)
    real_mean, fake_mean = global_means(real, fake)
    return (softplus(fake_mean - real).mean() + softplus(fake - real_mean).mean()) / 2


def _average_generator(fake: Tensor, real: Tensor | None = None) -> Tensor:
    return _average_discriminator(fake, _required(real))  # the same game with the roles exchanged


minimax = AdversarialLoss("minimax", _cross_entropy, _minimax_generator)
"""The original game, Goodfellow et al. 2014, arXiv:1406.2661, eq. 1, with D = sigmoid(logit).

D minimises -E[log D(x)] - E[log(1 - D(G(z)))]; G minimises E[log(1 - D(G(z)))], whose gradient
vanishes where D wins.
"""

non_saturating = AdversarialLoss("non_saturating", _cross_entropy, _non_saturating_generator)
"""D as in `minimax`; G minimises -E[log D(G(z))]. Goodfellow et al. 2014, arXiv:1406.2661, end of
section 3."""


def least_squares_to(a: float, b: float, c: float) -> AdversarialLoss:
    """LSGAN, Mao et al. 2017, arXiv:1611.04076, eq. 2: D's targets are `a` for fakes and `b` for
    reals, G's is `c` for its fakes.

    D minimises 1/2 E[(D(x) - b)^2] + 1/2 E[(D(G(z)) - a)^2], G minimises 1/2 E[(D(G(z)) - c)^2]:
    the paper's factor 1/2 is in both; many implementations omit it. With b - c = 1 and b - a = 2,
    such as -1, 1, 0 (eq. 8), G minimises a Pearson chi-square divergence.
    """

    def discriminator(real: Tensor, fake: Tensor) -> Tensor:
        return ((at_least_float32(real) - b).square().mean() + (at_least_float32(fake) - a).square().mean()) / 2

    def generator(fake: Tensor, real: Tensor | None = None) -> Tensor:
        return (at_least_float32(fake) - c).square().mean() / 2

    return AdversarialLoss("least_squares", discriminator, generator)


least_squares = least_squares_to(0.0, 1.0, 1.0)
"""LSGAN with the targets of eq. 9: a = 0 for fakes, b = c = 1 for reals."""

hinge = AdversarialLoss("hinge", _hinge_discriminator, _minus_mean)
"""Geometric GAN, Lim & Ye 2017, arXiv:1705.02894; as in spectral normalisation, Miyato et al. 2018,
arXiv:1802.05957.

D minimises E[max(0, 1 - D(x))] + E[max(0, 1 + D(G(z)))], G minimises -E[D(G(z))].
"""

wasserstein = AdversarialLoss("wasserstein", _wasserstein_critic, _minus_mean)
"""WGAN, Arjovsky et al. 2017, arXiv:1701.07875, eq. 2. The critic must be constrained to be
Lipschitz by other means.

The critic minimises E[D(G(z))] - E[D(x)], minus its estimate of the distance; G minimises
-E[D(G(z))].
"""

relativistic_pairing = AdversarialLoss("relativistic_pairing", _pairing_discriminator, _pairing_generator, paired=True)
"""RpGAN, Jolicoeur-Martineau 2018, arXiv:1807.00734; the loss of R3GAN, Huang et al. 2024,
arXiv:2501.05441.

D minimises E[softplus(-(D(x) - D(G(z))))], G minimises E[softplus(-(D(G(z)) - D(x)))], over pairs:
logit i of the real batch with logit i of the fake. ValueError if the two shapes differ.
"""

relativistic_average = AdversarialLoss(
    "relativistic_average", _average_discriminator, _average_generator, paired=True, couples=True
)
"""RaGAN, Jolicoeur-Martineau 2018, arXiv:1807.00734; the loss of ESRGAN, Wang et al. 2018,
arXiv:1809.00219.

With m(.) the mean over the batches of all ranks, D minimises 1/2 (E[softplus(-(D(x) - m(D(G(z)))))]
+ E[softplus(D(G(z)) - m(D(x)))]), and G the same with x and G(z) exchanged. Both papers write the
sum without the 1/2; ESRGAN's official code halves the losses of D and G, for which its weight 5e-3
is meant, and so does this. Gradients flow through m on both sides (some implementations detach it
in D's loss). It couples the whole batch: correct across ranks, not across micro-batches.
"""

LOSSES: dict[str, AdversarialLoss] = {
    loss.name: loss
    for loss in (minimax, non_saturating, least_squares, hinge, wasserstein, relativistic_pairing, relativistic_average)
}
"""Every loss by its name, for configurations and the command line."""
