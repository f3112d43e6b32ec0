"""What was converted and what was kept of the embedded speaking machine's sentences, whose vowels,
pitch and vocal tracts are known."""

import functools
import math
from collections.abc import Sequence
from pathlib import PurePosixPath

import torch
from torch import Tensor

from multigen.audio import spectral
from multigen.audio.pitch import pitch_of
from multigen.audio.voice import SPEAKERS, UPPER, VOWELS, Phone, response, utterance
from multigen.errors import DataError

__all__ = ["DEFINITIONS", "measured", "vowels_of"]

DEFINITIONS = {
    "formant_error": "Distance of the formants of the vowels from those of the target, as a share of these: for each vowel of a "
    "sentence (no diphthongs) the factor on the formants of a speaker with tract 1, in steps of .01, whose spectrum, of "
    "harmonics of the measured pitch in mel bands up to 4 kHz, is nearest to that in the middle third of the vowel, level "
    "and tilt aside, over the target's, less 1, without its sign; median over the vowels of a sentence, mean over sentences.",
    "vowels_kept": "Share of the vowels of the sentences (no diphthongs) whose spectrum, as of formant_error, is nearest to that "
    "of the same vowel, among all ten, with formants within 10 % of the target's; mean over sentences.",
}
"""Metric -> definition."""

BANDS, HIGHEST, WINDOW = 48, 4_000.0, 0.064  # mel bands, Hz, seconds
FACTORS = tuple(round(0.80 + 0.01 * i, 2) for i in range(56))
NEAR = 0.1  # share of the target's tract
FRAMES = 0.005  # seconds


def vowels_of(name: str, rate: int) -> tuple[Phone, ...]:
    """The vowels, without diphthongs, of a recording of `voice`, by its name, such as
    voice/test/F1/40."""
    *_, speaker, number = PurePosixPath(name).parts
    spoken = utterance(speaker, int(number), rate, take=[*SPEAKERS].index(speaker))
    return tuple(phone for phone in spoken.phones if phone.name in VOWELS)


def measured(sound: Tensor, vowels: Sequence[Phone], target: str, rate: int) -> dict[str, float]:
    """Metric -> value of a conversion (T,) to a speaker, with the timing of its source. A vowel
    without a pitch is not kept, and has no formants of anybody's: an error of 1. Raises DataError
    where there is no vowel."""
    if not vowels:
        raise DataError("a sentence without a vowel, but diphthongs")
    tract, hop = SPEAKERS[target].tract, round(FRAMES * rate)
    pitch, size = pitch_of(sound.float(), rate, hop), 1 << round(math.log2(WINDOW * rate))
    power, weights = spectral.magnitude(sound.float(), size, hop).square(), _weights(rate, size)
    near = torch.tensor([abs(factor / tract - 1) <= NEAR for factor in FACTORS])
    errors, kept = list[float](), list[float]()
    for phone in vowels:
        length, number = phone.end - phone.first, [*VOWELS].index(phone.name)
        frames = slice((phone.first + length // 3) // hop, (phone.first + 2 * length // 3) // hop + 1)
        voiced = pitch[frames][pitch[frames] > 0]
        if not len(voiced):
            errors.append(1.0)
            kept.append(0.0)
            continue
        levels = (weights @ power[:, frames].mean(1)).clamp(min=1e-12).log()
        distances = _distances(levels, float(voiced.median()), rate, size)  # (vowels, factors)
        errors.append(abs(FACTORS[int(distances[number].argmin())] / tract - 1))
        kept.append(float(distances[:, near].amin(1).argmin() == number))
    return {"formant_error": float(torch.tensor(errors).median()), "vowels_kept": sum(kept) / len(kept)}


@functools.lru_cache(maxsize=4)
def _weights(rate: int, size: int) -> Tensor:
    return spectral.mel_weights(rate, size, BANDS, 100, HIGHEST, like=torch.empty(0))


def _distances(levels: Tensor, pitch: float, rate: int, size: int) -> Tensor:
    """Root mean square distances of log-levels of bands (bands,) from those of each vowel by each
    factor, (vowels, factors), level and slope aside."""
    harmonics = torch.arange(1, int(0.97 * HIGHEST / pitch) + 1, dtype=torch.float64) * pitch  # (K,)
    three = torch.tensor([*VOWELS.values()], dtype=torch.float64)  # (V, 3)
    upper = torch.tensor(UPPER, dtype=torch.float64).expand(len(three), -1)
    formants = torch.cat([three, upper], 1)[:, None] * torch.tensor(FACTORS, dtype=torch.float64)[:, None]  # (V, F, 8)
    gain = response(harmonics, formants.flatten(0, 1)).abs() * (harmonics / 500) ** -1  # (V F, K)
    bins = harmonics * size / rate
    spread = torch.exp(-(((torch.arange(size // 2 + 1) - bins[:, None]) / 1.2) ** 2))  # (K, bins), a window's main lobe
    model = (gain.square() @ spread) @ _weights(rate, size).double().T  # (V F, bands)
    difference = levels.double() - model.clamp(min=1e-12).log()
    x = torch.linspace(-1, 1, BANDS, dtype=torch.float64)
    difference = difference - difference.mean(1, keepdim=True)
    difference = difference - x * (difference @ x / x.square().sum())[:, None]
    return difference.square().mean(1).sqrt().view(len(three), len(FACTORS))
