"""The WORLD vocoder (Morise et al. 2016, doi:10.1587/transinf.2015EDP7457): pitch and mel-cepstra
for metrics of speech, analysis and synthesis for voice conversion."""

import functools
import importlib
import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from multigen.audio.checks import require
from multigen.errors import ConfigError

__all__ = [
    "RATES",
    "alpha_of",
    "cepstra_of",
    "check_rate",
    "copy_of",
    "envelope_of",
    "from_cepstra",
    "noise_of",
    "pitch_of",
    "spoken",
    "to_cepstra",
]

RATES = (8_000, 48_000)
"""Lowest and highest supported sample rate, Hz."""
LOWEST, HIGHEST = 60.0, 800.0  # Hz, of f0
PERIOD = 5.0  # ms between frames
ORDER = 24


def check_rate(rate: int) -> None:
    """Raises ConfigError for an unsupported sample rate."""
    low, high = RATES
    if not low <= rate <= high:
        raise ConfigError(f"WORLD's analysis at {rate} Hz, expected {low} to {high}; resample the recordings")


def pitch_of(sound: Tensor, rate: int) -> Tensor:
    """f0 in Hz every 5 ms, 0 where unvoiced, by DIO and StoneMask: float64 (T,) -> float64
    (frames,)."""
    return torch.from_numpy(_pitch(sound.cpu().numpy(), rate)[0])


def cepstra_of(sound: Tensor, rate: int) -> Tensor:
    """Mel-cepstra c_0..c_24 of CheapTrick's spectral envelope every 5 ms: float64 (T,) -> float64
    (25, frames)."""
    x = sound.cpu().numpy()
    pitch, times = _pitch(x, rate)
    envelope = _pyworld().cheaptrick(x, pitch, times, rate, f0_floor=LOWEST)  # (frames, F), powers
    return to_cepstra(torch.from_numpy(np.log(envelope)).T / 2, rate, ORDER)


def to_cepstra(log: Tensor, rate: int, order: int) -> Tensor:
    """Mel-cepstra c_0..c_order (order + 1, frames), float64, of log-magnitudes (F, frames)."""
    real = np.fft.irfft(2 * log.double().numpy().T)[:, : len(log)]  # (frames, F) cepstra of the log power
    real[:, 0] /= 2  # of its square root, one side
    return torch.from_numpy(_warping(len(log), alpha_of(rate), order) @ real.T)


def from_cepstra(cepstra: Tensor, rate: int, bins: int) -> Tensor:
    """Log-magnitudes (bins, frames), float64, of mel-cepstra (order + 1, frames): the inverse of
    `to_cepstra` but for what an order leaves out."""
    alpha, omega = alpha_of(rate), torch.linspace(0, math.pi, bins, dtype=torch.float64)
    warped = omega + 2 * torch.atan2(alpha * omega.sin(), 1 - alpha * omega.cos())
    return torch.cos(warped[:, None] * torch.arange(len(cepstra))) @ cepstra.double()


def envelope_of(sound: Tensor, pitch: Tensor, rate: int, hop: int) -> Tensor:
    """Magnitudes of CheapTrick's envelope (F, N), float32, of a sound (T,) with a pitch (N,), Hz, 0
    where it is unvoiced, at every `hop` samples."""
    envelope = _pyworld().cheaptrick(*_framed(sound, pitch, rate, hop), rate, f0_floor=LOWEST)
    return torch.from_numpy(envelope.T).sqrt().float()


def noise_of(sound: Tensor, pitch: Tensor, rate: int, hop: int) -> Tensor:
    """D4C's aperiodicity (F, N), float64, 0..1, of arguments as of `envelope_of`."""
    world = _pyworld()
    size = world.get_cheaptrick_fft_size(rate, LOWEST)
    return torch.from_numpy(world.d4c(*_framed(sound, pitch, rate, hop), rate, fft_size=size).T)


def spoken(pitch: Tensor, magnitudes: Tensor, noise: Tensor, rate: int, hop: int) -> Tensor:
    """Sound (N * hop,), float32, of a pitch (N,), an envelope and its aperiodicity (F, N)."""
    power, share = (np.ascontiguousarray(x.double().numpy().T) for x in (magnitudes.double().square(), noise))
    f0 = np.ascontiguousarray(pitch.double().numpy())
    made = _pyworld().synthesize(f0, power, share, rate, frame_period=1_000 * hop / rate)
    length = len(f0) * hop
    return torch.from_numpy(np.pad(made, (0, max(length - len(made), 0)))[:length].astype(np.float32))


def _framed(sound: Tensor, pitch: Tensor, rate: int, hop: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Samples, pitch, and the seconds of the frames."""
    f0 = np.ascontiguousarray(pitch.cpu().double().numpy())
    return np.ascontiguousarray(sound.cpu().double().numpy()), f0, np.arange(len(f0)) * hop / rate


def copy_of(sound: Tensor, rate: int) -> Tensor:
    """A recording analysed and made again: float32 (T,) -> float32 (T,). Pitch by DIO and
    StoneMask, envelope by CheapTrick, aperiodicity by D4C. Raises ConfigError without the package
    `pyworld`, and as `check_rate`."""
    check_rate(rate)
    x = np.ascontiguousarray(sound.cpu().double().numpy())
    pitch, times = _pitch(x, rate)
    world = _pyworld()
    envelope = world.cheaptrick(x, pitch, times, rate, f0_floor=LOWEST)
    made = world.synthesize(pitch, envelope, world.d4c(x, pitch, times, rate), rate, frame_period=PERIOD)
    made = np.pad(made, (0, max(len(x) - len(made), 0)))[: len(x)]
    return torch.from_numpy(made.astype(np.float32))


def _pitch(x: np.ndarray, rate: int) -> tuple[np.ndarray, np.ndarray]:
    world = _pyworld()
    rough, times = world.dio(x, rate, f0_floor=LOWEST, f0_ceil=HIGHEST, frame_period=PERIOD)
    return world.stonemask(x, rough, times, rate), times


def _pyworld() -> Any:
    require("pyworld")
    return importlib.import_module("pyworld")


@functools.lru_cache(maxsize=8)
def alpha_of(rate: int) -> float:
    """The all-pass constant whose frequency warping is nearest to the mel scale, as in SPTK: .41 at
    16 kHz."""
    share = np.arange(1_000) / 1_000
    mel = np.log1p(share * rate / 2 / 1_000)
    mel /= mel[-1]
    omega = math.pi * share

    def error(alpha: float) -> float:
        warped = np.arctan2((1 - alpha**2) * np.sin(omega), (1 + alpha**2) * np.cos(omega) - 2 * alpha)
        return float(np.mean((warped / warped[-1] - mel) ** 2))

    return min((step / 1_000 for step in range(1_000)), key=error)


@functools.lru_cache(maxsize=8)
def _warping(length: int, alpha: float, order: int) -> np.ndarray:
    """Matrix (order + 1, length) from cepstra to mel-cepstra: Oppenheim's recursion, as SPTK's freqt."""
    warped = np.zeros((order + 1, length))
    for i in reversed(range(length)):
        before = warped.copy()
        warped[0] = alpha * before[0]
        warped[0, i] += 1
        warped[1] = (1 - alpha**2) * before[0] + alpha * before[1]
        for m in range(2, order + 1):
            warped[m] = before[m - 1] + alpha * (before[m] - warped[m - 1])
    return warped
