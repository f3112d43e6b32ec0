"""Values that change during a stage, as pure functions of its progress: 0 at its first step, 1 at
its end.

A schedule is a number or any function of progress. `value_at` evaluates either and clamps progress
to 0..1; the schedules themselves, when called, expect 0..1. Both end values are exact.

    lr = WarmUp(0.05, then=Cosine(2e-4, 5e-5))
    value_at(lr, 0.5)
"""

import math
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import overload

from multigen.errors import ConfigError

__all__ = ["ConstantThenLinear", "Cosine", "Linear", "Schedule", "Steps", "WarmUp", "is_constant", "value_at"]

Schedule = float | Callable[[float], float]


@dataclass(frozen=True)
class Linear:
    """Linear interpolation from `start` to `end`."""

    start: float
    end: float

    def __call__(self, progress: float) -> float:
        return (1 - progress) * self.start + progress * self.end


@dataclass(frozen=True)
class Cosine:
    """From `start` to `end` along half a cosine: flat at both ends, halfway at progress 1/2."""

    start: float
    end: float

    def __call__(self, progress: float) -> float:
        left = (1 + math.cos(math.pi * progress)) / 2
        return left * self.start + (1 - left) * self.end


@dataclass(frozen=True)
class ConstantThenLinear:
    """`start` up to the share `share` of progress, then linearly to `end`.

    Raises:
        ConfigError: `share` is outside 0 <= share < 1.
    """

    start: float
    end: float
    share: float = 0.5

    def __post_init__(self) -> None:
        if not 0 <= self.share < 1:
            raise ConfigError(
                f"ConstantThenLinear share {self.share}: expected 0 <= share < 1, the part that is constant"
            )

    def __call__(self, progress: float) -> float:
        return Linear(self.start, self.end)(max(progress - self.share, 0.0) / (1 - self.share))


@dataclass(frozen=True)
class WarmUp:
    """Linear warm-up from 0 to the first value of `then`, over the first `share` of progress;
    `then` takes the rest.

    Raises:
        ConfigError: `share` is outside 0 <= share < 1.
    """

    share: float
    then: Schedule
    """Its progress is 0 at the end of the warm-up and 1 at the end of the stage."""

    def __post_init__(self) -> None:
        if not 0 <= self.share < 1:
            raise ConfigError(f"WarmUp share {self.share}: expected 0 <= share < 1, the part of the stage it takes")

    def __call__(self, progress: float) -> float:
        if progress < self.share:
            return progress / self.share * value_at(self.then, 0)
        return value_at(self.then, (progress - self.share) / (1 - self.share))


@dataclass(frozen=True)
class Steps:
    """Piecewise constant: `values[0]` up to progress `at[0]`, from there `values[1]`, and so on.

    SRGAN's learning rate is Steps((1e-4, 1e-5), at=(0.5,)).

    Raises:
        ConfigError: `values` does not have one entry more than `at`, or `at` does not rise strictly
            within 0..1.
    """

    values: tuple[float, ...]
    at: tuple[float, ...]

    def __post_init__(self) -> None:
        if len(self.values) != len(self.at) + 1:
            raise ConfigError(f"Steps values {self.values}, at {self.at}: expected one value more than changes")
        if not all(a < b for a, b in pairwise((0, *self.at, 1))):
            raise ConfigError(f"Steps at {self.at}: expected rising shares of the stage, each above 0 and below 1")

    def __call__(self, progress: float) -> float:
        return self.values[bisect_right(self.at, progress)]


@overload
def value_at(schedule: Schedule, progress: float) -> float: ...
@overload
def value_at(schedule: tuple[Schedule, ...], progress: float) -> tuple[float, ...]: ...
def value_at(schedule: Schedule | tuple[Schedule, ...], progress: float) -> float | tuple[float, ...]:
    """The value of a schedule, or those of several (Adam's betas); progress outside 0..1 counts as
    the nearer end."""
    if isinstance(schedule, tuple):
        return tuple(value_at(each, progress) for each in schedule)
    if isinstance(schedule, int | float):
        return float(schedule)
    return float(schedule(min(max(progress, 0.0), 1.0)))


def is_constant(schedule: Schedule | tuple[Schedule, ...]) -> bool:
    """Whether the schedule, or each of several, is a number, or a `Linear` or `Cosine` with equal
    ends. Any other counts as changing, whatever its values."""
    if isinstance(schedule, tuple):
        return all(map(is_constant, schedule))
    if isinstance(schedule, Linear | Cosine):
        return schedule.start == schedule.end
    return isinstance(schedule, int | float)
