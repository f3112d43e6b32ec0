"""What rules decide is state: a run that is killed around a decision, and resumed, ends as one that
was not."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from multigen.engine import (
    Adam,
    Batch,
    Best,
    Control,
    Decision,
    Pool,
    Run,
    Stage,
    Step,
    Update,
    checkpoint,
)
from multigen.engine.loop import Loop
from tests.cases import few
from tests.engine.toys import (
    Attempted,
    PowerCut,
    Signals,
    Toy,
    ToyConfig,
    assert_same_runs,
    cut,
    options,
    resumed,
    saved_numbers,
)


class Driven(Toy):
    """G against D with draws, a pool, and a rule that reads every kind of signal; `decide` says
    what it wants at a step."""

    decide: Callable[[int, int], dict[str, Any]]
    best: Best | None = Best("size", "max")

    def averaged(self) -> dict[str, float]:
        return {"G": 0.9}

    def optimisers(self) -> Any:
        return Adam(1e-2, (0.5, 0.9))

    def stages(self) -> list[Stage]:
        updates = [
            Update("critic", ["D"], self.critic, repeat=2, clip_norm=1.0),
            Update("replay", ["D"], self.replay, data=Pool(self.fill, every=3)),
            Update("generator", ["G"], self.generator),
        ]
        reads = ["score", "critic/loss", "generator/gradient_norm"]
        control = Control("p", 0.0, 2, self.rule, reads)
        return [Stage("only", self.config.steps, updates, controls=[control], best=self.best)]

    def critic(self, batch: Batch, step: Step) -> dict[str, Tensor]:
        score = self.D(batch["x"])
        step.log("score", score)
        return {"loss": (self.D(self.fakes(step)) - score).mean() + score.square().mean()}

    def fill(self, step: Step) -> Batch:
        return {"fake": self.G(torch.randn(10, 3, generator=step.rng("pool")))}

    def replay(self, batch: Batch, step: Step) -> dict[str, Tensor]:
        return {"loss": self.D(batch["fake"]).square().mean()}

    def generator(self, batch: Batch, step: Step) -> dict[str, Tensor]:
        return {"loss": -self.D(self.fakes(step)).mean() * (1 + self.control("p"))}

    def rule(self, value: float, signals: Signals) -> Decision:
        value = 0.5 * value + sum(0.01 * signals.get(name, 0.0) for name in sorted(signals))
        return Decision(value, "signals", **type(self).decide(self.index, self.state.scalars["attempt"]))

    def validate(self, nets: Mapping[str, nn.Module]) -> dict[str, float]:
        return {"size": -abs(self.step - 5.0), "norm": float(nets["G"](torch.ones(2, 3)).norm())}


DECISIONS: dict[str, Callable[[int, int], dict[str, Any]]] = {
    "nothing": lambda index, attempt: {},
    "rate": lambda index, attempt: {"rates": {"D": 0.5}} if index == 4 else {},
    "skip": lambda index, attempt: (
        {"repeats": {"critic": 0, "replay": 0}} if index == 4 else {"repeats": {"critic": 1}}
    ),
    "repeat": lambda index, attempt: {"repeats": {"critic": 3, "replay": 2}} if index == 4 else {},
    "rollback": lambda index, attempt: {"rollback": index == 8 and attempt == 0, "rates": {"G": 0.5**attempt}},
}


def driven(decision: str, **more: Any) -> type[Driven]:
    return type("Decided", (Driven,), {"decide": staticmethod(DECISIONS[decision]), **more})


def often(folder: Path) -> Run:
    return options(folder, save_every=3, validate_every=5, log_every=4)


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Run]:
    """Runs of 12 steps that were never stopped, one for each decision; those of rollbacks with and
    without a best."""
    runs = {}
    for decision in [*DECISIONS, "rollback, newest"]:
        kind = driven(decision.partition(",")[0], **({"best": None} if "," in decision else {}))
        runs[decision] = often(tmp_path_factory.mktemp("unbroken") / "run")
        kind(ToyConfig(steps=12), runs[decision]).fit()
    return runs


@pytest.mark.parametrize("stop", few([3, 4, 5, 8, 11], 4, 8))
@pytest.mark.parametrize("decision", ["rate", "skip", "repeat", "rollback", "rollback, newest"])
def test_a_run_resumes_bit_for_bit_across_a_decision(
    tmp_path: Path, unbroken: dict[str, Run], decision: str, stop: int
) -> None:
    kind: Any = driven(decision.partition(",")[0], **({"best": None} if "," in decision else {}))
    run = often(tmp_path / "run")
    cut(run, stop, kind, ToyConfig(steps=12))
    kind(ToyConfig(steps=12), resumed(run)).fit()
    assert_same_runs(unbroken[decision], run)


def test_the_decisions_that_are_resumed_differ(unbroken: dict[str, Run]) -> None:
    values = {decision: saved_numbers(run.out)["state"]["control/p"] for decision, run in unbroken.items()}
    assert len(set(values.values())) == len(values)
    assert [saved_numbers(run.out)["state"]["attempt"] for run in unbroken.values()] == [0, 0, 0, 0, 1, 1]


@pytest.mark.parametrize("decision", ["rollback", "rollback, newest"])
@pytest.mark.parametrize("where", few(["restored", "dropped", "logged", "saved", "a step later"], "dropped", "saved"))
def test_a_run_cut_within_a_rollback_resumes_bit_for_bit(
    tmp_path: Path, unbroken: dict[str, Run], decision: str, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind: Any = driven(decision.partition(",")[0], **({"best": None} if "," in decision else {}))
    run = often(tmp_path / "run")

    def power_cut(*arguments: Any) -> None:
        raise PowerCut

    def cut_at_event(log: Any, step: int, **what: Any) -> None:
        if "rollback" in what:
            raise PowerCut

    def cut_saved(loop: Any) -> None:
        save(loop)
        if loop.state.scalars["attempt"]:
            raise PowerCut

    save = Loop._save
    with monkeypatch.context() as patch, pytest.raises(PowerCut):
        if where == "restored":
            patch.setattr(checkpoint, "drop_newer", power_cut)
        if where == "dropped":
            patch.setattr("multigen.engine.log.RunLog.event", cut_at_event)
        if where == "logged":
            patch.setattr(Loop, "_save", lambda loop: power_cut() if loop.state.scalars["attempt"] else save(loop))
        if where == "saved":
            patch.setattr(Loop, "_save", cut_saved)
        kind(ToyConfig(steps=12), run, [Attempted()] if where == "a step later" else []).fit()
    kind(ToyConfig(steps=12), resumed(run)).fit()
    assert_same_runs(unbroken[decision], run)
