"""Controls: what their rules read, and what they may decide: a number, a learning rate, a rollback,
how often an update fires."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from multigen.engine import (
    SGD,
    Batch,
    Control,
    Decision,
    Pool,
    Stage,
    Step,
    Update,
)
from multigen.engine.schedules import Linear
from multigen.errors import ConfigError
from tests.engine.toys import (
    Constant,
    Numbers,
    Ruled,
    Signals,
    Walk,
    lines,
    numbers,
    ruled,
    walked,
)

# --------------------------------------------------------------------------------------------------------- values, signals


class Signalled(Walk):
    """Logs its step as a signal, from a loss that is fired twice a step."""

    controls: Sequence[Control] = ()

    def updates(self) -> list[Update]:
        return [Update("g", ["G"], self.loss, repeat=2)]

    def loss(self, batch: Batch, step: Step) -> dict[str, Tensor]:
        step.log("index", torch.full((len(batch["x"]), 3), float(step.index), requires_grad=True))
        return {"w": self.G().sum() / 2}

    def stages(self) -> list[Stage]:
        return [Stage("only", self.config.steps, self.updates(), controls=self.controls)]


Call = tuple[float, dict[str, float]]
"""Value and signals that a rule was given."""


def noting(name: str, every: int, calls: list[Call]) -> Control:
    def rule(value: float, signals: Mapping[str, float]) -> Decision:
        calls.append((value, dict(signals)))
        return Decision(value + 1, f"call {len(calls)}")

    return Control(name, 10.0, every, rule, reads=["index"])


@pytest.mark.parametrize("accumulate", [1, 2])
def test_a_control_is_adjusted_by_the_mean_of_its_signals(tmp_path: Path, accumulate: int) -> None:
    calls: list[Call] = []

    class Controlled(Signalled):
        controls = (noting("p", 3, calls),)

    values: list[float] = []
    walked(Controlled, tmp_path, 7, lambda t: values.append(t.control("p")), accumulate=accumulate)
    assert calls == [(10, {"index": 1}), (11, {"index": 4})]  # means over steps 0 to 2 and 3 to 5
    assert values == [10, 10, 10, 11, 11, 11, 12]
    changes = [line for line in lines(tmp_path) if "control" in line]
    assert changes == [
        {"step": 3, "control": "p", "value": 11, "reason": "call 1"},
        {"step": 6, "control": "p", "value": 12, "reason": "call 2"},
    ]


def test_controls_of_different_intervals_each_see_all_of_theirs(tmp_path: Path) -> None:
    fast: list[Call] = []
    slow: list[Call] = []

    class Controlled(Signalled):
        controls = (noting("fast", 2, fast), noting("slow", 6, slow))

    walked(Controlled, tmp_path, 6)
    assert [signals for _, signals in fast] == [{"index": 0.5}, {"index": 2.5}, {"index": 4.5}]
    assert [signals for _, signals in slow] == [{"index": 2.5}]


def test_a_control_that_stays_is_not_logged(tmp_path: Path) -> None:
    class Controlled(Signalled):
        controls = (Control("p", 0.5, 1, lambda value, signals: Decision(value, "as it was")),)

    assert walked(Controlled, tmp_path).control("p") == 0.5
    assert not [line for line in lines(tmp_path) if "control" in line]


def test_hyperparameters_are_a_schedule_times_a_control(tmp_path: Path) -> None:
    class Controlled(Signalled):
        controls = (Control("lr", 1.0, 2, lambda value, signals: Decision(value / 2, "slower")),)

        def optimisers(self) -> Any:
            return SGD(lr=Linear(0.1, 0.0))

    rates = [0.1 * (1 - index / 6) * 0.5 ** (index // 2) for index in range(6)]
    assert walked(Controlled, tmp_path).G().item() == pytest.approx(1 - sum(rates))


class Measured(Numbers):
    """D is pushed by 3 and G by 4, a step each; terms are means, and sums with counts; one loss is
    not finite at step 1."""

    seen: list[dict[str, float]]
    reads: Sequence[str] = ()

    def networks(self) -> dict[str, nn.Module]:
        return {"G": Constant(0.0), "D": Constant(0.0)}

    def optimisers(self) -> Any:
        return SGD(lr=1.0)

    def stages(self) -> list[Stage]:
        self.seen = []
        updates = [Update("d", ["D"], self.d), Update("both", ["G", "D"], self.both)]
        return [Stage("only", self.config.steps, updates, controls=[Control("p", 0.0, 2, self.rule, self.reads)])]

    def d(self, batch: Batch, step: Step) -> dict[str, Any]:
        bad = torch.nan if step.index == 1 else 1.0
        step.log("index", torch.tensor(float(step.index)))
        return {"mean": self.D().sum() * 3 * bad, "count": (self.D().sum() * 0 + 6 * step.index, torch.tensor(3))}

    def both(self, batch: Batch, step: Step) -> dict[str, Tensor]:
        return {"w": self.G().sum() * 4 + self.D().sum() * 3}

    def rule(self, value: float, signals: Signals) -> Decision:
        self.seen.append(dict(signals))
        return Decision(value, "")

    def validate(self, nets: Mapping[str, nn.Module]) -> dict[str, float]:
        return {"size": abs(float(nets["G"]()))}


READS = ["index", "d/mean", "d/count", "d/gradient_norm", "both/gradient_norm", "none"]


@pytest.mark.parametrize("run", [{}, {"accumulate": 2}])
def test_rules_read_terms_gradient_norms_what_losses_log_and_validations(tmp_path: Path, run: dict[str, int]) -> None:
    """Means since the last look of what is finite: D's loss at step 1 and its gradient are not."""
    kind = type("Reading", (Measured,), {"reads": READS})
    trainer: Any = walked(kind, tmp_path, 6, validate_every=3, **run)
    norms = {"d/gradient_norm": 3, "both/gradient_norm": 5}
    # D begins at 0, and loses 3 by each update but the first of step 1.
    assert trainer.seen == [
        {"index": 0.5, "d/mean": 0, "d/count": 1, **norms},
        {"index": 2.5, "d/mean": 3 * (-9 - 15) / 2, "d/count": 5, **norms, "validation/size": 12},
        {"index": 4.5, "d/mean": 3 * (-21 - 27) / 2, "d/count": 9, **norms, "validation/size": 12},
    ]


