"""Runs beside each other: what differs in their settings, their last values, their figures. Works for runs that died, too."""

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
"""Settings that say what a run is measured against."""

Runs = Mapping[str, Facts]
"""Runs by the ends of their paths, which tell them apart."""


def read_runs(places: Sequence[str]) -> Runs:
    """The runs of these folders; in a folder of runs the newest. Raises ConfigError for fewer than two or one given twice,
    CheckpointError for a folder without a run."""
    folders = [find_run(place) for place in places]
    whole = [folder.resolve() for folder in folders]
    if len(set(whole)) < max(2, len(whole)):
        raise ConfigError(f"{' '.join(places)}: expected two different runs or more; give the folder of another one")
    top = Path(os.path.commonpath(whole))
    ends = [path.relative_to(top).as_posix() for path in whole]
    return {
        path.name if end == "." else end: gather(folder) for path, end, folder in zip(whole, ends, folders, strict=True)
    }


def compare(runs: Runs) -> dict[str, Any]:
    """What differs, as JSON has it; a list has one value a run, None where it has none."""
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
    """A dict for each figure that at least two runs have."""
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
    """ "better", "worse", "" where neither can be said, or why the two are not to be compared; and the difference of a figure."""
    if metric not in _rows(run).get(row, {}):
        return "", None
    before, now = _rows(first)[row][metric], _rows(run)[row][metric]
    change = now - before
    if _definition(first, metric) != _definition(run, metric):
        return "other definitions", change
    if foreign := [name for name in MEASURED_BY if first.settings.get(name) != run.settings.get(name)]:
        return f"other {' '.join(foreign)}", change
    if not trained(row) or not direction(metric) or math.isclose(before, now) or not math.isfinite(change):
        return "", change
    return "better" if change * direction(metric) > 0 else "worse", change


def _redefined(runs: Sequence[Facts]) -> dict[str, list[str | None]]:
    """Metrics that runs define differently -> the parts of each definition that the others do not share."""
    texts = [run.evaluation.get("definitions", {}) for run in runs]
    found = {}
    for name in sorted({name for known in texts for name in known}):
        parts = [known[name].split("; ") if name in known else None for known in texts]
        given = [part for part in parts if part is not None]
        if any(part != given[0] for part in given):
            common = set.intersection(*map(set, given))
            found[name] = [part and "; ".join(p for p in part if p not in common) for part in parts]
    return found


def _definition(run: Facts, metric: str) -> str | None:
    """A metric on a named set, SET/METRIC, has the definition of the metric."""
    known = run.evaluation.get("definitions", {})
    return known.get(metric, known.get(metric.rpartition("/")[2]))
