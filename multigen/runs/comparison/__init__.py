"""Compares runs: differences in their settings, last values and metrics. Also works for unfinished
runs."""

import math
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from multigen.config import differing
from multigen.errors import ConfigError
from multigen.metrics.names import direction, trained
from multigen.runs.comparison.curves import curve, shared
from multigen.runs.facts import Facts, gather
from multigen.storage.run_folder import find_run

__all__ = ["Runs", "compare", "read_runs"]

MEASURED_BY = ("data", "test", "labels", "size", "channels", "rate", "length", "scale", "prompt")
"""Settings that determine what a run is evaluated against."""

Runs = Mapping[str, Facts]
"""Runs by the distinguishing ends of their paths."""


def read_runs(places: Sequence[str]) -> Runs:
    """The runs of these folders, or the newest in a folder of runs. Raises ConfigError for fewer
    than two or for duplicates, CheckpointError for a folder without a run."""
    folders = [find_run(place) for place in places]
    resolved = [folder.resolve() for folder in folders]
    if len(set(resolved)) < max(2, len(resolved)):
        raise ConfigError(f"{' '.join(places)}: expected two different runs or more; give the folder of another one")
    top = Path(os.path.commonpath(resolved))
    ends = [path.relative_to(top).as_posix() for path in resolved]
    return {
        path.name if end == "." else end: gather(folder)
        for path, end, folder in zip(resolved, ends, folders, strict=True)
    }


def compare(runs: Runs) -> dict[str, Any]:
    """The differences, as JSON; a list has one value per run, None where a run has none."""
    facts = [*runs.values()]
    return {
        "runs": [{"name": name, **_about(run)} for name, run in runs.items()],
        "config": _differences([run.settings for run in facts]),
        "run": _differences([run.run for run in facts]),
        "last": {metric: [_last(run, metric) for run in facts] for metric in shared([run.stages for run in facts])},
        "figures": list(_figures(facts)),
        "definitions": _redefined(facts),
    }


def _about(run: Facts) -> dict[str, Any]:
    return {
        **{"folder": str(run.folder), "method": run.method, "state": run.state, "step": run.step},
        **{"seconds": round(run.seconds, 1), **{key: run.origin.get(key) for key in ("date", "commit", "machine")}},
    }


def _differences(tables: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    return {name: [table.get(name) for table in tables] for name in differing(*tables)}


def _last(run: Facts, metric: str) -> float | None:
    points = [value for stage in run.stages for _, value in curve(stage, metric)]
    return points[-1] if points else None


def _rows(run: Facts) -> Mapping[str, Mapping[str, float]]:
    return run.evaluation.get("rows", {})


def _figures(runs: Sequence[Facts]) -> Iterator[dict[str, Any]]:
    """One dict per row and metric that at least two runs have."""
    for row in dict.fromkeys(row for run in runs for row in _rows(run)):
        for metric in dict.fromkeys(metric for run in runs for metric in _rows(run).get(row, {})):
            values = [_rows(run).get(row, {}).get(metric) for run in runs]
            if metric.endswith("_std") or sum(value is not None for value in values) < 2:
                continue
            first = next(i for i, value in enumerate(values) if value is not None)
            others = [
                _against(runs[first], run, row, metric) if i > first else ("", None) for i, run in enumerate(runs)
            ]
            verdicts, differences = zip(*others, strict=True)
            yield {
                **{"row": row, "metric": metric, "values": values},
                **{"difference": list(differences), "verdict": list(verdicts)},
            }


def _against(first: Facts, run: Facts, row: str, metric: str) -> tuple[str, float | None]:
    """ "better", "worse", "" where neither applies, or why the two are not comparable; and the
    difference of the values."""
    if metric not in _rows(run).get(row, {}):
        return "", None
    before, after = _rows(first)[row][metric], _rows(run)[row][metric]
    change = after - before
    if _definition(first, metric) != _definition(run, metric):
        return "other definitions", change
    if different := [name for name in MEASURED_BY if first.settings.get(name) != run.settings.get(name)]:
        return f"other {' '.join(different)}", change
    if not trained(row) or not direction(metric) or math.isclose(before, after) or not math.isfinite(change):
        return "", change
    return "better" if change * direction(metric) > 0 else "worse", change


def _redefined(runs: Sequence[Facts]) -> dict[str, list[str | None]]:
    """Metrics that runs define differently -> the parts of each definition that are not common to
    all."""
    texts = [run.evaluation.get("definitions", {}) for run in runs]
    differing_parts = {}
    for name in sorted({name for definitions in texts for name in definitions}):
        parts = [definitions[name].split("; ") if name in definitions else None for definitions in texts]
        present = [clauses for clauses in parts if clauses is not None]
        if any(clauses != present[0] for clauses in present):
            common = set.intersection(*map(set, present))
            differing_parts[name] = [clauses and "; ".join(p for p in clauses if p not in common) for clauses in parts]
    return differing_parts


def _definition(run: Facts, metric: str) -> str | None:
    """The definition of a metric; of SET/METRIC, on a named set, that of the metric."""
    definitions = run.evaluation.get("definitions", {})
    return definitions.get(metric, definitions.get(metric.rpartition("/")[2]))
