"""The losses of the first 20 steps of each method's preset tiny: as they are now, and as
METHOD.json keeps them."""

import json
import math
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import torch

from multigen.config import Run

__all__ = ["differences", "golden", "measured", "write"]

FOLDER = Path(__file__).parent
SHORTER: dict[str, dict[str, int]] = {
    "srgan": {"pretrain_steps": 16},
    "denoise": {"pretrain_steps": 16},
    "seqgan": {"mle_steps": 9},
    "scratchgan": {"mle_steps": 9},
    "relgan": {"mle_steps": 16},
    "pix2pix": {"steps": 5},
    "cyclegan": {"steps": 5},
    "cut": {"steps": 12},
    "lsgan": {"steps": 10},
    "fastgan": {"steps": 5},
    "projected": {"steps": 5},
    "wavegan": {"steps": 5},
    "specgan": {"steps": 5},
}
"""Where several stages share the 20 steps; and methods in which the rounding of another processor's
instructions grows to 1e-3 of a loss within 20 steps: to 1e-4 within these."""
TOLERANCE = 1e-3
"""Of a value, and of the largest of its term: what is a difference of means passes through zero."""

Losses = dict[str, list[float]]
"""STAGE/UPDATE/TERM -> its value at each step of the stage."""


def measured(method: str, folder: Path) -> Losses:
    """The losses of a run in the new folder: fp32, one thread, without validation."""
    recipe = import_module(f"multigen.recipes.{method}")
    run = Run(out=str(folder), device="cpu", precision="fp32", log_every=1)
    trainer = recipe.TRAINER(replace(recipe.PRESETS["tiny"], **SHORTER.get(method, {})), run)
    stages = trainer.stages
    trainer.stages = lambda: [replace(stage, best=None, until=None) for stage in stages()]
    trainer.callbacks, trainer.validate, trainer.preview = [], lambda nets: {}, lambda nets, folder: None
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        trainer.fit()
    finally:
        torch.set_num_threads(threads)
    result: Losses = {}
    for line in map(json.loads, (folder / "metrics.jsonl").read_text().splitlines()):
        for term in line.keys() - {"step", "stage", "items_per_second", "validation"}:
            result.setdefault(f"{line['stage']}/{term}", []).append(float(f"{line[term]:.6g}"))
    return dict(sorted(result.items()))


def golden(method: str) -> Losses:
    return json.loads((FOLDER / f"{method}.json").read_text())


def differences(found: Losses, kept: Losses) -> list[str]:
    """Where two runs' losses are not the same to the tolerance: one line for each term, with its
    first such step."""
    lines = [f"{term}: {'new' if term in found else 'gone'}" for term in sorted(found.keys() ^ kept.keys())]
    for term in sorted(found.keys() & kept.keys()):
        now, then = found[term], kept[term]
        if len(now) != len(then):
            lines.append(f"{term}: {len(now)} steps, were {len(then)}")
            continue
        near = TOLERANCE * max(map(abs, then))
        for step, (a, b) in enumerate(zip(now, then, strict=True), start=1):
            if not math.isclose(a, b, rel_tol=TOLERANCE, abs_tol=near):
                lines.append(f"{term}: {a} at step {step} of the stage, was {b}")
                break
    return lines


def write(method: str, losses: Losses) -> None:
    """One term a line."""
    lines = [f"{json.dumps(term)}: {json.dumps(values)}" for term, values in losses.items()]
    (FOLDER / f"{method}.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")
