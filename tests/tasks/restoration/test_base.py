"""The base of restoration, on a modality of signals whose figures are known in closed form."""

import dataclasses
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from multigen.engine import SGD, Batch, DataInfo, EarlyStop, Run, Stage, Step, TensorSource, Terms, Update
from multigen.engine.optimisers import Optimiser
from multigen.errors import ConfigError
from multigen.storage.model_folder import read_model
from multigen.tasks.restoration.base import RANGES, RestorationConfig, RestorationTrainer, Restore, Skipped, hold_out


@dataclass(frozen=True)
class Item:
    name: str
    bad: bool = False


class Items(list[Item]):
    skipped: Sequence[tuple[Path, str]] = ()


class Signals(TensorSource):
    skipped: Sequence[tuple[Path, str]] = ()


@dataclass(frozen=True)
class Set:
    name: str
    names: tuple[str, ...]


@dataclass(frozen=True)
class ToyConfig(RestorationConfig):
    data: str = "signals"
    test: tuple[str, ...] = ("near", "far")
    batch: int = 2
    steps: int = 3
    first_steps: int = 2
    lr: float = 0.25
    ema: float = 0.0
    bad: tuple[str, ...] = ()

    ranges = RANGES | {"steps": 0}


class Gain(nn.Module):
    """x -> w x."""

    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        return self.w * x


class Restorer:
    def __init__(self, network: nn.Module):
        self.network = network

    @torch.no_grad()
    def __call__(self, x: Tensor) -> Tensor:
        return self.network(x)


class SignalTrainer(RestorationTrainer[ToyConfig]):
    """A modality: a signal is 1, and half of it, .5, is what is restored; so the gain should be
    2."""

    name = "toy"
    task = "super-resolution"

    def open_items(self) -> Items:
        items = Items(Item(f"{i}", f"{i}" in self.config.bad) for i in range(20))
        items.skipped = [(Path("gone"), "gone: no signal")] if self.config.skip_bad else []
        return items

    def open_tests(self) -> list[Set]:
        return [Set(name, ("a",)) for name in self.config.test]

    def to_source(self, items: Sequence[Item]) -> Signals:
        self.trained_on = [item.name for item in items]
        return Signals({"input": torch.full((len(items), 1), 0.5), "target": torch.ones(len(items), 1)})

    def to_set(self, name: str, items: Sequence[Item], skipped: Skipped | None) -> Set | None:
        for item in items:
            if item.bad:
                assert skipped is not None
                skipped.append((Path(item.name), f"{item.name}: bad"))
        good = tuple(item.name for item in items if not item.bad)
        return Set(name, good) if good else None

    def describe_data(self, source: Signals) -> DataInfo:
        return DataInfo(f"{len(source)} signals")

    def inputs(self, batch: Batch, step: Step) -> Tensor:
        return batch["input"]

    def targets(self, batch: Batch, step: Step) -> Tensor:
        return batch["target"]

    def restorer_of(self, network: nn.Module) -> Restorer:
        return Restorer(network)

    def baselines(self) -> dict[str, Restore]:
        return {"input": lambda x: x}

    def measure(
        self, restorers: Mapping[str, Restore], sets: Sequence[Set], needed: Collection[str] | None = None
    ) -> dict[str, dict[str, float]]:
        rows: dict[str, dict[str, float]] = {}
        for name, restore in restorers.items():
            error = abs(float(restore(torch.tensor([0.5]))) - 1)
            metrics = {"error": error} | ({"slow": error**2} if needed is None or "slow" in needed else {})
            rows[name] = {f"{s.name}/{metric}": value for s in sets for metric, value in metrics.items()}
        return rows

    def definitions(self) -> dict[str, str]:
        return {"error": "distance from 1", "slow": "its square"}

    def compare(self, restorers: Mapping[str, Restore], sets: Sequence[Set], path: Path) -> None:
        path.with_suffix(".txt").write_text(f"{' '.join(restorers)}: {' '.join(s.name for s in sets)}")


