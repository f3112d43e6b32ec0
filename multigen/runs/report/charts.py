"""Curves as inline SVG: matplotlib makes axes and lines; colours come from the page's style sheet,
for light and dark mode."""

import io
import math
import re
from collections.abc import Iterator, Mapping
from html import escape
from xml.etree import ElementTree

from multigen.runs.facts import Curve
from multigen.runs.plots import add_curve, axis_ranges, drawable, short, thinned

__all__ = ["chart"]

WIDTH, HEIGHT = 380, 190
LEFT, RIGHT, TOP, BOTTOM = 50, 12, 10, 24
COLOURS = 6
"""Number of colours in the style sheet: c0 to c5."""


def chart(
    title: str, curves: Mapping[str, Curve], span: tuple[float, float], best: tuple[int, float] | None = None
) -> str:
    """A chart of curves on shared axes, with a legend above that shows each curve's last value.

    Args:
        curves: by label; NaN leaves a gap.
        span: first and last step of the axis.
        best: a point to mark as selected.
    """
    values = [v for curve in curves.values() for _, v in curve if drawable(v)]
    marks = [
        f'<li><i class="c{i % COLOURS}"></i>{escape(label)} <b>{_last(curve)}</b></li>'
        for i, (label, curve) in enumerate(curves.items())
    ]
    best = best if best is not None and values and min(values) <= best[1] <= max(values) else None
    marks += [f'<li><i class="ring"></i>chosen, step {best[0]:,} <b>{short(best[1])}</b></li>'] if best else []
    head = f"<figcaption><strong>{escape(title)}</strong><ul>{''.join(marks)}</ul></figcaption>"
    if not values:
        return f'<figure class="chart">{head}<p>no finite value</p></figure>'
    parts, log = _draw([thinned(curve) for curve in curves.values()], span, values, best)
    label = f"{title} over steps" + (", logarithmic" if log else "")
    drawing = f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(label)}">{parts}</svg>'
    return f'<figure class="chart">{head}{drawing}</figure>'


def _draw(
    curves: list[Curve], span: tuple[float, float], values: list[float], best: tuple[int, float] | None
) -> tuple[str, bool]:
    """The parts of the SVG, and whether its vertical axis is logarithmic."""
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH / 72, HEIGHT / 72))  # one point is one pixel of the page
    FigureCanvasSVG(figure)
    size = (WIDTH - LEFT - RIGHT) / WIDTH, (HEIGHT - TOP - BOTTOM) / HEIGHT
    axes = figure.add_axes((LEFT / WIDTH, BOTTOM / HEIGHT, *size), frame_on=False)
    log = axis_ranges(axes, span, values)
    axes.tick_params(length=0, pad=6)
    axes.grid(axis="y")
    for line in axes.get_ygridlines():
        line.set(gid="grid", clip_on=False)
    for i, curve in enumerate(curves):
        add_curve(axes, curve, gid=f"c{i % COLOURS}", clip_on=False)
    if best:
        axes.plot(*best, marker="o", linestyle="none", gid="best", clip_on=False)
    figure.patch.set_visible(False)
    file = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none"}):
        figure.savefig(file, format="svg")
    return "".join(_parts(ElementTree.fromstring(file.getvalue()))), log


def _parts(element: ElementTree.Element, name: str = "") -> Iterator[str]:
    """matplotlib's paths, markers and texts, with the style sheet's classes in place of their ids
    and styles.

    `name` is the `gid` of their artist, which matplotlib writes as the id of a group.
    """
    tag = element.tag.rpartition("}")[2]
    if tag == "path" and name:
        steps = re.sub(r"-?\d+\.\d+", lambda number: f"{float(number[0]):.1f}", element.get("d", ""))
        kind = name if name == "grid" else f"line {name}"
        yield f'<path class="{kind}" d="{" ".join(steps.split())}"/>'
    elif tag == "use":
        kind, radius = ("best", 4.5) if name == "best" else (f"dot {name}", 2.5)
        yield f'<circle class="{kind}" cx="{_rounded(element, "x")}" cy="{_rounded(element, "y")}" r="{radius}"/>'
    elif tag == "text":
        anchor = re.search(r"text-anchor: (\w+)", element.get("style", ""))
        where = "end" if float(element.get("x", 0)) > WIDTH - 24 else anchor[1] if anchor else "start"
        place = f'x="{_rounded(element, "x")}" y="{_rounded(element, "y")}" text-anchor="{where}"'
        yield f"<text {place}>{escape(element.text or '')}</text>"
    own = element.get("id", "")
    for inner in element if tag != "defs" else ():
        yield from _parts(inner, own if re.fullmatch(r"c\d|grid|best", own) else name if tag == "g" else "")


def _rounded(element: ElementTree.Element, name: str) -> str:
    return f"{float(element.get(name, 0)):.1f}"


def _last(curve: Curve) -> str:
    return next((short(v) for _, v in reversed(curve) if math.isfinite(v)), "-")
