import functools
import math
from collections.abc import Callable

import librosa
import numpy as np
import pytest
import torch
from torch import Tensor

from multigen.audio.spectral import griffin_lim, log_mel, magnitude, mel_spectrogram, mfcc, stft
from multigen.errors import ConfigError, DataError

RATE = 16000
SIZES = [(1024, 256, 80), (512, 128, 40), (2048, 500, 128)]  # n_fft, hop, bands


def chirp(seconds: float = 0.5, dtype=torch.float32) -> Tensor:
    """A tone that rises from 100 Hz to 6 kHz within a second, in noise, (T,)."""
    at = torch.arange(round(RATE * seconds), dtype=torch.float64) / RATE
    noise = torch.randn(len(at), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return (0.5 * torch.sin(2 * math.pi * (100 * at + 2950 * at**2)) + 0.02 * noise).to(dtype)


def short(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def librosa_mel(x: Tensor, n_fft: int, hop: int, bands: int, low: float = 0, high: float | None = None) -> np.ndarray:
    return librosa.feature.melspectrogram(
        y=x.numpy(), sr=RATE, n_fft=n_fft, hop_length=hop, n_mels=bands, fmin=low, fmax=high, pad_mode="reflect"
    )


def agree(ours: Tensor, theirs: np.ndarray, relative: float = 1e-4) -> None:
    assert ours.shape == theirs.shape
    assert np.abs(ours.numpy() - theirs).max() <= relative * np.abs(theirs).max()


def convergence(sound: Tensor, target: Tensor, n_fft: int, hop: int) -> float:
    """Spectral convergence: the distance to the magnitudes wanted, as a share of their norm."""
    return float((magnitude(sound, n_fft, hop) - target).norm() / target.norm())


# ---------------------------------------------------------------------------------------------------- as librosa has them


@pytest.mark.parametrize(("n_fft", "hop", "bands"), SIZES)
def test_stft_agrees_with_librosa(n_fft: int, hop: int, bands: int) -> None:
    x = chirp()
    theirs = librosa.stft(x.numpy(), n_fft=n_fft, hop_length=hop, pad_mode="reflect")
    agree(stft(x, n_fft, hop), theirs, 1e-6)
    agree(magnitude(x, n_fft, hop), np.abs(theirs), 1e-6)


def test_windows_shorter_than_a_frame_are_centred() -> None:
    x = chirp()
    theirs = librosa.stft(x.numpy(), n_fft=512, hop_length=50, win_length=240, pad_mode="reflect")
    agree(stft(x, 512, 50, torch.hann_window(240, dtype=torch.float64)), theirs, 1e-6)


@pytest.mark.parametrize(("n_fft", "hop", "bands"), SIZES)
def test_mel_agrees_with_librosa(n_fft: int, hop: int, bands: int) -> None:
    x = chirp()
    theirs = librosa_mel(x, n_fft, hop, bands)
    ours = mel_spectrogram(x, RATE, n_fft, hop, bands)
    agree(ours, theirs, 1e-5)
    np.testing.assert_allclose(ours.numpy(), theirs, rtol=3e-4)  # the weakest bands too
    agree(
        mel_spectrogram(x, RATE, n_fft, hop, bands, 60, 7000),
        librosa_mel(x, n_fft, hop, bands, low=60, high=7000),
        1e-5,
    )


def test_log_mel_agrees_with_librosa() -> None:
    x = chirp()
    for floor in (1e-5, 1e-2):
        theirs = np.log(np.maximum(librosa_mel(x, 1024, 256, 80), floor))
        np.testing.assert_allclose(log_mel(x, RATE, floor=floor).numpy(), theirs, atol=3e-4)
    assert (log_mel(torch.zeros(2000), RATE) == math.log(1e-5)).all()


@pytest.mark.parametrize(("n_fft", "hop", "bands"), SIZES)
def test_mfcc_agrees_with_librosa(n_fft: int, hop: int, bands: int) -> None:
    x = chirp()
    decibels = librosa.power_to_db(librosa_mel(x, n_fft, hop, bands), top_db=None)
    agree(mfcc(x, RATE, 13, n_fft, hop, bands), librosa.feature.mfcc(S=decibels, n_mfcc=13), 1e-5)
    agree(mfcc(x, RATE, bands, n_fft, hop, bands), librosa.feature.mfcc(S=decibels, n_mfcc=bands), 1e-5)


def test_mfcc_of_silence() -> None:
    ours = mfcc(torch.zeros(2000), RATE)
    torch.testing.assert_close(ours[0], torch.full((8,), -100 * math.sqrt(80)))
    assert ours[1:].abs().max() < 1e-3


# ---------------------------------------------------------------------------------------------------- shapes, types, gradients

FUNCTIONS: list[Callable[[Tensor], Tensor]] = [
    functools.partial(stft, n_fft=64, hop=16),
    functools.partial(magnitude, n_fft=64, hop=16),
    functools.partial(mel_spectrogram, rate=RATE, n_fft=64, hop=16, bands=6),
    functools.partial(log_mel, rate=RATE, n_fft=64, hop=16, bands=6),
    functools.partial(mfcc, rate=RATE, n=4, n_fft=64, hop=16, bands=6),
]


@pytest.mark.parametrize("function", FUNCTIONS)
def test_any_batch(function: Callable[[Tensor], Tensor]) -> None:
    x = short(2, 3, 100)
    ours = function(x)
    assert ours.shape[:2] == (2, 3) and ours.shape[3] == 7
    torch.testing.assert_close(ours[1, 2], function(x[1, 2]))
    torch.testing.assert_close(function(x.transpose(0, 1)), ours.transpose(0, 1))


@pytest.mark.parametrize("function", FUNCTIONS)
def test_gradients(function: Callable[[Tensor], Tensor]) -> None:
    x = short(1, 40).requires_grad_()
    assert torch.autograd.gradcheck(function, x)
    assert torch.autograd.gradgradcheck(function, x)


def test_gradients_of_silence_are_finite() -> None:
    for function in FUNCTIONS[1:]:
        x = torch.zeros(100, requires_grad=True)
        function(x).sum().backward()
        assert x.grad is not None and x.grad.abs().sum() == 0


@pytest.mark.parametrize("function", FUNCTIONS)
def test_half_precision_and_autocast_compute_in_float32(function: Callable[[Tensor], Tensor]) -> None:
    x = short(100).float()
    with torch.autocast("cpu", torch.bfloat16):
        under = function(x)
    assert torch.equal(under, function(x))
    assert torch.equal(function(x.bfloat16()), function(x.bfloat16().float()))


def test_what_inference_computed_first_serves_training() -> None:
    settings = {"rate": 12345, "n_fft": 66, "hop": 16, "bands": 5, "n": 3}  # that no other test has used
    with torch.inference_mode():
        mfcc(torch.ones(100), **settings)
    x = short(100).float().requires_grad_()
    mfcc(x, **settings).sum().backward()
    assert x.grad is not None and x.grad.isfinite().all()


# ---------------------------------------------------------------------------------------------------- Griffin-Lim


def test_griffin_lim_finds_a_sound_of_these_magnitudes() -> None:
    x = chirp(1)
    for n_fft, hop, reached in ((1024, 256, 0.12), (512, 128, 0.1)):
        target = magnitude(x, n_fft, hop)
        start = convergence(griffin_lim(target, n_fft, hop, 0), target, n_fft, hop)
        assert start > 0.5
        ours = convergence(griffin_lim(target, n_fft, hop), target, n_fft, hop)
        assert ours < reached
        theirs = librosa.griffinlim(
            target.numpy(), n_iter=32, n_fft=n_fft, hop_length=hop, random_state=0, pad_mode="reflect"
        )
        assert ours < 1.1 * convergence(torch.from_numpy(theirs), target, n_fft, hop)


def test_griffin_lim_is_a_function_of_the_seed() -> None:
    target = magnitude(chirp(), 256, 64)
    before = torch.get_rng_state()
    first = griffin_lim(target, 256, 64, 4)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(9)
    assert torch.equal(griffin_lim(target, 256, 64, 4), first)
    assert not torch.allclose(griffin_lim(target, 256, 64, 4, seed=1), first, atol=1e-2)


def test_griffin_lim_shapes() -> None:
    x = chirp()[:1130].view(1, 1, -1)
    target = magnitude(x, 256, 64)  # (1, 1, 129, 18)
    assert griffin_lim(target, 256, 64, 2).shape == (1, 1, 17 * 64)
    sound = griffin_lim(target.bfloat16(), 256, 64, 2, length=1130)
    assert sound.shape == (1, 1, 1130) and sound.dtype == torch.float32
    assert griffin_lim(torch.zeros(129, 5), 256, 64).abs().max() == 0


# ---------------------------------------------------------------------------------------------------- bad input


def test_sounds_that_are_too_short() -> None:
    assert stft(torch.ones(33), 64, 16).shape == (33, 3)
    for function in FUNCTIONS:
        with pytest.raises(
            DataError, match=r"a sound of 32 samples is too short for n_fft 64, .* at least 33; give a longer"
        ):
            function(torch.ones(2, 32))


def test_settings_that_cannot_be() -> None:
    x = torch.ones(2000)
    for call, message in (
        (lambda: stft(x, 1, 1), "n_fft 1, hop 1,"),
        (lambda: stft(x, 64, 0), "n_fft 64, hop 0,"),
        (lambda: stft(x, 64, 16, torch.ones(65)), "window of 65: expected"),
        (lambda: mel_spectrogram(x, 8000, bands=0), "0 mel bands"),
        (
            lambda: mel_spectrogram(x, 8000, high=5000),
            "from 0 to 5000 Hz at 8000 Hz: expected .* between 0 and 4000 Hz",
        ),
        (lambda: mel_spectrogram(x, 8000, low=300, high=200), "from 300 to 200 Hz"),
        (
            lambda: mel_spectrogram(x, 16000, 128, 64, 80),
            "of 80 mel bands .* hold no .* n_fft 128 at 16000 Hz; ask for fewer",
        ),
        (lambda: mfcc(x, 8000, 0), "0 cepstral coefficients, expected 1 to 80"),
        (lambda: mfcc(x, 8000, 81), "81 cepstral coefficients, expected 1 to 80"),
        (lambda: griffin_lim(torch.ones(33, 9), 66, 16), r"magnitudes \(33, 9\) with n_fft 66"),
        (lambda: griffin_lim(torch.ones(33, 9), 64, 33), "hop 33"),
        (lambda: griffin_lim(torch.ones(33, 9), 64, 16, -1), "iterations -1"),
        (lambda: griffin_lim(torch.ones(33, 9), 64, 16, length=200), "length 200"),
    ):
        with pytest.raises(ConfigError, match=message):
            call()
    with pytest.raises(
        DataError, match="3 frames of n_fft 64, hop 16 are a sound of 32 samples; expected more than 32"
    ):
        griffin_lim(torch.ones(33, 3), 64, 16)


@pytest.mark.gpu
def test_the_gpu_agrees() -> None:
    x = chirp()
    for function in FUNCTIONS:
        torch.testing.assert_close(function(x.cuda()).cpu(), function(x), rtol=1e-3, atol=1e-3)
    target = magnitude(x, 256, 64)
    on_gpu = griffin_lim(target.cuda(), 256, 64, 2)
    torch.testing.assert_close(on_gpu.cpu(), griffin_lim(target, 256, 64, 2), rtol=0, atol=1e-2)