class Toy(SignalTrainer):
    """A method: networks, losses, stages."""

    budget = ("first_steps", "steps")

    def generator(self) -> Gain:
        return Gain()

    def optimisers(self) -> Optimiser:
        return SGD(self.config.lr)

    def stages(self) -> list[Stage]:
        update = Update("generator", trains=["G"], loss=self.loss)
        c = self.config
        return [
            Stage("first", c.first_steps, [update], best=self.best("error")),
            Stage("second", c.steps, [update], best=self.best("slow")),
        ]

    def loss(self, batch: Batch, step: Step) -> Terms:
        return {"pixel": (self.G(self.inputs(batch, step)) - self.targets(batch, step)).square().mean()}


def gain(steps: int, lr: float = 0.25) -> float:
    """w after steps of gradient descent on (w / 2 - 1)^2, from 0: the error shrinks by 1 - lr / 2 a
    step."""
    return 2 - 2 * (1 - lr / 2) ** steps


def gain_of(network: Any) -> float:
    return network.w.item()


def run_at(folder: Path, **options: Any) -> Run:
    return Run(out=str(folder), device="cpu", precision="fp32", validate_every=1, preview_every=2, **options)


def test_a_method_states_networks_losses_and_stages(tmp_path: Path) -> None:
    trainer = Toy(ToyConfig(), run_at(tmp_path / "run")).fit()
    assert list(trainer.nets) == ["G"]  # no D, as none is stated
    assert gain_of(trainer.nets["G"]) == pytest.approx(gain(5), rel=1e-5)
    rows = trainer.evaluate().rows
    names = ["first/last", "first/best", "second/last", "second/best"]
    assert list(rows) == ["input", *names]
    for name, steps in zip(names, (2, 2, 5, 5), strict=True):
        error = 1 - gain(steps) / 2
        for of in ("near", "far"):
            expected = {f"{of}/error": error, f"{of}/slow": error**2}
            assert {m: v for m, v in rows[name].items() if m in expected} == pytest.approx(expected, rel=1e-4)
    assert rows["input"]["near/error"] == 0.5
    assert trainer.evaluation.definitions.keys() == {"error", "slow"}
    assert (tmp_path / "run" / "comparison.txt").read_text() == "input first second: near far"
    assert (tmp_path / "run" / "previews" / "step-000000004.txt").read_text() == "now: near"
    assert trainer.data_info == DataInfo("18 signals")


def test_the_slow_figure_is_validated_where_a_stage_goes_by_it(tmp_path: Path) -> None:
    Toy(ToyConfig(), run_at(tmp_path / "run")).fit()
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    seen = [line["validation"] for line in lines if "validation" in line]
    assert [sorted(metrics) for metrics in seen] == [["error"]] * 2 + [["error", "slow"]] * 3
    assert seen[0]["error"] == pytest.approx(1 - gain(1) / 2, rel=1e-5)


class Overshooting(Toy):
    """Its first step is right, the later ones are not."""

    def optimisers(self) -> Optimiser:
        return SGD(2.0)

    def loss(self, batch: Batch, step: Step) -> Terms:
        return {"gain": -self.G(self.inputs(batch, step)).mean() * 2}  # a gain of 2 more each step


def test_the_best_of_a_stage_is_not_its_last(tmp_path: Path) -> None:
    trainer = Overshooting(ToyConfig(first_steps=3, steps=0), run_at(tmp_path / "run")).fit()
    rows = trainer.evaluate().rows
    assert rows["first/best"]["near/error"] == 0 and rows["first/last"]["near/error"] == 2
    assert gain_of(Overshooting.load(read_model(tmp_path / "run" / "model")).network) == 2


def test_without_a_validation_set_the_last_is_taken(tmp_path: Path) -> None:
    trainer = Overshooting(ToyConfig(first_steps=3, steps=0, validation_size=0), run_at(tmp_path / "run")).fit()
    assert trainer.validation is None and trainer.validate(trainer.nets) == {} and trainer.best("error") is None
    assert list(trainer.evaluate().rows) == ["input", "first/last"]
    assert gain_of(Overshooting.load(read_model(tmp_path / "run" / "model")).network) == 6


def test_early_stops_choose_as_well(tmp_path: Path) -> None:
    class Stopping(Overshooting):
        def stages(self) -> list[Stage]:
            first = super().stages()[0]
            return [dataclasses.replace(first, best=None, until=EarlyStop("slow", patience=1), steps=9)]

    trainer = Stopping(ToyConfig(), run_at(tmp_path / "run")).fit()
    assert trainer.step == 2
    assert trainer.evaluate().rows["first/best"] == {
        f"{of}/{m}": 0 for of in ("near", "far") for m in ("error", "slow")
    }


