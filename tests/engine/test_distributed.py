"""Two ranks that talk through gloo do what one process does, to rounding. Networks have no batch
statistics; float64.

Two processes run this file, once for all tests: everything in `CASES` is trained there, and again
within the tests.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from multigen import losses
from multigen.engine import (
    Batch,
    Callback,
    Control,
    Decision,
    Pool,
    Rows,
    Source,
    Stage,
    Step,
    Trainer,
    Update,
    distributed,
)
from multigen.engine.history import exchange
from multigen.errors import Interrupted
from multigen.losses import penalties
from tests.engine.toys import (
    Constant,
    Crash,
    Numbers,
    PowerCut,
    Toy,
    ToyConfig,
    Whole,
    assert_same,
    follow_mean,
    lines,
    options,
    perceptron,
    points,
    resumed,
    saved_files,
    saved_numbers,
)

pytestmark = pytest.mark.dist
ROOT = Path(__file__).resolve().parents[2]
BATCH = 7  # 3 and 4 rows


class Watched(Toy):
    """Keeps the gradients of its first step. D has no last bias: where a loss leaves it alone, its
    gradient is all rounding."""

    first: dict[str, Tensor]

    def networks(self) -> dict[str, nn.Module]:
        self.first = {}
        return {"G": perceptron(3, 2), "D": nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 1, bias=False))}

    def watch(self, *names: str) -> Callable[[], None]:
        """What an update calls after its step."""

        def see() -> None:
            for name in names:
                for key, p in self.nets[name].named_parameters():
                    if p.grad is not None:
                        self.first.setdefault(f"{name}.{key}", p.grad.clone())

        return see


class WGAN(Watched):
    """A penalty beside a loss, and one that is an update of its own; rows that are made with random
    numbers."""

    def open_data(self) -> Source:
        return Shaken()

    def stages(self) -> list[Stage]:
        updates = [
            Update("critic", ["D"], self.critic, repeat=2, after=self.watch("D")),
            Update("r1", ["D"], self.r1, every=3, lazy=True),
            Update("generator", ["G"], self.generator, clip_norm=0.5, after=self.watch("G")),
        ]
        return [
            Stage(
                "only",
                self.config.steps,
                updates,
                controls=[Control("p", 0.0, 5, lambda p, seen: Decision(seen["score"], "mean"), ["score"])],
            )
        ]

    def averaged(self) -> dict[str, float]:
        return {"G": 0.9}

    def critic(self, batch: Batch, step: Step) -> dict[str, Tensor]:
        fake, score = self.fakes(step), self.D(batch["x"])
        step.log("score", score)
        return {
            "wasserstein": losses.wasserstein.discriminator(score, self.D(fake)),
            "penalty": penalties.wgan_gp(self.D, batch["x"], fake, step.rand("mix", 1)) * 10,
        }

    def r1(self, batch: Batch, step: Step) -> dict[str, Tensor]:
        return {"r1": penalties.r1(self.D, batch["x"])}

    def generator(self, batch: Batch, step: Step) -> dict[str, Tensor]:
        return {"wasserstein": losses.wasserstein.generator(self.D(self.fakes(step)))}


class Shaken:
    def __len__(self) -> int:
        return 24

    def batch(self, rows: Rows) -> Batch:
        noise = np.stack([rows.rng(i).normal(size=2) for i in range(len(rows))])
        return {"x": points(24)[torch.from_numpy(rows.indices)] + torch.from_numpy(noise)}


class OnlyPenalty(Watched):
    """No other loss moves D."""

    def stages(self) -> list[Stage]:
        r2 = Update("r2", ["D"], self.r2, every=2, lazy=True, after=self.watch("D"))
        return [Stage("only", self.config.steps, [r2])]

    def r2(self, batch: Batch, step: Step) -> dict[str, Tensor]:
        return {"r2": penalties.r2(self.D, self.fakes(step))}


class Relativistic(Watched):
    """Terms that couple the rows of a batch, and averages that last."""

    def stages(self) -> list[Stage]:
        updates = [
            Update("d", ["D"], self.d, couples=True, after=self.watch("D")),
            Update("g", ["G"], self.g, couples=True, after=self.watch("G")),
        ]
        return [Stage("only", self.config.steps, updates)]

    def d(self, batch: Batch, step: Step) -> dict[str, Tensor]:
        real, fake = self.D(batch["x"]), self.D(self.fakes(step))
        loss = losses.relativistic_average.discriminator(real, fake)
        return {"relativistic": loss, "excess": (fake - follow_mean(self.state.scalars, real, fake)).square().mean()}

    def g(self, batch: Batch, step: Step) -> dict[str, Tensor]:
        return {"relativistic": losses.relativistic_average.generator(self.D(self.fakes(step)), self.D(batch["x"]))}


class Tokens(Watched):
    """Texts of different lengths, so the ranks hold different numbers of tokens; negatives from a
    pool."""

    def stages(self) -> list[Stage]:
        updates = [
            Update("d", ["D"], self.d, after=self.watch("D")),
            Update("pool", ["D"], self.replay, data=Pool(self.fill, every=4)),
        ]
        return [Stage("only", self.config.steps, updates)]

    def d(self, batch: Batch, step: Step) -> dict[str, Any]:
        length = (batch["id"] % 6).double()  # some have no token at all
        score = self.D(batch["x"])[:, 0]
        return {
            "token": ((score.square() * length).sum(), length.sum()),
            "mean": score.sigmoid().mean(),
            "other": ((score.sin() * length.sqrt()).sum(), length.sqrt().sum()),
        }

    def fill(self, step: Step) -> Batch:
        return {"fake": self.G(torch.randn(9, 3, generator=step.rng("pool"), dtype=torch.float64))}

    def replay(self, batch: Batch, step: Step) -> dict[str, Tensor]:
        return {"mean": self.D(batch["fake"]).square().mean()}


class Replayed(Watched):
    """D sees some of G's samples again, from a history that is full after three steps."""

    def stages(self) -> list[Stage]:
        updates = [Update("d", ["D"], self.d, after=self.watch("D")), Update("g", ["G"], self.g)]
        return [Stage("only", self.config.steps, updates)]

    def d(self, batch: Batch, step: Step) -> dict[str, Tensor]:
        fake = exchange(self.state.scalars, "x", self.fakes(step), step, 20)
        return {"hinge": losses.hinge.discriminator(self.D(batch["x"]), self.D(fake))}

    def g(self, batch: Batch, step: Step) -> dict[str, Tensor]:
        return {"hinge": losses.hinge.generator(self.D(self.fakes(step)))}


