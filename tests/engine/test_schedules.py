"""Schedules against numbers worked out by hand and torch's own learning-rate schedulers."""

from collections.abc import Callable

import pytest
import torch
from torch.optim import Optimizer
from torch.optim.lr_scheduler import CosineAnnealingLR, LinearLR, LRScheduler

from multigen.engine.schedules import Cosine, Linear, Schedule, Steps, WarmUp, is_constant, value_at
from multigen.errors import ConfigError

ENDS: list[tuple[Schedule, float, float]] = [
    (3, 3.0, 3.0),
    (0.1, 0.1, 0.1),
    (Linear(0.7, 1e-5), 0.7, 1e-5),
    (Cosine(2e-4, 5e-5), 2e-4, 5e-5),
    (WarmUp(0.3, 0.7), 0.0, 0.7),
    (WarmUp(0.3, Cosine(0.7, 0.1)), 0.0, 0.1),
    (WarmUp(0, Linear(0.1, 0.7)), 0.1, 0.7),
    (Steps((1e-4, 1e-5), at=(0.5,)), 1e-4, 1e-5),
    (lambda progress: 2 * progress, 0.0, 2.0),
]


@pytest.mark.parametrize(("schedule", "start", "end"), ENDS)
def test_ends_are_exact_and_last(schedule: Schedule, start: float, end: float) -> None:
    assert [value_at(schedule, progress) for progress in (-0.5, 0, 1, 1.5)] == [start, start, end, end]
    assert type(value_at(schedule, 0)) is float


def by_torch(scheduler: Callable[[Optimizer], LRScheduler]) -> list[float]:
    """Learning rates of eleven steps that begin at 0.8."""
    optimiser = torch.optim.SGD([torch.zeros(1)], lr=0.8)
    reference = scheduler(optimiser)
    rates = []
    for _ in range(11):
        rates.append(optimiser.param_groups[0]["lr"])
        optimiser.step()
        reference.step()
    return rates


def test_cosine_and_linear_are_torchs() -> None:
    progress = [i / 10 for i in range(11)]
    cosine = by_torch(lambda optimiser: CosineAnnealingLR(optimiser, T_max=10, eta_min=0.2))
    assert [Cosine(0.8, 0.2)(t) for t in progress] == pytest.approx(cosine)
    linear = by_torch(lambda optimiser: LinearLR(optimiser, start_factor=1.0, end_factor=0.25, total_iters=10))
    assert [Linear(0.8, 0.2)(t) for t in progress] == pytest.approx(linear)


def test_warm_up_rises_to_the_beginning_of_what_follows() -> None:
    schedule = WarmUp(0.2, Linear(10, 2))
    assert [value_at(schedule, t) for t in (0.05, 0.1, 0.2, 0.6, 0.8)] == pytest.approx([2.5, 5, 10, 6, 4])
    assert [value_at(WarmUp(0.5, 3), t) for t in (0.25, 0.5, 0.75)] == [1.5, 3, 3]


def test_steps_change_at_the_stated_progress() -> None:
    schedule = Steps((3.0, 2.0, 1.0), at=(0.25, 0.5))
    assert [value_at(schedule, t) for t in (0, 0.249, 0.25, 0.499, 0.5, 0.9)] == [3, 3, 2, 2, 1, 1]
    assert value_at(Steps((4.0,), at=()), 0.5) == 4


def test_only_numbers_and_constant_are_constant() -> None:
    assert [is_constant(s) for s in (2, 0.1)] == [True] * 2
    varying = [Linear(1, 2), Cosine(1, 2), WarmUp(0.1, 1), Steps((1, 2), at=(0.5,)), lambda progress: 1.0]
    assert [is_constant(s) for s in varying] == [False] * 5


@pytest.mark.parametrize("share", [-0.1, 1, 1.5, float("nan")])
def test_warm_up_refuses_a_bad_share(share: float) -> None:
    with pytest.raises(ConfigError, match=f"WarmUp share {share}: expected 0 <= share < 1"):
        WarmUp(share, 1.0)


@pytest.mark.parametrize("at", [(0.5, 0.5), (0.6, 0.4), (0, 0.5), (0.5, 1), (0.5, float("nan"))])
def test_steps_refuse_bad_shares(at: tuple[float, ...]) -> None:
    with pytest.raises(ConfigError, match="expected rising shares"):
        Steps((3, 2, 1), at)


def test_steps_refuse_a_wrong_number_of_values() -> None:
    with pytest.raises(ConfigError, match=r"values \(1, 2\), at \(\): expected one value more"):
        Steps((1, 2), at=())