def test_a_tenth_at_most_is_held_out_and_never_trained_on() -> None:
    for hold, count in ((0, 0), (1, 1), (2, 2), (5, 2)):
        trainer = Toy(ToyConfig(validation_size=hold), Run(device="cpu"))
        trainer.prepare()
        held = trainer.validation.names if trainer.validation else ()
        assert len(held) == count and set(held).isdisjoint(trainer.trained_on)
        assert len(trainer.trained_on) + len(held) == 20


def test_skipped_files_are_reported_once(capsys: pytest.CaptureFixture[str]) -> None:
    held = hold_out([Item(f"{i}") for i in range(20)], 2)[1]
    config = ToyConfig(skip_bad=True, bad=tuple(item.name for item in held))
    trainer = Toy(config, Run(device="cpu"))
    trainer.prepare()
    assert trainer.validation is None  # both held out are bad
    message = capsys.readouterr().err.splitlines()
    assert message[0] == "3 images skipped, the first: gone: no signal" and len(message) == 3


def test_a_running_average_is_what_is_used(tmp_path: Path) -> None:
    trainer = Toy(ToyConfig(ema=0.5), run_at(tmp_path / "run")).fit()
    average = gain_of(trainer.averages["G"])
    assert 0 < average < gain_of(trainer.nets["G"])
    assert gain_of(Toy.load(read_model(tmp_path / "run" / "model")).network) == pytest.approx(average)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"test": ()}, "test: no set is named; expected at least one"),
        ({"validation_size": -1}, "validation_size -1: expected 0 or more"),
        ({"steps": 0}, "steps 0: expected 1 or more"),
        ({"betas": (0.9, 1.0)}, "betas 1.0: expected 0 to"),
        ({"ema": 1.5}, "ema 1.5: expected 0 to 1"),
        ({"batch": 0}, "batch 0: expected 1 or more"),
    ],
)
def test_settings_are_checked(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        RestorationConfig(**{"data": "x", "test": ("y",), **changes})


def items_named(*names: str) -> list[Item]:
    return [Item(name) for name in names]


def test_hold_out_is_a_stable_split() -> None:
    items = items_named(*(f"{i}.png" for i in range(40)))
    train, held = hold_out(items, 10)
    assert len(held) == 10
    assert sorted(train + held, key=items.index) == items
    assert sorted(held, key=items.index) == held
    assert set(hold_out(items[::-1], 10)[1]) == set(held)
    assert set(hold_out(items, 10, seed=1)[1]) != set(held)
    assert len(set(held) - set(hold_out([*items, *items_named("new.png")], 10)[1])) <= 1
    assert set(hold_out(items, 4)[1]) < set(held)
    assert hold_out(items, 0) == (items, [])
    for count in (-1, 40, 41):
        with pytest.raises(ConfigError, match=f"{count} of 40 items.*0 to 39; "):
            hold_out(items, count)


def test_parts_of_a_file_are_held_out_together() -> None:
    """Frames of an animation resemble each other: none is trained on if another is held out."""
    frames = {f"{name}.gif": [f"{name}.gif#{i}" for i in range(3)] for name in "abcdef"}
    items = items_named(*(name for each in frames.values() for name in each), *(f"{i}.png" for i in range(6)))
    for count in range(1, 20):
        train, held = hold_out(items, count)
        names = {item.name for item in held}
        assert len(names) <= count and train
        for each in frames.values():
            assert names.isdisjoint(each) or names.issuperset(each)
        assert {item.name for item in train}.isdisjoint(names) and len(train) + len(held) == len(items)
    # Files that are all longer than what is held out: of the shortest some, and the rest of it is not trained on.
    long = items_named(*(f"{name}.gif#{i}" for name in "ab" for i in range(9 if name == "a" else 8)))
    train, held = hold_out(long, 2)
    assert [item.name for item in held] == ["b.gif#0", "b.gif#1"] and {item.name[0] for item in train} == {"a"}
    # Of one file alone, and of names that only look like parts, each for itself.
    assert len(hold_out(items_named(*frames["a.gif"]), 1)[0]) == 2
    assert len(hold_out(items_named("#1", "#2", "a#b", "a#c"), 2)[1]) == 2
