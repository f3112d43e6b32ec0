"""What methods share that translate there and back, so that without pairs the content is kept:
items of both domains taken in a circle, the losses of it, and what the discriminators see.

Zhu et al. 2017, "Unpaired image-to-image translation using cycle-consistent adversarial networks",
arXiv:1703.10593.
"""

from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor

from multigen.engine import Terms
from multigen.losses import least_squares
from multigen.tasks.translation.base import Direction, other

__all__ = ["Circle", "Translation", "both_ways", "circle", "generator_terms", "identity_terms", "seen_by"]

Translation = Callable[[Tensor], Tensor]
"""Items (B, ...) of one domain -> of the other."""


class Circle(NamedTuple):
    """Items of A and B, and what both generators make of them."""

    fake_a: Tensor
    """Of items of B."""
    fake_b: Tensor
    again_a: Tensor
    """Items of A, there and back."""
    again_b: Tensor


def both_ways(direction: Direction, ab: str, ba: str) -> dict[str, str]:
    """Direction -> name of its network, the one by which checkpoints are chosen first."""
    names = {"AB": ab, "BA": ba}
    return {way: names[way] for way in (direction, other(direction))}


def circle(
    a: Tensor, b: Tensor, there: tuple[Translation, Translation], back: tuple[Translation, Translation]
) -> Circle:
    """Takes items of A and of B there and back; `there` and `back` are from A to B, and from B to
    A."""
    fake_b, fake_a = there[0](a).to(a.dtype), there[1](b).to(b.dtype)
    return Circle(fake_a, fake_b, back[1](fake_b).to(a.dtype), back[0](fake_a).to(b.dtype))


def generator_terms(
    made: Circle, a: Tensor, b: Tensor, critics: tuple[Translation, Translation], cycle_weight: float
) -> dict[str, Tensor]:
    """Equation 3: the adversarial losses of both generators by the discriminators of A and of B,
    and the mean absolute errors of what went there and back. `least_squares` halves the error, the
    paper does not."""
    return {
        "adversarial_ab": least_squares.generator(critics[1](made.fake_b)) * 2,
        "adversarial_ba": least_squares.generator(critics[0](made.fake_a)) * 2,
        "cycle_a": (made.again_a - a).abs().mean() * cycle_weight,
        "cycle_b": (made.again_b - b).abs().mean() * cycle_weight,
    }


def identity_terms(a: Tensor, b: Tensor, ab: Translation, ba: Translation, weight: float) -> dict[str, Tensor]:
    """Section 5.2: a generator leaves items of the domain that it makes as they are; without a
    weight nothing is computed."""
    if not weight:
        return {}
    return {
        "identity_a": (ba(a).to(a.dtype) - a).abs().mean() * weight,
        "identity_b": (ab(b).to(b.dtype) - b).abs().mean() * weight,
    }


def seen_by(a: Tensor, b: Tensor, fake_a: Tensor, fake_b: Tensor, critics: tuple[Translation, Translation]) -> Terms:
    """Losses of the discriminators of A and of B, halved as in the paper's code."""
    return {
        "adversarial_a": least_squares.discriminator(critics[0](a), critics[0](fake_a)),
        "adversarial_b": least_squares.discriminator(critics[1](b), critics[1](fake_b)),
    }
