"""Truncated latents: the distribution they have, and that they are related to those of the same
seed."""

import math

import pytest
import torch
from torch import nn

from multigen.errors import ConfigError
from multigen.tasks.synthesis.latents import truncated
from multigen.tasks.synthesis.sampler import Sampler


class Echo(Sampler):
    """Its samples are its latents."""

    def __init__(self, latent: int = 8):
        network = nn.Linear(latent, latent, bias=False).double()
        network.weight.data.copy_(torch.eye(latent))
        super().__init__(network.requires_grad_(False), latent)


@pytest.mark.parametrize("t", [0.1, 2.0])
def test_the_variance_is_that_of_the_truncated_normal(t: float) -> None:
    z = Echo().latents(20_000, seed=1, truncation=t).double()
    density, mass = math.exp(-t * t / 2) / math.sqrt(2 * math.pi), math.erf(t / math.sqrt(2))
    variance = 1 - 2 * t * density / mass
    fourth = 3 * variance - 2 * t**3 * density / mass  # E z^4, by parts
    assert abs(float(z.mean())) < 4 * math.sqrt(variance / z.numel())
    assert abs(float(z.square().mean()) - variance) < 4 * math.sqrt((fourth - variance**2) / z.numel())
    assert float(z.abs().max()) <= t * (1 + 1e-6)
    assert float(z.abs().max()) > 0.99 * t


def test_quantiles_signs_and_ranks_are_kept() -> None:
    z = torch.randn(4000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    narrow = truncated(z, 0.7)
    normal = torch.distributions.Normal(0, 1)
    low, high = (normal.cdf(torch.tensor(x, dtype=torch.float64)) for x in (-0.7, 0.7))
    expected = normal.icdf(low + (high - low) * normal.cdf(z))
    torch.testing.assert_close(narrow, expected, atol=1e-9, rtol=0)
    assert torch.equal(z.argsort(), narrow.argsort()) and torch.equal(z.sign(), narrow.sign())


def test_a_wide_truncation_changes_nothing_and_extremes_stay_finite() -> None:
    z = torch.tensor([-40.0, -9.0, -1.0, 0.0, 1e-30, 3.0, 9.0, 40.0])
    torch.testing.assert_close(truncated(z, 12)[2:6], z[2:6], atol=1e-6, rtol=1e-6)
    for t in (1e-6, 0.5, 12.0):
        assert truncated(z, t).isfinite().all() and truncated(z, t).abs().max() <= t * (1 + 1e-6)


def test_without_truncation_nothing_changes_and_samples_are_related() -> None:
    sampler = Echo()
    assert torch.equal(sampler.latents(5, 3), sampler.latents(5, 3, truncation=None))
    plain, narrow = sampler.sample(50, 3), sampler.sample(50, 3, truncation=0.5)
    assert torch.equal(plain.argsort(), narrow.argsort())
    assert torch.equal(sampler.sample(3, 3, truncation=0.5), narrow[:3])


def test_walks_pass_truncated_samples() -> None:
    sampler = Echo()
    walk = sampler.interpolate(3, 4, seed=2, truncation=0.5)
    torch.testing.assert_close(walk[::4], sampler.sample(3, 2, truncation=0.5), atol=1e-12, rtol=0)


@pytest.mark.parametrize("t", [0.0, -0.5, float("nan")])
def test_a_truncation_that_is_not_above_0(t: float) -> None:
    for act in (Echo().latents, Echo().sample, Echo().interpolate):
        with pytest.raises(ConfigError, match=r"truncation .*: expected a positive number"):
            act(2, truncation=t)
