"""What is not finite is never saved, and never called finished: networks, their statistics, the
data that they are trained on."""

import contextlib
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from multigen.engine import SGD, Batch, Source, Stage, Step, TensorSource, Update
from multigen.errors import CheckpointError, DataError, Interrupted, TrainingError
from tests.engine.test_recovery import Apart, Sick
from tests.engine.toys import (
    AtStep,
    Numbers,
    ToyConfig,
    assert_same,
    checkpoints,
    options,
    points,
    resumed,
    saved_files,
)


class Spoilt(Numbers):
    """Batch norm behind G, whose statistics one batch of NaN spoils for good, though its gradient
    is dropped."""

    at = (4,)
    cured = 1

    def networks(self) -> dict[str, nn.Module]:
        return {"G": nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))}

    def stages(self) -> list[Stage]:
        return [Stage("only", self.config.steps, [Update("g", ["G"], self.loss)])]

    def loss(self, batch: Batch, step: Step) -> dict[str, Tensor]:
        z = step.randn("z", 3)
        if step.index in self.at and self.state.scalars["attempt"] < self.cured:
            z = z * torch.nan
        return {"w": self.G(z).square().mean()}


def not_finite_files(folder: Path) -> list[str]:
    result = [(path, load_file(path)) for path in folder.rglob("*.safetensors")]
    return [str(path) for path, held in result if any(t.isnan().any() for t in held.values())]


@pytest.mark.parametrize("save_every", [1, 2, 1000])
def test_statistics_that_are_not_finite_are_never_saved(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], save_every: int
) -> None:
    trainer = Spoilt(ToyConfig(steps=8), options(tmp_path, save_every=save_every)).fit()
    assert trainer.state.scalars["attempt"] == 1
    assert "G.1.running_mean holds NaN after update 'g' at step" in capsys.readouterr().err
    assert not not_finite_files(tmp_path)


def test_a_network_that_stays_not_finite_ends_the_run_with_its_name(tmp_path: Path) -> None:
    class Incurable(Spoilt):
        cured = 99

    with pytest.raises(TrainingError, match=r"G\.1\.running_mean holds NaN after update 'g' at step 8.*learning rate$"):
        Incurable(ToyConfig(steps=8), options(tmp_path)).fit()
    assert not not_finite_files(tmp_path)
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize("name", ["G", "D"])
def test_weights_that_become_infinite_are_found_before_they_are_saved(tmp_path: Path, name: str) -> None:
    """By a step so large that no gradient shows it: none follows."""

    class Leap(Numbers):
        def optimisers(self) -> Any:
            return SGD(1e30)

        def stages(self) -> list[Stage]:
            update = Update("u", [name], lambda batch, step: {"w": self.nets[name]().sum() * 1e15})
            return [Stage("only", self.config.steps, [update])]

    with pytest.raises(TrainingError, match=f"{name}.w holds infinities after update 'u' at step 1"):
        Leap(ToyConfig(steps=1), options(tmp_path)).fit()


class Dropping(Sick):
    since = 4
    well = (7,)
    """Sick at steps 4, 5 and 6."""

    def validate(self, nets: Any) -> dict[str, float]:
        self.validated = [*getattr(self, "validated", []), self.step]
        return {"w": nets["G"]().item()}


def test_no_checkpoint_is_saved_while_gradients_are_not_finite(tmp_path: Path) -> None:
    """What was due at step 6 is done when the next gradient is finite, at step 8: a rollback would
    find it there."""

    class Short(Dropping):
        def loss(self, batch: Batch, step: Step) -> dict[str, Tensor]:
            sick = step.index in (4, 5, 6)
            return {"w": self.G().sum() * (torch.nan if sick else 1)}

    trainer = Short(ToyConfig(steps=10), options(tmp_path, save_every=3, validate_every=3, keep=9)).fit()
    assert [path.name[-2:] for path in checkpoints(tmp_path)] == ["00", "03", "08", "09", "10"]
    assert trainer.validated == [3, 8, 9, 10]


def test_a_signal_meanwhile_saves_nothing_and_the_run_resumes_bit_for_bit(tmp_path: Path) -> None:
    class Short(Apart):
        def spoil(self, step: Step) -> float:
            return torch.nan if step.index in (4, 5) else 1.0

    def interrupt(trainer: Any) -> None:
        if trainer.step == 5:
            signal.raise_signal(signal.SIGTERM)

    whole, cut = options(tmp_path / "0", save_every=3), options(tmp_path / "1", save_every=3)
    Short(ToyConfig(), whole).fit()
    with pytest.raises(Interrupted, match=r"stopped at step 5, not saved since its gradients are not finite.*--resume"):
        Short(ToyConfig(), cut, [AtStep(interrupt)]).fit()
    assert checkpoints(cut.out)[-1].name == "step-000000003"
    Short(ToyConfig(), resumed(cut)).fit()
    assert_same(saved_files(whole.out), saved_files(cut.out))


@pytest.mark.parametrize(
    ("steps", "sick", "ends"), [(1, 1, True), (3, 2, True), (4, 3, True), (2, 1, False), (9, 4, False)]
)
def test_a_run_most_of_which_was_dropped_is_not_finished(tmp_path: Path, steps: int, sick: int, ends: bool) -> None:
    class Ill(Sick):
        since = steps - sick
        cured = 99

    trainer = Ill(ToyConfig(steps=steps), options(tmp_path))
    with pytest.raises(TrainingError) if ends else contextlib.nullcontext():
        trainer.fit()
    assert (tmp_path / "model").exists() != ends


class Holed(Apart):
    """Every item of the data is NaN."""

    whole = True

    def open_data(self) -> Source:
        source = TensorSource({"x": points(24) * torch.nan, "id": torch.arange(24)})
        return source if self.whole else OnlyBatches(source)


class OnlyBatches:
    """A source that makes its batches, as crops of photographs are made."""

    def __init__(self, source: TensorSource):
        self.source, self.batch = source, source.batch

    def __len__(self) -> int:
        return len(self.source)


@pytest.mark.parametrize("whole", [True, False])
def test_data_that_are_not_finite_are_named_in_place_of_the_learning_rate(tmp_path: Path, whole: bool) -> None:
    kind = type("Kind", (Holed,), {"whole": whole})
    with pytest.raises(DataError, match=r"update 'd' of D: .* at step 6: the training data hold NaN or infinities"):
        kind(ToyConfig(), options(tmp_path)).fit()


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_weights_that_are_not_finite_before_training_are_named(tmp_path: Path, value: float) -> None:
    class Broken(Apart):
        def networks(self) -> dict[str, nn.Module]:
            nets = super().networks()
            next(nets["G"].parameters()).data[0, 0] = value
            return nets

    with pytest.raises(CheckpointError, match=r"G\.0\.weight holds (NaN|infinities) before training"):
        Broken(ToyConfig(), options(tmp_path)).fit()


def test_a_mask_of_infinities_is_a_buffer_like_others(tmp_path: Path) -> None:
    class Masked(Apart):
        def networks(self) -> dict[str, nn.Module]:
            nets = super().networks()
            nets["G"].register_buffer("mask", torch.tensor([0.0, -torch.inf]))
            return nets

    run = options(tmp_path, save_every=3)
    Masked(ToyConfig(), run).fit()
    Masked(ToyConfig(steps=8), resumed(run)).fit()
