"""How many steps a run makes to take, or not to exceed, a number of minutes at the measured speed; and whether a run may be made
longer."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from typing import Any

from multigen.config import Run
from multigen.engine.device import DEFAULT_LAYOUT
from multigen.engine.optimisers import Optimiser
from multigen.engine.plan import Stage
from multigen.engine.schedules import Schedule, is_constant
from multigen.engine.trial import Choice

__all__ = ["may_grow", "part_within", "scaled", "steps_said"]


def scaled(config: Any, fields: Sequence[str], share: float) -> Any:
    """`config` with the steps of all stages scaled alike: those that `fields` name, each at least 1 but where it is 0."""
    steps = {f: max(1, round(n * share)) if (n := getattr(config, f)) else 0 for f in fields}
    return dataclasses.replace(config, **steps)


def part_within(seconds: float, minutes: float) -> float:
    """The part of a run of so many seconds that ends within `minutes` (0: no limit): 1, 3/4, 1/2, 1/4, and where a quarter is too
    long, 1/8, 1/16 and so on."""
    part = 1.0
    while minutes and seconds * part > minutes * 60 and part > 1e-6:
        part = part - 0.25 if part > 0.25 else part / 2
    return part


def steps_said(steps: Mapping[str, int], run: Run, choice: Choice, seconds: float, share: float, command: str) -> str:
    """The steps of a run in a line; where there are fewer than configured, also the command that repeats the run.

    Args:
        steps: by field of the configuration.
        seconds: how long all steps would take.
        share: of all steps, made in this run.
        command: what started the run, without the options that are measured.
    """
    listed = ", ".join(f"{field} {n}" for field, n in steps.items())
    if run.minutes:
        return f"{run.minutes:g} minutes are {listed} here"
    options: dict[str, Any] = {**steps, "precision": choice.precision}
    options |= {"layout": choice.layout} if choice.layout != DEFAULT_LAYOUT else {}
    flags = " ".join(f"--{name.replace('_', '-')} {value}" for name, value in options.items())
    return (
        f"{Fraction(share)} of the steps, {listed}, to end within {run.most_minutes:g} minutes: all of them would take "
        f"{seconds / 60:.1f} here, and are made with --most-minutes 0; this run again: {f'{command} {flags}'.strip()}"
    )


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
