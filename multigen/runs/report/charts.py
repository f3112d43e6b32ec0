"""Curves as inline SVG: thin lines, few ticks, colours from the page's style sheet, so that light and dark both fit."""

import math
from collections.abc import Mapping
from html import escape

from multigen.runs.facts import Curve

__all__ = ["chart", "thinned", "ticks"]

WIDTH, HEIGHT = 380, 190
LEFT, RIGHT, TOP, BOTTOM = 50, 12, 10, 24
POINTS = 500
DECADES = 100.0
"""A logarithmic axis is taken where the largest value is so many times the smallest."""


def chart(
    title: str, curves: Mapping[str, Curve], span: tuple[float, float], best: tuple[int, float] | None = None
) -> str:
    """A figure of curves on shared axes, with a legend above them that gives each curve's last value.

    Args:
        curves: by label; NaN leaves a gap.
        span: first and last step of the axis.
        best: a point to mark as chosen.
    """
    values = [v for curve in curves.values() for _, v in curve if math.isfinite(v)]
    legend = "".join(
        f'<li><i class="c{i % 6}"></i>{escape(label)} <b>{_last(curve)}</b></li>'
        for i, (label, curve) in enumerate(curves.items())
    )
    head = f"<figcaption><strong>{escape(title)}</strong><ul>{legend}</ul></figcaption>"
    if not values:
        return f'<figure class="chart">{head}<p>no finite value</p></figure>'
    log = min(values) > 0 and max(values) / min(values) >= DECADES
    low, high = _range(values, log)
    first, last = (min(span), max(span)) if span[1] != span[0] else (span[0] - 1, span[1] + 1)

    def x(step: float) -> float:
        return LEFT + (step - first) / (last - first) * (WIDTH - LEFT - RIGHT)

    def y(value: float) -> float:
        a, b, v = (math.log10(n) for n in (low, high, value)) if log else (low, high, value)
        return HEIGHT - BOTTOM - (v - a) / (b - a) * (HEIGHT - TOP - BOTTOM)

    parts = []
    for tick in _decades(low, high) if log else ticks(low, high):
        parts.append(f'<path class="grid" d="M{LEFT} {y(tick):.1f}H{WIDTH - RIGHT}"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{y(tick) + 3.5:.1f}" text-anchor="end">{_short(tick)}</text>')
    for tick in ticks(first, last):
        anchor = "end" if x(tick) > WIDTH - 24 else "middle"
        parts.append(f'<text x="{x(tick):.1f}" y="{HEIGHT - 7}" text-anchor="{anchor}">{_short(tick)}</text>')
    for i, curve in enumerate(curves.values()):
        parts.append(_line(curve, x, y, f"c{i % 6}"))
    if best is not None and math.isfinite(best[1]) and low <= best[1] <= high:
        parts.append(f'<circle class="best" cx="{x(best[0]):.1f}" cy="{y(best[1]):.1f}" r="4.5"/>')
        head = head.replace(
            "</ul>", f'<li><i class="ring"></i>chosen, step {best[0]:,} <b>{_short(best[1])}</b></li></ul>'
        )
    label = f"{title} over steps" + (", logarithmic" if log else "")
    drawing = f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(label)}">{"".join(parts)}</svg>'
    return f'<figure class="chart">{head}{drawing}</figure>'


def _line(curve: Curve, x, y, kind: str) -> str:
    """The curve as a path with gaps; a point with gaps on both sides is a dot."""
    path, dots, run = [], [], Curve()
    for point in [*thinned(curve), (0.0, math.nan)]:
        if math.isfinite(point[1]):
            run.append(point)
            continue
        if len(run) > 1:
            path.append("M" + "L".join(f"{x(s):.1f} {y(v):.1f}" for s, v in run))
        elif run:
            dots.append(f'<circle class="dot {kind}" cx="{x(run[0][0]):.1f}" cy="{y(run[0][1]):.1f}" r="2.5"/>')
        run = Curve()
    return (f'<path class="line {kind}" d="{"".join(path)}"/>' if path else "") + "".join(dots)


def thinned(curve: Curve, points: int = POINTS) -> Curve:
    """At most about `points` of a curve: of each stretch the lowest and the highest, so that no spike is lost; gaps stay."""
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


def _value(point: tuple[float, float]) -> float:
    return point[1]


def _range(values: list[float], log: bool) -> tuple[float, float]:
    low, high = min(values), max(values)
    if log:
        return low / 1.2, high * 1.2
    pad = (high - low) * 0.06 or abs(high) * 0.1 or 1.0
    return (0.0 if 0 <= low < (high - low) * 0.3 else low - pad), high + pad


def ticks(low: float, high: float) -> list[float]:
    """Three to eight round numbers between two numbers, steps of 1, 2 or 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10((high - low) / 3))
    step = max(m * power for m in (1, 2, 5) if 3 * m * power <= (high - low) * 1.001)
    return [round(i * step, 12) for i in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]


def _decades(low: float, high: float) -> list[float]:
    """Powers of ten in a range, at most about five of them."""
    first, last = math.ceil(math.log10(low) - 1e-9), math.floor(math.log10(high) + 1e-9)
    return [10.0**e for e in range(first, last + 1, max(1, (last - first) // 4))]


def _short(value: float) -> str:
    """A number in few letters: 0.0002, 1.39, 12k, 3M."""
    for size, letter in ((1e6, "M"), (1e4, "k")):
        if abs(value) >= size:
            return f"{value / (1e6 if letter == 'M' else 1e3):.3g}{letter}"
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"


def _last(curve: Curve) -> str:
    return next((_short(v) for _, v in reversed(curve) if math.isfinite(v)), "-")
