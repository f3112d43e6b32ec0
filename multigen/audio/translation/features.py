"""What a conversion works on: log-mels in which the pitch has been moved, the sound of them, and
their statistics by speaker."""

import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from multigen.audio import pitch as pitches
from multigen.audio.mels import MelSpec
from multigen.audio.pitch import Pitch
from multigen.audio.spectral import griffin_lim
from multigen.engine import DataInfo
from multigen.engine.randomness import key
from multigen.errors import ConfigError, DataError

__all__ = ["Analysis", "Mels", "SpeakerInfo", "Statistics", "Unchanged", "statistics_of"]

ITERATIONS = 32  # of Griffin-Lim
ROW = 64  # frames whose starting phases are drawn together
DIGITS = 4  # that statistics are rounded to, behind the point
LEAST = 1e-2  # deviation of a band, which is divided by


class Analysis(NamedTuple):
    """A sound in frames."""

    magnitudes: Tensor
    """|STFT|, (F, N)."""
    pitch: Tensor
    """(N,) Hz, 0 where unvoiced."""


@dataclass(frozen=True)
class Mels:
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
        """Samples on each side that a frame may depend on, and a sample of its sound on frames
        around it."""
        analysis = max(self.spec.n_fft // 2, pitches.radius_of(self.spec.rate, self.spec.hop))
        made = self.vocoder.radius if self.vocoder is not None else (ITERATIONS + 1) * self.spec.n_fft
        return analysis + made

    @property
    def shortest(self) -> int:
        """Samples of a sound at least."""
        return self.spec.n_fft // 2 + 1

    def analyse(self, sound: Tensor) -> Analysis:
        """A sound (T,) in T // hop + 1 frames."""
        return Analysis(self.spec.magnitude(sound), pitches.pitch_of(sound, self.spec.rate, self.spec.hop))

    def of(self, analysis: Analysis, source: Pitch | None = None, target: Pitch | None = None) -> Tensor:
        """Log-mels (bands, N), with the pitch moved from one speaker's to another's."""
        magnitudes = analysis.magnitudes
        if source is not None and target is not None and source != target:
            moved = source.to(target, analysis.pitch)
            magnitudes = pitches.move(magnitudes, analysis.pitch, moved, self.spec.rate, self.spec.clip)
        return self.spec.log(self.spec.of_magnitudes(magnitudes))

    def sound(self, mels: Tensor, length: int, first: int = 0) -> Tensor:
        """Sound (length,) of log-mels (bands, length // hop + 1), the first of which is frame
        number `first`."""
        spec = self.spec
        mels = mels.float().clamp(math.log(spec.clip), math.log(spec.greatest()))
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


# ------------------------------------------------------------------------------------------------------ statistics


@dataclass(frozen=True)
class SpeakerInfo(DataInfo):
    """Speakers of the training data, and the statistics of their speech."""

    speakers: tuple[str, ...] = ()
    pitch: tuple[float, ...] = ()
    """Mean and deviation of log f0 of each, one speaker behind another."""
    features: tuple[float, ...] = ()
    """(speakers, speakers, 2, rows): mean and deviation of each row of the features of a speaker,
    with the pitch moved to each speaker's."""

    def __post_init__(self) -> None:
        n = len(self.speakers)
        if len({*self.speakers}) != n or len(self.pitch) != 2 * n or len(self.features) % max(2 * n * n, 1):
            raise ConfigError(
                f"speakers {', '.join(self.speakers)}: {len(self.pitch)} numbers of pitch and {len(self.features)} of features; "
                "expected as many for each speaker: choose another model"
            )


class Statistics:
    """The statistics of a `SpeakerInfo` as tensors."""

    def __init__(self, info: SpeakerInfo, rows: int):
        n = len(info.speakers)
        if n < 2 or len(info.features) != 2 * n * n * rows:
            raise ConfigError(f"statistics of {n} speakers do not fit features of {rows} rows; choose another model")
        self.info, self.names = info, info.speakers
        self.pitch = [Pitch(*info.pitch[2 * i : 2 * i + 2]) for i in range(n)]
        self.features = torch.tensor(info.features).view(n, n, 2, rows)

    def index(self, name: str) -> int:
        """The number of a speaker. Raises ConfigError for one that was not trained."""
        if name not in self.names:
            raise ConfigError(
                f"speaker {name!r}: the model was not trained on such; expected one of {', '.join(self.names)}: train it from "
                "this model on recordings of the new voice, --from"
            )
        return self.names.index(name)

    def normalise(self, features: Tensor, source: int, target: int) -> Tensor:
        """Features (..., rows, N) of a source with the target's pitch, each row of mean 0 and
        deviation 1."""
        mean, deviation = self.features[source, target].to(features)[..., None]
        return (features - mean) / deviation

    def restore(self, features: Tensor, speaker: int) -> Tensor:
        """The inverse for a speaker's own."""
        mean, deviation = self.features[speaker, speaker].to(features)[..., None]
        return features * deviation + mean

    def about(self) -> Tensor:
        """What is known of each speaker (speakers, 2 * rows + 2), numbers of about -1..1: means and
        deviations of the features, and of the pitch."""
        own = torch.stack([self.features[i, i] for i in range(len(self.names))])  # (n, 2, rows)
        pitch = torch.tensor(self.pitch)
        scaled = [own[:, 0] / 5 + 1, own[:, 1] / 2 - 0.5, (pitch[:, :1] - 5) * 2, pitch[:, 1:] * 5 - 1]
        return torch.cat(scaled, 1)


def statistics_of(
    features: Mels, speakers: Mapping[str, Sequence[Analysis]], fingerprint: str
) -> tuple[SpeakerInfo, list[list[list[Tensor]]]]:
    """The statistics of speakers, and their features: by speaker, by speaker whose pitch they have,
    and recording. Raises DataError for recordings in which nobody speaks."""
    names = tuple(speakers)
    pitch = [pitches.statistics([each.pitch for each in speakers[name]], name) for name in names]
    rounded = [Pitch(*(round(value, DIGITS) for value in each)) for each in pitch]
    made = [
        [[features.of(x, p, q) for x in speakers[name]] for q in rounded]
        for name, p in zip(names, rounded, strict=True)
    ]
    moments: list[float] = []
    for row in made:
        for recordings in row:
            whole = torch.cat(recordings, 1).double()
            if not whole.isfinite().all():
                raise DataError("features of a recording are not finite; look for what made it, or skip it: --skip-bad")
            moments += whole.mean(1).tolist() + whole.std(1, correction=0).clamp(min=LEAST).tolist()
    numbers = tuple(round(value, DIGITS) for value in moments)
    return SpeakerInfo(fingerprint, names, tuple(value for each in rounded for value in each), numbers), made


class Unchanged(nn.Module):
    """In the place of a generator: features as they are, so that a conversion is that of their
    means and deviations, and of the pitch."""

    radius = 0

    def forward(self, features: Tensor, about: Tensor) -> Tensor:
        return features
