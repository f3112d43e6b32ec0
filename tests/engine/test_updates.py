"""What one update does to weights: optimisers, freezing, modes, clipping; against closed forms and
plain torch."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from multigen import losses
from multigen.engine import SGD, Adam, AdamW, Batch, RMSprop, Stage, Step, Update
from multigen.engine.schedules import Linear
from tests.engine.toys import Constant, Numbers, Toy, ToyConfig, options, perceptron, saved_files, trained


class Straight(Numbers):
    """The loss of a network is a multiple of its one weight, which is the gradient then; float64
    and plain SGD by default."""

    def optimisers(self) -> Any:
        return SGD(lr=0.1)

    def times(self, network: str, factor: float) -> Any:
        return lambda batch, step: {"w": getattr(self, network)().sum() * factor}

    def numbers(self) -> tuple[float, float]:
        return self.G().item(), self.D().item()


# ------------------------------------------------------------------------------------------------------------ optimisers


@pytest.mark.parametrize(
    ("optimiser", "reference"),
    [
        (Adam(0.1, (0.5, 0.9)), lambda p: torch.optim.Adam(p, 0.1, (0.5, 0.9))),
        (AdamW(0.1, (0.5, 0.9), weight_decay=0.3), lambda p: torch.optim.AdamW(p, 0.1, (0.5, 0.9), weight_decay=0.3)),
        (RMSprop(0.1, alpha=0.8), lambda p: torch.optim.RMSprop(p, 0.1, 0.8)),
        (SGD(0.1, momentum=0.9), lambda p: torch.optim.SGD(p, 0.1, 0.9)),
    ],
    ids=["adam", "adamw", "rmsprop", "sgd"],
)
def test_optimisers_are_torchs_own_and_shared_by_the_updates_of_a_network(
    tmp_path: Path, optimiser: Any, reference: Any
) -> None:
    class Two(Toy):
        def optimisers(self) -> Any:
            return optimiser

        def stages(self) -> list[Stage]:
            updates = [Update("real", ["D"], self.real, repeat=2), Update("fake", ["D"], self.fake)]
            return [Stage("only", self.config.steps, updates)]

        def real(self, batch: Batch, step: Step) -> dict[str, Tensor]:
            seen.append(batch["x"])
            return {"w": self.D(batch["x"]).square().mean()}

        def fake(self, batch: Batch, step: Step) -> dict[str, Tensor]:
            return {"w": self.D(torch.ones(4, 2, dtype=torch.float64)).mean()}

    seen: list[Tensor] = []
    trainer = Two(ToyConfig(), options(tmp_path, precision="fp64"))
    trainer.prepare()
    D = perceptron(2, 1).double()
    D.load_state_dict(trainer.nets["D"].state_dict())
    trainer.fit()
    optim = reference(D.parameters())
    for step in range(6):
        for x in seen[2 * step : 2 * step + 2]:
            optim.zero_grad()
            D(x).square().mean().backward()
            optim.step()
        optim.zero_grad()
        D(torch.ones(4, 2, dtype=torch.float64)).mean().backward()
        optim.step()
    for p, q in zip(trainer.D.parameters(), D.parameters(), strict=True):
        torch.testing.assert_close(p, q, rtol=1e-12, atol=1e-13)


ADAM = Adam(0.01, (0.9, 0.99))


@pytest.mark.parametrize(
    ("optim", "fresh"),
    [(None, ""), (ADAM, "GD"), ({"D": ADAM}, "D")],
    ids=["none", "one for all", "one of two"],
)
def test_a_stage_may_start_fresh_optimisers(tmp_path: Path, optim: Any, fresh: str) -> None:
    """With steps of the same size, an optimiser's own count of steps and its averages tell whether
    it is fresh."""

    class Stages(Straight):
        def optimisers(self) -> Any:
            return ADAM

        def stages(self) -> list[Stage]:
            first = [Update("g", ["G"], self.times("G", 5)), Update("d", ["D"], self.times("D", 5))]
            then = [Update("g", ["G"], self.times("G", -1)), Update("d", ["D"], self.times("D", -1))]
            return [Stage("a", 3, first), Stage("b", 2, then, optim=optim), Stage("c", 2, then, optim=optim)]

    trained(Stages, tmp_path)
    for name in "GD":
        number = nn.Parameter(torch.tensor([{"G": 1.0, "D": 2.0}[name]], dtype=torch.float64))
        optimiser = torch.optim.Adam([number], 0.01, (0.9, 0.99))
        for step, gradient in enumerate([5, 5, 5, -1, -1, -1, -1]):
            if step in (3, 5) and name in fresh:
                optimiser = torch.optim.Adam([number], 0.01, (0.9, 0.99))
            number.grad = torch.full_like(number, gradient)
            optimiser.step()
        files = saved_files(tmp_path)
        torch.testing.assert_close(files[name]["w"], number.detach(), rtol=1e-12, atol=0)
        assert files[f"{name}.optim"]["w/step"] == (2 if name in fresh else 7)


def test_lazy_updates_multiply_the_loss_and_correct_the_learning_rate(tmp_path: Path) -> None:
    class Lazy(Straight):
        def stages(self) -> list[Stage]:
            updates = [
                Update("main", ["D"], self.times("D", 3)),
                Update("lazy", ["D"], self.times("D", 0.5), every=4, lazy=True),
                Update("g", ["G"], self.times("G", 1)),
            ]
            return [Stage("only", self.config.steps, updates), Stage("after", 1, [updates[0]])]

    g, d = trained(Lazy, tmp_path, steps=9).numbers()
    c = 4 / 5
    assert d == pytest.approx(2 - 0.1 * c * (9 * 3 + 3 * 4 * 0.5) - 0.1 * 3, abs=1e-12)  # due at steps 0, 4 and 8
    assert g == pytest.approx(1 - 0.1 * 9, abs=1e-12)


def test_lazy_updates_correct_the_betas_of_adam(tmp_path: Path) -> None:
    class Lazy(Straight):
        def optimisers(self) -> Any:
            return Adam(0.1, (0.9, 0.99))

        def stages(self) -> list[Stage]:
            lazy = Update("lazy", ["D"], self.times("D", -3), every=2, lazy=True)
            return [Stage("only", self.config.steps, [Update("main", ["D"], self.times("D", 1)), lazy])]

    number = nn.Parameter(torch.tensor([2.0], dtype=torch.float64))
    c = 2 / 3
    optimiser = torch.optim.Adam([number], 0.1 * c, (0.9**c, 0.99**c))
    for gradient in [1, -6, 1, 1, -6, 1]:
        number.grad = torch.full_like(number, gradient)
        optimiser.step()
    assert trained(Lazy, tmp_path, steps=4).numbers()[1] == pytest.approx(number.item(), abs=1e-12)


def test_an_update_that_is_not_lazy_has_its_loss_as_it_is(tmp_path: Path) -> None:
    class Seldom(Straight):
        def stages(self) -> list[Stage]:
            return [Stage("only", self.config.steps, [Update("d", ["D"], self.times("D", 1), every=3)])]

    assert trained(Seldom, tmp_path, steps=7).numbers()[1] == pytest.approx(2 - 3 * 0.1, abs=1e-12)


def test_numbers_of_an_optimiser_follow_the_progress_of_the_stage(tmp_path: Path) -> None:
    class Slower(Straight):
        def optimisers(self) -> Any:
            return SGD(lr=Linear(0.1, 0.0))

        def stages(self) -> list[Stage]:
            d = Update("d", ["D"], self.times("D", 1))
            return [Stage("a", 4, [d]), Stage("b", 5, [d])]

    expected = 2 - 0.1 * sum(1 - i / 4 for i in range(4)) - 0.1 * sum(1 - i / 5 for i in range(5))
    assert trained(Slower, tmp_path).numbers()[1] == pytest.approx(expected, abs=1e-12)


def test_weights_may_be_projected_after_a_step(tmp_path: Path) -> None:
    class Clipped(Straight):
        def stages(self) -> list[Stage]:
            return [Stage("only", self.config.steps, [Update("d", ["D"], self.times("D", 1), after=self.project)])]

        def project(self) -> None:
            for p in self.D.parameters():
                p.clamp_(1.75, 5)  # in place: gradients are off
            result.append(self.D().item())

    result: list[float] = []
    trained(Clipped, tmp_path, steps=4)
    assert result == pytest.approx([1.9, 1.8, 1.75, 1.75])


# --------------------------------------------------------------------------------------------------------- freezing, modes


class Pair(Toy):
    """A critic with batch norm and a generator, trained in turn; `seen` notes D at each moment."""

    def networks(self) -> dict[str, nn.Module]:
        D = nn.Sequential(nn.Linear(2, 8), nn.BatchNorm1d(8), nn.Linear(8, 1))
        for p in D[2].parameters():
            p.requires_grad_(False)
        return {"G": perceptron(3, 2), "D": D}

    def stages(self) -> list[Stage]:
        self.seen: list[tuple[str, dict[str, Tensor], list[Tensor | None]]] = []
        updates = [
            Update("d", ["D"], self.d, after=lambda: self.note("d")),
            Update("g", ["G"], self.g, after=lambda: self.note("g")),
        ]
        return [Stage("only", self.config.steps, updates)]

    def d(self, batch: Batch, step: Step) -> dict[str, Tensor]:
        assert [p.requires_grad for p in self.D.parameters()] == [True] * 4 + [False] * 2
        assert not any(p.requires_grad for p in self.G.parameters())
        assert self.G.training
        assert self.D.training
        return {"hinge": losses.hinge.discriminator(self.D(batch["x"]), self.D(self.fakes(step)))}

    def g(self, batch: Batch, step: Step) -> dict[str, Tensor]:
        assert not any(p.requires_grad for p in self.D.parameters())
        assert all(p.requires_grad for p in self.G.parameters())
        assert self.G.training
        assert self.D.training
        return {"hinge": losses.hinge.generator(self.D(self.fakes(step)))}

    def note(self, update: str) -> None:
        weights = {name: t.clone() for name, t in self.D.state_dict().items()}
        self.seen.append((update, weights, [None if p.grad is None else p.grad.clone() for p in self.D.parameters()]))


def test_an_update_leaves_other_networks_weights_and_gradients_alone(tmp_path: Path) -> None:
    trainer = trained(Pair, tmp_path, precision="fp32")
    assert len(trainer.seen) == 12
    for (_, before, gradient), (_, after, later) in zip(trainer.seen[::2], trainer.seen[1::2], strict=True):
        assert gradient[4] is None
        for old, new in zip(gradient[:4], later[:4], strict=True):
            assert old is not None
            assert new is not None
            assert torch.equal(old, new)
        assert all(torch.equal(before[name], after[name]) for name, _ in trainer.D.named_parameters())
        # Frozen, not switched off: its batch statistics move whenever it runs.
        assert after["1.num_batches_tracked"] == before["1.num_batches_tracked"] + 1
        assert not torch.equal(after["1.running_mean"], before["1.running_mean"])


def test_weights_frozen_by_the_method_stay_as_they_were(tmp_path: Path) -> None:
    trainer = trained(Pair, tmp_path, precision="fp32", save_every=1, keep=100)
    first, last = saved_files(tmp_path, 0), saved_files(tmp_path, 6)
    assert torch.equal(first["D"]["2.weight"], last["D"]["2.weight"])
    assert not torch.equal(first["D"]["0.weight"], last["D"]["0.weight"])
    assert "2.weight/exp_avg" not in last["D.optim"]
    assert all(not p.requires_grad for p in trainer.D[2].parameters())


def test_one_update_may_train_several_networks(tmp_path: Path) -> None:
    class Both(Straight):
        def stages(self) -> list[Stage]:
            return [Stage("only", self.config.steps, [Update("both", ["G", "D"], self.both)])]

        def both(self, batch: Batch, step: Step) -> dict[str, Tensor]:
            return {"product": (self.G() * self.D()).sum()}

    g, d = 1.0, 2.0
    for _ in range(3):
        g, d = g - 0.1 * d, d - 0.1 * g
    assert trained(Both, tmp_path, steps=3).numbers() == pytest.approx((g, d), abs=1e-12)


def test_a_missing_gradient_counts_as_zeros(tmp_path: Path) -> None:
    """Adam moves on by its momentum, as it does where another rank or micro-batch had a
    gradient."""

    class Sometimes(Straight):
        def optimisers(self) -> Any:
            return Adam(0.1, (0.5, 0.9))

        def stages(self) -> list[Stage]:
            return [Stage("only", self.config.steps, [Update("d", ["G", "D"], self.sometimes)])]

        def sometimes(self, batch: Batch, step: Step) -> dict[str, Tensor]:
            value = self.G().sum()
            return {"w": value + self.D().sum() if step.index == 0 else value}

    number = nn.Parameter(torch.tensor([2.0], dtype=torch.float64))
    optimiser = torch.optim.Adam([number], 0.1, (0.5, 0.9))
    for gradient in [1.0, 0.0, 0.0]:
        number.grad = torch.full_like(number, gradient)
        optimiser.step()
    assert trained(Sometimes, tmp_path, steps=3).numbers()[1] == pytest.approx(number.item(), abs=1e-12)


# ---------------------------------------------------------------------------------------------------------------- clipping


CLIPS = [{"clip_norm": 0.5}, {"clip_norm": 100.0}]


@pytest.mark.parametrize("clip", CLIPS, ids=str)
def test_clipping_is_torchs(tmp_path: Path, clip: dict[str, Any]) -> None:
    gradients = torch.tensor([[3.0, -0.2, 0.1], [0.01, 0.02, -0.4]], dtype=torch.float64)  # of G and of D

    class Clipped(Straight):
        def networks(self) -> dict[str, nn.Module]:
            return {"G": Constant(0.0, 0.0, 0.0), "D": Constant(0.0, 0.0, 0.0)}

        def stages(self) -> list[Stage]:
            return [Stage("only", 1, [Update("both", ["G", "D"], self.both, **clip)])]

        def both(self, batch: Batch, step: Step) -> dict[str, Tensor]:
            return {"w": self.G() @ gradients[0] + self.D() @ gradients[1]}

    expected = [nn.Parameter(torch.zeros(3, dtype=torch.float64)) for _ in range(2)]
    for p, gradient in zip(expected, gradients, strict=True):
        p.grad = gradient.clone()
    nn.utils.clip_grad_norm_(expected, clip["clip_norm"])
    trainer = trained(Clipped, tmp_path)
    for network, p in zip((trainer.G, trainer.D), expected, strict=True):
        assert p.grad is not None
        torch.testing.assert_close(network().detach(), -0.1 * p.grad, rtol=1e-12, atol=0)
