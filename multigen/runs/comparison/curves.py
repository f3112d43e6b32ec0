"""Plots the curves of several runs over each other, slightly smoothed."""

import math
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from multigen.console import printable
from multigen.runs.facts import Curve, Stage
from multigen.runs.plots import add_curve, averaged, axis_ranges, drawable, thinned
from multigen.storage.output import replacing
from multigen.storage.provenance import NO_PROVENANCE, Provenance, png

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["curve", "draw", "shared", "smooth"]

COLOURS = ("#1f5fbf", "#d2691e", "#2e8b57", "#8b3a8b", "#b22222", "#5f6a72")
RAW = 0.25  # opacity of raw values behind the smoothed line
COLUMNS = 3
POINTS = 2000  # maximum points per curve, about
PANELS = 60  # maximum number of metrics

Stages = Sequence[Stage]
"""A run's stages, with their curves (`multigen.runs.facts`)."""


def curve(stage: Stage, metric: str) -> Curve:
    """The points of a metric in a stage, for validations as validation/METRIC; [] where it was not
    logged."""
    if metric.startswith("validation/"):
        return stage.validation.get(metric.removeprefix("validation/"), [])
    return stage.curves.get(metric, [])


def shared(runs: Sequence[Stages]) -> list[str]:
    """Metrics that at least two of the runs logged, in the order of the runs; without speed, which
    depends on the machine."""
    logged = [
        {name: None for stage in run for name in (*stage.curves, *(f"validation/{v}" for v in stage.validation))}
        for run in runs
    ]
    names = dict.fromkeys(name for names in logged for name in names if name != "items_per_second")
    return [name for name in names if sum(name in names for names in logged) > 1]


def smooth(values: Sequence[float]) -> list[float]:
    """Centred moving averages over about a fifteenth of the values, near the ends over fewer;
    non-finite values are unchanged."""
    reach = len(values) // 30
    means = []
    for i, value in enumerate(values):
        near = min(reach, i, len(values) - 1 - i)
        window = [v for v in values[i - near : i + near + 1] if math.isfinite(v)]
        means.append(sum(window) / len(window) if math.isfinite(value) else value)
    return means


def draw(path: Path, runs: Mapping[str, Stages], about: Provenance = NO_PROVENANCE) -> bool:
    """Plots the metrics that the runs share, one panel each, with stage boundaries as dotted lines
    and each run's name at the end of its curve; the file's metadata is `about`. Returns False,
    without an image, where they share none."""
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    metrics = shared([*runs.values()])[:PANELS]
    if not metrics:
        return False
    columns = min(COLUMNS, len(metrics))
    rows = math.ceil(len(metrics) / columns)
    with matplotlib.rc_context({"text.parse_math": False}), warnings.catch_warnings():
        # About characters that the font lacks, and names that are too long.
        warnings.simplefilter("ignore", UserWarning)
        figure = Figure(figsize=(5 * columns, 2.8 * rows), layout="constrained")
        FigureCanvasAgg(figure)
        for axes, metric in zip(figure.subplots(rows, columns, squeeze=False).flat, metrics, strict=False):
            _panel(axes, metric, runs)
        for axes in figure.axes[len(metrics) :]:
            axes.remove()
        with replacing(path) as file:
            figure.savefig(file, dpi=110, pil_kwargs=png(about))
    return True


def _panel(axes: "Axes", metric: str, runs: Mapping[str, Stages]) -> None:
    having = {name: run for name, run in runs.items() if any(curve(stage, metric) for stage in run)}
    values = [v for run in having.values() for stage in run for _, v in curve(stage, metric) if drawable(v)]
    axis_ranges(axes, (0, 1.02 * max(run[-1].last for run in having.values())), values or [0.0])
    ends: list[tuple[float, str, str]] = []  # last value, run, colour
    for name, run in having.items():
        colour = COLOURS[[*runs].index(name) % len(COLOURS)]
        for points in (curve(stage, metric) for stage in run):  # averages do not cross stages
            fewer = averaged(points, POINTS)
            means = smooth([value for _, value in fewer])
            add_curve(axes, thinned(points, POINTS), color=colour, alpha=RAW, linewidth=0.8)
            add_curve(axes, [(step, mean) for (step, _), mean in zip(fewer, means, strict=True)], color=colour)
        _mark_stages(axes, run, colour)
        ends.append(([value for stage in run for _, value in curve(stage, metric)][-1], name, colour))
    axes.set_title(printable(metric), fontsize=9, loc="left")
    axes.set_xlabel("step", fontsize=7)
    axes.tick_params(labelsize=7)
    axes.spines[["top", "right"]].set_visible(False)
    _label_ends(axes, ends)


def _mark_stages(axes: "Axes", run: Stages, colour: str) -> None:
    """Marks the beginning of each stage by a line and its name; no name where it would overlap the
    previous one."""
    last_label = -math.inf
    for stage in run:
        if stage.first:
            axes.axvline(stage.first, color=colour, linewidth=0.8, linestyle=":")
        if len(run) > 1 and stage.first - last_label > axes.get_xlim()[1] / 30:
            where: Any = axes.get_xaxis_transform()  # steps along, a share of the height up
            label = printable(stage.name)
            axes.text(stage.first, 0.99, label, fontsize=6, color=colour, rotation=90, va="top", transform=where)
            last_label = stage.first


def _label_ends(axes: "Axes", ends: list[tuple[float, str, str]]) -> None:
    """Names right of the curves at the height of their ends, moved apart where they would
    overlap."""
    up, height = axes.transScale + axes.transLimits, -1.0
    for value, name, colour in sorted(ends, key=lambda end: end[0] if drawable(end[0]) else math.inf):
        share = up.transform((0.0, value))[1] if drawable(value) else 1.0
        height = max(share, height + 0.09)
        axes.text(1.01, height, printable(name), fontsize=8, color=colour, va="center", transform=axes.transAxes)
