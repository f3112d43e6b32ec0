"""Discriminator regularisation: gradient penalties and weight clipping, without their weights,
which the caller applies.

Gradient penalties always compute in float32 (float64 stays float64) with autocast off. They
differentiate the critic twice: for a module compiled by `torch.compile` the original is used, since
compiled graphs have no second derivative. A function that *calls* a compiled module is not
unwrapped; let it call the original. A conditional critic is called with its labels.

The gradient at each sample is computed from the sum of all outputs, so the critic must not mix
samples (no batch normalisation). Like all terms, a penalty is the mean over this rank's samples.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from multigen.errors import ConfigError
from multigen.losses.adversarial import at_least_float32

__all__ = ["clip_weights_", "r1", "r2", "scores_and_r1", "wgan_gp"]

Critic = Callable[..., Tensor]
"""samples (B, ...), and labels (B,) if any -> scores (B, ...)."""


def wgan_gp(critic: Critic, real: Tensor, fake: Tensor, mix: Tensor, label: Tensor | None = None) -> Tensor:
    """E[(|grad D(x^)| - 1)^2] at x^ = mix * real + (1 - mix) * fake; Gulrajani et al. 2017,
    arXiv:1704.00028, eq. 3.

    The norm is taken over all dimensions of a sample. Several scores per sample are averaged, as in
    the loss. Without the weight lambda (10 in the paper).

    Args:
        critic: (B, ...), and `label` if given -> scores of any shape (B, ...); a module or any
            function.
        real, fake: samples (B, ...) of one shape; detached here.
        mix: uniform in 0..1, one number per sample: (B, 1, ..., 1), with as many dimensions as
            `real`.

    Raises:
        ValueError: the shapes do not fit.
    """
    if real.shape != fake.shape or mix.shape != (len(real), *[1] * (real.ndim - 1)):
        raise ValueError(
            f"real {tuple(real.shape)}, fake {tuple(fake.shape)}, mix {tuple(mix.shape)}: "
            "expected real and fake of one shape (B, ...) and mix (B, 1, ..., 1) with as many dimensions"
        )
    real, fake, mix = (at_least_float32(x) for x in (real, fake, mix))
    scores, gradient = _scores_and_gradient(critic, mix * real + (1 - mix) * fake, label)
    norm = gradient.norm(dim=1) * (len(scores) / scores.numel())  # (B,)
    return (norm - 1).square().mean()


def r1(critic: Critic, real: Tensor, label: Tensor | None = None) -> Tensor:
    """1/2 E[|grad D(x)|^2] on real samples (B, ...); Mescheder et al. 2018, arXiv:1801.04406,
    section 4.1.

    Several scores per sample are summed. The factor 1/2 is included, gamma is not: multiply by
    gamma as papers state it.
    """
    return scores_and_r1(critic, real, label)[1]


def scores_and_r1(critic: Critic, x: Tensor, label: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """The critic's scores of samples (B, ...), and `r1` at them, from the same forward pass.

    For losses that need both at each step: saves a forward pass; the scores are in float32 too.
    """
    scores, gradient = _scores_and_gradient(critic, x, label)
    return scores, gradient.square().sum(dim=1).mean() / 2


def r2(critic: Critic, fake: Tensor, label: Tensor | None = None) -> Tensor:
    """1/2 E[|grad D(G(z))|^2] on generated samples (B, ...), detached here; as `r1`, from the same
    section."""
    return r1(critic, fake, label)


def _scores_and_gradient(critic: Critic, x: Tensor, label: Tensor | None) -> tuple[Tensor, Tensor]:
    """Scores, and the gradient of the critic at each sample, flat (B, N), itself differentiable in
    the critic's parameters."""
    critic = getattr(critic, "_orig_mod", critic)  # the original of a compiled module
    x = at_least_float32(x.detach()).requires_grad_()
    with torch.autocast(x.device.type, enabled=False):
        scores = critic(x) if label is None else critic(x, label)
        (gradient,) = torch.autograd.grad(scores.sum(), x, create_graph=True)
    return scores, gradient.flatten(1)


@torch.no_grad()
def clip_weights_(module: nn.Module, bound: float) -> None:
    """Clamps every parameter to -bound..bound in place; WGAN, Arjovsky et al. 2017,
    arXiv:1701.07875 (bound 0.01).

    Raises:
        ConfigError: `bound` is not positive.
    """
    if not bound > 0:
        raise ConfigError(f"weight clipping bound {bound}: expected a positive number, such as 0.01")
    for parameter in module.parameters():
        parameter.clamp_(-bound, bound)
