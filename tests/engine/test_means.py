"""Means over the whole batch: however many micro-batches it is divided into, and whatever a term is
a mean of."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from multigen import losses
from multigen.engine import Batch, Source, Stage, Step, TensorSource, Update
from multigen.errors import ConfigError
from tests.engine.toys import Toy, ToyConfig, options, perceptron, points, trained


class Tokens(Toy):
    """Lengths of 1 to 6 tokens: a mean over tokens is no mean of means."""

    D: nn.Module
    terms: Sequence[str] = ()

    def open_data(self) -> Source:
        length = torch.arange(24) % 6 + 1
        return TensorSource({"x": points(24), "length": length})

    def stages(self) -> list[Stage]:
        self.gradients: list[list[Tensor]] = []
        return [
            Stage(
                "only", self.config.steps, [Update("d", ["D"], self.loss, after=self.note), Update("g", ["G"], self.g)]
            )
        ]

    def loss(self, batch: Batch, step: Step) -> dict[str, Any]:
        score = self.D(batch["x"])[:, 0]  # (B,)
        drawn = (score * step.randn("z")).square().mean()
        tokens = batch["length"].sum()
        per_token = ((score.sigmoid() * batch["length"]).sum(), tokens)
        per_pair = ((score.exp() * batch["length"] * 2).sum(), int(tokens * 2))
        terms = {"mean": score.square().mean() + drawn, "token": per_token, "pair": per_pair}
        return {name: terms[name] for name in self.terms}

    def g(self, batch: Batch, step: Step) -> dict[str, Tensor]:
        return {"hinge": losses.hinge.generator(self.D(self.fakes(step)))}

    def note(self) -> None:
        self.gradients.append([p.grad.clone() for p in self.D.parameters() if p.grad is not None])


@pytest.mark.parametrize("accumulate", [2, 4])
@pytest.mark.parametrize("terms", [["mean"], ["token"], ["token", "mean", "pair"]], ids="+".join)
def test_micro_batches_change_nothing(tmp_path: Path, terms: list[str], accumulate: int) -> None:
    """Seven rows: the micro-batches differ in size, and in tokens."""

    class Some(Tokens):
        pass

    Some.terms = terms
    whole, parts = (trained(Some, tmp_path / str(n), batch=7, accumulate=n) for n in (1, accumulate))
    assert len(whole.gradients) == 6
    for one, other in zip(whole.gradients, parts.gradients, strict=True):
        for a, b in zip(one, other, strict=True):
            assert (a - b).norm() < 1e-13 * a.norm()
    for name in "GD":
        for a, b in zip(whole.nets[name].parameters(), parts.nets[name].parameters(), strict=True):
            assert (a - b).norm() < 1e-12 * a.norm()


def test_a_sum_with_a_count_is_a_mean_over_the_whole_count(tmp_path: Path) -> None:
    class PerToken(Tokens):
        terms = ("token",)

        def loss(self, batch: Batch, step: Step) -> dict[str, Any]:
            self.rows.append(batch)
            return super().loss(batch, step)

        rows: list[Batch] = []  # noqa: RUF012

    for accumulate in (1, 3):
        PerToken.rows = []
        trainer = PerToken(
            ToyConfig(7, 1), options(tmp_path / str(accumulate), precision="fp64", accumulate=accumulate)
        )
        trainer.prepare()
        D = perceptron(2, 1).double()
        D.load_state_dict(trainer.nets["D"].state_dict())
        trainer.fit()
        assert len(PerToken.rows) == accumulate
        x, length = (torch.cat([rows[name] for rows in PerToken.rows]) for name in ("x", "length"))
        ((D(x)[:, 0].sigmoid() * length).sum() / length.sum()).backward()
        for p, gradient in zip(D.parameters(), trainer.gradients[0], strict=True):
            torch.testing.assert_close(gradient, p.grad, rtol=1e-12, atol=1e-15)


def test_terms_that_couple_a_batch_refuse_micro_batches(tmp_path: Path) -> None:
    class Coupled(Toy):
        def stages(self) -> list[Stage]:
            return [Stage("only", 2, [Update("pairs", ["D"], self.loss, couples=True)])]

        def loss(self, batch: Batch, step: Step) -> dict[str, Tensor]:
            return {"ra": losses.relativistic_average.discriminator(self.D(batch["x"]), self.D(self.fakes(step)))}

    with pytest.raises(ConfigError, match=r"'pairs'.*accumulate 2"):
        trained(Coupled, tmp_path / "2", accumulate=2)
    assert trained(Coupled, tmp_path / "1").step == 2


def test_a_batch_must_hold_a_row_for_each_micro_batch(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"batch 4\b.*5 micro-batches"):
        trained(Tokens, tmp_path, batch=4, accumulate=5)
