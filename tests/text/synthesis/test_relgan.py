"""RelGAN: relaxed tokens, the inverse temperature, its losses and stages."""

import math
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import one_hot, softplus

from multigen.errors import ConfigError
from multigen.text.decoding import draw, relaxed, sample, token_mask
from multigen.text.networks.discriminators import Representations
from multigen.text.networks.relational import RelationalMemory
from multigen.text.synthesis.relgan import PRESETS, SCHEDULES, RelGANConfig, RelGANTrainer
from tests.engine.toys import assert_same_runs, cut, options, resumed
from tests.text.synthesis.toys import Draws, configured, made, prepared

EULER = 0.5772156649


class At(Draws):
    """A step of the adversarial stage."""

    def __init__(self, index: int = 0, stage: str = "adversarial", rows: int = 6):
        super().__init__(rows)
        self.index, self.stage = index, stage


# ---------------------------------------------------------------------------------------------------- relaxed tokens


def uniform(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_relaxed_tokens_have_the_distribution_of_the_gumbel_max_trick() -> None:
    """softmax(logits + g) with independent Gumbel numbers g of mean .577 and variance pi^2 / 6, the
    largest at the token."""
    n, logits = 20_000, torch.tensor([1.0, 0.0, -1.0, 2.0], dtype=torch.float64)
    tokens = draw(logits.expand(n, 1, 4)[:, 0], uniform(n, 1))
    soft = relaxed(logits.expand(n, 1, 4), tokens, uniform(n, 1, 4, seed=1), 1.0)
    assert torch.equal(soft.argmax(2), tokens)
    scores = soft[:, 0].log()
    differences = scores - scores.mean(1, keepdim=True) - (logits - logits.mean())  # g less the mean of the four g
    error = math.pi / 6**0.5 / n**0.5
    assert (differences.mean(0).abs() < 4 * error).all()
    expected = (torch.eye(4, dtype=torch.float64) - 0.25) * math.pi**2 / 6
    torch.testing.assert_close(differences.T.cov(), expected, atol=0.06, rtol=0)


def test_relaxed_tokens_are_one_hot_when_cold_and_at_extreme_numbers() -> None:
    logits, tokens = torch.randn(3, 5, 7, generator=torch.Generator().manual_seed(0)), torch.randint(7, (3, 5))
    for numbers in (uniform(3, 5, 7), torch.zeros(3, 5, 7), torch.full((3, 5, 7), 1 - 2**-24)):
        soft = relaxed(logits - 200 * one_hot(tokens * 0, 7), tokens, numbers.float(), 1e6)  # a token of probability 0
        assert soft.isfinite().all()
        torch.testing.assert_close(soft.sum(2), torch.ones(3, 5))
    torch.testing.assert_close(relaxed(logits, tokens, uniform(3, 5, 7).float(), 1e6), one_hot(tokens, 7).float())


def test_the_gradient_is_that_of_a_softmax_at_fixed_noise() -> None:
    logits = torch.randn(1, 1, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    soft = relaxed(logits, torch.tensor([[2]]), uniform(1, 1, 5), 3.0)
    weights = torch.arange(5, dtype=torch.float64)
    (gradient,) = torch.autograd.grad((soft * weights).sum(), logits)
    s = soft.detach()
    torch.testing.assert_close(gradient, 3 * s * (weights - (s * weights).sum()))


def test_what_the_discriminator_reads_is_one_hot_after_the_end() -> None:
    trainer = prepared("fables:30", "relgan", length=9, tokenizer="characters")
    info, step = trainer.data_info, At()
    trainer.G.output.bias.data[info.end] = 2.0
    tokens = trainer.draw(trainer.G, step.rand("tokens", 9))
    soft = trainer.relaxed_texts(trainer.G(tokens), tokens, step)
    inside = token_mask(tokens, info.end)
    assert 6 < inside.sum() < 54
    assert torch.equal(soft[~inside], one_hot(tokens, info.tokens).float()[~inside])
    assert soft[inside].amax(1).mean() < 0.9 and torch.equal(soft.argmax(2), tokens)


# ---------------------------------------------------------------------------------------------------- inverse temperature


@pytest.mark.parametrize("name", SCHEDULES)
def test_the_inverse_temperature_rises_to_its_largest(name: str) -> None:
    values = [SCHEDULES[name](100.0, i / 50, 50) for i in range(51)]
    assert values == sorted(values)
    assert values[-1] == pytest.approx(100, rel=1e-4 if name == "sigmoid" else 1e-12)
    assert values[0] == (100 if name == "constant" else pytest.approx(1, abs=0.01))


@pytest.mark.parametrize(
    ("schedule", "halfway"),
    [("linear", 50.5), ("exponential", 10), ("sigmoid", 50.5), ("quadratic", 25.75), ("root", 1 + 99 * 0.5**0.5)],
)
def test_the_schedules_halfway(schedule: Any, halfway: float) -> None:
    trainer = RelGANTrainer(replace(PRESETS["tiny"], schedule=schedule, beta=100.0, steps=40))
    assert trainer.inverse_temperature(At(20)) == pytest.approx(halfway)  # pyright: ignore[reportArgumentType]


def test_the_schedule_of_the_authors_is_longer_than_their_training() -> None:
    trainer, last = RelGANTrainer(PRESETS["paper"]), At(2_999)
    assert trainer.inverse_temperature(last) == pytest.approx(100 ** (2_999 / 5_000))  # pyright: ignore[reportArgumentType]
    short = RelGANTrainer(replace(PRESETS["paper"], schedule_steps=1_000))
    assert short.inverse_temperature(last) == 100  # pyright: ignore[reportArgumentType]
    assert short.inverse_temperature(At(900, "discriminator")) == 1  # pyright: ignore[reportArgumentType]


# ---------------------------------------------------------------------------------------------------- losses


def test_the_losses_compare_each_representation_of_two_texts(data: str) -> None:
    trainer = prepared(data, "relgan", dropout=0.0)
    real, step = trainer.corpus.train[:6], At(2)
    tokens = sample(trainer.G, step.rand("tokens", 6))
    beta = 100 ** (2 / 3)
    fake = relaxed(trainer.G(tokens), tokens, step.rand("gumbel", 6, trainer.data_info.tokens), beta)
    difference = trainer.D(real) - trainer.D(fake)
    assert difference.shape == (6, 2)
    for loss, expected in (
        (trainer.discriminator_loss, softplus(-difference).mean()),
        (trainer.generator_loss, softplus(difference).mean()),
    ):
        terms = loss({"tokens": real}, step)
        assert terms.keys() == {"adversarial"}
        torch.testing.assert_close(terms["adversarial"], expected)


def test_each_network_learns_from_its_own_loss(data: str) -> None:
    trainer = prepared(data, "relgan", dropout=0.0)
    batch, G, D = {"tokens": trainer.corpus.train[:6]}, [*trainer.G.parameters()], [*trainer.D.parameters()]
    of_d = torch.autograd.grad(trainer.discriminator_loss(batch, At())["adversarial"], [*D, *G], allow_unused=True)
    assert all(g is not None for g in of_d[: len(D)]) and all(g is None for g in of_d[len(D) :])
    of_g = torch.autograd.grad(trainer.generator_loss(batch, At())["adversarial"], G, allow_unused=True)
    assert all(g is not None and g.isfinite().all() for g in of_g)


def test_the_generator_learns_what_the_discriminator_likes(
    data: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A discriminator that takes one token for real, and never learns."""

    def one_token_is_real(self: Any, texts: Tensor) -> Tensor:
        shares = texts if texts.is_floating_point() else one_hot(texts, 30).float()
        return 8 * shares[:, :, 3].mean(1, keepdim=True)

    monkeypatch.setattr(Representations, "forward", one_token_is_real)
    settings = {"discriminator_steps": 0, "critic_steps": 0, "steps": 40, "batch": 32, "lr": 0.03}
    trainer = made(data, tmp_path / "run", method="relgan", **settings).fit()
    numbers = torch.rand(500, 6, generator=torch.Generator().manual_seed(0))
    assert (sample(trainer.G, numbers) == 3).float().mean() > 0.5


# ---------------------------------------------------------------------------------------------------- runs and settings


def test_a_run_is_measured_and_given_a_verdict(data: str, tmp_path: Path) -> None:
    trainer = made(data, tmp_path / "run", method="relgan", kl=0.1, critic_steps=1).fit()
    assert isinstance(trainer.G, RelationalMemory)
    result = trainer.evaluate()
    stages = {name.split(" at ")[0] for name in result.rows}
    assert stages == {"real", "mle/best", "mle/last", "adversarial/best", "adversarial/last"}
    assert "maximum-likelihood curve" in result.remarks["verdict"]


@pytest.mark.slow
def test_a_run_that_is_broken_off_ends_bit_for_bit_as_one_that_never_was(data: str, tmp_path: Path) -> None:
    """Cut in each stage, and once more in the last."""
    config = configured(data, "relgan", kl=0.1, dropout=0.25)
    often = {"save_every": 2, "validate_every": 2, "preview_every": 3}
    whole, broken = options(tmp_path / "whole", **often), options(tmp_path / "broken", **often)
    RelGANTrainer(config, whole).fit()
    for step in (3, 5, 8, 9):
        cut(resumed(broken) if (tmp_path / "broken").exists() else broken, step, RelGANTrainer, config)
    RelGANTrainer(config, resumed(broken)).fit()
    assert_same_runs(whole, broken)


def test_values_are_exact_where_networks_compute_in_bfloat16(data: str) -> None:
    trainer = prepared(data, "relgan")
    with torch.autocast("cpu", torch.bfloat16):
        assert trainer.G(torch.zeros(1, 6, dtype=torch.int64)).dtype == torch.bfloat16
        terms = trainer.generator_loss({"tokens": trainer.corpus.train[:6]}, At())
    assert terms["adversarial"].dtype == torch.float32


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"beta": 0.5}, "beta 0.5: expected 1 to 1000000"),
        ({"beta": math.inf}, "beta inf: expected 1 to 1000000"),
        ({"representations": 0}, "representations 0: expected 1 or more"),
        ({"slots": 0}, "slots 0: expected 1 or more"),
        ({"schedule_steps": -1}, "schedule_steps -1: expected 0 or more"),
        ({"dropout": 1.5}, "dropout 1.5: expected 0 to 1"),
        ({"mle_steps": 0}, "mle_steps 0: expected 1 or more"),
    ],
)
def test_settings_out_of_their_range_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        replace(PRESETS["tiny"], **settings)


def test_the_preset_paper_is_the_authors() -> None:
    """Of the scripts of their experiments: one slot, two heads of 256, a schedule over 5,000 steps."""
    c = PRESETS["paper"]
    assert isinstance(c, RelGANConfig)
    about = SimpleNamespace(slots=c.slots, heads=c.heads, head=c.width // c.heads, epochs=c.mle_steps / (10_000 // 64))
    assert about == SimpleNamespace(slots=1, heads=2, head=256, epochs=150)
    assert (c.embedding, c.discriminator_embedding, c.representations) == (32, 64, 64)
    assert (c.lr, c.discriminator_lr, c.mle_lr, c.clip_norm) == (1e-4, 1e-4, (1e-2, 1e-2), 5.0)
