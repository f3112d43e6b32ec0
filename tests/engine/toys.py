"""Small trainers that the tests of the engine share, and how to look at what they left on the
disk."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from multigen import losses
from multigen.engine import (
    SGD,
    Adam,
    Batch,
    Best,
    Callback,
    Control,
    Copy,
    Decision,
    Pool,
    Run,
    Source,
    Stage,
    Step,
    TensorSource,
    Trainer,
    Update,
)
from multigen.engine.history import exchange
from multigen.losses import penalties
from multigen.losses.adversarial import global_means

Files = dict[str, dict[str, Tensor]]
Signals = Mapping[str, float]


@dataclass(frozen=True)
class ToyConfig:
    batch: int = 4
    steps: int = 6
    lr: float = 1e-2
    betas: tuple[float, float] = (0.5, 0.9)


class Toy(Trainer[ToyConfig]):
    """G: z (B, 3) -> (B, 2) and D: (B, 2) -> (B, 1), on 24 points; a subclass says what is
    trained."""

    name = "toy"
    G: nn.Module
    D: nn.Module

    def networks(self) -> dict[str, nn.Module]:
        return {"G": perceptron(3, 2), "D": perceptron(2, 1)}

    def open_data(self) -> Source:
        return TensorSource({"x": points(24), "id": torch.arange(24)})

    def optimisers(self) -> Any:
        return Adam(self.config.lr, self.config.betas)

    def fakes(self, step: Step) -> Tensor:
        return self.G(step.randn("z", 3))  # (B, 2)


class Constant(nn.Module):
    """One vector of weights; the output does not depend on the input."""

    def __init__(self, *values: float):
        super().__init__()
        self.w = nn.Parameter(torch.tensor(values))

    def forward(self) -> Tensor:
        return self.w


class Numbers(Toy):
    """Networks G and D of one number each, 1 and 2: what an update does to them is known in closed
    form."""

    def networks(self) -> dict[str, nn.Module]:
        return {"G": Constant(1.0), "D": Constant(2.0)}


class Walk(Numbers):
    """G, one number, loses 1 a step; so what follows it is known in closed form."""

    def optimisers(self) -> Any:
        return SGD(lr=1.0)

    def updates(self) -> list[Update]:
        return [Update("g", ["G"], lambda batch, step: {"w": self.G().sum()})]

    def stages(self) -> list[Stage]:
        return [Stage("only", self.config.steps, self.updates())]


class Ruled(Walk):
    """G and D lose their learning rate, 1 at first, at each firing; the script says what is decided
    after which step."""

    script: Mapping[int, Decision] = {}
    best: Best | None = None

    def updates(self) -> list[Update]:
        return [Update("g", ["G"], self.g), Update("d", ["D"], self.d)]

    def g(self, batch: Batch, step: Step) -> dict[str, Tensor]:
        self.drawn.append((self.state.scalars["attempt"], step.index, step.repeat, float(step.rand("z")[0])))
        self.batches.append(batch["id"].tolist())
        return {"w": self.G().sum()}

    def d(self, batch: Batch, step: Step) -> dict[str, Tensor]:
        return {"w": self.D().sum()}

    def stages(self) -> list[Stage]:
        self.drawn: list[tuple[int, int, int, float]] = []
        self.batches: list[list[int]] = []
        control = Control("rule", 0.0, 1, self.rule)
        return [Stage("only", self.config.steps, self.updates(), controls=[control], best=self.best)]

    def rule(self, value: float, signals: Signals) -> Decision:
        return self.script.get(self.index, Decision(value, "as it was"))


class Small(Toy):
    """G and D, trained apart; G has a running average."""

    def averaged(self) -> dict[str, float]:
        return {"G": 0.9}

    def stages(self) -> list[Stage]:
        g = Update("g", ["G"], lambda batch, step: {"mse": (self.fakes(step) - batch["x"]).square().mean()})
        d = Update("d", ["D"], lambda batch, step: {"mse": self.D(batch["x"]).square().mean()})
        return [Stage("only", self.config.steps, [g, d])]


class Wider(Small):
    def networks(self) -> dict[str, nn.Module]:
        return {"G": perceptron(3, 2, width=9), "D": perceptron(2, 1)}


@torch.no_grad()
def follow_mean(state: dict[str, Any], real: Tensor, fake: Tensor) -> Tensor:
    """Moves state["mean"] by a tenth towards the mean of the real scores over all ranks, and
    returns it."""
    mean = global_means(real, fake)[0]
    state["mean"] = state.get("mean", mean).lerp(mean, 0.1)
    return state["mean"]


class Whole(Toy):
    """Everything that a resume has to carry on: two stages, batch norm, dropout, repeat, lazy, a
    running average, a copy that follows, a pool, a history, a control, averages of a loss in the
    state, a best checkpoint."""

    lagged: nn.Module

    def networks(self) -> dict[str, nn.Module]:
        g = nn.Sequential(nn.Linear(3, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.2), nn.Linear(8, 2))
        return {"G": g, "D": nn.Sequential(nn.Linear(2, 8), nn.ReLU(), nn.Dropout(0.2), nn.Linear(8, 1))}

    def averaged(self) -> dict[str, float]:
        return {"G": 0.9}

    def stages(self) -> list[Stage]:
        updates = [
            Update("critic", ["D"], self.critic, repeat=2, clip_norm=1.0),
            Update("r1", ["D"], self.r1, every=3, lazy=True),
            Update("replay", ["D"], self.replay, data=Pool(self.fill, every=4)),
            Update("generator", ["G"], self.generator),
        ]
        return [
            Stage("pretrain", 7, [Update("pretrain", ["G"], self.pretrain)]),
            Stage(
                "adversarial",
                self.config.steps,
                updates,
                copies={"lagged": Copy("G", follow=0.3)},
                controls=[
                    Control("p", 0.0, 4, lambda p, seen: Decision(p + 0.1 * abs(seen["score"]), "scores"), ["score"])
                ],
                best=Best("size"),
            ),
        ]

    def pretrain(self, batch: Batch, step: Step) -> dict[str, Tensor]:
        return {"mse": (self.fakes(step) - batch["x"]).square().mean()}

    def critic(self, batch: Batch, step: Step) -> dict[str, Tensor]:
        seen_again = exchange(self.state.scalars, "x", self.fakes(step), step, 10)
        real, fake = self.D(batch["x"]), self.D(seen_again)
        step.log("score", real)
        excess = (fake - follow_mean(self.state.scalars, real, fake)).square().mean() * self.control("p")
        return {"hinge": losses.hinge.discriminator(real, fake), "excess": excess}

    def r1(self, batch: Batch, step: Step) -> dict[str, Tensor]:
        return {"r1": penalties.r1(self.D, batch["x"])}

    def fill(self, step: Step) -> Batch:
        return {"fake": self.G(torch.randn(10, 3, generator=step.rng("pool")))}

    def replay(self, batch: Batch, step: Step) -> dict[str, Tensor]:
        return {"hinge": (1 + self.D(batch["fake"])).relu().mean()}

    def generator(self, batch: Batch, step: Step) -> dict[str, Tensor]:
        fake = self.fakes(step)
        near = (fake - self.lagged(step.randn("z", 3))).square().mean()
        return {"hinge": losses.hinge.generator(self.D(fake)), "near": near}

    def forward(self, name: str, network: nn.Module, batch: Batch, step: Step) -> object:
        return network(step.randn("z", 3))

    def validate(self, nets: Mapping[str, nn.Module]) -> dict[str, float]:
        return {"size": float(nets["G"](torch.ones(2, 3)).norm())}


class Crash(Callback):
    """Ends training after a step with nothing saved, as a power cut does."""

    def __init__(self, step: int):
        self.step = step

    def on_step(self, trainer: Trainer) -> None:
        if trainer.step == self.step:
            raise PowerCut


class Attempted(Callback):
    """Cuts the power one step after a rollback."""

    def __init__(self) -> None:
        self.attempt: int | None = None

    def on_step(self, trainer: Any) -> None:
        attempt = trainer.state.scalars["attempt"]
        if self.attempt is not None and attempt > self.attempt:
            raise PowerCut
        self.attempt = attempt


class PowerCut(Exception):
    pass


class AtStep(Callback):
    """Calls `see(trainer)` after each step."""

    def __init__(self, see: Callable[[Any], object]):
        self.see = see

    def on_step(self, trainer: Trainer) -> None:
        self.see(trainer)


def perceptron(inputs: int, outputs: int, width: int = 8) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inputs, width), nn.Tanh(), nn.Linear(width, outputs))


def points(number: int) -> Tensor:
    """Points (number, 2) on an ellipse away from the origin."""
    turn = torch.linspace(0, 6.28, number)
    return torch.stack([turn.cos() + 2, 0.5 * turn.sin()], dim=1)


def options(folder: Path | str, **changes: Any) -> Run:
    """A quiet run on the CPU that saves at the ends of stages only."""
    rare = {f"{what}_every": 1000 for what in ("log", "save", "validate", "preview")}
    return Run(**{"out": str(folder), "device": "cpu", "precision": "fp32", **rare, **changes})


def resumed(run: Run, **changes: Any) -> Run:
    """The options that go on with `run`."""
    return replace(run, **{"out": "", "resume": run.out, **changes})


def cut(run: Run, step: int, toy: type[Trainer] = Whole, config: Any = None) -> None:
    """Trains, or goes on, up to a power cut after `step`."""
    with pytest.raises(PowerCut):
        toy(config or ToyConfig(), run, [Crash(step)]).fit()


def go_on(run: Run, toy: type[Toy] = Small) -> Any:
    """A run taken to its end."""
    return toy(ToyConfig(), resumed(run)).fit()


def trained(toy: type[Toy], folder: Path, steps: int = 6, batch: int = 4, **run: Any) -> Any:
    """A trainer at the end of its run, in float64 unless told otherwise."""
    return toy(ToyConfig(batch, steps), options(folder, **{"precision": "fp64", **run})).fit()


def walked(toy: type[Toy], folder: Path, steps: int = 6, see: Any = None, **run: Any) -> Any:
    """Trains; `see(trainer)` is called after each step."""
    callbacks = [AtStep(see)] if see else []
    return toy(ToyConfig(4, steps), options(folder, precision="fp64", **run), callbacks).fit()


def ruled(folder: Path, script: Mapping[int, Decision], steps: int = 8, base: type[Ruled] = Ruled, **more: Any) -> Any:
    settings = {name: more.pop(name) for name in ("best", "validate") if name in more}
    return walked(type("Scripted", (base,), {"script": script, **settings}), folder, steps, **more)


def numbers(trainer: Any) -> tuple[float, float]:
    return trainer.G().item(), trainer.D().item()


def saved_files(folder: Path | str, step: int | None = None) -> Files:
    """Tensors of the newest checkpoint of a run, or of the one at `step`: {file: {name:
    tensor}}."""
    path = checkpoints(folder)[-1] if step is None else Path(folder) / "checkpoints" / f"step-{step:09d}"
    return {p.stem: load_file(p) for p in sorted(path.glob("*.safetensors"))}


def saved_numbers(folder: Path | str) -> dict[str, Any]:
    """What run.json of the newest checkpoint says, apart from the clock and the files'
    checksums."""
    record = json.loads((checkpoints(folder)[-1] / "run.json").read_text())
    del record["state"]["seconds"], record["files"], record["checksum"]
    return record


def checkpoints(folder: Path | str) -> list[Path]:
    return sorted((Path(folder) / "checkpoints").glob("step-*"))


def lines(folder: Path | str) -> list[dict[str, Any]]:
    """Lines of metrics.jsonl."""
    return [json.loads(line) for line in (Path(folder) / "metrics.jsonl").read_text().splitlines()]


def assert_same(a: Files, b: Files) -> None:
    """Every tensor bit for bit."""
    assert a.keys() == b.keys()
    for file in a:
        assert a[file].keys() == b[file].keys(), file
        for name in a[file]:
            assert torch.equal(a[file][name], b[file][name]), f"{file}, {name}"


def assert_same_runs(a: Run, b: Run) -> None:
    """The last checkpoints: weights, averages, optimisers, state."""
    assert_same(saved_files(a.out), saved_files(b.out))
    first, second = saved_numbers(a.out), saved_numbers(b.out)
    assert first == second, f"{first}\n{second}"