def test_what_no_control_reads_is_not_kept(tmp_path: Path) -> None:
    held: list[Any] = []
    trainer: Any = walked(Measured, tmp_path, 5, lambda t: held.append(dict(t.updater.signals["p"].sums)))
    assert held == [{}] * 5
    assert trainer.seen == [{}, {}]


def test_signals_stay_on_the_device_until_a_rule_reads_them(tmp_path: Path) -> None:
    """A tensor on the meta device raises when its number is asked for, as a GPU would be waited
    for."""
    trainer: Any = walked(type("Reading", (Measured,), {"reads": READS}), tmp_path, 1)
    value = torch.empty((), device="meta")
    for signals in (trainer.updater.signals["p"], trainer.updater.meter):
        signals.sums.clear()
    for _ in range(2):
        trainer.updater._signal("d/gradient_norm", value, 1)
        trainer.updater._signal("d/mean", value, torch.tensor(3.0, device="meta"))
        trainer.updater._log("index", value, 4)
    held = trainer.updater.signals["p"].sums
    assert held.keys() == {"d/gradient_norm", "d/mean", "index"}
    assert {number.device.type for pair in held.values() for number in pair} == {"meta"}


def test_a_signal_that_is_missing_is_named_with_those_that_are_there(tmp_path: Path) -> None:
    class Asking(Measured):
        reads = ("index", "d/mean")

        def rule(self, value: float, signals: Signals) -> Decision:
            assert signals.get("both/w") is None
            return Decision(signals["both/w"], "")

    with pytest.raises(ConfigError, match=r"control 'p': signal 'both/w'.*\(d/mean, index\).*Control\.reads"):
        walked(Asking, tmp_path, 2)


def test_the_figures_of_a_stage_are_its_own(tmp_path: Path) -> None:
    class Two(Measured):
        def stages(self) -> list[Stage]:
            (stage,) = super().stages()
            return [stage, Stage("b", 4, stage.updates, controls=stage.controls)]

    trainer: Any = walked(Two, tmp_path, 4, validate_every=3)
    sizes = [signals.get("validation/size") for signals in trainer.seen]
    assert sizes == [None, 12, None, 16 + 12]


