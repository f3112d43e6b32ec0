"""Gradients that are not finite: the step is dropped, then the run goes back with a lower learning
rate, then it gives up."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from multigen.engine import SGD, Adam, Batch, Callback, Copy, Source, Stage, Step, TensorSource, Trainer, Update
from multigen.errors import TrainingError
from tests.engine.toys import (
    AtStep,
    Crash,
    Numbers,
    PowerCut,
    Toy,
    ToyConfig,
    assert_same,
    lines,
    options,
    perceptron,
    points,
    resumed,
    saved_files,
    saved_numbers,
)


class Apart(Toy):
    """Two networks that have nothing to do with each other, trained in turn. `spoil` is a factor of
    D's loss."""

    def stages(self) -> list[Stage]:
        self.batches: list[Tensor] = []
        return [Stage("only", self.config.steps, [Update("d", ["D"], self.d), Update("g", ["G"], self.g)])]

    def spoil(self, step: Step) -> float:
        return 1.0

    def d(self, batch: Batch, step: Step) -> dict[str, Tensor]:
        self.batches.append(batch["x"])
        return {"square": (self.D(batch["x"]) - 1).square().mean() * self.spoil(step)}

    def g(self, batch: Batch, step: Step) -> dict[str, Tensor]:
        return {"mse": (self.fakes(step) - batch["x"]).square().mean()}


class Infinite(Apart):
    def spoil(self, step: Step) -> float:
        return torch.inf if step.index == 3 else 1.0


class TooLarge(Apart):
    """The loss is finite in half precision, its scaled gradient is not."""

    def spoil(self, step: Step) -> float:
        return 1e36 if step.index == 3 else 1.0


def fitted(toy: type[Apart], folder: Path, precision: str, callbacks: Sequence[Callback] = (), **state: Any) -> Apart:
    """Trains with scales of half precision that these networks never exceed."""
    trainer = toy(ToyConfig(), options(folder, precision=precision), callbacks)
    trainer.prepare()
    if precision == "fp16":
        trainer.state.scalars |= {f"scale/{update}": torch.tensor(256.0) for update in "dg"} | state
    return trainer.fit()


@pytest.mark.parametrize(("precision", "spoilt"), [("fp32", Infinite), ("bf16", Infinite), ("fp16", TooLarge)])
def test_an_overflow_in_one_network_leaves_the_other_exact(tmp_path: Path, precision: str, spoilt: type[Apart]) -> None:
    sound, broken = fitted(Apart, tmp_path / "0", precision), fitted(spoilt, tmp_path / "1", precision)
    a, b = saved_files(tmp_path / "0"), saved_files(tmp_path / "1")
    for file in ("G", "G.optim"):
        for name in a[file]:
            assert torch.equal(a[file][name], b[file][name]), name
    assert b["D.optim"]["0.weight/step"] == 5
    assert b["G.optim"]["0.weight/step"] == a["D.optim"]["0.weight/step"] == 6
    assert all(t.isfinite().all() for t in b["D"].values())
    assert broken.state.scalars["dropped"] == 1
    assert not sound.state.scalars["dropped"]


def test_each_update_in_half_precision_has_a_scale_of_its_own(tmp_path: Path) -> None:
    scales: list[tuple[float, float]] = []

    def see(trainer: Trainer) -> None:
        scales.append((float(trainer.state.scalars["scale/d"]), float(trainer.state.scalars["scale/g"])))

    fitted(TooLarge, tmp_path, "fp16", [AtStep(see)])
    assert scales == [(256, 256)] * 3 + [(128, 256)] * 3
    assert saved_files(tmp_path)["state"]["scale/d"] == 128


def test_a_scale_in_half_precision_grows_after_many_good_steps_and_changes_nothing(tmp_path: Path) -> None:
    scales: list[float] = []
    note = AtStep(lambda trainer: scales.append(float(trainer.state.scalars["scale/d"])))
    growing = fitted(Apart, tmp_path / "0", "fp16", [note], **{"good/d": torch.tensor(1997)})
    assert scales == [256] * 2 + [512] * 4
    plain = fitted(Apart, tmp_path / "1", "fp16")
    for a, b in zip(growing.D.parameters(), plain.D.parameters(), strict=True):
        torch.testing.assert_close(a, b)


def test_the_first_scale_in_half_precision_adapts_itself(tmp_path: Path) -> None:
    """It is too large for these networks: dropped steps halve it until a gradient fits."""
    trainer = Apart(ToyConfig(steps=20), options(tmp_path, precision="fp16")).fit()
    assert 0 < trainer.state.scalars["dropped"] < 10
    assert trainer.state.scalars["scale/d"] < 2**16
    assert saved_files(tmp_path)["D.optim"]["0.weight/step"] >= 15


