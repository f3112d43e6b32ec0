"""The truncation curve of a generator: distance and coverage of its samples at several truncations,
as rows beside the evaluation's and as an image."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from multigen.engine.distributed import rank
from multigen.storage.lines import optional
from multigen.tasks.synthesis.curves import Point, draw_curves
from multigen.tasks.synthesis.evaluator import Evaluator
from multigen.tasks.synthesis.sampler import Sampler

__all__ = ["truncation_curve"]


@torch.no_grad()
def truncation_curve(
    evaluator: Evaluator[Any], sampler: Sampler, row: str, rows: Mapping[str, Mapping[str, float]], folder: Path
) -> dict[str, dict[str, float]]:
    """Rows "ROW at T" for the sampler's truncations; writes `curves.png` into `folder`. All ranks
    call it.

    Args:
        row: name of the model's row without truncation.
        rows: the rows measured before, with `row` and perhaps "real".
    """
    measured = {t: evaluator.truncated(sampler, t) for t in sampler.truncations}
    distance, diversity = f"fd_{evaluator.extractor_name}", "coverage"
    distance = next((m for m in rows[row] if m in (distance, "fid")), distance)

    def point(at: float, values: Mapping[str, float]) -> Point | None:
        return Point(at, values[diversity], values[distance]) if {distance, diversity} <= values.keys() else None

    whole = sampler.untruncated
    points = [p for p in (point(whole, rows[row]), *(point(t, values) for t, values in measured.items())) if p]
    if rank() == 0 and points:
        with optional(f"{folder}: curves"):
            labels = f"{diversity} (higher: more diverse)", f"{distance} (lower: better)"
            draw_curves(folder / "curves.png", {row: points}, point(whole, rows.get("real", {})), labels)
    return {f"{row} at {t:g}": values for t, values in measured.items()}
