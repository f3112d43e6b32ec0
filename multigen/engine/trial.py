"""A trial before training: measures the time per step of each stage, and which precision and memory
format is fastest.

A copy of the trainer makes a few steps with each choice in turn, round after round, so that other
processes slow all choices alike. The copy is then discarded; nothing that the run depends on has
changed.
"""

import math
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, Protocol

import torch

from multigen.config import Run
from multigen.console import say
from multigen.engine.device import DEFAULT_LAYOUT, choose_precision
from multigen.engine.distributed import from_first
from multigen.engine.plan import Pool, Stage, Update
from multigen.engine.state import TrainingState
from multigen.memory import is_memory_error

__all__ = ["Choice", "Trial", "TrialResult", "choices_of", "faster", "try_out"]

MARGIN = 1.1  # a choice other than the default must be this many times as fast
MIN_STEPS = 50  # steps: a shorter run has no trial
SHORT_RUN = 20.0  # seconds: in a shorter run only the speed is measured, in the default choice
LIMIT, SHARE = (
    6.0,
    0.05,
)  # limits of all rounds, in seconds and as a share of the run; each stage has at least two or three
TIME_BOX = 10.0  # seconds, about, that the trial takes at most
LEAST = 3  # rounds in which choices are compared, where there is time for them; else 2
ROUNDS = 24  # of a stage, at most
HOPELESS = 1.5  # a choice that takes this many times as long as the fastest in a round is dropped
COUNTED_STEPS = 5_000  # steps of a stage over which the shares of its kinds of steps are counted


@dataclass(frozen=True)
class Choice:
    """A precision and a memory format for training."""

    precision: str
    layout: str = DEFAULT_LAYOUT


@dataclass(frozen=True)
class TrialResult:
    """The choice that a trial selected, and its speed."""

    choice: Choice
    seconds: list[float]
    """Seconds per step, by stage; empty without a measurement."""


@dataclass(frozen=True)
class Timing:
    """Measured seconds per step of one stage, by choice."""

    typical: list[float]
    worst: list[float]
    spent: float = 0.0
    """Seconds that the measurement took."""
    rounds: int = 1


Scalars = dict[str, Any]


class Trial(Protocol):
    """The part of a trainer that a trial uses."""

    device: torch.device
    plan: list[Stage]
    state: TrainingState

    def enter(self, stage: Stage) -> None: ...
    def advance(self, index: int) -> None: ...
    def use(self, choice: Choice) -> None: ...


def choices_of(run: Run, device: torch.device, convolutional: bool) -> list[Choice]:
    """The precisions and memory formats that `run` leaves open, the default first.

    Args:
        convolutional: whether a network has 2-d convolutions, which memory formats apply to.
    """
    if run.precision != "auto":
        return [Choice(run.precision, run.layout)]
    layouts = [run.layout, "contiguous"] if run.layout == DEFAULT_LAYOUT and convolutional else [run.layout]
    native = choose_precision("auto", device) == "bf16"
    return [Choice("fp32", layout) for layout in layouts] + [Choice("bf16", run.layout)] * native


def try_out(trial: Trial, choices: Sequence[Choice], minutes: float = 0.0, timed: bool = False) -> TrialResult:
    """The fastest of `choices`, and its speed; the same on all ranks. A short run takes the first
    without a measurement.

    Args:
        minutes: time that the run will take; 0: as long as its steps take.
        timed: measure the speed in any case.
    """
    steps = [stage.steps for stage in trial.plan]
    if not timed and (sum(steps) < MIN_STEPS or len(choices) == 1):
        return TrialResult(choices[0], [])
    say(f"measuring how long a step takes{_alternatives(choices)}")
    alone, *states = [dict(trial.state.scalars) for _ in range(1 + len(choices))]
    timed_once = [_rounds(trial, number, choices[:1], [alone]) for number in range(len(steps))]
    first = [timing.typical[0] for timing in timed_once]
    expected = minutes * 60 or _total(steps, first)
    if expected < SHORT_RUN and len(choices) > 1:
        choices = choices[:1]
        say(f"precision {choices[0].precision}: the whole run takes seconds")
    time_limit = min(LIMIT, SHARE * expected)
    limits = [time_limit * n * seconds / _total(steps, first) for n, seconds in zip(steps, first, strict=True)]
    rounds = _affordable([n * s for n, s in zip(steps, first, strict=True)], timed_once, len(choices))
    if not rounds and len(choices) > 1:
        say(f"precision {choices[0].precision}: its steps are too long to compare with others within {TIME_BOX:.0f} s")
        return TrialResult(choices[0], first)
    timings = {
        number: _rounds(trial, number, choices, states[: len(choices)], least, limits[number])
        for number, least in sorted(rounds.items())
    }
    totals, at_worst = (
        [_total([steps[number] for number in timings], seconds) for seconds in zip(*by_stage, strict=True)]
        for by_stage in ([t.typical for t in timings.values()], [t.worst for t in timings.values()])
    )
    best = faster(at_worst or [1.0])
    if len(choices) > 1:
        say(_reason(choices, totals, best))
    gain = totals[best] / totals[0] if totals else 1.0  # also taken for that of the other stages
    seconds = [timings[i].typical[best] if i in timings else first[i] * gain for i in range(len(steps))]
    return TrialResult(choices[best], seconds)


