"""Losses of sounds against closed forms."""

import math

import pytest
import torch

from multigen.audio.restoration import losses
from multigen.audio.restoration.losses import magnitude_error, mel_error, phase_errors, phase_weights, phasor


def at(angle: torch.Tensor) -> torch.Tensor:
    return torch.polar(torch.ones_like(angle), angle)


def draw(*shape: int) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 20


def test_a_gain_moves_all_log_mels_alike() -> None:
    sound = torch.randn(2, 4_000, generator=torch.Generator().manual_seed(0))
    assert mel_error(sound, sound, 16_000) == 0
    assert mel_error(2 * sound, sound, 16_000).item() == pytest.approx(math.log(2), rel=1e-4)


def test_mels_of_quiet_sounds_are_compared_too() -> None:
    quiet = 1e-5 * torch.randn(1, 4_000, generator=torch.Generator().manual_seed(0))
    made = (2 * quiet).requires_grad_()
    error = mel_error(made, quiet, 16_000)
    error.backward()
    assert error.item() == pytest.approx(math.log(2), rel=1e-3)
    assert made.grad is not None and made.grad.abs().min() > 0
    silence = torch.zeros(1, 4_000, requires_grad=True)
    mel_error(silence, quiet, 16_000).backward()
    assert silence.grad is not None and silence.grad.isfinite().all()


def test_resolutions_longer_than_the_sound_are_left_out() -> None:
    assert mel_error(torch.ones(1, 200), torch.ones(1, 200), 16_000) == 0


def test_phases_are_compared_by_angles_whatever_the_whole_turns() -> None:
    phase = draw(2, 5, 7)
    assert phase_errors(at(phase), at(phase + 2 * math.pi))["phase"].item() == pytest.approx(0, abs=1e-9)
    moved = phase_errors(at(phase + 0.3), at(phase))
    assert moved["phase"].item() == pytest.approx(0.3)  # all alike: no difference over frequency or time
    assert moved["group_delay"].item() == pytest.approx(0, abs=1e-7) == moved["frequency"].item()
    slope = torch.arange(5.0, dtype=torch.float64)[:, None] * 0.1
    assert phase_errors(at(phase + slope), at(phase))["group_delay"].item() == pytest.approx(0.1)
    turn = torch.arange(7.0, dtype=torch.float64) * -0.2
    assert phase_errors(at(phase + turn), at(phase))["frequency"].item() == pytest.approx(0.2)
    assert phase_errors(at(phase + math.pi), at(phase))["phase"].item() == pytest.approx(math.pi)


def test_bins_weigh_as_they_are_loud() -> None:
    magnitudes = torch.tensor([[[1.0], [0.0]]], dtype=torch.float64)
    weights = phase_weights(magnitudes)
    assert weights.flatten().tolist() == [2, 0]
    phase = torch.zeros(1, 2, 1, dtype=torch.float64)
    other = torch.tensor([[[0.5], [3.0]]], dtype=torch.float64)
    assert phase_errors(at(other), at(phase), weights)["phase"].item() == pytest.approx(0.5)
    assert float(phase_weights(draw(1, 3, 3)).mean()) == pytest.approx(1)


def test_a_number_near_zero_has_no_direction_and_a_finite_gradient() -> None:
    real = torch.tensor([0.0, 3.0], requires_grad=True)
    made = phasor(real, torch.tensor([0.0, 4.0]))
    assert made[0] == 0 and made[1].detach() == pytest.approx(complex(0.6, 0.8))
    phase_errors(made[None, None], at(torch.zeros(1, 1, 2)))["phase"].backward()
    assert real.grad is not None and real.grad.isfinite().all()


def test_magnitudes_are_compared_in_natural_logarithms() -> None:
    assert magnitude_error(torch.tensor([0.0, 1.0]), torch.tensor([1.0, -1.0])) == 1.5
    assert [n_fft for n_fft, _ in losses.SCALES] == [2048, 1024, 512, 256, 128]