class Branches(Watched):
    """The first rows of a batch run through G alone, the rest through D: each rank has a gradient
    for one of them only."""

    def networks(self) -> dict[str, nn.Module]:
        return super().networks() | {"G": perceptron(2, 1)}

    def stages(self) -> list[Stage]:
        return [Stage("only", self.config.steps, [Update("both", ["G", "D"], self.both, after=self.watch("G", "D"))])]

    def both(self, batch: Batch, step: Step) -> dict[str, Tensor]:
        x, first = batch["x"], max(0, min(3, step.rows.stop) - step.rows.start)
        parts = [self.G(x[:first])] if first else []
        parts += [self.D(x[first:])] if first < len(x) else []
        return {"square": torch.cat(parts).square().mean()}


class Spoilt(Watched):
    """At step 3 one row, of the second rank, has a gradient that is not finite."""

    def stages(self) -> list[Stage]:
        return [Stage("only", self.config.steps, [Update("d", ["D"], self.d, after=self.watch("D"))])]

    def d(self, batch: Batch, step: Step) -> dict[str, Tensor]:
        bad = step.index == 3 and step.rows.stop == BATCH
        return {"mean": self.D(batch["x"]).square().mean() * (torch.nan if bad else 1)}


class Controlled(WGAN):
    """Rules that read signals decide on values, rates, repeats and a rollback; another one finds
    something else on each rank."""

    def stages(self) -> list[Stage]:
        (stage,) = super().stages()
        reads = ["score", "critic/wasserstein", "r1/r1", "critic/gradient_norm"]
        own = Control("own", 0.0, 2, lambda value, seen: Decision(value + distributed.rank(), "measured"))
        return [replace(stage, controls=[Control("p", 0.0, 5, self.rule, reads), own])]

    def rule(self, value: float, seen: Mapping[str, float]) -> Decision:
        value += sum(seen.values())
        if self.index == 5:
            return Decision(value, "other game", rates={"D": 0.5}, repeats={"critic": 3, "generator": 0})
        back = self.index == 10 and self.state.scalars["attempt"] == 0
        return Decision(value, "back", rollback=back, repeats={"generator": 2})


