"""What methods of sound restoration do to recordings to make their inputs: low-pass filters, and
mixes with noise.

All draws come from the generator that is given, so that a batch is the same whichever process makes
it.
"""

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from multigen.audio.drums import CLASSES, drum
from multigen.audio.rates import resample
from multigen.data.datasets import hash_of
from multigen.errors import ConfigError

__all__ = ["FAMILIES", "NOISES", "Noises", "coloured", "draws_of", "filtered", "lowpass", "mix", "narrowed"]

FAMILIES = ("sinc", "butterworth", "chebyshev")
"""Low-pass filters as recorders have them."""
BEYOND = 1.05  # of a bandwidth: where nothing is left of a resampled sound, as `multigen.audio.rates` has it
NOISES = ("drums", "coloured", "babble")
"""What recordings are mixed with."""
SLOPES = (-12.0, 6.0)  # dB an octave: from brown noise and steeper to hiss
LOWEST = 50.0  # Hz, below which the spectrum of coloured noise is flat
HITS = 8  # drum sounds of each class
BEAT = (2.0, 8.0)  # drum sounds a second
SPEAKERS = (3, 6)  # voices of babble


def draws_of(name: str) -> np.random.Generator:
    """Draws that follow from a name: the same each time, for test sets."""
    return np.random.default_rng(int.from_bytes(hash_of(name, 0)[:8]))


# ---------------------------------------------------------------------------------------------------- narrower


def narrowed(sound: Tensor, rate: int, bandwidth: float) -> Tensor:
    """A sound (..., T) as a recorder of the rate 2 * bandwidth leaves it, at its old rate:
    resampled there and back."""
    low = round(2 * bandwidth)
    if not 0 < low <= rate:
        raise ConfigError(
            f"a bandwidth of {bandwidth:g} Hz at a rate of {rate} Hz; expected more than 0, up to {rate / 2:g}"
        )
    return resample(resample(sound, rate, low), low, rate)[..., : sound.shape[-1]]


def filtered(sound: Tensor, rate: int, bandwidth: float, rng: np.random.Generator) -> Tensor:
    """A sound (..., T) through a low-pass filter drawn at random, without delay, that leaves
    nothing above the bandwidth (Hz).

    A recorder's own filter of one of `FAMILIES`, with its cut-off at .75 to 1 of the bandwidth,
    comes before the sharp one of a changed rate: a network trained with one filter alone leaves a
    line at the bandwidth of every other.
    """
    length = sound.shape[-1]
    padded = torch.nn.functional.pad(sound, (0, length))  # what a filter moves round the end falls into silence
    frequency = torch.fft.rfftfreq(2 * length, 1 / rate, dtype=torch.float64)
    gain = lowpass(str(rng.choice(FAMILIES)), frequency / (bandwidth * rng.uniform(0.75, 1)), rng)
    gain = (gain * _rolled(frequency / bandwidth, BEYOND - 1)).to(sound.dtype)
    return torch.fft.irfft(torch.fft.rfft(padded) * gain, n=2 * length)[..., :length].contiguous()


def lowpass(family: str, x: Tensor, rng: np.random.Generator) -> Tensor:
    """The gain, 0..1, of a filter of a family at frequencies x relative to its cut-off; order and
    ripple are drawn."""
    if family == "sinc":
        return _rolled(x, rng.uniform(0.02, 0.15))
    order = int(rng.integers(4, 13))
    if family == "butterworth":
        return (1 + x ** (2 * order)).rsqrt()
    ripple = 10 ** (rng.uniform(0.1, 1) / 10) - 1
    inside, outside = torch.cos(order * torch.acos(x.clamp(max=1))), torch.cosh(order * torch.acosh(x.clamp(min=1)))
    return (1 + ripple * torch.where(x <= 1, inside, outside).square()).rsqrt()


def _rolled(x: Tensor, width: float) -> Tensor:
    """1 up to 1 - width, 0 from 1 + width, half a cosine between."""
    return 0.5 + 0.5 * torch.cos(math.pi * ((x - 1 + width) / (2 * width)).clamp(0, 1))


