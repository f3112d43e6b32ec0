"""Discriminators of sounds: shapes, sizes, what they look at."""

import pytest
import torch

from multigen.audio.networks import Discriminators, PeriodDiscriminator, SpectrumDiscriminator, feature_layers


@pytest.mark.parametrize("period", [2, 3, 11])
def test_a_logit_sees_samples_a_period_apart(period: int) -> None:
    torch.manual_seed(0)
    network, sound = PeriodDiscriminator(period, 2), torch.randn(1, 2_000, requires_grad=True)
    *features, logits = network(sound)
    assert len(features) == 5 and logits.shape[1] == 1 and logits.shape[3] == period
    logits[..., 1, 1].sum().backward()
    assert sound.grad is not None
    seen = sound.grad[0].nonzero().flatten()
    assert len(seen) > 9 and {int(at) % period for at in seen} == {1 % period}


def test_of_spectra_a_quieter_sound_is_another_sound() -> None:
    torch.manual_seed(0)
    network, sound = SpectrumDiscriminator(512, 4), 0.1 * torch.randn(2, 2_000)
    *features, logits = network(sound)
    assert [x.shape[1] for x in features] == [4] * 5 and logits.shape[:2] == (2, 1)
    assert not torch.allclose(network(0.5 * sound)[-1], logits)


def test_eight_small_ones_are_a_thousandth_of_the_published() -> None:
    """Vocos's have 41 + 1 million parameters (periods, spectra)."""
    network = Discriminators(8, 16)
    assert [len(network.periods), len(network.spectra)] == [5, 3]
    assert sum(p.numel() for p in network.parameters()) < 120_000
    outputs = network(torch.zeros(1, 4_000))
    assert len(outputs) == 8 and len(feature_layers(outputs)) == 8 * 4
    assert len(Discriminators(0, 16)(torch.zeros(1, 4_000))) == 3
