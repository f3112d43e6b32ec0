"""Segments of the features of two speakers: training data of voice conversion."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from multigen.audio.recordings import Recording
from multigen.audio.speech_metrics import path_between
from multigen.audio.translation.speaker_statistics import Statistics
from multigen.audio.translation.speakers import sentence_of
from multigen.engine.batches import Batch, Rows
from multigen.errors import DataError

__all__ = ["PairSource", "SpeechSource"]

Features = list[list[list[Tensor]]]
"""By speaker, by speaker whose pitch they have, and recording: (rows, N)."""
CEPSTRA = 13  # that frames are aligned by


class SpeechSource:
    """Segments of two speakers, drawn each for itself: normalised features (B, rows, segment) "A"
    and "B", with the pitch of the other speaker "A_moved" and "B_moved", and the speakers' numbers
    "a" and "b" (B,). Of two speakers A is always the first; of more, both are drawn.

    A recording stands for as many items as segments fit into it.
    """

    def __init__(self, features: Features, statistics: Statistics, segment: int):
        self.segment = segment
        n = len(features)
        self.features = [
            [[statistics.normalise(x, s, t).float() for x in features[s][t]] for t in range(n)] for s in range(n)
        ]
        speakers = range(n) if n > 2 else range(1)
        self.items = [
            (s, i)
            for s in speakers
            for i, x in enumerate(features[s][s])
            for _ in range(max(1, round(x.shape[1] / segment)))
        ]

    def __len__(self) -> int:
        return len(self.items)

    def batch(self, rows: Rows) -> Batch:
        drawn = [self._row(int(item), rows.rng(i)) for i, item in enumerate(rows.indices)]
        return {name: torch.stack([each[name] for each in drawn]) for name in drawn[0]}

    def _row(self, item: int, rng: np.random.Generator) -> dict[str, Tensor]:
        s, i = self.items[item]
        t = int(rng.integers(len(self.features) - 1))
        t += t >= s
        j = int(rng.integers(len(self.features[t][t])))
        a, b = self._window(self.features[s][s][i], rng), self._window(self.features[t][t][j], rng)
        return {
            "A": self.features[s][s][i][:, a],
            "A_moved": self.features[s][t][i][:, a],
            "B": self.features[t][t][j][:, b],
            "B_moved": self.features[t][s][j][:, b],
            "a": torch.tensor(s),
            "b": torch.tensor(t),
        }

    def _window(self, features: Tensor, rng: np.random.Generator) -> slice:
        first = int(rng.integers(features.shape[1] - self.segment + 1))
        return slice(first, first + self.segment)


class PairSource(SpeechSource):
    """As `SpeechSource`, of recordings that say the same: those of B are laid along those of A by
    dynamic time warping, so that frames of one number are a pair."""

    def __init__(
        self, features: Features, statistics: Statistics, segment: int, recordings: Sequence[Sequence[Recording]]
    ):
        super().__init__(features, statistics, segment)
        names = [
            [sentence_of(each.name, who) for each in of] for who, of in zip(statistics.names, recordings, strict=True)
        ]
        self.partners = {
            (s, i): self._partners(s, name, names) for s, own in enumerate(names) for i, name in enumerate(own)
        }
        self.items = [item for item in self.items if self.partners[item]]
        if not self.items:
            raise DataError(
                f"no recordings of {statistics.names[0]} and {statistics.names[1]} share a name; expected the same sentences "
                "under the same names for --parallel: rename them, or leave it out"
            )
        self.paths: dict[tuple[int, int, int, int], Tensor] = {}

    def _partners(self, s: int, name: str, names: Sequence[Sequence[str]]) -> list[tuple[int, int]]:
        return [(t, own.index(name)) for t, own in enumerate(names) if t != s and name in own]

    def _row(self, item: int, rng: np.random.Generator) -> dict[str, Tensor]:
        s, i = self.items[item]
        partners = self.partners[s, i]
        t, j = partners[int(rng.integers(len(partners)))]
        along = self._along(s, i, t, j)
        window = self._window(self.features[s][s][i], rng)
        return {
            "A": self.features[s][s][i][:, window],
            "A_moved": self.features[s][t][i][:, window],
            "B": self.features[t][t][j][:, along[window]],
            "B_moved": self.features[t][s][j][:, along[window]],
            "a": torch.tensor(s),
            "b": torch.tensor(t),
        }

    def _along(self, s: int, i: int, t: int, j: int) -> Tensor:
        """For each frame of A the frame of B that it is laid beside."""
        if (s, i, t, j) not in self.paths:
            self.paths[s, i, t, j] = frames_beside(self.features[s][s][i], self.features[t][t][j])
        return self.paths[s, i, t, j]


def frames_beside(a: Tensor, b: Tensor) -> Tensor:
    """For each frame of features (rows, N) the frame of others (rows, M) that dynamic time warping
    of their cepstra lays beside it; of several the middle one."""
    path = path_between(_cepstra(a), _cepstra(b))  # (steps, 2), from the first frames to the last
    frames, others = path.unbind(1)
    counts = torch.bincount(frames, minlength=a.shape[1])
    starts = counts.cumsum(0) - counts
    return others[starts + counts // 2]


def _cepstra(features: Tensor) -> Tensor:
    """(rows, N) -> (13, N), without the mean of a frame."""
    rows = len(features)
    angle = torch.arange(1, CEPSTRA + 1)[:, None] * (torch.arange(rows) + 0.5) * (torch.pi / rows)
    return torch.cos(angle).to(features) @ features / rows
