"""DiffAugment for sounds: real and generated sounds are altered in the same way before D,
differentiably for G.

The idea is that of Zhao et al. 2020, arXiv:2006.10738, for images; the alterations keep the class
of a sound: gain, shift, polarity, and another sound mixed in. Everything is batched and stays on
the device.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from multigen.config import parse_choices

__all__ = ["diff_augment", "parse_policy"]

GAIN, SHIFT, MIX = 6.0, 0.125, 0.3
"""The most that each changes: decibels, a share of the length, the weight of the other sound."""


def diff_augment(
    sound: Tensor, policy: Sequence[str], rand: Callable[..., Tensor], stream: str, share: float = 1.0
) -> Tensor:
    """Randomly altered sounds, differentiable in `sound`; shape, dtype and device stay.

    - gain: louder or softer by U(-6, 6) dB. Values may leave -1..1.
    - shift: later or earlier by whole samples, up to an eighth of the length (rounded), all as
      likely; zeros come in.
    - polarity: the sign is changed with probability one half.
    - mix: x_i + U(0, .3) x_j, j = i + 1, after the last row the first. This couples the rows of a
      batch: a row's gradient reaches its neighbour, and ranks and micro-batches, which see other
      neighbours, give other results. A batch of one is mixed with itself.

    Each sample has its own draws, which come from `rand` alone: equal draws, equal sounds (of mix:
    in equal batches).

    Args:
        sound: (B, C, T) in -1..1.
        policy: from `parse_policy`, applied in this order.
        rand: `Step.rand`: `rand(name, *shape)` gives uniform numbers in [0, 1), (B, *shape), on the
            device of `sound`.
        stream: first part of the names of the draws: "STREAM/gain". Reals and fakes of one update
            take different ones.
        share: probability with which each of the transformations is applied to a sample.
    """
    altered = sound
    for member in policy:
        name = f"{stream}/{member}"
        changed = POLICIES[member](altered, rand(name, 1, 1))
        if share < 1:
            changed = torch.where(rand(f"{name}/share", 1, 1) < share, changed, altered)
        altered = changed
    return altered.to(sound.dtype)


def parse_policy(text: str) -> tuple[str, ...]:
    """ "gain,shift" as ("gain", "shift"); "" as (). Raises ConfigError for other names than gain,
    shift, polarity, mix."""
    return parse_choices("augment", text, POLICIES)


# ---------------------------------------------------------------------------------------------------- transformations
# Each takes sounds (B, C, T) and a uniform number a sample, u (B, 1, 1).


def gain(sound: Tensor, u: Tensor) -> Tensor:
    return sound * 10 ** ((2 * u - 1) * (GAIN / 20))


def shift(sound: Tensor, u: Tensor) -> Tensor:
    length = sound.shape[2]
    most = int(length * SHIFT + 0.5)
    later = (u * (2 * most + 1)).long().clamp(max=2 * most) - most  # (In low precision the product may round up.)
    source = torch.arange(length, device=sound.device) - later  # (B, 1, T)
    inside = (source >= 0) & (source < length)
    return sound.gather(2, source.clamp(0, length - 1).expand_as(sound)) * inside


def polarity(sound: Tensor, u: Tensor) -> Tensor:
    return torch.where(u < 0.5, -sound, sound)


def mix(sound: Tensor, u: Tensor) -> Tensor:
    return sound + sound.roll(-1, 0) * (u * MIX)


POLICIES = {"gain": gain, "shift": shift, "polarity": polarity, "mix": mix}
