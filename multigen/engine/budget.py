"""Steps from minutes: how many steps fit into a time budget at the measured speed; and whether a
resumed run may be longer."""

import copy
import dataclasses
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

from multigen.config import Run
from multigen.console import say
from multigen.engine.device import DEFAULT_LAYOUT
from multigen.engine.optimisers import Optimiser
from multigen.engine.plan import Stage
from multigen.engine.schedules import is_constant
from multigen.engine.trial import Choice

__all__ = ["keep_schedule", "may_grow", "part_within", "scaled", "steps_message"]


def scaled(config: Any, fields: Sequence[str], share: float) -> Any:
    """`config` with the steps of all stages, which `fields` name, scaled by `share`; at least 1
    step, but 0 stays 0."""
    steps = {f: max(1, round(n * share)) if (n := getattr(config, f)) else 0 for f in fields}
    return dataclasses.replace(config, **steps)


def part_within(seconds: float, minutes: float) -> float:
    """The fraction of a run of `seconds` that ends within `minutes` (0: no limit): 1, 3/4, 1/2,
    1/4, and where a quarter is too long, 1/8, 1/16 and so on."""
    part = 1.0
    while minutes and seconds * part > minutes * 60 and part > 1e-6:
        part = part - 0.25 if part > 0.25 else part / 2
    return part


def steps_message(
    steps: Mapping[str, int], run: Run, choice: Choice, seconds: float, share: float, command: str
) -> str:
    """One line about the steps of a run; where they are fewer than configured, also with the
    command that repeats the run.

    Args:
        steps: by field of the configuration.
        seconds: time that all steps would take.
        share: fraction of all steps that this run makes.
        command: the command that started the run, without measured options.
    """
    text = ", ".join(f"{field} {n}" for field, n in steps.items())
    if run.minutes:
        return f"{run.minutes:g} minutes are {text} here"
    options: dict[str, Any] = {**steps, "precision": choice.precision}
    options |= {"layout": choice.layout} if choice.layout != DEFAULT_LAYOUT else {}
    flags = " ".join(f"--{name.replace('_', '-')} {value}" for name, value in options.items())
    return (
        f"{Fraction(share)} of the steps, {text}, to end within {run.most_minutes:g} minutes: all of them would take "
        f"{seconds / 60:.1f} here, and are made with --most-minutes 0; this run again: {f'{command} {flags}'.strip()}"
    )


def may_grow(trainer: Any, steps: int) -> bool:
    """Whether a run that was planned with `steps` may be resumed with those of the trainer's
    configuration: the stages before the last are as long as they were, and no learning rate of the
    last ends at 0, where nothing could be learned any more."""
    old, new = _planned(trainer, steps), trainer.stages()
    ends = [optimiser.settings(1.0)["lr"] for optimiser in _last_optimisers(trainer, new)]
    return [s.steps for s in old[:-1]] == [s.steps for s in new[:-1]] and all(lr > 0 for lr in ends)


def keep_schedule(trainer: Any, steps: int) -> None:
    """Lets the schedules of a resumed run that was planned with `steps`, and now has more, end
    where they would have ended: what was trained stays what it was, and the end values hold from
    there on. Says so where a schedule depends on the stage's length; a loss's use of
    `step.progress` is not seen."""
    name, scalars = trainer.plan[-1].name, trainer.state.scalars
    level = all(optimiser.constant() for optimiser in _last_optimisers(trainer, trainer.plan))
    level &= all(map(is_constant, trainer.averaged().values()))
    if level and f"planned/{name}" not in scalars:
        return
    planned = scalars.setdefault(f"planned/{name}", _planned(trainer, steps)[-1].steps)
    say(
        f"schedules end after {planned:,} steps of {name}, as planned before; the steps behind them keep the end values"
    )


def _planned(trainer: Any, steps: int) -> list[Stage]:
    """The stages of a run that was planned with `steps`."""
    other = copy.copy(trainer)
    other.config = dataclasses.replace(trainer.config, steps=steps)
    return other.stages()


def _last_optimisers(trainer: Any, plan: Sequence[Stage]) -> list[Optimiser]:
    """Those in use at the end: an optimiser stays in use until a stage brings a new one."""
    result, stages = [], [stage for stage in plan if stage.steps]
    for name in sorted({name for stage in stages for update in stage.updates for name in update.trains}):
        brings = [s for s in stages if isinstance(s.optim, Optimiser) or name in (s.optim or ())]
        result.append(trainer.spec(brings[-1] if brings else stages[0], name))
    return result
