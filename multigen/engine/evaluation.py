"""Evaluations: values by row and metric, with the metrics' definitions, as `Trainer.score` returns
them; and facts about the run."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from multigen.console import text_table

__all__ = ["Evaluation", "RunInfo", "mean_and_std"]


@dataclass(frozen=True, repr=False)
class Evaluation:
    """Values by row (a model or a baseline) and metric, and the definition of each metric."""

    rows: dict[str, dict[str, float]] = field(default_factory=dict)
    definitions: dict[str, str] = field(default_factory=dict)
    remarks: dict[str, str] = field(default_factory=dict)
    """Remarks on the values, by subject."""

    def table(self) -> str:
        """The rows as plain text, one column per metric."""
        metrics = list(dict.fromkeys(m for row in self.rows.values() for m in row))
        lines = [(name, *(f"{row[m]:.4f}" if m in row else "-" for m in metrics)) for name, row in self.rows.items()]
        return text_table(lines, ("", *metrics))

    def __repr__(self) -> str:
        return self.table()


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