# ---------------------------------------------------------------------------------------------------- noisier


def mix(sound: Tensor, noise: Tensor, snr: float) -> Tensor:
    """sound + noise (T,), the noise scaled so that the ratio of their energies is `snr` dB exactly;
    of a silent one of them the sound as it is."""
    energy, noise_energy = (float(x.double().square().sum()) for x in (sound, noise))
    if not energy or not noise_energy:
        return sound.clone()
    return sound + noise * math.sqrt(energy / noise_energy / 10 ** (snr / 10))


def coloured(length: int, rate: int, slope: float, rng: np.random.Generator) -> Tensor:
    """Gaussian noise (length,) of variance 1 whose power rises by `slope` dB an octave above 50 Hz:
    0 is white, -3 pink."""
    white = torch.from_numpy(rng.standard_normal(length, dtype=np.float32))
    frequency = torch.fft.rfftfreq(length, 1 / rate).clamp(min=LOWEST)
    gain = (frequency / 1_000) ** (slope / (20 * math.log10(2)))
    noise = torch.fft.irfft(torch.fft.rfft(white) * gain, n=length)
    return noise / noise.square().mean().sqrt()


class Noises:
    """Noise of the kinds of `NOISES`: drum patterns, coloured noise, and babble of recordings.

    Args:
        rate: Hz.
        voices: recordings (T,) that babble is made of; those of more speakers are better.
        kinds: those to draw from.

    Raises:
        ConfigError: an unknown kind, or babble without recordings.
    """

    def __init__(self, rate: int, voices: Sequence[Tensor] = (), kinds: Sequence[str] = NOISES):
        unknown = sorted({*kinds} - {*NOISES})
        if unknown or not kinds:
            raise ConfigError(f"noise {', '.join(unknown) or 'of no kind'}: expected some of {', '.join(NOISES)}")
        if "babble" in kinds and not len(voices):
            raise ConfigError("noise babble: no recordings to make it of; expected at least one, or leave babble out")
        self.rate, self.voices, self.kinds = rate, voices, tuple(kinds)
        self.hits = (
            torch.cat([drum(kind, HITS, rate // 2, rate)[:, 0] for kind in CLASSES]) if "drums" in kinds else None
        )

    def draw(self, length: int, rng: np.random.Generator, kind: str = "", without: int = -1) -> Tensor:
        """Noise (length,), of this kind, or one drawn at random. `without`: the number of a voice
        that babble is not made of."""
        kind = kind or str(rng.choice(self.kinds))
        if kind == "coloured":
            return coloured(length, self.rate, rng.uniform(*SLOPES), rng)
        return self._drums(length, rng) if kind == "drums" else self._babble(length, rng, without)

    def _drums(self, length: int, rng: np.random.Generator) -> Tensor:
        assert self.hits is not None
        size = self.hits.shape[1]
        noise = torch.zeros(length + 2 * size)
        count = max(1, round(rng.uniform(*BEAT) * (length + size) / self.rate))
        for _ in range(count):  # hits that began before count too
            at = int(rng.integers(length + size))
            noise[at : at + size] += self.hits[int(rng.integers(len(self.hits)))] * float(rng.uniform(0.3, 1))
        return noise[size : size + length]

    def _babble(self, length: int, rng: np.random.Generator, without: int) -> Tensor:
        """Several voices at once, none twice, each of the same loudness, repeated where they are
        shorter. Of one voice alone it is made backwards, where that is to be left out."""
        others = [voice for i, voice in enumerate(self.voices) if i != without] or [self.voices[0].flip(0)]
        count = min(int(rng.integers(SPEAKERS[0], SPEAKERS[1] + 1)), len(others))
        noise = torch.zeros(length)
        for number in rng.choice(len(others), count, replace=False):
            voice = others[int(number)]
            at = int(rng.integers(len(voice)))
            voice = voice.roll(-at).repeat(-(-length // len(voice)))[:length]
            noise += voice / voice.square().mean().sqrt().clamp(min=1e-4)
        return noise
