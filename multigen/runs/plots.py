"""Plots a run's curves with matplotlib, for reports and comparisons: gaps for non-finite values,
few ticks, thin lines."""

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from multigen.runs.facts import Curve

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["add_curve", "averaged", "axis_ranges", "drawable", "short", "thinned"]

DECADES = 100.0
"""The vertical axis is logarithmic where the largest value is this many times the smallest."""
LETTERS = 6
"""Maximum characters of a small number in decimals; a longer one is printed with an exponent."""
POINTS = 500
"""Maximum points per curve, about."""
LARGEST = 1e300
"""Larger values cannot be on an axis: they are omitted, as non-finite ones are."""


def drawable(value: float) -> bool:
    return math.isfinite(value) and abs(value) <= LARGEST


def add_curve(axes: "Axes", curve: Curve, **style: Any) -> None:
    """Draws a curve; a point with gaps on both sides is a dot. `style` is that of `Axes.plot`, for
    the line and its dots."""
    steps, values = [step for step, _ in curve], [value if drawable(value) else math.nan for _, value in curve]
    gaps = [True, *map(math.isnan, values), True]
    lone = [before and not gap and after for before, gap, after in zip(gaps, gaps[1:], gaps[2:], strict=False)]
    dots = [value if alone else math.nan for value, alone in zip(values, lone, strict=True)]
    line = [math.nan if alone else value for value, alone in zip(values, lone, strict=True)]
    if not all(lone):
        axes.plot(steps, line, **style)
    if any(lone):
        axes.plot(steps, dots, **style | {"marker": "o", "markersize": 4, "linestyle": "none"})


def axis_ranges(axes: "Axes", span: tuple[float, float], values: Iterable[float]) -> bool:
    """Sets both axes, with few ticks: `span` along, all `values` up. Returns whether the vertical
    axis is logarithmic."""
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

    finite = [value for value in values if drawable(value)]
    low, high = min(finite), max(finite)
    axes.set_xlim(min(span), max(span) if span[0] != span[1] else span[0] + 1)
    log = low > 0 and high / low >= DECADES
    if log:
        axes.set_yscale("log")
        axes.set_ylim(low / 1.2, high * 1.2)
    else:
        pad = (high - low) * 0.06 or abs(high) * 0.1 or 1.0
        axes.set_ylim(0.0 if 0 <= low < (high - low) * 0.3 else low - pad, high + pad)
    along, up = (MaxNLocator(6, steps=[1, 2, 5, 10]) for _ in range(2))
    for axis, locator in ((axes.xaxis, along), (axes.yaxis, LogLocator(numticks=5) if log else up)):
        axis.set_major_locator(locator)
        axis.set_minor_locator(NullLocator())
        axis.set_major_formatter(FuncFormatter(lambda value, _: short(value)))
    return log


def short(value: float) -> str:
    """A number in few letters: 1.9e-4, 0.0002, 1.39, 12k, 3M."""
    for size, divisor, letter in ((1e6, 1e6, "M"), (1e4, 1e3, "k")):
        if abs(value) >= size:
            return f"{value / divisor:.3g}{letter}"
    text = f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"
    if len(text.lstrip("-")) <= LETTERS or abs(value) >= 1:
        return text
    digits, _, power = f"{value:.2e}".partition("e")
    return f"{float(digits):g}e{int(power)}"


def thinned(curve: Curve, points: int = POINTS) -> Curve:
    """At most about `points` of a curve: of each stretch the lowest and the highest, so that no
    spike is lost; gaps stay."""
    if len(curve) <= points:
        return curve
    size = math.ceil(len(curve) / (points // 2))
    kept: Curve = []
    for start in range(0, len(curve), size):
        part = curve[start : start + size]
        finite = [p for p in part if math.isfinite(p[1])]
        ends = {min(finite, key=_value), max(finite, key=_value)} if finite else set()
        gap = [p for p in part if not math.isfinite(p[1])][:1]
        kept += sorted([*ends, *gap], key=lambda p: p[0])
    return kept


def averaged(curve: Curve, points: int = POINTS) -> Curve:
    """At most about `points` of a curve, each the mean of what is finite in a stretch, NaN where
    nothing is."""
    size = math.ceil(len(curve) / points)
    if size < 2:
        return curve
    parts = [curve[start : start + size] for start in range(0, len(curve), size)]
    finite = [[value for _, value in part if math.isfinite(value)] for part in parts]
    return [(part[-1][0], sum(v / len(f) for v in f) if f else math.nan) for part, f in zip(parts, finite, strict=True)]


def _value(point: tuple[float, float]) -> float:
    return point[1]
