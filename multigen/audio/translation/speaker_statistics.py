"""What is known of the speakers of a model: pitch, vocal tract, and the statistics of their
features."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from multigen.audio import pitch as pitches
from multigen.audio.envelopes import tracts_of
from multigen.audio.pitch import Pitch
from multigen.audio.translation.features import Analysis, Features, Voice
from multigen.engine import DataInfo
from multigen.errors import ConfigError, DataError

__all__ = ["SpeakerInfo", "Statistics", "Unchanged", "statistics_of"]

DIGITS = 4  # that statistics are rounded to, behind the point
LEAST = 1e-2  # deviation of a row, which is divided by
TRACT = 2.0  # times the average, the greatest factor on formants of a model that is read
MOST = 2_000  # voiced frames by which a vocal tract is found


@dataclass(frozen=True)
class SpeakerInfo(DataInfo):
    """Speakers of the training data, and the statistics of their speech."""

    speakers: tuple[str, ...] = ()
    pitch: tuple[float, ...] = ()
    """Mean and deviation of log f0 of each, one speaker behind another."""
    features: tuple[float, ...] = ()
    """(speakers, speakers, 2, rows): mean and deviation of each row of the features of a speaker,
    with pitch and tract moved to each speaker's."""
    tracts: tuple[float, ...] = ()
    """Factor on the formants of each speaker, 1 on average; none: the same for all."""

    def __post_init__(self) -> None:
        n = len(self.speakers)
        whole = len(self.pitch) == 2 * n and len(self.tracts) in (0, n)
        if not all(1 / TRACT <= each <= TRACT for each in self.tracts):
            raise ConfigError(
                f"tracts {', '.join(map(str, self.tracts))}: expected factors from {1 / TRACT:g} to {TRACT:g}; choose another"
            )
        if len({*self.speakers}) != n or not whole or len(self.features) % max(2 * n * n, 1):
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
        self.voices = [Voice(*each) for each in zip(self.pitch, info.tracts or (1.0,) * n, strict=True)]
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
        """Features (..., rows, N) of a source with the target's pitch and tract, each row of mean 0 and
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
    features: Features, speakers: Mapping[str, Sequence[Analysis]], fingerprint: str, tracts: bool = True
) -> tuple[SpeakerInfo, list[list[list[Tensor]]]]:
    """The statistics of speakers, and their features: by speaker, by speaker whose pitch and tract
    they have, and recording. Raises DataError for recordings in which nobody speaks.

    Args:
        tracts: find the factors between their vocal tracts, in place of taking them for equal.
    """
    names = tuple(speakers)
    pitch = [pitches.statistics([each.pitch for each in speakers[name]], name) for name in names]
    factors = [1.0] * len(names)
    if tracts:
        factors = tracts_of([_envelopes(features, speakers[name]) for name in names], features.spec.rate)
    voices = [
        Voice(Pitch(*(round(value, DIGITS) for value in p)), round(factor, DIGITS))
        for p, factor in zip(pitch, factors, strict=True)
    ]
    made = [
        [[features.of(x, source, target) for x in speakers[name]] for target in voices]
        for name, source in zip(names, voices, strict=True)
    ]
    moments: list[float] = []
    for row in made:
        for recordings in row:
            whole = torch.cat(recordings, 1).double()
            if not whole.isfinite().all():
                raise DataError("features of a recording are not finite; look for what made it, or skip it: --skip-bad")
            moments += whole.mean(1).tolist() + whole.std(1, correction=0).clamp(min=LEAST).tolist()
    numbers = tuple(round(value, DIGITS) for value in moments)
    known = tuple(value for each in voices for value in each.pitch), numbers
    return SpeakerInfo(fingerprint, names, *known, tuple(each.tract for each in voices) if tracts else ()), made


def _envelopes(features: Features, recordings: Sequence[Analysis]) -> Tensor:
    """Envelopes of voiced frames spread evenly over a speaker's recordings, (n, F)."""
    every = -(-sum(int((each.pitch > 0).sum()) for each in recordings) // MOST)
    return torch.cat([features.envelopes(each)[::every] for each in recordings])


class Unchanged(nn.Module):
    """In the place of a generator: features as they are, so that a conversion is that of their
    means and deviations, and of the pitch."""

    radius = 0

    def forward(self, features: Tensor, about: Tensor) -> Tensor:
        return features
