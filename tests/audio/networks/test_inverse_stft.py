"""The inverse STFT: torch's, by FFT and as transposed convolutions."""

import pytest
import torch

from multigen.audio import spectral
from multigen.audio.networks import InverseSTFT, inverse_stft

SHAPES = [(512, 100, 512), (1024, 200, 1024), (64, 16, 64), (64, 20, 40), (256, 128, 256)]


def draw(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.mark.parametrize(("n_fft", "hop", "window"), SHAPES)
def test_a_sound_comes_back_from_its_spectrum(n_fft: int, hop: int, window: int) -> None:
    sound = draw(2, 20 * hop)
    spectrum = spectral.stft(sound, n_fft, hop, torch.hann_window(window, dtype=torch.float64))
    made = inverse_stft(spectrum.real, spectrum.imag, n_fft, hop, window)
    assert made.shape == (2, 21 * hop)
    torch.testing.assert_close(made[:, : 20 * hop], sound, rtol=0, atol=1e-9)


@pytest.mark.parametrize(("n_fft", "hop", "window"), SHAPES[:4])
def test_of_random_spectra_it_is_torch_s_and_so_is_the_convolution(n_fft: int, hop: int, window: int) -> None:
    """Most spectra are of no sound: what a network gives."""
    real, imaginary = draw(2, 2, n_fft // 2 + 1, 12)
    whole, taps = torch.complex(real, imaginary), torch.hann_window(window, dtype=torch.float64)
    expected = torch.istft(whole, n_fft, hop, window, taps, length=11 * hop)
    made = inverse_stft(real, imaginary, n_fft, hop, window)
    torch.testing.assert_close(made[:, : 11 * hop], expected, rtol=0, atol=1e-12)
    layer = InverseSTFT(n_fft, hop, window).double()
    torch.testing.assert_close(layer(real, imaginary), made, rtol=1e-5, atol=1e-6)


def test_it_is_differentiable_even_if_first_used_in_inference_mode() -> None:
    with torch.inference_mode():
        inverse_stft(torch.zeros(1, 17, 3), torch.zeros(1, 17, 3), 32, 8, 32)
    real = draw(1, 17, 3).float().requires_grad_()
    inverse_stft(real, torch.zeros(1, 17, 3), 32, 8, 32).sum().backward()
    assert real.grad is not None and real.grad.abs().sum() > 0
