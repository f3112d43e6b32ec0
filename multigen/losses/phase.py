"""Losses of phases, which are angles: 0 and 2 pi are the same. Ai and Ling 2023, arXiv:2211.15974,
section 3.3 (APNet2 and AP-BWE have the same losses)."""

import math

import torch
from torch import Tensor

__all__ = ["anti_wrapped", "phase_errors"]

TURN = 2 * math.pi


def anti_wrapped(difference: Tensor) -> Tensor:
    """The absolute value of differences of angles, the short way round: f(x) = |x - 2 pi round(x /
    2 pi)|, 0..pi."""
    return (difference - TURN * torch.round(difference / TURN)).abs()


def phase_errors(phase: Tensor, target: Tensor, weight: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
    """Mean anti-wrapped differences, each 0..pi, of the phases themselves (instantaneous phase), of
    their steps from frequency to frequency (group delay), and from frame to frame (instantaneous
    angular frequency).

    Args:
        phase, target: radians, (B, F, frames).
        weight: (B, F, frames), 0 or more: how much a place counts, since phases are noise where a
            spectrum is nearly 0. A step counts as much as its end that counts less. None: all
            alike, as published.
    """
    steps = ((x, x.diff(dim=1), x.diff(dim=2)) for x in (phase, target))
    errors = (anti_wrapped(a - b) for a, b in zip(*steps, strict=True))
    if weight is None:
        instantaneous, delay, frequency = (error.mean() for error in errors)
        return instantaneous, delay, frequency
    weights = (
        weight,
        torch.minimum(weight[:, 1:], weight[:, :-1]),
        torch.minimum(weight[:, :, 1:], weight[:, :, :-1]),
    )
    instantaneous, delay, frequency = (
        (w * error).sum() / w.sum().clamp(min=torch.finfo(w.dtype).tiny)
        for w, error in zip(weights, errors, strict=True)
    )
    return instantaneous, delay, frequency
