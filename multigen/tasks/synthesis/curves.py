"""Curves of quality against diversity: one model sampled at several settings, such as temperatures
or truncations."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from multigen.storage.output import replacing

__all__ = ["SURE", "Point", "draw_curves"]

SURE = 2.0
"""Standard errors that a difference must exceed to count."""


@dataclass(frozen=True)
class Point:
    """A model at a setting. `error` is the standard error of quality."""

    at: float
    diversity: float
    quality: float
    error: float = 0.0


def draw_curves(path: Path, models: Mapping[str, Sequence[Point]], real: Point | None, labels: tuple[str, str]) -> None:
    """Draws the curves as an image, settings next to their points, real data as a star.

    `labels`: of the two axes, diversity first.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for name, points in models.items():
        ordered = sorted(points, key=lambda p: p.at)
        x, y, e = zip(*((p.diversity, p.quality, SURE * p.error) for p in ordered), strict=True)
        axes.errorbar(x, y, e, marker="o", markersize=3, linewidth=1, capsize=2, label=name)
        for point in (ordered[0], ordered[-1]):
            axes.annotate(f"{point.at:g}", (point.diversity, point.quality), fontsize=7)
    if real is not None:
        axes.plot(real.diversity, real.quality, "k*", markersize=11, label="real")
    axes.set_xlabel(labels[0])
    axes.set_ylabel(labels[1])
    axes.legend(fontsize=8)
    with replacing(path) as file:
        figure.savefig(file, dpi=130)
