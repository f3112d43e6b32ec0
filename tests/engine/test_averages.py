"""Running averages of weights, and networks as they are sampled and validated."""

from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from multigen.engine import Batch, Stage, Step, Update
from multigen.engine.schedules import Linear, Schedule
from tests.engine.toys import Constant, Toy, ToyConfig, Walk, lines, options, points, saved_files, walked


class Averaged(Walk):
    decay: Schedule = 0.5

    def averaged(self) -> dict[str, Schedule]:
        return {"G": self.decay}


def test_a_running_average_moves_by_its_decay_once_a_step(tmp_path: Path) -> None:
    """The first steps weigh more; from step 8 on the decay is the one stated."""

    class Repeated(Averaged):
        def updates(self) -> list[Update]:
            return [Update("g", ["G"], lambda batch, step: {"w": self.G().sum() / 3}, repeat=3)]

    result: list[tuple[float, float]] = []
    walked(Repeated, tmp_path, 12, lambda t: result.append((t.G().item(), t.averages["G"]().item())))
    assert result[0] == pytest.approx((0, 0.1))  # nine tenths of the way from 1 to 0
    for (_, old), (number, new) in pairwise(result[8:]):
        assert new == pytest.approx((old + number) / 2)


def test_the_decay_may_follow_a_schedule(tmp_path: Path) -> None:
    class Scheduled(Averaged):
        decay = Linear(0.0, 0.2)

    result: list[float] = []
    walked(Scheduled, tmp_path, 20, lambda t: result.append(t.averages["G"]().item()))
    for index in range(10, 20):
        decay, number = 0.2 * index / 20, 1 - (index + 1)
        assert result[index] == pytest.approx(decay * result[index - 1] + (1 - decay) * number)


def test_a_running_average_restarts_at_each_stage(tmp_path: Path) -> None:
    class Two(Averaged):
        decay = 0.5

        def stages(self) -> list[Stage]:
            return [Stage("a", 10, self.updates()), Stage("b", 10, self.updates())]

    result: list[tuple[float, float]] = []
    walked(Two, tmp_path, see=lambda t: result.append((t.G().item(), t.averages["G"]().item())))
    (before, _), (number, new) = result[9:11]
    assert (before, number) == pytest.approx((-9, -10))
    assert new == pytest.approx(-9.9)  # restarted from G as it was (-9), and nine tenths of the way to -10


class Normed(Toy):
    """An averaged generator whose batch statistics are those of the 24 points: every batch holds
    all of them."""

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
    """Validation, previews and saving at every step, or at the end only: the same networks, buffers
    included."""
    often = Normed(ToyConfig(7, 6), options(tmp_path / "1", validate_every=1, preview_every=2, save_every=1)).fit()
    seldom = Normed(ToyConfig(7, 6), options(tmp_path / "2")).fit()
    assert often.G.training
    for name, tensor in often.G.state_dict().items():
        assert torch.equal(tensor, seldom.G.state_dict()[name]), name


def test_a_network_with_batch_norm_has_to_say_how_it_is_run(tmp_path: Path) -> None:
    class Silent(Normed):
        forward = Toy.forward

    with pytest.raises(NotImplementedError, match="forward must run G"):
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
    result = {line["step"]: line["validation"]["average"] for line in lines(tmp_path) if "validation" in line}
    assert result.keys() == {3, 4}
    assert result[4] == trainer.averages["G"]().item() != trainer.G().item() == -3
    previews = tmp_path / "previews"
    assert sorted(path.name for path in previews.iterdir()) == ["2.txt", "4.txt"]
    assert float((previews / "4.txt").read_text()) == result[4]
