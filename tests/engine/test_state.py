"""What lasts from step to step besides weights: running averages, copies, controls, the state, best checkpoints."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from multigen.engine import SGD, Batch, Best, Control, Copy, EarlyStop, Pool, Stage, Step, Update
from multigen.engine.schedules import Linear, Schedule
from tests.engine.toys import AtStep, Constant, Numbers, Toy, ToyConfig, lines, options, points, resumed, saved_files


class Walk(Numbers):
    """G, one number, loses 1 a step; so what follows it can be told in closed form."""

    def optimisers(self) -> Any:
        return SGD(lr=1.0)

    def updates(self) -> list[Update]:
        return [Update("g", ["G"], lambda batch, step: {"w": self.G().sum()})]

    def stages(self) -> list[Stage]:
        return [Stage("only", self.config.steps, self.updates())]


def walked(toy: type[Toy], folder: Path, steps: int = 6, see: Any = None, **run: Any) -> Any:
    """Trains; `see(trainer)` is called after each step."""
    callbacks = [AtStep(see)] if see else []
    return toy(ToyConfig(4, steps), options(folder, precision="fp64", **run), callbacks).fit()


# -------------------------------------------------------------------------------------------------------- running averages


class Averaged(Walk):
    decay: Schedule = 0.5

    def averaged(self) -> dict[str, Schedule]:
        return {"G": self.decay}


def test_a_running_average_moves_by_its_decay_once_a_step(tmp_path: Path) -> None:
    """The first steps weigh more; from step 8 on the decay is the one stated."""

    class Repeated(Averaged):
        def updates(self) -> list[Update]:
            return [Update("g", ["G"], lambda batch, step: {"w": self.G().sum() / 3}, repeat=3)]

    found: list[tuple[float, float]] = []
    walked(Repeated, tmp_path, 12, lambda t: found.append((t.G().item(), t.averages["G"]().item())))
    assert found[0] == pytest.approx((0, 0.1))  # nine tenths of the way from 1 to 0
    for (_, old), (number, new) in zip(found[8:], found[9:], strict=False):
        assert new == pytest.approx((old + number) / 2)


def test_the_decay_may_follow_a_schedule(tmp_path: Path) -> None:
    class Scheduled(Averaged):
        decay = Linear(0.0, 0.2)

    found: list[float] = []
    walked(Scheduled, tmp_path, 20, lambda t: found.append(t.averages["G"]().item()))
    for index in range(10, 20):
        decay, number = 0.2 * index / 20, 1 - (index + 1)
        assert found[index] == pytest.approx(decay * found[index - 1] + (1 - decay) * number)


@pytest.mark.parametrize("keep", [False, True])
def test_a_running_average_restarts_at_each_stage_unless_kept(tmp_path: Path, keep: bool) -> None:
    class Two(Averaged):
        decay = 0.5

        def stages(self) -> list[Stage]:
            return [Stage("a", 10, self.updates()), Stage("b", 10, self.updates(), keep_ema=keep)]

    found: list[tuple[float, float]] = []
    walked(Two, tmp_path, see=lambda t: found.append((t.G().item(), t.averages["G"]().item())))
    (before, old), (number, new) = found[9:11]
    assert (before, number) == pytest.approx((-9, -10))
    # Restarted from G as it was (-9), and nine tenths of the way to -10; or on its way as if no stage had ended.
    assert new == pytest.approx((old + number) / 2 if keep else -9.9)


class Normed(Toy):
    """An averaged generator whose batch statistics are those of the 24 points: every batch holds all of them."""

    def networks(self) -> dict[str, nn.Module]:
        return {"G": nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3), nn.Linear(3, 2))}

    def averaged(self) -> dict[str, Schedule]:
        return {"G": 0.9}

    def stages(self) -> list[Stage]:
        return [Stage("only", self.config.steps, [Update("g", ["G"], self.loss)])]

    def loss(self, batch: Batch, step: Step) -> dict[str, Tensor]:
        assert self.G.training
        return {"mse": (self.G(batch["x"]) - batch["x"].square()).square().mean()}

    def forward(self, name: str, network: nn.Module, batch: Batch, step: Step) -> object:
        assert name == "G"
        return network(batch["x"])


def test_batch_statistics_of_an_average_are_its_own(tmp_path: Path) -> None:
    trainer = Normed(ToyConfig(24, 10), options(tmp_path, precision="fp64")).fit()
    average = trainer.saved("G", "only", "last")
    hidden = points(24).double() @ average["0.weight"].T + average["0.bias"]
    torch.testing.assert_close(average["1.running_mean"], hidden.mean(0))
    torch.testing.assert_close(average["1.running_var"], hidden.var(0))
    assert not torch.allclose(average["1.running_mean"], saved_files(tmp_path)["G"]["1.running_mean"], rtol=1e-3)
    assert trainer.averages["G"][1].momentum == trainer.G[1].momentum == 0.1  # pyright: ignore[reportIndexIssue]


def test_looking_does_not_change_training(tmp_path: Path) -> None:
    """Validation, previews and saving at every step, or at the end only: the same networks, buffers included."""
    often = Normed(ToyConfig(7, 6), options(tmp_path / "1", validate_every=1, preview_every=2, save_every=1)).fit()
    seldom = Normed(ToyConfig(7, 6), options(tmp_path / "2")).fit()
    assert often.G.training
    for name, tensor in often.G.state_dict().items():
        assert torch.equal(tensor, seldom.G.state_dict()[name]), name


def test_a_network_with_batch_norm_has_to_say_how_it_is_run(tmp_path: Path) -> None:
    class Silent(Normed):
        forward = Toy.forward

    with pytest.raises(NotImplementedError, match=r"Silent\.forward.*G"):
        Silent(ToyConfig(), options(tmp_path)).fit()


def test_an_average_copies_buffers(tmp_path: Path) -> None:
    class Counting(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.w = nn.Parameter(torch.ones(1))
            self.register_buffer("runs", torch.zeros(1))

        def forward(self) -> Tensor:
            self.runs += 1
            return self.w

    class Counted(Averaged):
        def networks(self) -> dict[str, nn.Module]:
            return {"G": Counting()}

    walked(Counted, tmp_path)
    assert saved_files(tmp_path)["G.ema"]["runs"] == 6


def test_inference_uses_averages_in_evaluation_mode_and_losses_do_not(tmp_path: Path) -> None:
    class Looking(Averaged):
        def networks(self) -> dict[str, nn.Module]:
            return {"G": Constant(1.0), "D": nn.Dropout()}

        def validate(self, nets: Mapping[str, nn.Module]) -> dict[str, float]:
            assert nets.keys() == {"G", "D"}
            assert not any(net.training for net in nets.values())
            assert not torch.is_grad_enabled()
            return {"average": nets["G"]().item()}

        def preview(self, nets: Mapping[str, nn.Module], folder: Path) -> None:
            assert not any(net.training for net in nets.values())
            (folder / f"{self.step}.txt").write_text(str(nets["G"]().item()))

    trainer = walked(Looking, tmp_path, steps=4, validate_every=3, preview_every=2)
    assert all(net.training for net in trainer.nets.values())
    found = {line["step"]: line["validation"]["average"] for line in lines(tmp_path) if "validation" in line}
    assert found.keys() == {3, 4}
    assert found[4] == trainer.averages["G"]().item() != trainer.G().item() == -3
    previews = tmp_path / "previews"
    assert sorted(path.name for path in previews.iterdir()) == ["2.txt", "4.txt"]
    assert float((previews / "4.txt").read_text()) == found[4]


# ------------------------------------------------------------------------------------------------------------------ copies


def test_copies_are_taken_when_a_stage_begins(tmp_path: Path) -> None:
    class Copied(Walk):
        def stages(self) -> list[Stage]:
            copies = {"reference": "G", "lagged": Copy("G", follow=0.25)}
            return [Stage("a", 3, self.updates()), Stage("b", 4, self.updates(), copies=copies)]

    def see(trainer: Any) -> None:
        if trainer.step > 3:
            assert not any(p.requires_grad for p in [*trainer.reference.parameters(), *trainer.lagged.parameters()])
            found.append((trainer.G().item(), trainer.reference().item(), trainer.lagged().item()))

    found: list[tuple[float, float, float]] = []
    walked(Copied, tmp_path, see=see)
    lagged = -2.0
    for step, (number, reference, follower) in enumerate(found, start=1):
        lagged += 0.25 * (-2 - step - lagged)
        assert (number, reference, follower) == pytest.approx((-2 - step, -2, lagged))
    assert {"reference.copy", "lagged.copy"} <= saved_files(tmp_path).keys()
    assert saved_files(tmp_path)["reference.copy"]["w"] == -2


def test_losses_may_use_copies(tmp_path: Path) -> None:
    class Held(Walk):
        reference: nn.Module

        def stages(self) -> list[Stage]:
            g = Update("g", ["G"], lambda batch, step: {"w": (self.G() - self.reference()).square().sum() / 2 + self.G().sum()})
            return [Stage("only", self.config.steps, [g], copies={"reference": "G"})]

    assert walked(Held, tmp_path, steps=3).G().item() == pytest.approx(0)  # drawn back to 1 and pushed to 0


# ---------------------------------------------------------------------------------------------------------------- controls


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
    def rule(value: float, signals: Mapping[str, float]) -> tuple[float, str]:
        calls.append((value, dict(signals)))
        return value + 1, f"call {len(calls)}"

    return Control(name, 10.0, every, rule)


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
        controls = (Control("p", 0.5, 1, lambda value, signals: (value, "as it was")),)

    assert walked(Controlled, tmp_path).control("p") == 0.5
    assert not [line for line in lines(tmp_path) if "control" in line]


def test_hyperparameters_are_a_schedule_times_a_control(tmp_path: Path) -> None:
    class Controlled(Signalled):
        controls = (Control("lr", 1.0, 2, lambda value, signals: (value / 2, "slower")),)

        def optimisers(self) -> Any:
            return SGD(lr=Linear(0.1, 0.0))

    rates = [0.1 * (1 - index / 6) * 0.5 ** (index // 2) for index in range(6)]
    assert walked(Controlled, tmp_path).G().item() == pytest.approx(1 - sum(rates))


# ------------------------------------------------------------------------------------------------------------------- state


def test_the_state_holds_tensors_and_numbers_and_is_resumed(tmp_path: Path) -> None:
    class Remembering(Walk):
        def updates(self) -> list[Update]:
            return [Update("g", ["G"], self.loss)]

        def loss(self, batch: Batch, step: Step) -> dict[str, Tensor]:
            self.state["sum"] = self.state.get("sum", torch.zeros(2)) + step.index
            self.state["text"] = self.state.get("text", "") + str(step.index)
            return {"w": self.G().sum()}

    run = options(tmp_path, precision="fp64", save_every=4)
    Remembering(ToyConfig(steps=4), run).fit()
    trainer = Remembering(ToyConfig(steps=7), resumed(run)).fit()
    assert trainer.state["text"] == "0123456"
    assert trainer.state["sum"].tolist() == [21, 21]


def test_a_pool_is_filled_when_due_and_kept_between(tmp_path: Path) -> None:
    class Pooled(Walk):
        def stages(self) -> list[Stage]:
            self.filled, self.used = [], []
            replay = Update("d", ["D"], self.replay, repeat=2, data=Pool(self.fill, every=4))
            return [Stage("only", self.config.steps, [replay, *self.updates()])]

        def fill(self, step: Step) -> Batch:
            assert not torch.is_grad_enabled()
            self.filled.append((step.index, step.repeat))
            return {"x": self.G() + torch.zeros(6)}

        def replay(self, batch: Batch, step: Step) -> dict[str, Tensor]:
            self.used.append(set(batch["x"].tolist()))
            return {"w": self.D().sum()}

    trainer = walked(Pooled, tmp_path, 5)
    assert trainer.filled == [(0, 0), (2, 0), (4, 0)]  # firings 0, 4 and 8
    assert trainer.used == [{1}] * 4 + [{-1}] * 4 + [{-3}] * 2


# -------------------------------------------------------------------------------------------------- best, and early stops


class Judged(Walk):
    """Validates by a script: the metric at each validation."""

    script: Sequence[float] = ()
    best: Best | None = None
    until: EarlyStop | None = None

    def stages(self) -> list[Stage]:
        self.told = iter(self.script)
        first = Stage("a", self.config.steps, self.updates(), best=self.best, until=self.until)
        return [first, Stage("b", 2, self.updates())]

    def validate(self, nets: Mapping[str, nn.Module]) -> dict[str, float]:
        return {"loss": next(self.told, 0.0)}


@pytest.mark.parametrize(("mode", "step"), [("min", 6), ("max", 4)])
def test_the_best_checkpoint_of_a_stage_is_kept(tmp_path: Path, mode: Any, step: int) -> None:
    class Chosen(Judged):
        script = (5, 7, 3, 4, 6)
        best = Best("loss", mode)

    trainer = walked(Chosen, tmp_path, steps=10, validate_every=2, keep=1)
    assert trainer.saved("G", "a", "best")["w"] == 1 - step
    assert trainer.saved("G", "a", "last")["w"] == 1 - 10
    assert trainer.saved("G", "b", "best")["w"] == 1 - 12  # none was chosen: the last


@pytest.mark.parametrize(("restore", "start"), [(True, 4), (False, 10)])
def test_a_stage_may_stop_early(tmp_path: Path, restore: bool, start: int) -> None:
    """The best is that of step 4; three validations later, at step 10, the stage ends."""

    class Stopped(Judged):
        script = (5, 3, 4, 3, 6, 0, 0)
        until = EarlyStop("loss", patience=3, restore=restore)

    trainer = walked(Stopped, tmp_path, steps=40, validate_every=2)
    assert trainer.step == 10 + 2
    assert trainer.G().item() == 1 - start - 2
    assert trainer.saved("G", "a", "best")["w"] == 1 - 4


def test_patience_starts_again_with_each_improvement(tmp_path: Path) -> None:
    class Stopped(Judged):
        script = (5, 6, 4, 5, 3, 4, 5)
        until = EarlyStop("loss", patience=2)

    trainer = walked(Stopped, tmp_path, steps=40, validate_every=1)
    assert trainer.step == 7 + 2


def test_a_figure_that_is_not_a_number_is_never_the_best(tmp_path: Path) -> None:
    class Broken(Judged):
        script = (float("nan"), 5, 6)
        best = Best("loss")

    trainer = walked(Broken, tmp_path, steps=3, validate_every=1)
    assert trainer.saved("G", "a", "best")["w"] == 1 - 2


def test_a_stage_of_no_steps_is_passed_over(tmp_path: Path) -> None:
    trainer = walked(Judged, tmp_path, steps=0)
    assert trainer.step == 2
    assert trainer.G().item() == -1
