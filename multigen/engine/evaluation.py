"""Evaluations: values by row and metric, with the metrics' definitions, as `Trainer.score` returns
them; and facts about the run."""

import statistics
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from multigen.console import text_table
from multigen.console.notebook import html_table

__all__ = ["USED_BY_D", "Evaluation", "RunInfo", "mean_and_std", "metric_label"]

USED_BY_D = "used by D"
"""A clause in the definition of a metric whose network D, or a loss, was trained with: tables mark
it."""

COLUMNS, GAP = 80, 2  # letters of a line of a table, and between two columns


@dataclass(frozen=True, repr=False)
class Evaluation:
    """Values by row (a model or a baseline) and metric, and the definition of each metric."""

    rows: dict[str, dict[str, float]] = field(default_factory=dict)
    definitions: dict[str, str] = field(default_factory=dict)
    remarks: dict[str, str] = field(default_factory=dict)
    """Remarks on the values, by subject."""

    def table(self, metrics: Sequence[str] = ()) -> str:
        """The figures as plain text, of `metrics` or all of them: in lines of at most `COLUMNS`
        letters, so that many are divided into several tables."""
        cells = self._cells(metrics)
        widths = [max(map(len, column)) + GAP for column in zip(*cells, strict=True)]
        parts, wide = [[0]], COLUMNS + GAP
        for i, width in enumerate(widths[1:], 1):
            if len(parts[-1]) > 1 and sum(widths[j] for j in parts[-1]) + width > wide:
                parts.append([0])
            parts[-1].append(i)
        tables = [[tuple(line[i] for i in part) for line in cells] for part in parts]
        return "\n\n".join(text_table(lines, head) for head, *lines in tables)

    def __repr__(self) -> str:
        """The table, and the remarks below it."""
        remarks = [textwrap.fill(f"{what}: {text}", COLUMNS) for what, text in self.remarks.items()]
        return "\n\n".join([self.table(), *remarks])

    def _repr_html_(self) -> str:
        head, *lines = self._cells()
        remarks = html_table([*self.remarks.items()], title="Remarks") if self.remarks else ""
        return html_table(lines, head) + remarks

    def label(self, metric: str) -> str:
        """A metric's name in tables."""
        return metric_label(metric, self.definitions)

    def _cells(self, metrics: Sequence[str] = ()) -> list[tuple[str, ...]]:
        """A head and lines, each with its name first: a line a row, or, where that is narrower, a
        line a metric."""
        metrics = metrics or list(dict.fromkeys(m for row in self.rows.values() for m in row))
        lines = [(name, *(f"{row[m]:.4f}" if m in row else "-" for m in metrics)) for name, row in self.rows.items()]
        cells = [("", *map(self.label, metrics)), *lines]
        turned = list(zip(*cells, strict=True))
        return min((cells, turned), key=lambda way: sum(max(map(len, column)) for column in zip(*way, strict=True)))


def metric_label(metric: str, definitions: Mapping[str, str]) -> str:
    """A metric's name in a table: with a mark where its definition says that D used its network."""
    used = f"; {USED_BY_D}" in str(definitions.get(metric.rpartition("/")[2], definitions.get(metric, "")))
    return f"{metric} ({USED_BY_D})" if used else metric


@dataclass(frozen=True)
class RunInfo:
    """Facts about a run, as its records state them."""

    method: str
    seed: int
    steps: Mapping[str, int]
    """Stage -> steps planned."""
    precision: str
    """fp32, bf16, ..."""
    seconds: float
    """Training time so far, resumes included."""
    selected: Mapping[str, str] = field(default_factory=dict)
    """Stage -> the validation metric that selects its best checkpoint, where there is one."""


def mean_and_std(evaluations: Sequence[Evaluation]) -> Evaluation:
    """Means over seeds, each with its sample standard deviation as `METRIC_std`."""
    first = evaluations[0]
    rows: dict[str, dict[str, float]] = {}
    for name, row in first.rows.items():
        rows[name] = {}
        for metric in [m for m in row if all(m in e.rows.get(name, {}) for e in evaluations)]:
            values = [e.rows[name][metric] for e in evaluations]
            rows[name][metric] = statistics.fmean(values)
            rows[name][f"{metric}_std"] = statistics.stdev(values) if len(values) > 1 else 0.0
    remarks = {
        f"{what}, seed {i + 1} of {len(evaluations)}": e.remarks[what]
        for what in first.remarks
        for i, e in enumerate(evaluations)
    }
    return Evaluation(rows, first.definitions, remarks if len(evaluations) > 1 else first.remarks)
