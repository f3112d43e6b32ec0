"""SeqGAN: rewards by Monte-Carlo search, the roll-out policy, its discriminator's loss."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from multigen.text.decoding import sample
from multigen.text.synthesis import seqgan
from multigen.text.synthesis.seqgan import SeqGANTrainer
from tests.cases import few
from tests.text.synthesis.toys import Draws, made, prepared, weights


@pytest.mark.parametrize("follow", [1.0, 0.25])
def test_the_policy_that_continues_follows_the_generator(
    follow: float, data: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    used: list[Any] = []
    true = seqgan.rewards
    monkeypatch.setattr(seqgan, "rewards", lambda G, *rest: used.append(G) or true(G, *rest))
    walk: list[tuple[dict[str, Tensor], dict[str, Tensor]]] = []

    def see(trainer: Any) -> None:
        if trainer.stage.name == "adversarial":
            walk.append((weights(trainer.G), weights(trainer.copies.get("lagged", trainer.G))))

    trainer = made(data, tmp_path / "run", see, follow=follow).fit()
    assert len(used) == len(walk) == 3
    assert all(G is trainer.copies.get("lagged", trainer.G) for G in used)
    assert (follow < 1) == ("lagged" in trainer.copies)
    lagged = trainer.saved("G", "mle", "best")
    for G, copied in walk:
        lagged = {name: t + follow * (G[name] - t) for name, t in lagged.items()}
        for name, t in copied.items():
            torch.testing.assert_close(t, lagged[name])
    assert any(not torch.equal(G[name], copied[name]) for G, copied in walk for name in G) == (follow < 1)


@pytest.mark.parametrize("baseline", few(["none", "mean", "critic"], "critic"))
def test_the_generator_learns_what_the_discriminator_likes(
    baseline: Any, data: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A discriminator that counts one token, and never learns."""
    monkeypatch.setattr(SeqGANTrainer, "realness", lambda self, tokens: (tokens == 3).float().mean(1))
    settings = {"steps": 40, "critic_steps": 0, "control_steps": 0, "batch": 32, "lr": 0.02, "baseline": baseline}
    trainer = made(data, tmp_path / "run", **settings).fit()
    uniform = torch.rand(500, 6, generator=torch.Generator().manual_seed(0))
    shares = []
    for stage in ("mle", "adversarial"):
        trainer.G.load_state_dict(trainer.saved("G", stage, "last"))
        shares.append((sample(trainer.G, uniform) == 3).float().mean().item())
    assert shares[0] < 0.1 and shares[1] > 0.5


def test_rewards_by_search_are_the_discriminators_probabilities(data: str) -> None:
    """Of the last token: of the text itself, nothing dropped."""
    trainer = prepared(data, dropout=0.5)
    tokens = sample(trainer.G, Draws().rand("tokens", 6))
    value = trainer.reward(tokens, Draws())
    assert trainer.D.training and value.shape == (6, 6)
    torch.testing.assert_close(value[:, -1], trainer.D.score(tokens))
    assert torch.equal(trainer.reward(tokens, Draws()), value)


def test_the_discriminators_loss(data: str) -> None:
    trainer = prepared(data, dropout=0.0, weight_decay=0.5)
    batch = {
        name: torch.randint(30, (6, 6), generator=torch.Generator().manual_seed(i))
        for i, name in enumerate(("real", "fake"))
    }
    terms = trainer.discriminator_loss(batch, Draws())
    p = {name: trainer.D.score(tokens) for name, tokens in batch.items()}
    torch.testing.assert_close(terms["adversarial"], -p["real"].log().mean() - (1 - p["fake"]).log().mean())
    torch.testing.assert_close(terms["l2"], 0.5 * trainer.D.penalty())