# ------------------------------------------------------------------------------------------------ learning rates of networks


def test_a_rule_sets_the_learning_rate_of_one_network(tmp_path: Path) -> None:
    script = {2: Decision(1, "slower", rates={"D": 0.25}), 4: Decision(1, "on", rates={"D": 0, "G": 2})}
    trainer = ruled(tmp_path, script | {6: Decision(1, "as before", rates={"D": 1.0})})
    assert numbers(trainer) == (1 - 4 - 4 * 2, 2 - 2 - 2 * 0.25 - 0 - 2)
    assert [line for line in lines(tmp_path) if "control" in line] == [
        {"step": 2, "control": "rule", "value": 1, "reason": "slower", "rates": {"D": 0.25}},
        {"step": 4, "control": "rule", "value": 1, "reason": "on", "rates": {"D": 0, "G": 2}},
        {"step": 6, "control": "rule", "value": 1, "reason": "as before", "rates": {"D": 1.0}},
    ]


def test_the_rate_of_a_network_multiplies_its_schedule_and_that_of_the_run(tmp_path: Path) -> None:
    class Scheduled(Ruled):
        def optimisers(self) -> Any:
            return {"G": SGD(lr=Linear(1.0, 0.0)), "D": SGD(lr=1.0)}

        def stages(self) -> list[Stage]:
            (stage,) = super().stages()
            run = Control("lr", 1.0, 4, lambda value, signals: Decision(value / 2, "slower"))
            return [Stage("only", stage.steps, stage.updates, controls=[*stage.controls, run])]

    trainer = ruled(tmp_path, {2: Decision(0, "", rates={"G": 0.5})}, base=Scheduled)
    rates = [(1 - i / 8) * (0.5 if i >= 2 else 1) * (0.5 if i >= 4 else 1) for i in range(8)]
    assert numbers(trainer) == pytest.approx((1 - sum(rates), 2 - 4 - 4 * 0.5))


def test_a_decision_that_changes_nothing_is_not_logged(tmp_path: Path) -> None:
    same = Decision(0.0, "all as it is", rates={"G": 1.0}, repeats={"d": 1})
    ruled(tmp_path, {2: same, 4: same})
    assert not [line for line in lines(tmp_path) if "control" in line]


def test_what_a_rule_decided_ends_with_its_stage(tmp_path: Path) -> None:
    class Two(Ruled):
        def stages(self) -> list[Stage]:
            (stage,) = super().stages()
            return [stage, Stage("b", 5, self.updates())]

    script = {2: Decision(0, "", rates={"G": 0.5}, repeats={"d": 3})}
    trainer = ruled(tmp_path, script, steps=4, base=Two)
    assert numbers(trainer) == (1 - 2 - 2 * 0.5 - 5, 2 - 2 - 2 * 3 - 5)


# ------------------------------------------------------------------------------------------- updates skipped and repeated


def test_an_update_is_skipped_until_a_later_decision(tmp_path: Path) -> None:
    trainer = ruled(tmp_path, {2: Decision(0, "rest", repeats={"g": 0}), 5: Decision(0, "again", repeats={"g": 1})})
    assert numbers(trainer) == (1 - 2 - 3, 2 - 8)
    assert [index for _, index, _, _ in trainer.drawn] == [0, 1, 5, 6, 7]
    assert [line["repeats"] for line in lines(tmp_path) if "control" in line] == [{"g": 0}, {"g": 1}]


def test_an_update_is_repeated_with_draws_of_its_own(tmp_path: Path) -> None:
    trainer = ruled(tmp_path, {2: Decision(0, "more", repeats={"g": 3}), 4: Decision(0, "less", repeats={"g": 1})}, 5)
    assert numbers(trainer) == (1 - 2 - 2 * 3 - 1, 2 - 5)
    places = [(index, repeat) for _, index, repeat, _ in trainer.drawn]
    assert places == [(0, 0), (1, 0), (2, 0), (2, 1), (2, 2), (3, 0), (3, 1), (3, 2), (4, 0)]
    assert len({draw for *_, draw in trainer.drawn}) == len(places)


