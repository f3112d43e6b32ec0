"""Training for a number of minutes: the speed is measured once, then the steps are fixed, so that the run can be repeated."""

import dataclasses
import time
from typing import TYPE_CHECKING, Any

import torch

from multigen.progress import say

if TYPE_CHECKING:
    from multigen.engine import Trainer

__all__ = ["scaled_to"]

SAMPLE = 24  # steps of each stage that are timed


def scaled_to(trainer: "Trainer[Any]", minutes: float) -> Any:
    """The trainer's configuration with the steps of all stages scaled alike, to train for `minutes` on this machine.

    Timed on a second trainer that is thrown away, so the run itself begins untouched. What is scaled are the fields that
    `Trainer.budget` names. All ranks get the same.
    """
    from multigen.engine.distributed import from_first

    trial = type(trainer)(trainer.config, dataclasses.replace(trainer.run, workers=0))
    trial.prepare()
    total = 0.0
    for number, stage in enumerate(trial.plan):
        trial.number = number
        trial.enter(stage)
        times = [_seconds(trial, index) for index in range(min(stage.steps, SAMPLE))]
        times = times[min(4, len(times) // 2) :]  # the first ones warm up
        total += stage.steps * sum(times) / len(times)
    share = from_first([minutes * 60 / total], trainer.device)[0]
    steps = {f: max(1, round(n * share)) if (n := getattr(trainer.config, f)) else 0 for f in trainer.budget}
    say(f"{minutes:g} minutes are {', '.join(f'{field} {n}' for field, n in steps.items())} here")
    return dataclasses.replace(trainer.config, **steps)


def _seconds(trainer: "Trainer[Any]", index: int) -> float:
    """How long one step takes."""
    began = time.perf_counter()
    trainer.advance(index)
    if trainer.device.type == "cuda":
        torch.cuda.synchronize(trainer.device)
    return time.perf_counter() - began
