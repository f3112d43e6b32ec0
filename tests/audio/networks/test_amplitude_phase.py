"""The generator in two streams: the identity at the start, its radius, silence, precision."""

import math

import pytest
import torch
from torch import Tensor

from multigen.audio.networks.amplitude_phase import FLOOR, OPEN, SPREAD, AmplitudePhaseGenerator, ExportedGenerator
from multigen.errors import ConfigError

RATE = 8_000


def generator(trained: bool = False, fills: bool = False) -> AmplitudePhaseGenerator:
    torch.manual_seed(0)
    network = AmplitudePhaseGenerator(RATE, 8, 2, fills).eval()
    if trained:
        for layer in (network.write_amplitude, network.write_phase):
            torch.nn.init.normal_(layer.weight, std=0.05)
    return network


def noise(length: int, batch: int = 2) -> Tensor:
    return 0.1 * torch.randn(batch, length, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("length", [400, 1_000, 1_013])
@pytest.mark.parametrize("fills", [False, True])
def test_untrained_it_returns_its_input_exactly(length: int, fills: bool) -> None:
    x = noise(length)
    assert torch.equal(generator(fills=fills)(x), x)


def test_untrained_it_returns_silence_as_silence() -> None:
    x = torch.zeros(1, 600)
    assert torch.equal(generator()(x), x)


def test_trained_it_changes_its_input_and_keeps_the_length() -> None:
    x = noise(1_013)
    y = generator(trained=True)(x)
    assert y.shape == x.shape and not torch.allclose(x, y)


def test_parameters() -> None:
    width, bins = 8, 129
    network = generator()
    assert (network.hop, network.window, network.n_fft) == (50, 200, 256)
    block = width * 7 + width + 2 * width + 2 * 3 * width * width + 4 * width + width
    reading = 3 * bins * width * 3 + 2 * width
    writing = width * 3 * bins + 3 * bins
    assert sum(p.numel() for p in network.parameters()) == 4 * block + reading + 4 * 2 * width + writing


def test_an_output_depends_on_no_sample_beyond_the_radius() -> None:
    network, length = generator(trained=True), 6_000
    x = noise(length, 1).requires_grad_()
    (grad,) = torch.autograd.grad(network(x)[0, 3_000], x)
    reached = grad[0].nonzero().flatten()
    assert 3_000 - network.radius <= int(reached.min()) and int(reached.max()) <= 3_000 + network.radius


def test_the_prediction_is_what_the_sound_holds() -> None:
    """A gain of all amplitudes scales the sound."""
    network, x = generator(), noise(1_000)
    with torch.no_grad():
        network.write_amplitude.bias.fill_(-2 * OPEN / SPREAD)  # sigmoid(-2) / sigmoid(2) is exp(-2)
        torch.testing.assert_close(network(x), x * torch.tensor(-2.0).exp(), atol=1e-3, rtol=0)


@torch.no_grad()
def test_amplitudes_that_fill_are_added_to_the_input() -> None:
    network, x = generator(fills=True), noise(1_000)
    network.write_amplitude.bias.fill_(2)
    added = FLOOR * math.exp(2 * SPREAD)
    amplitude = network.analyse(x).log_amplitude.exp()
    torch.testing.assert_close(network.predict(x).log_amplitude.exp(), amplitude + added, rtol=1e-4, atol=1e-6)


def test_gradients_of_silence_are_finite() -> None:
    network = generator()
    predicted = network.predict(torch.zeros(1, 600))
    (predicted.log_amplitude.sum() + predicted.sine.sum()).backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in network.parameters())
    assert network.write_phase.weight.grad is not None and network.write_phase.weight.grad.any()


@pytest.mark.parametrize("length", [400, 1_013])
@pytest.mark.parametrize("fills", [False, True])
@torch.no_grad()
def test_the_exported_form_computes_the_same(length: int, fills: bool) -> None:
    network, x = generator(trained=True, fills=fills), noise(length)
    torch.testing.assert_close(ExportedGenerator(network)(x), network(x), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("rate", [22_050, 100])
def test_rates_without_whole_frames_are_refused(rate: int) -> None:
    with pytest.raises(ConfigError, match=rf"rate {rate}: .* 160 frames a second; choose a multiple of 160"):
        AmplitudePhaseGenerator(rate, 8, 1)
