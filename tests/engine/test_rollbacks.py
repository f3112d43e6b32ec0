"""A rule may send a run back to an earlier checkpoint: which one, what holds there, and how
often."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from multigen.engine import Batch, Best, Callback, Control, Decision, Stage, Step
from multigen.errors import TrainingError
from tests.engine.toys import (
    Attempted,
    PowerCut,
    Ruled,
    Signals,
    ToyConfig,
    checkpoints,
    cut,
    lines,
    numbers,
    options,
    resumed,
    ruled,
    saved_numbers,
)


def by_script(*figures: float) -> Callable[..., dict[str, float]]:
    """A `validate` that gives a figure at each step, the last one from then on."""
    return lambda self, nets: {"loss": figures[min(self.step, len(figures)) - 1]}


def once(step: int, **settings: Any) -> Callable[..., Decision]:
    """A rule that wants one rollback, at `step`; its value counts those it has asked for."""

    def rule(self: Any, value: float, signals: Signals) -> Decision:
        expected = self.index == step and value == 0
        return Decision(value + expected, "too far", rollback=expected, **(settings if expected else {}))

    return rule


def test_a_rule_returns_to_the_best_checkpoint_of_its_stage(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Best at step 3; at step 6 back to it, and from there at half the rate to step 8."""

    class Returning(Ruled):
        rule = once(6, rates={"G": 0.5}, repeats={"d": 2})

    best = {"best": Best("loss"), "validate": by_script(5, 4, 3, 4, 5, 6)}
    trainer = ruled(tmp_path, {}, base=Returning, validate_every=1, save_every=1, keep=9, **best)
    assert trainer.step == 8
    assert numbers(trainer) == (1 - 3 - 5 * 0.5, 2 - 3 - 5 * 2)
    assert trainer.state.scalars["attempt"] == 1
    assert trainer.control("rule") == 1
    (event,) = [line for line in lines(tmp_path) if "control" in line]
    assert event == {
        **{"step": 3, "control": "rule", "value": 1, "reason": "too far", "rollback": 6},
        **{"rates": {"G": 0.5}, "repeats": {"d": 2}},
    }
    assert "control 'rule' at step 6: too far; going back to step-000000003" in capsys.readouterr().err
    first = {index: draw for attempt, index, _, draw in trainer.drawn if attempt == 0}
    second = {index: draw for attempt, index, _, draw in trainer.drawn if attempt == 1}
    assert (min(second), max(second)) == (3, 7)
    assert all(first[index] != second[index] for index in (3, 4, 5))


def test_without_a_best_it_returns_to_the_newest_checkpoint(tmp_path: Path) -> None:
    class Returning(Ruled):
        rule = once(6)

    trainer = ruled(tmp_path, {}, base=Returning, save_every=4)
    assert trainer.step == 8
    assert [index for *_, index, _, _ in trainer.drawn] == [*range(6), *range(4, 8)]
    assert numbers(trainer) == (1 - 8, 2 - 8)


def test_checkpoints_of_the_abandoned_steps_are_removed(tmp_path: Path) -> None:
    there: list[list[str]] = []

    class Returning(Ruled):
        rule = once(6)

    def see(trainer: Any) -> None:
        if trainer.state.scalars["attempt"] and not there:
            there.append([path.name for path in checkpoints(tmp_path)])

    best = {"best": Best("loss"), "validate": by_script(5, 4, 3, 4, 5, 6)}
    ruled(tmp_path, {}, base=Returning, validate_every=1, save_every=1, keep=2, see=see, **best)
    assert there == [["step-000000003"]]  # 4 and 5 were the newest two


@pytest.mark.parametrize("stopped", [False, True])
def test_a_rollback_may_reach_back_into_the_stage_before(tmp_path: Path, stopped: bool) -> None:
    """Nothing of the second stage is saved: it begins again, with what the rule decided; also when
    the run is then cut."""

    class Two(Ruled):
        def stages(self) -> list[Stage]:
            (stage,) = super().stages()
            return [Stage("a", 3, self.updates()), stage]

        rule = once(2, rates={"G": 0.5}, repeats={"d": 0})

    run = options(tmp_path, precision="fp64")
    if stopped:
        with pytest.raises(PowerCut):
            Two(ToyConfig(steps=4), run, [Attempted()]).fit()
        run = resumed(run)
    trainer = Two(ToyConfig(steps=4), run).fit()
    assert trainer.step == 7
    assert numbers(trainer) == (1 - 3 - 4 * 0.5, 2 - 3)
    assert trainer.control("rule") == 1
    assert trainer.saved("G", "a", "last")["w"] == 1 - 3


def test_rollbacks_are_bounded(tmp_path: Path) -> None:
    class Endless(Ruled):
        def rule(self, value: float, signals: Signals) -> Decision:
            assert len(self.drawn) < 100, "rollbacks without end"
            return Decision(value + 1, "never good enough", rollback=self.index == 4)

    trainer = type("Scripted", (Endless,), {})(ToyConfig(steps=8), options(tmp_path, save_every=2))
    with pytest.raises(TrainingError, match=r"control 'rule' at step 4: never good enough, after 3 rollbacks; lower"):
        trainer.fit()
    assert [line["rollback"] for line in lines(tmp_path) if "rollback" in line] == [4, 4, 4]


def test_rollbacks_are_bounded_however_often_the_run_is_resumed(tmp_path: Path) -> None:
    class Endless(Ruled):
        def rule(self, value: float, signals: Signals) -> Decision:
            return Decision(value, "never good enough", rollback=self.index == 4)

    run = options(tmp_path, save_every=2)
    cut(run, 3, Endless)
    for _ in range(3):
        with pytest.raises(PowerCut):
            Endless(ToyConfig(), resumed(run), [Attempted()]).fit()
    assert saved_numbers(run.out)["state"]["attempt"] == 3
    with pytest.raises(TrainingError, match="3 rollbacks"):
        Endless(ToyConfig(), resumed(run)).fit()


def test_abandoned_steps_count_as_time_and_not_in_the_next_line_of_the_log(tmp_path: Path) -> None:
    class Logging(Ruled):
        rule = once(6)

        def d(self, batch: Batch, step: Step) -> dict[str, Tensor]:
            step.log("index", torch.tensor(float(step.index)))
            return super().d(batch, step)

    seconds: list[float] = []

    class Clock(Callback):
        def on_checkpoint(self, trainer: Any, folder: Path) -> None:
            seconds.append(trainer.state.scalars["seconds"])

    Logging(ToyConfig(steps=8), options(tmp_path, save_every=4, log_every=4), [Clock()]).fit()
    assert [line["index"] for line in lines(tmp_path) if "index" in line] == [1.5, 5.5]
    assert len(seconds) == 4
    assert seconds == sorted(set(seconds))


def test_rules_that_follow_do_not_decide_of_steps_that_were_abandoned(tmp_path: Path) -> None:
    calls: list[int] = []

    class Several(Ruled):
        def stages(self) -> list[Stage]:
            (stage,) = super().stages()

            def count(value: float, signals: Signals) -> Decision:
                calls.append(self.index)
                return Decision(value + 1, "")

            controls = [*stage.controls, Control("count", 0, 2, count)]
            return [Stage("only", stage.steps, stage.updates, controls=controls)]

        rule = once(6)

    trainer = ruled(tmp_path, {}, base=Several, save_every=4)
    assert calls == [2, 4, 6, 8]
    assert trainer.control("count") == 4