@pytest.mark.parametrize("bad", [torch.inf, -torch.inf, torch.nan])
def test_what_is_dropped_is_the_step_and_nothing_else(tmp_path: Path, bad: float) -> None:
    class Spoilt(Apart):
        def spoil(self, step: Step) -> float:
            return bad if step.index in (0, 3) else 1.0

    trainer = Spoilt(ToyConfig(), options(tmp_path))
    trainer.prepare()
    D = perceptron(2, 1)
    D.load_state_dict(trainer.nets["D"].state_dict())
    trainer.fit()
    optimiser = torch.optim.Adam(D.parameters(), 1e-2, (0.5, 0.9), fused=True)
    for index, x in enumerate(trainer.batches):
        if index not in (0, 3):
            optimiser.zero_grad()
            (D(x) - 1).square().mean().backward()
            optimiser.step()
    for ours, theirs in zip(trainer.D.parameters(), D.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_a_finite_loss_may_have_an_infinite_gradient(tmp_path: Path) -> None:
    class Root(Numbers):
        def stages(self) -> list[Stage]:
            return [
                Stage(
                    "only",
                    self.config.steps,
                    [Update("g", ["G"], lambda batch, step: {"w": (self.G() - 1).sum().sqrt()})],
                )
            ]

    trainer = Root(ToyConfig(steps=3), options(tmp_path))
    with pytest.raises(TrainingError, match=r"update 'g' of G: 3 gradients in a row were not finite at step 3"):
        trainer.fit()
    assert trainer.G().item() == 1  # the root of 0 has no finite slope
    assert trainer.state.scalars["dropped"] == 3


def test_dropped_steps_are_logged(tmp_path: Path) -> None:
    Infinite(ToyConfig(), options(tmp_path, log_every=2)).fit()
    assert [line.get("dropped") for line in lines(tmp_path) if "stage" in line] == [None, 1, 1]


def test_clipping_cannot_hide_what_is_not_finite(tmp_path: Path) -> None:
    class Clipped(Infinite):
        def stages(self) -> list[Stage]:
            self.batches = []
            return [Stage("only", self.config.steps, [Update("d", ["D"], self.d, clip_norm=1.0)])]

    trainer = Clipped(ToyConfig(), options(tmp_path)).fit()
    assert trainer.state.scalars["dropped"] == 1
    assert all(p.isfinite().all() for p in trainer.D.parameters())


# ---------------------------------------------------------------------------------------------------------------- returning


class Sick(Numbers):
    """G loses its learning rate a step, 1/8 at first; on attempts before `cured` it is sick from
    step `since` on."""

    since = 5
    well: tuple[int, ...] = ()
    """Steps of health in between."""
    fired = 0
    cured = 1

    def optimisers(self) -> Any:
        return SGD(lr=0.125)

    def stages(self) -> list[Stage]:
        self.drawn: dict[tuple[int, int], Tensor] = {}
        return [Stage("only", self.config.steps, [Update("g", ["G"], self.loss)])]

    def loss(self, batch: Batch, step: Step) -> dict[str, Tensor]:
        self.fired += 1
        assert self.fired < 300, "returns without end"
        attempt = self.state.scalars["attempt"]
        self.drawn[attempt, step.index] = step.randn("z", 3)
        sick = attempt < self.cured and step.index >= self.since and step.index not in self.well
        return {"w": self.G().sum() * (torch.nan if sick else 1)}


def test_five_in_a_row_return_to_the_last_checkpoint(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Sick at steps 5 to 9, found at step 10: back to step 5, and from there at half the rate."""
    trainer = Sick(ToyConfig(steps=20), options(tmp_path, save_every=5, log_every=10)).fit()
    assert trainer.state.scalars["attempt"] == 1
    assert trainer.step == 20
    assert trainer.G().item() == 1 - 5 / 8 - 15 / 16
    for index in range(5, 10):  # other draws, so that the same ones do not fail again
        assert not torch.equal(trainer.drawn[0, index], trainer.drawn[1, index])
    (event,) = [line for line in lines(tmp_path) if line.get("control") == "lr"]
    assert event["value"] == 0.5
    assert "'g'" in event["reason"]
    message = capsys.readouterr().err
    assert "step-000000005" in message
    assert "0.5 of the learning rate" in message
    assert all(line["items_per_second"] > 0 for line in lines(tmp_path) if "stage" in line)


def test_four_in_a_row_do_not_however_often(tmp_path: Path) -> None:
    class Recovering(Sick):
        well = (9, 14, 19)

    trainer = Recovering(ToyConfig(steps=20), options(tmp_path, save_every=5, log_every=1)).fit()
    assert trainer.state.scalars["attempt"] == 0
    assert trainer.state.scalars["dropped"] == 4 * 3
    assert trainer.G().item() == 1 - 8 / 8


def test_each_return_halves_the_learning_rate_and_after_three_the_run_gives_up(tmp_path: Path) -> None:
    class Incurable(Sick):
        cured = 99

    trainer = Incurable(ToyConfig(steps=20), options(tmp_path, save_every=5, log_every=1))
    with pytest.raises(TrainingError, match=r"'g'.*not finite at step 10.*3 rollbacks.*learning rate"):
        trainer.fit()
    assert [line["value"] for line in lines(tmp_path) if line.get("control") == "lr"] == [1 / 2, 1 / 4, 1 / 8]
    assert {attempt for attempt, _ in trainer.drawn} == {0, 1, 2, 3}


def test_returns_add_up_over_the_run(tmp_path: Path) -> None:
    class Relapsing(Sick):
        cured = 3

    trainer = Relapsing(ToyConfig(steps=20), options(tmp_path, save_every=5, log_every=1)).fit()
    assert trainer.state.scalars["attempt"] == 3
    assert trainer.G().item() == 1 - 5 / 8 - 15 / 64


def test_a_run_that_returned_resumes_bit_for_bit(tmp_path: Path) -> None:
    """Cut between the return and the next checkpoint, and again after it."""
    whole = options(tmp_path / "0", save_every=5, log_every=10)
    Sick(ToyConfig(steps=20), whole).fit()
    run = options(tmp_path / "1", save_every=5, log_every=10)
    with pytest.raises(PowerCut):
        Sick(ToyConfig(steps=20), run, [Returned()]).fit()
    with pytest.raises(PowerCut):
        Sick(ToyConfig(steps=20), resumed(run), [Crash(17)]).fit()
    Sick(ToyConfig(steps=20), resumed(run)).fit()
    assert_same(saved_files(whole.out), saved_files(run.out))
    assert saved_numbers(whole.out) == saved_numbers(run.out)


class Returned(Callback):
    """Cuts the power two steps after a return."""

    def on_step(self, trainer: Trainer) -> None:
        if trainer.state.scalars["attempt"] == 1 and trainer.step == 7:
            raise PowerCut


def test_a_return_forgets_the_steps_that_caused_it(tmp_path: Path) -> None:
    """A checkpoint is due between the sick steps, and the update comes up seldom: the next line of
    the log is no new case."""

    class Seldom(Sick):
        since = 0

        def stages(self) -> list[Stage]:
            self.drawn = {}
            updates = [
                Update("g", ["G"], self.loss, every=4),
                Update("d", ["D"], lambda batch, step: {"w": self.D().sum()}),
            ]
            return [Stage("only", self.config.steps, updates)]

    trainer = Seldom(ToyConfig(steps=40), options(tmp_path, save_every=19, log_every=20)).fit()
    assert trainer.state.scalars["attempt"] == 1


class Second(Sick):
    """Sick at the beginning of its second stage, of which nothing is saved yet."""

    since = 0
    optim: Any = None

    def optimisers(self) -> Any:
        return Adam(0.125, (0.5, 0.9))

    def stages(self) -> list[Stage]:
        self.drawn = {}
        first = Update("first", ["G"], lambda batch, step: {"w": self.G().sum() * 5})
        second = [Update("g", ["G"], self.loss), Update("d", ["D"], lambda batch, step: {"w": self.D().sum()})]
        return [Stage("a", 4, [first]), Stage("b", 6, second, optim=self.optim, copies={"reference": Copy("G")})]


@pytest.mark.parametrize(
    ("optim", "kind"),
    [(None, None), (Adam(0.125, (0.5, 0.9)), torch.optim.Adam), (SGD(0.125, momentum=0.5), torch.optim.SGD)],
    ids=["kept", "adam", "sgd"],
)
def test_a_return_may_reach_back_into_the_stage_before(tmp_path: Path, optim: Any, kind: Any) -> None:
    """The same as if the second stage had begun with half the learning rate."""

    class Started(Second):
        pass

    Started.optim = optim
    trainer = Started(ToyConfig(), options(tmp_path, precision="fp64", log_every=5)).fit()
    assert trainer.state.scalars["attempt"] == 1
    for name, start, early in (("G", 1.0, 4), ("D", 2.0, 0)):
        number = nn.Parameter(torch.tensor([start], dtype=torch.float64))
        optimiser: torch.optim.Optimizer = torch.optim.Adam([number], 0.125, (0.5, 0.9))
        for step in range(early + 6):
            if step == early and kind is not None:
                optimiser = kind([number], 0.125, 0.5 if kind is torch.optim.SGD else (0.5, 0.9))
            optimiser.param_groups[0]["lr"] = 0.125 if step < early else 0.0625
            number.grad = torch.full_like(number, 5.0 if step < early else 1.0)
            optimiser.step()
        assert trainer.nets[name]().item() == pytest.approx(number.item(), abs=1e-12), name


def test_a_method_may_be_sick_of_its_data(tmp_path: Path) -> None:
    """Points that are not numbers spoil the batches they are in, no others."""

    class Holes(Apart):
        def open_data(self) -> Source:
            x = points(24)
            x[5] = torch.nan
            return TensorSource({"x": x})

    trainer = Holes(ToyConfig(steps=12), options(tmp_path)).fit()
    assert (
        trainer.state.scalars["dropped"] == 4
    )  # 12 batches of 4 of 24 items, twice: it comes up twice for each update
    assert all(p.isfinite().all() for net in trainer.nets.values() for p in net.parameters())
