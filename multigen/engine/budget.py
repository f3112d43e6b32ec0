"""Steps from minutes: how many steps fit into a time budget at the measured speed; and whether a
resumed run may be longer."""

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

__all__ = ["is_level", "may_grow", "part_within", "scaled", "steps_message"]


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


def may_grow(old: Sequence[Stage], new: Sequence[Stage], optimiser_of: Callable[[Stage, str], Optimiser]) -> bool:
    """Whether a run of the stages `old` may be resumed with those of `new`: the stages before the
    last are as long as they were, and no learning rate of the last ends at 0, where nothing could
    be learned any more.

    Args:
        optimiser_of: the description of a network's optimiser in a stage.
    """
    ends = [optimiser.settings(1.0)["lr"] for optimiser in _last_optimisers(new, optimiser_of)]
    return [s.steps for s in old[:-1]] == [s.steps for s in new[:-1]] and all(lr > 0 for lr in ends)


def is_level(
    plan: Sequence[Stage],
    optimiser_of: Callable[[Stage, str], Optimiser],
    averaged: Mapping[str, Schedule],
) -> bool:
    """Whether no schedule of the last stage depends on its length, so that a longer one has the same
    past. A loss's use of `step.progress` is not seen.

    Args:
        averaged: networks with a running average, and its decay.
    """
    level = all(optimiser.constant() for optimiser in _last_optimisers(plan, optimiser_of))
    return level and all(map(is_constant, averaged.values()))


def _last_optimisers(plan: Sequence[Stage], optimiser_of: Callable[[Stage, str], Optimiser]) -> list[Optimiser]:
    """Those in use at the end: an optimiser stays in use until a stage brings a new one."""
    found, stages = [], [stage for stage in plan if stage.steps]
    for name in sorted({name for stage in stages for update in stage.updates for name in update.trains}):
        brings = [s for s in stages if isinstance(s.optim, Optimiser) or name in (s.optim or ())]
        found.append(optimiser_of(brings[-1] if brings else stages[0], name))
    return found
