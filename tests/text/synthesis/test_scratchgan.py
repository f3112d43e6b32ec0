"""ScratchGAN: dense rewards, its discriminator's loss, training from scratch."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn.functional import softplus

import multigen
from multigen.errors import ConfigError
from multigen.text.decoding import sample
from multigen.text.networks.discriminators import Recurrent
from multigen.text.synthesis.scratchgan import PRESETS, ScratchGANTrainer
from tests.cases import few
from tests.text.synthesis.toys import Draws, made, prepared, weights


def test_dense_rewards_are_what_the_discriminator_gives_from_a_token_on() -> None:
    trainer = prepared("fables:30", "scratchgan", length=5, discount=0.5, tokenizer="characters")
    end = trainer.data_info.end
    trainer.nets["D"] = trainer.D = lambda tokens: torch.tensor([[0.0, 1, 2, 3, 4]]).expand(2, -1)
    tokens = torch.tensor([[5, 6, 7, 8, 9], [5, 6, end, 0, 0]])
    r = [2 / (1 + math.exp(-x)) - 1 for x in range(5)]
    first = [sum(0.5 ** (k - t) * r[k] for k in range(t, 5)) for t in range(5)]
    second = [r[0] + r[1] / 2 + r[2] / 4, r[1] + r[2] / 2, r[2], 0, 0]
    torch.testing.assert_close(trainer.reward(tokens, Draws(2)), torch.tensor([first, second]))


def test_the_discriminators_loss_at_each_token_leaves_padding_out() -> None:
    trainer = prepared("fables:30", "scratchgan", length=5, tokenizer="characters")
    end = trainer.data_info.end
    batch = {
        "real": torch.tensor([[5, 6, 7, 8, 9], [5, end, 0, 0, 0]]),
        "fake": torch.tensor([[9, 8, end, 0, 0], [end, 0, 0, 0, 0]]),
    }
    terms = trainer.discriminator_loss(batch, Draws())
    real, fake = trainer.D(batch["real"]), trainer.D(batch["fake"])
    expected = {
        "real": softplus(-torch.cat([real[0], real[1, :2]])),
        "fake": softplus(torch.cat([fake[0, :3], fake[1, :1]])),
    }
    for name, values in expected.items():
        total, count = terms[name]
        assert count == len(values)
        torch.testing.assert_close(total, values.sum())


def test_the_discriminator_is_recurrent_and_rewards_need_no_step(data: str) -> None:
    trainer = prepared(data, "scratchgan")
    assert isinstance(trainer.nets["D"], Recurrent)
    tokens = sample(trainer.G, Draws().rand("tokens", 6))
    assert torch.equal(trainer.reward(tokens, None), trainer.reward(tokens, None))
    assert not trainer.reward(tokens, None).requires_grad


@pytest.mark.parametrize("baseline", few(["none", "mean", "critic"], "mean"))
def test_the_generator_learns_what_the_discriminator_likes(
    baseline: Any, data: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From scratch; a discriminator that takes one token for real, and never learns."""
    monkeypatch.setattr(Recurrent, "forward", one_token_is_real(Recurrent.forward))
    settings: dict[str, Any] = {"mle_steps": 0, "control_steps": 0, "discriminator_steps": 0, "critic_steps": 0}
    settings |= {"steps": 60, "batch": 32, "lr": 0.02, "baseline": baseline, "discount": 0.0}
    trainer = made(data, tmp_path / "run", method="scratchgan", **settings).fit()
    uniform = torch.rand(500, 6, generator=torch.Generator().manual_seed(0))
    assert (sample(trainer.G, uniform) == 3).float().mean() > 0.5


def one_token_is_real(critic: Any) -> Any:
    def forward(self: Any, tokens: torch.Tensor) -> torch.Tensor:
        return critic(self, tokens) if self.before else 8.0 * (tokens == 3) - 4.0

    return forward


def test_training_from_scratch_starts_from_random_weights_and_is_measured_without_a_verdict(
    data: str, tmp_path: Path
) -> None:
    starts: list[Any] = []
    settings = {"mle_steps": 0, "control_steps": 0, "discriminator_steps": 2}

    def see(trainer: Any) -> None:
        if trainer.stage.name == "discriminator":
            starts.append(weights(trainer.G))

    trainer = made(data, tmp_path / "run", see, method="scratchgan", **settings).fit()
    assert [stage.name for stage in trainer.plan] == ["discriminator", "adversarial"]
    untrained = prepared(data, "scratchgan", **settings)
    assert all(torch.equal(t, starts[-1][name]) for name, t in weights(untrained.G).items())
    result = trainer.evaluate()
    assert {name.split(" at ")[0] for name in result.rows} == {"real", "adversarial/best", "adversarial/last"}
    assert result.remarks["verdict"] == "there is no maximum-likelihood stage to compare with"
    assert multigen.load(str(tmp_path / "run")).generate(n=2)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"mle_steps": 0}, "control_steps 2: expected 0 with mle_steps 0.*give --control-steps 0, or more --mle-steps"),
        ({"mle_steps": 0, "control_steps": 0, "kl": 0.5}, "kl 0.5: expected 0 with mle_steps 0.*--kl 0"),
        ({"mle_steps": 0, "control_steps": 0, "steps": 0}, "mle_steps 0 and steps 0: .*give more --steps"),
        ({"mle_steps": -1}, "mle_steps -1: expected 0 or more"),
        ({"discount": 1.5}, "discount 1.5: expected 0 to 1"),
        ({"betas": (0.5, 1.0)}, "betas 1.0: expected 0 to"),
    ],
)
def test_settings_that_do_not_fit_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        replace(PRESETS["tiny"], **settings)


def test_betas_are_those_of_the_adversarial_stage_alone() -> None:
    trainer = ScratchGANTrainer(replace(PRESETS["tiny"], betas=(0.5, 0.9)))
    stages = {stage.name: stage for stage in trainer.stages()}
    given = {name: trainer.spec(stages["adversarial"], name).settings(0.0)["betas"] for name in ("G", "D")}
    assert given == {"G": (0.5, 0.9), "D": (0.5, 0.9)}
    assert trainer.spec(stages["mle"], "G").settings(0.0)["betas"] == (0.9, 0.999)