CASES: dict[str, tuple[type[Watched], dict[str, Any]]] = {
    "wgan": (WGAN, {}),
    "wgan, accumulated": (WGAN, {"accumulate": 2}),
    "penalty": (OnlyPenalty, {}),
    "penalty, accumulated": (OnlyPenalty, {"accumulate": 2}),
    "relativistic": (Relativistic, {}),
    "tokens": (Tokens, {}),
    "tokens, accumulated": (Tokens, {"accumulate": 2}),
    "replayed": (Replayed, {}),
    "replayed, accumulated": (Replayed, {"accumulate": 2}),
    "branches": (Branches, {}),
    "branches, accumulated": (Branches, {"accumulate": 2}),
    "spoilt": (Spoilt, {}),
    "controlled": (Controlled, {}),
    "controlled, accumulated": (Controlled, {"accumulate": 2}),
}


def train(folder: Path, case: str) -> dict[str, Tensor]:
    """First gradients, weights and state after 20 steps, as this rank has them."""
    kind, changes = CASES[case]
    run = options(folder / case, precision="fp64", log_every=5, save_every=10, **changes)
    trainer = kind(ToyConfig(BATCH, 20), run).fit()
    assert trainer.first
    result = {f"gradient/{name}": gradient for name, gradient in trainer.first.items()}
    for kind_of, nets in (("weight", trainer.nets), ("average", trainer.averages)):
        result |= {f"{kind_of}/{n}.{k}": p.detach() for n, net in nets.items() for k, p in net.named_parameters()}
    numbers = {k: v for k, v in trainer.state.scalars.items() if k != "seconds"}
    return result | {f"state/{k}": torch.as_tensor(v, dtype=torch.float64) for k, v in numbers.items()}


# ------------------------------------------------------------------------------------------------------------- the two ranks


class StopOne(Callback):
    """A signal that reaches the second rank alone."""

    def on_step(self, trainer: Trainer) -> None:
        if trainer.step == 3 and torch.distributed.get_rank() == 1:
            signal.raise_signal(signal.SIGTERM)


class Apart(Numbers):
    """What each rank validates differs; which checkpoint is best must not."""

    def stages(self) -> list[Stage]:
        return [Stage("only", self.config.steps, [Update("g", ["G"], lambda batch, step: {"w": self.G().sum()})])]

    def networks(self) -> dict[str, nn.Module]:
        return {"G": Constant(1.0)}

    def validate(self, nets: Mapping[str, nn.Module]) -> dict[str, float]:
        return {"rank": float(torch.distributed.get_rank())}


def main(folder: Path) -> None:
    """What each of the two processes does; its findings go into files."""
    os.fsync = lambda handle: None
    result = {f"{case}/{name}": t for case in CASES for name, t in train(folder, case).items()}

    config, made = ToyConfig(batch=8, steps=15), dict[str, Trainer]()
    for kind, added in ((Whole, ""), (WGAN, ", with signals"), (Controlled, ", with decisions")):
        whole, cut = (options(folder / f"{name}{added}", save_every=4) for name in ("whole", "cut"))
        made[f"whole{added}"] = kind(config, whole).fit()
        try:
            kind(config, cut, [Crash(14)]).fit()
        except PowerCut:
            made[f"cut{added}"] = kind(config, resumed(cut)).fit()
    stopped = options(folder / "stopped", save_every=4)
    try:
        Whole(config, stopped, [StopOne()]).fit()
    except Interrupted as interrupted:
        result["stopped at"] = torch.tensor(int(str(interrupted).split()[3].rstrip(";")))
    made["stopped"] = Whole(config, resumed(stopped)).fit()
    for name, trainer in made.items():
        result |= {f"{name}/{n}.{k}": t for n, net in trainer.nets.items() for k, t in net.state_dict().items()}
    signals: list[float] = []
    Apart(ToyConfig(), options(folder / "apart"), [Heard(signals)]).fit()
    result["validated"] = torch.tensor(signals)
    rank = torch.distributed.get_rank()
    save_file({name: t.contiguous().clone() for name, t in result.items()}, folder / f"rank-{rank}.safetensors")
    torch.distributed.destroy_process_group()