@pytest.mark.parametrize("workers", [0, 2])
def test_batches_follow_each_other_however_often_an_update_fires(tmp_path: Path, workers: int) -> None:
    """12 firings by another plan than 12 steps: the same batches."""
    script = {
        2: Decision(0, "", repeats={"g": 0}),
        4: Decision(0, "", repeats={"g": 5}),
        6: Decision(0, "", repeats={"g": 0}),
    }
    plain, scripted = ruled(tmp_path / "0", {}, 12), ruled(tmp_path / "1", script, workers=workers)
    assert len(plain.batches) == 12
    assert scripted.batches == plain.batches


def test_the_batches_of_a_stage_do_not_depend_on_the_stage_before(tmp_path: Path) -> None:
    class Two(Ruled):
        def stages(self) -> list[Stage]:
            (stage,) = super().stages()
            return [stage, Stage("b", 4, self.updates())]

    short, long = (ruled(tmp_path / str(steps), {}, steps, base=Two) for steps in (2, 5))
    assert short.batches[2:] == long.batches[5:]
    assert short.batches[2:] != long.batches[2:6]


def test_an_update_that_is_seldom_due_is_repeated_when_it_is(tmp_path: Path) -> None:
    class Seldom(Ruled):
        def updates(self) -> list[Update]:
            return [Update("g", ["G"], self.g, every=3), Update("d", ["D"], self.d, repeat=2)]

    trainer = ruled(tmp_path, {2: Decision(0, "", repeats={"g": 4, "d": 1})}, base=Seldom)
    assert [(index, repeat) for _, index, repeat, _ in trainer.drawn] == [
        (0, 0),
        *((i, r) for i in (3, 6) for r in range(4)),
    ]
    assert numbers(trainer) == (1 - 1 - 2 * 4, 2 - 2 * 2 - 6)


def test_a_pool_is_refilled_at_the_same_firings(tmp_path: Path) -> None:
    class Pooled(Ruled):
        def updates(self) -> list[Update]:
            self.filled: list[int] = []
            return [Update("g", ["G"], self.g), Update("d", ["D"], self.d, data=Pool(self.fill, every=4))]

        def fill(self, step: Step) -> Batch:
            self.filled.append(step.index)
            return {"x": torch.zeros(6)}

    script = {1: Decision(0, "", repeats={"d": 0}), 3: Decision(0, "", repeats={"d": 2})}
    assert ruled(tmp_path, script, base=Pooled).filled == [
        0,
        4,
        6,
    ]  # firings 0, 4 and 8: one, none in two steps, then two each


# ------------------------------------------------------------------------------------------------------------------ errors


WRONG: dict[str, tuple[Any, str]] = {
    "a pair": ((1.0, "as before"), r"its rule returned \(1.0, 'as before'\); expected a Decision"),
    "a value": (Decision(float("nan"), ""), "value nan; expected a finite number"),
    "a network": (Decision(0, "", rates={"E": 1}), "rates of 'E'; expected a network, which are G, D"),
    "a rate": (Decision(0, "", rates={"G": -1}), "rate of G -1; expected a finite factor of 0 or more"),
    "an infinite rate": (Decision(0, "", rates={"G": float("inf")}), "rate of G inf; expected a finite"),
    "an update": (Decision(0, "", repeats={"h": 1}), "repeats of 'h'; expected an update of the stage, which are g, d"),
    "repeats": (Decision(0, "", repeats={"g": -1}), "repeats of g -1; expected a whole number, 0 to skip"),
    "half a repeat": (Decision(0, "", repeats={"g": 0.5}), "repeats of g 0.5; expected a whole"),  # pyright: ignore[reportArgumentType]
}


@pytest.mark.parametrize("case", WRONG)
def test_a_decision_that_cannot_be_carried_out_is_refused(tmp_path: Path, case: str) -> None:
    decision, message = WRONG[case]
    with pytest.raises(ConfigError, match=f"control 'rule': {message}"):
        ruled(tmp_path, {2: decision})


def test_a_name_that_checkpoints_could_not_divide_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"control 'p/q': expected a name without /.*rename it"):
        Control("p/q", 0.0, 1, lambda value, signals: Decision(value, ""))
