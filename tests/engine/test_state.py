"""What lasts from step to step besides weights: copies, the state, best checkpoints."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from multigen.engine import Batch, Best, Copy, EarlyStop, Pool, Run, Stage, Step, Update, saving
from multigen.errors import CheckpointError, ConfigError
from multigen.storage.model_folder import write_model
from tests.engine.toys import (
    ToyConfig,
    Walk,
    cut,
    options,
    resumed,
    saved_files,
    walked,
)

# ------------------------------------------------------------------------------------------------------------------ copies


def test_copies_are_taken_when_a_stage_begins(tmp_path: Path) -> None:
    class Copied(Walk):
        def stages(self) -> list[Stage]:
            copies = {"reference": Copy("G"), "lagged": Copy("G", follow=0.25)}
            return [Stage("a", 3, self.updates()), Stage("b", 4, self.updates(), copies=copies)]

    def see(trainer: Any) -> None:
        if trainer.step > 3:
            assert not any(p.requires_grad for p in [*trainer.reference.parameters(), *trainer.lagged.parameters()])
            result.append((trainer.G().item(), trainer.reference().item(), trainer.lagged().item()))

    result: list[tuple[float, float, float]] = []
    walked(Copied, tmp_path, see=see)
    lagged = -2.0
    for step, (number, reference, follower) in enumerate(result, start=1):
        lagged += 0.25 * (-2 - step - lagged)
        assert (number, reference, follower) == pytest.approx((-2 - step, -2, lagged))
    assert {"reference.copy", "lagged.copy"} <= saved_files(tmp_path).keys()
    assert saved_files(tmp_path)["reference.copy"]["w"] == -2


def test_losses_may_use_copies(tmp_path: Path) -> None:
    class Held(Walk):
        reference: nn.Module

        def stages(self) -> list[Stage]:
            g = Update(
                "g", ["G"], lambda batch, step: {"w": (self.G() - self.reference()).square().sum() / 2 + self.G().sum()}
            )
            return [Stage("only", self.config.steps, [g], copies={"reference": Copy("G")})]

    assert walked(Held, tmp_path, steps=3).G().item() == pytest.approx(0)  # drawn back to 1 and pushed to 0


# ------------------------------------------------------------------------------------------------------------------- state


def test_the_state_holds_tensors_and_numbers_and_is_resumed(tmp_path: Path) -> None:
    class Remembering(Walk):
        def updates(self) -> list[Update]:
            return [Update("g", ["G"], self.loss)]

        def loss(self, batch: Batch, step: Step) -> dict[str, Tensor]:
            self.state.scalars["sum"] = self.state.scalars.get("sum", torch.zeros(2)) + step.index
            self.state.scalars["text"] = self.state.scalars.get("text", "") + str(step.index)
            return {"w": self.G().sum()}

    run = options(tmp_path, precision="fp64", save_every=4)
    Remembering(ToyConfig(steps=4), run).fit()
    trainer = Remembering(ToyConfig(steps=7), resumed(run)).fit()
    assert trainer.state.scalars["text"] == "0123456"
    assert trainer.state.scalars["sum"].tolist() == [21, 21]


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


@pytest.mark.parametrize("at", [0, 10, 11, 12])
def test_a_stage_may_start_from_the_best_of_an_earlier_one(tmp_path: Path, at: int) -> None:
    """Stage c starts from the best of a (step 4), not from the end of b; also when the run is cut
    around its beginning."""

    class Apart(Judged):
        def stages(self) -> list[Stage]:
            self.told = iter((5, 3, 4, 6, 6)) if self.state.number == 0 else iter(())
            a = Stage("a", 8, self.updates(), best=Best("loss"))
            return [a, Stage("b", 2, self.updates()), Stage("c", 3, self.updates(), starts={"G": ("a", "best")})]

    run = options(tmp_path, precision="fp64", validate_every=2, save_every=1)
    if at:
        cut(run, at, Apart)
        run = resumed(run)
    trainer = Apart(ToyConfig(), run).fit()
    assert trainer.step == 13
    assert trainer.saved("G", "b", "last")["w"] == 1 - 10
    assert trainer.G().item() == 1 - 4 - 3


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


@pytest.mark.parametrize("goes_by", [{"best": Best("fid")}, {"until": EarlyStop("fid")}])
def test_a_metric_that_validate_does_not_give_is_named_with_those_it_gives(tmp_path: Path, goes_by: Any) -> None:
    Unknown = type("Unknown", (Judged,), goes_by)
    with pytest.raises(
        ConfigError, match=r"stage 'a' selects by 'fid', but validate returns loss; .*Best or EarlyStop"
    ):
        walked(Unknown, tmp_path, steps=6, validate_every=2)
    with pytest.raises(ConfigError, match="validate returns no metric"):
        walked(type("Silent", (Unknown,), {"validate": lambda self, nets: {}}), tmp_path / "silent", steps=6)


def test_a_stage_of_no_steps_is_passed_over(tmp_path: Path) -> None:
    trainer = walked(Judged, tmp_path, steps=0)
    assert trainer.step == 2
    assert trainer.G().item() == -1


def test_networks_of_another_method_may_be_of_another_kind(tmp_path: Path) -> None:
    """Those that inference needs must fit."""
    kept = {"G": nn.Linear(2, 2).state_dict(), "D": nn.Linear(3, 1).state_dict()}
    write_model(tmp_path / "model", "one", {}, kept, {})
    run = Run(device="cpu", start=str(tmp_path / "model"))
    nets = {"G": nn.Linear(2, 2), "D": nn.Linear(4, 1)}
    assert saving.start(run, "another", nets, ["G"]) == {"D"}
    assert torch.equal(nets["G"].weight, kept["G"]["weight"])
    for method, needed in (("one", ["G"]), ("another", ["G", "D"])):
        with pytest.raises(CheckpointError, match="model, D: weight has shape"):
            saving.start(run, method, nets, needed)
