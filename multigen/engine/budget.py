"""Training for a number of minutes: the speed is measured once, then the steps are fixed, so that the run can be repeated."""

import copy
import dataclasses
import time
from typing import TYPE_CHECKING, Any

import torch

from multigen.console import say

if TYPE_CHECKING:
    from multigen.engine import Trainer

__all__ = ["may_grow", "scaled_to"]

SAMPLE = 24  # steps of each stage that are timed, at most
SHARE = 0.25  # of the time that is given, which timing them should not exceed


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
        times: list[float] = []
        while len(times) < min(stage.steps, SAMPLE):
            times.append(_seconds(trial, len(times)))
            if len(times) > 1 and from_first([sum(times)], trial.device)[0] > SHARE * minutes * 60 / len(trial.plan):
                break
        times = times[min(4, len(times) // 2) :]  # the first ones warm up
        total += stage.steps * sum(times) / len(times)
    share = from_first([minutes * 60 / total], trial.device)[0]
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


def may_grow(trainer: "Trainer[Any]", steps: int) -> bool:
    """Whether a run that was planned with `steps` may go on to the trainer's, its past unchanged: the stages before the last are
    as long as they were, and no schedule of the last depends on its length.

    Schedules are those of `Trainer.optimisers`, `Stage.optim` and `Trainer.averaged`. What a loss makes of `step.progress` is not
    seen: a method with such a loss refuses to grow only if one of those is no plain number too, as R3GAN's learning rate.
    """
    from multigen.engine.optimisers import Optimiser
    from multigen.engine.schedules import is_constant

    shorter = copy.copy(trainer)
    shorter.config = dataclasses.replace(trainer.config, steps=steps)
    then, now = ([s.steps for s in stages[:-1]] for stages in (shorter.stages(), trainer.stages()))
    for name in trainer.nets:
        # An optimiser lives until a stage brings a fresh one.
        brings = [s for s in trainer.plan if isinstance(s.optim, Optimiser) or name in (s.optim or ())]
        if not trainer.spec(brings[-1] if brings else trainer.plan[0], name).constant():
            return False
    return then == now and all(map(is_constant, trainer.averaged().values()))
