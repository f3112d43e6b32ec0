"""Spectra of sounds: short-time Fourier, mel and cepstral, as librosa defines them, and sound from
magnitudes.

Functions take sounds (..., T) on any device and keep it; all but `griffin_lim` are differentiable.
They compute in float32, or float64 for such sounds, under autocast too: squares of small magnitudes
vanish in half precision.
"""

import functools
import math
import warnings

import torch
from torch import Tensor

from multigen.engine.randomness import key
from multigen.errors import ConfigError, DataError

__all__ = ["griffin_lim", "log_mel", "magnitude", "mel_spectrogram", "mel_weights", "mfcc", "stft"]

LOWEST_POWER = 1e-10
"""Mel power below which `mfcc` counts it as this much: -100 dB, as librosa does."""
MOMENTUM = 0.99
"""alpha of the fast Griffin-Lim algorithm, as Perraudin et al. recommend it."""


def stft(x: Tensor, n_fft: int = 1024, hop: int = 256, window: Tensor | None = None) -> Tensor:
    """Short-time Fourier transform, complex (..., F, frames), with F = n_fft // 2 + 1 and frames =
    T // hop + 1.

    Frame i is centred on sample i * hop; the sound is reflected at its borders. Not normalised.

    Args:
        x: (..., T), T above n_fft // 2.
        n_fft: samples of a frame.
        hop: samples between frames.
        window: (W,), W at most n_fft, centred in the frame; by default a periodic Hann window of
            n_fft samples.

    Raises:
        ConfigError: n_fft below 2, hop below 1, or a window longer than n_fft.
        DataError: a sound too short to be reflected.
    """
    length = x.shape[-1]
    if n_fft < 2 or hop < 1 or (window is not None and len(window) > n_fft):
        raise ConfigError(
            f"n_fft {n_fft}, hop {hop}, window of {n_fft if window is None else len(window)}: expected n_fft of 2 or more, "
            "hop of 1 or more, and a window of at most n_fft samples; correct what is not"
        )
    if length <= n_fft // 2:
        raise DataError(
            f"a sound of {length} samples is too short for n_fft {n_fft}, which reflects {n_fft // 2} of them at its borders; "
            f"expected at least {n_fft // 2 + 1}; give a longer sound, or lower n_fft"
        )
    x = _full(x)
    window = _hann(n_fft, x.dtype, x.device) if window is None else window.to(x)
    with torch.autocast(x.device.type, enabled=False):
        spectrum = torch.stft(
            x.reshape(-1, length), n_fft, hop, len(window), window, pad_mode="reflect", return_complex=True
        )
    return spectrum.view(*x.shape[:-1], *spectrum.shape[1:])  # (..., F, frames)


def magnitude(x: Tensor, n_fft: int = 1024, hop: int = 256, window: Tensor | None = None) -> Tensor:
    """|STFT|, (..., T) -> (..., F, frames); its gradient where a magnitude is 0 is 0. Arguments and
    errors as of `stft`."""
    return stft(x, n_fft, hop, window).abs()


def mel_spectrogram(
    x: Tensor, rate: int, n_fft: int = 1024, hop: int = 256, bands: int = 80, low: float = 0, high: float = 0
) -> Tensor:
    """Power in mel bands, (..., T) -> (..., bands, frames): |STFT| squared, weighted by triangles.

    Slaney's mel scale (linear up to 1 kHz, then logarithmic), each triangle of area 1 in Hz:
    librosa's default.

    Args:
        x: (..., T).
        rate: Hz.
        n_fft: samples of a frame; hop: samples between frames.
        bands: number of triangles between `low` and `high`, Hz; `high` 0 is half the rate.

    Raises:
        ConfigError: as `stft`; frequencies outside 0..rate / 2, or bands so narrow that some hold
            no frequency of the STFT.
        DataError: as `stft`.
    """
    spectrum = torch.view_as_real(stft(x, n_fft, hop))  # (..., F, frames, 2)
    power = spectrum.square().sum(-1)  # (..., F, frames)
    return _weighted(power, mel_weights(rate, n_fft, bands, low, high, like=power))


def mel_weights(
    rate: int, n_fft: int, bands: int, low: float = 0, high: float = 0, *, normalised: bool = True, like: Tensor
) -> Tensor:
    """Weights (bands, F) of the triangles of `mel_spectrogram`, of the type and on the device of
    `like`; each of height 1 if not `normalised`. Not to be changed: they are kept."""
    return _triangles(rate, n_fft, bands, float(low), float(high), normalised, like.dtype, like.device)


def log_mel(
    x: Tensor,
    rate: int,
    n_fft: int = 1024,
    hop: int = 256,
    bands: int = 80,
    low: float = 0,
    high: float = 0,
    floor: float = 1e-5,
) -> Tensor:
    """log(max(mel, floor)), (..., T) -> (..., bands, frames), by the natural logarithm of
    `mel_spectrogram`'s power.

    Silence is log(floor) = -11.5. Where the power is below the floor, the gradient is 0.
    """
    return mel_spectrogram(x, rate, n_fft, hop, bands, low, high).clamp(min=floor).log()


def mfcc(
    x: Tensor,
    rate: int,
    n: int = 13,
    n_fft: int = 1024,
    hop: int = 256,
    bands: int = 80,
    low: float = 0,
    high: float = 0,
) -> Tensor:
    """Mel-frequency cepstral coefficients c0 to c(n-1), (..., T) -> (..., n, frames).

    The orthonormal DCT-II over the bands of 10 log10(max(mel, 1e-10)), in dB: librosa's, with its
    `top_db` None.

    Raises ConfigError and DataError as `mel_spectrogram`, and ConfigError if n is not 1 to `bands`.
    """
    if not 1 <= n <= bands:
        raise ConfigError(f"{n} cepstral coefficients, expected 1 to {bands}, the number of bands; ask for fewer")
    decibels = 10 * mel_spectrogram(x, rate, n_fft, hop, bands, low, high).clamp(min=LOWEST_POWER).log10()
    return _weighted(decibels, _cosines(n, bands, decibels.dtype, decibels.device))