def _affordable(shares: Sequence[float], timings: Sequence[Timing], choices: int) -> dict[int, int]:
    """Stages to compare, with the rounds to make in each, so that the trial takes `TIME_BOX`: those
    that take most of the run first. None where these are less than half of it.

    Args:
        shares: time of each stage in the run.
        timings: of a first measurement, which is part of the time.
    """
    left, rounds = TIME_BOX - sum(timing.spent for timing in timings), dict[int, int]()
    for number in sorted(range(len(shares)), key=lambda i: -shares[i]):
        each = choices * timings[number].spent / timings[number].rounds
        if affordable := next((n for n in (LEAST, 2) if n * each <= left), 0):
            rounds[number] = affordable
            left -= affordable * each
    return rounds if 2 * sum(shares[i] for i in rounds) >= sum(shares) else {}


def faster(totals: Sequence[float]) -> int:
    """Index of the choice to take, by the seconds that the run takes in each: the first, unless
    another is faster by `MARGIN`."""
    best = 0
    for i, seconds in enumerate(totals):
        best = i if totals[best] >= MARGIN * seconds else best
    return best


def _rounds(
    trial: Trial, number: int, choices: Sequence[Choice], states: list[Scalars], least: int = 2, limit: float = 0.0
) -> Timing:
    """Seconds per step of stage `number` in each choice, measured in rounds in which all choices
    take turns: typical, and at worst; infinite for a choice that fails.

    Both are the first choice's median times the ratio to it over the rounds: the median ratio, and
    the upper quartile, since a gain that is not steady may be none. The first round is a warm-up
    and counts only where steps are so slow that it is the only one.

    Args:
        states: the state's scalars for each choice, since the tensors that losses store there may
            differ in dtype.
        least: minimum number of rounds, unless they take far too long.
        limit: seconds within which further rounds begin.
    """
    stage, kinds = trial.plan[number], _kinds(trial.plan[number])
    trial.state.number = number
    trial.use(choices[0])
    _set_scalars(trial, states[0])
    trial.enter(stage)
    entered = {k: v for k, v in trial.state.scalars.items() if k not in states[0] or states[0][k] is not v}
    for scalars in states:
        scalars |= entered
    rounds: list[dict[int, float]] = []
    spent, enough, remaining = 0.0, max(4 * limit, LIMIT / len(trial.plan)), range(len(choices))
    if len(choices) == 1:
        enough = TIME_BOX / 20  # of a step that is so slow, once is enough to know about how long the run takes
    while (len(rounds) < least and spent <= enough) or (len(rounds) <= ROUNDS and spent < limit):
        took: dict[int, list[float]] = {}
        for i in remaining:
            _set_scalars(trial, states[i])
            took[i] = _step(trial, stage, kinds, choices[i], may_fail=i > 0)
            states[i] |= trial.state.scalars
        rounds.append({i: sum(share * t for share, t in zip(kinds.values(), took[i], strict=True)) for i in remaining})
        spent += sum(t for times in took.values() for t in times if math.isfinite(t))
        most = HOPELESS * min(rounds[-1].values()) if len(rounds) > 1 else math.inf
        remaining = [i for i in remaining if i == 0 or rounds[-1][i] < most]
    counted = rounds[1:] or rounds
    base = median(seconds[0] for seconds in counted)
    ratios = [sorted(seconds[i] / seconds[0] for seconds in counted if i in seconds) for i in range(len(choices))]
    typical = [base * median(ratio) if ratio else math.inf for ratio in ratios]
    worst = [base * ratio[3 * len(ratio) // 4] if ratio else math.inf for ratio in ratios]
    return Timing(typical, worst, spent, len(rounds))


def _set_scalars(trial: Trial, scalars: Scalars) -> None:
    trial.state.scalars.clear()
    trial.state.scalars |= scalars


def _step(trial: Trial, stage: Stage, kinds: dict[int, float], choice: Choice, may_fail: bool) -> list[float]:
    """Seconds per step of each kind, on the first rank; infinite where an operation is not
    available in this precision."""
    trial.use(choice)
    try:
        times = [_seconds(trial, stage, index) for index in kinds]
    except (
        RuntimeError,
        TypeError,
    ) as error:  # with the default choice, or for lack of memory, the run would fail as well
        if not may_fail or is_memory_error(error):
            raise
        times = [math.inf for _ in kinds]
    return from_first(times, trial.device)


def _seconds(trial: Trial, stage: Stage, index: int) -> float:
    """Seconds that step `index` takes, on the batches that it would have in the run."""
    fired = {f"fired/{u.name}": -(-index // u.every) * u.repeat for u in stage.updates}
    trial.state.scalars |= fired
    began = time.perf_counter()
    trial.advance(index)
    if trial.device.type == "cuda":
        torch.cuda.synchronize(trial.device)
    return time.perf_counter() - began


def _kinds(stage: Stage) -> dict[int, float]:
    """One step of each kind, with the kind's share of the stage: steps differ in the updates that
    are due, and in pools to fill."""
    due = [tuple(_due(update, i) for update in stage.updates) for i in range(min(stage.steps, COUNTED_STEPS))]
    first = {kind: i for i, kind in reversed(list(enumerate(due)))}
    counts = Counter(due)
    return dict(sorted((i, counts[kind] / len(due)) for kind, i in first.items()))


def _due(update: Update, index: int) -> int:
    """0 in a step without the update, else 1 plus the number of times its pool is filled."""
    if index % update.every:
        return 0
    first = index // update.every * update.repeat
    numbers = range(first, first + update.repeat)
    return 1 + (sum(n % update.data.every == 0 for n in numbers) if isinstance(update.data, Pool) else 0)


def _total(steps: Sequence[int], seconds: Sequence[float]) -> float:
    return sum(n * s for n, s in zip(steps, seconds, strict=True))


def _alternatives(choices: Sequence[Choice]) -> str:
    """The choices to measure, as " in fp32 and bf16, channels_last and contiguous"; "" for a single
    choice."""
    kinds = ([c.precision for c in choices], [c.layout for c in choices])
    names = (" and ".join(dict.fromkeys(names)) for names in kinds if len(set(names)) > 1)
    return f" in {text}" if (text := ", ".join(names)) else ""


def _reason(choices: Sequence[Choice], totals: Sequence[float], best: int) -> str:
    """A message about the choice, with its speed relative to each choice that differs in precision
    or memory format alone."""
    choice = choices[best]
    precisions = {c.precision: t for c, t in zip(choices, totals, strict=True) if c.layout == choices[0].layout}
    layouts = {c.layout: t for c, t in zip(choices, totals, strict=True) if c.precision == choice.precision}
    parts = [
        f"{what} {name}: {_compared(seconds / totals[best], other)} here"
        for what, name, times in (("precision", choice.precision, precisions), ("layout", choice.layout, layouts))
        for other, seconds in times.items()
        if other != name
    ]
    return "; ".join(parts)


def _compared(ratio: float, other: str) -> str:
    if math.isinf(ratio):
        return f"{other} lacks an operation"
    if ratio < 1:
        return f"{other} is not steadily {MARGIN} times as fast ({1 / ratio:.2f})"
    return f"{ratio:.1f} times as fast as {other}"
