"""Policy gradient: closed forms, and an exact gradient of a toy whose sequences can all be
listed."""

import itertools

import pytest
import torch
from torch import Tensor

from multigen.losses.policy_gradient import group_scaled, kl_divergence, leave_one_out, policy_gradient, returns

V, T = 3, 3


def test_returns_by_hand():
    rewards = torch.tensor([[1.0, 2.0, 4.0], [1.0, 2.0, 4.0]])
    mask = torch.tensor([[True, True, True], [True, True, False]])
    assert returns(rewards, mask).tolist() == [[7, 6, 4], [3, 2, 0]]
    assert returns(rewards, mask, 0.5).tolist() == [[3, 4, 4], [2, 2, 0]]


def test_the_mean_of_the_others():
    values = torch.tensor([[1.0, 5.0], [3.0, 9.0], [8.0, 7.0]])
    mask = torch.tensor([[True, True], [True, False], [True, False]])
    assert leave_one_out(values, mask).tolist() == [[5.5, 0.0], [4.5, 0.0], [2.0, 0.0]]


def test_scaling_by_the_group():
    values = torch.tensor([[1.0, 5.0], [3.0, 100.0]], dtype=torch.float64)
    mask = torch.tensor([[True, True], [True, False]])
    scaled = group_scaled(values, mask)
    assert scaled[1, 1] == 0
    kept = scaled[mask]
    assert kept.mean().item() == pytest.approx(0, abs=1e-12)
    assert kept.std(correction=0).item() == pytest.approx(1)
    assert group_scaled(torch.full((2, 2), 0.3), mask).abs().sum() == 0  # equal values say nothing


@pytest.mark.parametrize("deviation", [1e-2, 1e-4, 1e-5])
def test_small_differences_of_large_values_are_scaled_by_the_group_too(deviation: float):
    draw = torch.randn(64, 20, generator=torch.Generator().manual_seed(0))
    scaled = group_scaled(0.5 + deviation * draw, torch.ones(64, 20, dtype=torch.bool))
    assert scaled.dtype == torch.float32
    assert scaled.std(correction=0).item() == pytest.approx(1, rel=1e-4)
    assert torch.corrcoef(torch.stack([scaled.flatten(), draw.flatten()]))[0, 1] > 0.99


def test_divergence_against_torch():
    rng = torch.Generator().manual_seed(0)
    p, q = torch.randn(2, 2, T, V, generator=rng).unbind()
    mask = torch.tensor([[True, True, False], [True, False, False]])
    total, count = kl_divergence(p, q, mask)
    expected = torch.distributions.kl_divergence(*(torch.distributions.Categorical(logits=x) for x in (p, q)))
    assert total.item() == pytest.approx((expected * mask).sum().item(), rel=1e-5)
    assert count == 3
    assert kl_divergence(p, p, mask)[0].item() == pytest.approx(0, abs=1e-6)


def log_policy(weights: Tensor, texts: Tensor) -> Tensor:
    """log p of each token (B, T) of a policy with a table for (place, token before it)."""
    before = torch.cat([torch.zeros_like(texts[:, :1]), texts[:, :-1]], 1)
    logits = weights[torch.arange(T), before]  # (B, T, V)
    return logits.log_softmax(-1).gather(2, texts[:, :, None])[:, :, 0]


def reward(texts: Tensor) -> Tensor:
    return ((texts * torch.tensor([1, 3, 7])).sum(1) % 5).double()


@pytest.mark.parametrize("baseline", ["none", "mean", "wrong on purpose"])
def test_the_mean_gradient_is_the_exact_one(baseline: str):
    """d/dw E[reward] by listing all 27 sequences, against the mean of many estimates, within their
    standard error."""
    rng = torch.Generator().manual_seed(0)
    weights = torch.randn(T, V, V, dtype=torch.float64, generator=rng).requires_grad_()
    everything = torch.tensor(list(itertools.product(range(V), repeat=T)))
    p = log_policy(weights, everything).sum(1).exp()
    (exact,) = torch.autograd.grad(-(p * reward(everything)).sum(), weights)

    batches, B = 4_000, 4
    drawn = torch.multinomial(p.detach().expand(batches, -1), B, replacement=True, generator=rng)
    texts, mask = everything[drawn], torch.ones(batches, B, T, dtype=torch.bool)
    value = reward(texts.flatten(0, 1)).view(batches, B, 1).expand(-1, -1, T)  # of the whole sequence, for each token
    if baseline == "mean":
        value = torch.stack([of - leave_one_out(of, rows) for of, rows in zip(value, mask, strict=True)])
    elif baseline == "wrong on purpose":  # the sequence's own mean: biased
        value = value - value.mean(1, keepdim=True)
    each = weights.detach().expand(batches, T, V, V).clone().requires_grad_()  # a policy of its own for each batch
    log_p = torch.func.vmap(log_policy)(each, texts)
    total, count = policy_gradient(log_p.flatten(0, 1), value.flatten(0, 1), mask.flatten(0, 1))
    (estimates,) = torch.autograd.grad(total * T * batches / count, each)
    error = estimates.std(0) / batches**0.5
    z = ((estimates.mean(0) - exact) / error.clamp(min=1e-12))[error > 0]
    if baseline == "wrong on purpose":
        assert z.abs().max() > 6
    else:
        assert z.abs().max() < 4.5  # of 21 free numbers