@torch.no_grad()
def griffin_lim(
    magnitude: Tensor,
    n_fft: int = 1024,
    hop: int = 256,
    iterations: int = 32,
    seed: int = 0,
    length: int = 0,
    angles: Tensor | None = None,
) -> Tensor:
    """Griffin-Lim phase reconstruction: a sound (..., T) from STFT magnitudes, iterated from random
    phases.

    Griffin and Lim 1984, doi:10.1109/TASSP.1984.1164317; with the momentum of Perraudin et al.
    2013, doi:10.1109/WASPAA.2013.6701851. The same seed gives the same sound in any batch: the
    first phases are drawn on the CPU, by a generator of their own, and are those of every sound.

    Args:
        magnitude: (..., F, frames), as `magnitude` gives them with the same n_fft and hop and a
            Hann window.
        n_fft: samples of a frame.
        hop: samples between frames, at most half of n_fft.
        iterations: of one inverse and one forward transform each.
        seed: of the starting phases.
        length: T; 0 for hop * (frames - 1).
        angles: starting phases (F, frames), radians, in place of those of the seed.

    Raises:
        ConfigError: n_fft and F do not go together, or hop, iterations or length are out of range.
        DataError: so few frames that the sound cannot be analysed again.
    """
    *batch, bins, frames = magnitude.shape
    length = length or hop * (frames - 1)
    if bins != n_fft // 2 + 1 or not 1 <= hop <= n_fft // 2 or iterations < 0 or length // max(hop, 1) + 1 != frames:
        raise ConfigError(
            f"magnitudes ({bins}, {frames}) with n_fft {n_fft}, hop {hop}, iterations {iterations}, length {length}: expected "
            "n_fft // 2 + 1 rows, hop of 1 to n_fft / 2, iterations of 0 or more, a length of frames hops; give those of the "
            "analysis"
        )
    if length <= n_fft // 2:
        raise DataError(
            f"{frames} frames of n_fft {n_fft}, hop {hop} are a sound of {length} samples; expected more than {n_fft // 2}, "
            "without which it cannot be analysed again; give more frames"
        )
    target = _full(magnitude).reshape(-1, bins, frames)  # (N, F, frames)
    window = _hann(n_fft, target.dtype, target.device)
    if angles is None:
        draw = torch.Generator().manual_seed(key("griffin-lim", seed))
        angles = torch.rand(target.shape[1:], generator=draw, dtype=target.dtype) * (2 * math.pi)
    angle = angles.to(target)
    phase, before = torch.polar(torch.ones_like(angle), angle), torch.zeros((), device=target.device)
    for _ in range(iterations):
        sound = torch.istft(target * phase, n_fft, hop, window=window, length=length)  # (N, length)
        now = stft(sound, n_fft, hop)
        phase = torch.sgn(now - before * (MOMENTUM / (1 + MOMENTUM)))
        before = now
    sound = torch.istft(target * phase, n_fft, hop, window=window, length=length)
    return sound.view(*batch, length)


# ---------------------------------------------------------------------------------------------------- what is computed once
# Made outside inference mode, even if first used within: an inference tensor cannot take part in training.


def _full(x: Tensor) -> Tensor:
    """In float32, unless it is float64."""
    return x if x.dtype == torch.float64 else x.float()


def _weighted(rows: Tensor, weights: Tensor) -> Tensor:
    """(..., F, frames) by weights (N, F): (..., N, frames)."""
    with torch.autocast(rows.device.type, enabled=False):
        return weights @ rows


@functools.lru_cache(maxsize=64)
def _hann(length: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    with torch.inference_mode(False):
        return torch.hann_window(length, dtype=dtype, device=device)


@functools.lru_cache(maxsize=64)
def _triangles(
    rate: int,
    n_fft: int,
    bands: int,
    low: float,
    high: float,
    normalised: bool,
    dtype: torch.dtype,
    device: torch.device,
) -> Tensor:
    """Weights (bands, F) of the mel bands."""
    from torchaudio import functional

    high = high or rate / 2
    if rate < 1 or bands < 1 or not 0 <= low < high <= rate / 2:
        raise ConfigError(
            f"{bands} mel bands from {low:g} to {high:g} Hz at {rate} Hz: expected at least one, between 0 and {rate / 2:g} Hz; "
            "correct what is not"
        )
    # On the CPU, even if first asked for while a network is planned, on the meta device.
    with torch.inference_mode(False), torch.device("cpu"), warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # about empty bands: an error below
        weights = functional.melscale_fbanks(
            n_fft // 2 + 1, low, high, bands, rate, "slaney" if normalised else None, "slaney"
        ).T
        if empty := int((weights.amax(1) == 0).sum()):
            raise ConfigError(
                f"{empty} of {bands} mel bands from {low:g} to {high:g} Hz hold no frequency of an STFT with n_fft {n_fft} at "
                f"{rate} Hz; ask for fewer bands, or raise n_fft"
            )
        return weights.to(device, dtype).contiguous()


@functools.lru_cache(maxsize=64)
def _cosines(n: int, bands: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Weights (n, bands) of the first n coefficients of an orthonormal DCT-II."""
    from torchaudio import functional

    with torch.inference_mode(False):
        return functional.create_dct(n, bands, "ortho").T.to(device, dtype).contiguous()