class Heard(Callback):
    def __init__(self, heard: list[float]):
        self.heard = heard

    def on_evaluate(self, trainer: Trainer, metrics: Mapping[str, float]) -> None:
        self.heard += metrics.values()


# ----------------------------------------------------------------------------------------------------------------- the tests


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of what two ranks trained."""
    folder = tmp_path_factory.mktemp("two")
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [*torchrun, __file__, str(folder)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    return folder


def of_rank(two: Path, rank: int, prefix: str) -> dict[str, Tensor]:
    result = load_file(two / f"rank-{rank}.safetensors")
    return {name.removeprefix(prefix): t for name, t in result.items() if name.startswith(prefix)}


@pytest.mark.parametrize("case", CASES)
def test_two_ranks_are_one_process(two: Path, tmp_path: Path, case: str) -> None:
    expected = train(tmp_path, case)
    result = of_rank(two, 0, f"{case}/")
    assert expected.keys() == result.keys()
    assert {name.split("/")[0] for name in result} >= {"gradient", "weight", "state"}
    for name, tensor in expected.items():
        assert (result[name] - tensor).norm() <= 1e-12 * tensor.norm(), name
        assert tensor.norm() > 0 or name.startswith("state/"), name


@pytest.mark.parametrize("case", CASES)
def test_both_ranks_have_the_same_bit_for_bit(two: Path, case: str) -> None:
    first, second = (of_rank(two, rank, f"{case}/") for rank in (0, 1))
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("case", ["wgan", "wgan, accumulated", "tokens", "relativistic", "branches", "controlled"])
def test_both_ranks_log_what_one_process_logs(two: Path, tmp_path: Path, case: str) -> None:
    """Once, by the first rank."""
    train(tmp_path, case)
    one, both = lines(tmp_path / case), lines(two / case)
    assert len(one) == len(both) >= 4
    for a, b in zip(one, both, strict=True):
        assert a.pop("items_per_second", 0) >= 0
        assert b.pop("items_per_second", 0) >= 0
        assert a.pop("seconds", 0) >= 0 <= b.pop("seconds", 0)
        assert a.keys() == b.keys()
        for name in a:
            assert b[name] == (a[name] if isinstance(a[name], str) else pytest.approx(a[name], rel=1e-6)), name


def test_a_gradient_that_is_spoilt_on_one_rank_is_dropped_on_both(two: Path) -> None:
    for rank in (0, 1):
        assert of_rank(two, rank, "spoilt/state/")["dropped"] == 1


@pytest.mark.parametrize(("added", "steps"), [("", 22), (", with signals", 15), (", with decisions", 15)])
def test_two_ranks_resume_bit_for_bit(two: Path, added: str, steps: int) -> None:
    """With batch norm, whose statistics are a rank's own between checkpoints, and dropout; with a
    control's signals, which the checkpoint holds for all ranks."""
    whole, cut = two / f"whole{added}", two / f"cut{added}"
    assert saved_numbers(cut)["step"] == steps
    assert_same(saved_files(whole), saved_files(cut))
    assert saved_numbers(whole) == saved_numbers(cut)


@pytest.mark.parametrize("run", ["whole", "cut", "stopped"])
def test_ranks_end_with_the_same_networks_and_buffers(two: Path, run: str) -> None:
    first, second = (of_rank(two, rank, f"{run}/") for rank in (0, 1))
    assert "G.1.running_mean" in first
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_ranks_stop_together_when_one_is_asked_to(two: Path) -> None:
    stopped = {of_rank(two, rank, "stopped at")[""].item() for rank in (0, 1)}
    assert len(stopped) == 1
    (step,) = stopped
    assert 3 <= step <= 13
    assert saved_numbers(two / "stopped")["step"] == 22


def test_ranks_agree_on_what_was_validated(two: Path) -> None:
    assert [of_rank(two, rank, "validated")[""].tolist() for rank in (0, 1)] == [[0.0], [0.0]]


if __name__ == "__main__":
    main(Path(sys.argv[1]))
