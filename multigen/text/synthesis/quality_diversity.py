"""Quality against diversity: whether a model is better than maximum likelihood at a lower
temperature.

A lower temperature gives better but less diverse samples. A model is an advance only where it lies
below the curve that temperatures draw (Caccia et al. 2020, "Language GANs Falling Short",
arXiv:1811.02549). On both axes lower is better.
"""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from multigen.tasks.synthesis.curves import SURE, Point

__all__ = ["advantage", "verdict"]


def advantage(point: Point, curve: Sequence[Point]) -> tuple[float, float]:
    """The advantage of a point over the curve at equal diversity, and its standard error.

    The curve is linear between its Pareto-optimal points. Beyond its ends there is no model to
    compare with: there a point is better only if it is more diverse *and* better than the nearer
    end, worse only if it is less diverse *and* worse.
    """
    front = sorted(p for p in ((c.diversity, c.quality, c.error) for c in curve) if not _surpassed(p, curve))
    x, y, e = map(np.array, zip(*front, strict=True))
    gain = float(np.interp(point.diversity, x, y)) - point.quality
    error = float(np.hypot(np.interp(point.diversity, x, e), point.error))
    if point.diversity > x[-1]:
        gain = min(gain, 0.0)
    elif point.diversity < x[0]:
        gain = max(gain, 0.0)
    return gain, error


def _surpassed(p: tuple[float, float, float], curve: Sequence[Point]) -> bool:
    return any(c.diversity < p[0] and c.quality < p[1] for c in curve)


def verdict(curve: Sequence[Point], models: Mapping[str, Sequence[Point]], what: str) -> str:
    """One sentence per model: whether and where it differs from the curve of maximum likelihood.
    `what` names quality."""
    return " ".join(_sentence(name, curve, points, what) for name, points in models.items())


def _sentence(name: str, curve: Sequence[Point], points: Sequence[Point], what: str) -> str:
    return _compared(name, curve, points, what) + _beyond(curve, points, what)


def _beyond(curve: Sequence[Point], points: Sequence[Point], what: str) -> str:
    """A sentence about points that are better than all of the curve, at lower diversity than it
    reaches; or ""."""
    end = min(curve, key=lambda p: p.quality)
    beyond = [
        p
        for p in points
        if p.diversity > end.diversity and end.quality - p.quality > SURE * math.hypot(end.error, p.error)
    ]
    if not beyond:
        return ""
    best = min(beyond, key=lambda p: p.quality)
    return (
        f" At less diversity it gets better than maximum likelihood at any temperature: {what} {best.quality:.3g} at temperature "
        f"{best.at:g}, diversity {best.diversity:.3f}, against {end.quality:.3g} at {end.diversity:.3f}."
    )


def _compared(name: str, curve: Sequence[Point], points: Sequence[Point], what: str) -> str:
    gains = [(advantage(p, curve), p) for p in points]
    better = [(gain, p) for (gain, error), p in gains if gain > SURE * error]
    worse = [(gain, p) for (gain, error), p in gains if gain < -SURE * error]

    def at(advantages: list[tuple[float, Point]]) -> str:
        gain, point = max(advantages, key=lambda pair: abs(pair[0]))
        return (
            f"at {len(advantages)} of {len(points)} temperatures, by up to {abs(gain):.3g} in {what} (at temperature "
            f"{point.at:g}, diversity {point.diversity:.3f})"
        )

    if not better and not worse:
        return f"{name} does not leave the maximum-likelihood curve."
    if not worse:
        return f"{name} dominates it {at(better)}."
    if not better:
        return f"{name} is never better than the maximum-likelihood curve, and worse {at(worse)}."
    return f"{name} crosses the maximum-likelihood curve: better {at(better)}; worse {at(worse)}."
