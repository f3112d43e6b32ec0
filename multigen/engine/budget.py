"""Training for a number of minutes: the speed is measured once, then the steps are fixed, so that the run can be repeated."""

import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Protocol

import torch

from multigen.console import say
from multigen.engine.distributed import from_first
from multigen.engine.optimisers import Optimiser
from multigen.engine.plan import Stage
from multigen.engine.schedules import Schedule, is_constant
from multigen.engine.state import TrainingState

__all__ = ["Trial", "may_grow", "scaled_to"]

SAMPLE = 24  # steps of each stage that are timed, at most
SHARE = 0.25  # of the time that is given, which timing them should not exceed


class Trial(Protocol):
    """A trainer, as far as it is timed."""

    budget: ClassVar[Sequence[str]]
    config: Any
    device: torch.device
    plan: list[Stage]
    state: TrainingState

    def prepare(self) -> None: ...
    def enter(self, stage: Stage) -> None: ...
    def advance(self, index: int) -> None: ...


def scaled_to(trial: Trial, minutes: float) -> Any:
    """The configuration of `trial` with the steps of all stages scaled alike, to train for `minutes` on this machine.

    `trial` is trained for some steps and of no use afterwards. What is scaled are the fields that its `budget` names. All ranks
    get the same.
    """
    trial.prepare()
    total = 0.0
    for number, stage in enumerate(trial.plan):
        trial.state.number = number
        trial.enter(stage)
        times: list[float] = []
        while len(times) < min(stage.steps, SAMPLE):
            times.append(_seconds(trial, len(times)))
            if len(times) > 1 and from_first([sum(times)], trial.device)[0] > SHARE * minutes * 60 / len(trial.plan):
                break
        times = times[min(4, len(times) // 2) :]  # the first ones warm up
        total += stage.steps * sum(times) / len(times)
    share = from_first([minutes * 60 / total], trial.device)[0]
    steps = {f: max(1, round(n * share)) if (n := getattr(trial.config, f)) else 0 for f in trial.budget}
    say(f"{minutes:g} minutes are {', '.join(f'{field} {n}' for field, n in steps.items())} here")
    return dataclasses.replace(trial.config, **steps)


def _seconds(trial: Trial, index: int) -> float:
    """How long one step takes."""
    began = time.perf_counter()
    trial.advance(index)
    if trial.device.type == "cuda":
        torch.cuda.synchronize(trial.device)
    return time.perf_counter() - began


def may_grow(
    config: Any,
    steps: int,
    plan_of: Callable[[Any], Sequence[Stage]],
    optimiser_of: Callable[[Stage, str], Optimiser],
    averaged: Mapping[str, Schedule],
) -> bool:
    """Whether a run that was planned with `steps` may be resumed with those of `config`, its past unchanged: the stages before
    the last are as long as they were, and no schedule of the last depends on its length.

    What a loss makes of `step.progress` is not seen: a method with such a loss refuses to grow only if an optimiser or an average
    follows a schedule too, as R3GAN's do.

    Args:
        plan_of: all stages of a configuration.
        optimiser_of: the description of a network's optimiser in a stage.
        averaged: networks of which a running average is kept, with its decay.
    """
    then, now = plan_of(dataclasses.replace(config, steps=steps)), plan_of(config)
    plan = [stage for stage in now if stage.steps]
    for name in {name for stage in plan for update in stage.updates for name in update.trains}:
        # An optimiser is kept until a stage brings a new one.
        brings = [s for s in plan if isinstance(s.optim, Optimiser) or name in (s.optim or ())]
        if not optimiser_of(brings[-1] if brings else plan[0], name).constant():
            return False
    return [s.steps for s in then[:-1]] == [s.steps for s in now[:-1]] and all(map(is_constant, averaged.values()))
