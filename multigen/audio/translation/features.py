"""What a conversion works on: features of speech in which pitch and formants have been moved, and
the sound of them."""

import functools
import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from multigen.audio import pitch as pitches
from multigen.audio.envelopes import envelopes_of
from multigen.audio.mels import MelSpec
from multigen.audio.pitch import Pitch
from multigen.audio.spectral import griffin_lim
from multigen.engine.randomness import key
from multigen.errors import ConfigError

__all__ = ["Analysis", "Features", "MelFeatures", "Voice"]

ITERATIONS = 32  # of Griffin-Lim
ROW = 64  # frames whose starting phases are drawn together


class Analysis(NamedTuple):
    """A sound in frames."""

    magnitudes: Tensor
    """|STFT|, or its envelope, (F, N)."""
    pitch: Tensor
    """(N,) Hz, 0 where unvoiced."""


class Voice(NamedTuple):
    """What is moved from one speaker's to another's before the generator."""

    pitch: Pitch
    tract: float
    """Factor on the formants, beside those of the other speakers."""


class Features(ABC):
    """A representation of speech in frames of `spec`, `rows` numbers each, and its sound."""

    spec: MelSpec

    @property
    @abstractmethod
    def rows(self) -> int: ...

    @property
    @abstractmethod
    def radius(self) -> int:
        """Samples on each side that a frame may depend on, and a sample of its sound on frames
        around it."""

    @property
    @abstractmethod
    def says(self) -> str:
        """What they are, for who uses the network alone."""

    @property
    def shortest(self) -> int:
        """Samples of a sound at least."""
        return self.spec.n_fft // 2 + 1

    @abstractmethod
    def analyse(self, sound: Tensor) -> Analysis:
        """A sound (T,) in T // hop + 1 frames."""

    @abstractmethod
    def envelopes(self, analysis: Analysis) -> Tensor:
        """Envelopes of the voiced frames, logarithms of magnitudes (n, F)."""

    @abstractmethod
    def of(self, analysis: Analysis, source: Voice | None = None, target: Voice | None = None) -> Tensor:
        """Features (rows, N), with pitch and formants moved from one speaker's to another's."""

    @abstractmethod
    def sound(self, features: Tensor, spoken: Tensor, analysis: Analysis, pitch: Tensor, first: int = 0) -> Tensor:
        """Sound (T,) of features (rows, N) and a pitch (N,) in the place of those of a recording
        (T,), `spoken`, and its analysis; the first frame is number `first`."""


@dataclass(frozen=True)
class MelFeatures(Features):
    """Log-mels by a definition, and their sound: by a vocoder of the same definition, or by
    Griffin and Lim's algorithm."""

    spec: MelSpec
    vocoder: Any = None
    """A loaded model of `vocoder`."""

    def __post_init__(self) -> None:
        if self.vocoder is not None and self.vocoder.spec != self.spec:
            theirs, ours = self.vocoder.spec.to_dict(), self.spec.to_dict()
            differing = ", ".join(
                f"{name} {theirs[name]} for {ours[name]}" for name in ours if ours[name] != theirs[name]
            )
            raise ConfigError(
                f"the vocoder is of other mels than the model: {differing}; expected a vocoder of the same: train one, or leave "
                "it out"
            )

    @property
    def rows(self) -> int:
        return self.spec.bands

    @property
    def radius(self) -> int:
        analysis = max(self.spec.n_fft // 2, pitches.radius_of(self.spec.rate, self.spec.hop))
        made = self.vocoder.radius if self.vocoder is not None else (ITERATIONS + 1) * self.spec.n_fft
        return analysis + made

    @property
    def says(self) -> str:
        return f"log-mels by {self.spec.to_dict()}"

    def analyse(self, sound: Tensor) -> Analysis:
        return Analysis(self.spec.magnitude(sound), pitches.pitch_of(sound, self.spec.rate, self.spec.hop))

    def envelopes(self, analysis: Analysis) -> Tensor:
        voiced = analysis.pitch > 0
        log = analysis.magnitudes[:, voiced].clamp(min=self.spec.clip).log().T
        return envelopes_of(log, analysis.pitch[voiced], self.spec.rate)

    def of(self, analysis: Analysis, source: Voice | None = None, target: Voice | None = None) -> Tensor:
        magnitudes, spec = analysis.magnitudes, self.spec
        if source is not None and target is not None and source != target:
            moved = source.pitch.to(target.pitch, analysis.pitch)
            formants = target.tract / source.tract
            magnitudes = pitches.move(magnitudes, analysis.pitch, moved, spec.rate, spec.clip, formants)
        return spec.log(spec.of_magnitudes(magnitudes))

    def sound(self, features: Tensor, spoken: Tensor, analysis: Analysis, pitch: Tensor, first: int = 0) -> Tensor:
        spec = self.spec
        length, mels = len(spoken), features.float().clamp(math.log(spec.clip), math.log(spec.greatest()))
        if self.vocoder is not None:  # one frame more, since the last is centred on the last sample at most
            return self.vocoder.vocode(torch.cat([mels, mels[:, -1:]], 1))[:length]
        angles = _angles(first, mels.shape[1], spec.n_fft // 2 + 1)
        return griffin_lim(spec.to_magnitudes(mels), spec.n_fft, spec.hop, ITERATIONS, length=length, angles=angles)


def _angles(first: int, frames: int, bins: int) -> Tensor:
    """Starting phases (F, N) of frames from number `first` on: the same for a frame wherever the
    window begins, so that parts are equal to the whole."""
    rows = range(first // ROW, (first + frames - 1) // ROW + 1)
    drawn = torch.cat([_row_of_angles(row, bins) for row in rows], 1)
    return drawn[:, first - rows.start * ROW :][:, :frames]


@functools.lru_cache(maxsize=64)
def _row_of_angles(row: int, bins: int) -> Tensor:
    with torch.inference_mode(False):
        generator = torch.Generator().manual_seed(key("conversion", row))
        return torch.rand(bins, ROW, generator=generator) * (2 * math.pi)
