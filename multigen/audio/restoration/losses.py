"""Losses of sounds against originals: log-mels at several resolutions, and magnitudes and phases of
a spectrum.

Those of phases are APNet2's (Du et al. 2023, arXiv:2311.11545, equations 7 to 9): of the phase
itself, and of its differences over frequency and over time, whose whole turns do not count. Here
bins may weigh as their magnitude does: where there is no sound the phase is noise. Spectra are
complex (B, F, N), sounds (B, T).
"""

import torch
from torch import Tensor

from multigen.audio.mels import MelSpec

__all__ = ["SCALES", "SHORTEST", "magnitude_error", "mel_error", "phase_errors", "phase_weights", "phasor"]

SCALES = ((2048, 160), (1024, 80), (512, 40), (256, 20), (128, 10))
"""n_fft and mel bands of the resolutions of `mel_error`; the hop is a quarter of n_fft."""
SHORTEST = min(n_fft for n_fft, _ in SCALES) // 2
"""Samples of a sound, of which `mel_error` needs more."""
FLOOR = 1e-7  # of mel magnitude, as in Vocos: below the noise of 16 bits in each window, so quiet sounds count too
LOUD = 0.3  # exponent of magnitudes as weights: about loudness
EPS = 1e-8


def mel_error(fake: Tensor, real: Tensor, rate: int) -> Tensor:
    """Mean absolute error of log-mels (natural logarithms of magnitudes, clipped at 1e-7), mean
    over `SCALES`; 0-d."""
    errors = []
    for n_fft, bands in SCALES:
        if n_fft // 2 < fake.shape[-1]:
            spec = MelSpec(rate, n_fft // 4, n_fft, bands=bands, clip=FLOOR)
            errors.append((spec(fake) - spec(real)).abs().mean())
    return torch.stack(errors).mean()


def magnitude_error(fake: Tensor, real: Tensor) -> Tensor:
    """Mean absolute error of log-magnitudes (B, F, N), natural logarithms; 0-d."""
    return (fake - real).abs().mean()


def phasor(real: Tensor, imaginary: Tensor) -> Tensor:
    """Complex numbers of length 1, or less near 0, where no direction is known: finite gradients
    everywhere."""
    length = (real * real + imaginary * imaginary + EPS).rsqrt()
    return torch.complex(real * length, imaginary * length)


def phase_weights(magnitudes: Tensor) -> Tensor:
    """Weights (B, F, N) of a mean of 1, as the loudness of bins."""
    loudness = magnitudes.detach() ** LOUD
    return loudness / loudness.mean().clamp(min=EPS)


def phase_errors(fake: Tensor, real: Tensor, weights: Tensor | None = None) -> dict[str, Tensor]:
    """Mean absolute angles in radians, 0 to pi, between phases of length 1, (B, F, N): of the
    phases ("phase"), of their differences over frequency ("group_delay"), and over time
    ("frequency").

    Args:
        weights: (B, F, N), of a mean of 1; None: all alike.
    """
    w = torch.ones_like(fake.real) if weights is None else weights
    turn = fake * real.conj()  # the angle between both
    over_frequency = turn[:, 1:] * turn[:, :-1].conj()
    over_time = turn[:, :, 1:] * turn[:, :, :-1].conj()
    return {
        "phase": (turn.angle().abs() * w).mean(),
        "group_delay": (over_frequency.angle().abs() * w[:, 1:]).mean(),
        "frequency": (over_time.angle().abs() * w[:, :, 1:]).mean(),
    }
