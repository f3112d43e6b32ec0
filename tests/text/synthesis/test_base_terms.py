"""Losses of the base trainer of text synthesis, on one batch."""

import copy
from typing import Any

import pytest
import torch
from torch import Tensor

from multigen.losses.policy_gradient import group_scaled, leave_one_out
from multigen.text.decoding import sample, token_mask
from tests.text.synthesis.toys import Draws, prepared


@pytest.mark.parametrize("baseline", ["none", "mean", "critic"])
@pytest.mark.parametrize("scaled", [False, True])
def test_what_is_subtracted_from_values(baseline: Any, scaled: bool, seen: list[Any]) -> None:
    """On texts of several lengths."""
    trainer = prepared("fables:30", length=9, baseline=baseline, scale_rewards=scaled, tokenizer="characters")
    info, step = trainer.data_info, Draws()
    trainer.G.output.bias.data[info.end] = 2.0
    value = torch.rand(6, 9, generator=torch.Generator().manual_seed(5))
    terms = trainer.policy_loss(lambda tokens, step: value, {}, step)
    tokens = sample(trainer.G, step.rand("tokens", 9), info.end, info.pad)
    mask = token_mask(tokens, info.end)
    assert 6 < mask.sum() < 54
    torch.testing.assert_close(step.logged["reward"], value[mask].mean())

    expected = value
    if baseline == "mean":
        expected = value - leave_one_out(value, mask)
    elif baseline == "critic":
        guess = trainer.nets["V"](tokens)
        expected = value - guess.detach()
        total, count = terms["critic"]
        torch.testing.assert_close(total / count, (guess - value)[mask].square().mean())
    expected = group_scaled(expected, mask) if scaled else expected
    ((log_p, advantages, used),) = seen
    assert torch.equal(used, mask)
    torch.testing.assert_close(advantages[mask], expected[mask])
    by_hand = trainer.G(tokens).log_softmax(-1).gather(2, tokens[..., None])[..., 0]
    torch.testing.assert_close(log_p, by_hand)
    total, count = terms["policy"]
    torch.testing.assert_close(total / count, -(by_hand * expected)[mask].mean())
    assert terms.keys() == {"policy"} | ({"critic"} if baseline == "critic" else set())
    if baseline == "critic":  # each network learns from its own term
        assert all(g is None for g in torch.autograd.grad(total, [*trainer.nets["V"].parameters()], allow_unused=True))


def test_the_divergence_from_maximum_likelihood_is_nothing_at_first_and_pulls_back(data: str) -> None:
    trainer = prepared(data, kl=2.0)
    trainer.copies["reference"] = copy.deepcopy(trainer.G)

    def divergence() -> Tensor:
        total, count = trainer.policy_loss(lambda tokens, step: torch.zeros(6, 6), {}, Draws())["kl"]
        return total / count

    assert abs(divergence().item()) < 1e-6
    for p in trainer.G.parameters():
        p.data += 0.3 * torch.randn(p.shape, generator=torch.Generator().manual_seed(p.numel()))
    tokens = sample(trainer.G, Draws().rand("tokens", 6))
    p, q = (net(tokens).log_softmax(-1) for net in (trainer.G, trainer.copies["reference"]))
    torch.testing.assert_close(divergence(), 2 * (p.exp() * (p - q)).sum(-1).mean())
    before = divergence()
    before.backward()
    for p in trainer.G.parameters():
        p.data -= 0.05 * p.grad
    assert 0 < divergence() < before


@pytest.mark.parametrize("method", ["seqgan", "scratchgan"])
def test_values_are_exact_where_networks_compute_in_bfloat16(method: str, data: str, seen: list[Any]) -> None:
    trainer = prepared(data, method, baseline="critic", kl=1.0)
    trainer.copies["reference"] = copy.deepcopy(trainer.G)
    with torch.autocast("cpu", torch.bfloat16):
        assert trainer.G(torch.zeros(1, 6, dtype=torch.int64)).dtype == torch.bfloat16
        terms = trainer.policy_loss(trainer.reward, {}, Draws())
    assert seen[0][1].dtype == seen[0][0].dtype == torch.float32
    assert {term[0].dtype for term in terms.values()} == {torch.float32}
    assert abs(terms["kl"][0].item()) < 1e-5


def test_likelihood_is_of_the_tokens_up_to_the_end() -> None:
    trainer = prepared("fables:30", length=5, tokenizer="characters")
    end = trainer.data_info.end
    tokens = torch.tensor([[5, 6, 7, 8, 9], [5, end, 0, 0, 0]])
    total, count = trainer.likelihood_loss({"tokens": tokens}, Draws())["nll"]
    log_p = trainer.G(tokens).log_softmax(-1)
    by_hand = [log_p[i, t, tokens[i, t]] for i, n in enumerate((5, 2)) for t in range(n)]
    assert count == 7
    torch.testing.assert_close(total, -torch.stack(by_hand).sum())


def test_negatives_are_texts_of_the_generator(data: str) -> None:
    trainer = prepared(data, negatives=600)  # more than are drawn at a time

    class Step:
        def rng(self, stream: str) -> torch.Generator:
            return torch.Generator().manual_seed(4)

    fake = trainer.negatives(Step())["fake"]
    uniform = torch.rand(600, 6, generator=torch.Generator().manual_seed(4))
    assert torch.equal(fake, sample(trainer.G, uniform))
