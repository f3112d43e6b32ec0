"""Segments of recordings with their inputs: training data of audio restoration."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from multigen.audio.recordings import Recording
from multigen.engine.batches import Batch, Rows
from multigen.errors import DataError

__all__ = ["Beside", "Corrupt", "SegmentSource"]

Corrupt = Callable[[Tensor, np.random.Generator, str], dict[str, Tensor]]
"""(a segment with its margins, float32 (margin + segment + margin,); its draws; its recording's
name) -> the tensors of a batch: "target" (segment,), "input", and what else is made of it."""
Beside = Callable[[Recording, int, int], dict[str, Tensor]]
"""(recording, first sample, samples) -> further tensors of a batch that belong to a segment of
it."""


class SegmentSource:
    """Random segments of recordings, the targets of restoration, with their inputs.

    A recording stands for as many items as segments fit into it, so an epoch hears about every
    sample once, and samples of short and long recordings are drawn equally often.

    Args:
        recordings: as from `open_recordings`.
        segment: samples.
        gain: dB by which a segment is made quieter at most, drawn evenly; none where `beside` is
            given.
        step: segments begin at multiples of it.
        margin: samples on each side of a segment that `corrupt` sees too; silence beyond the
            recording.
        corrupt: makes the tensors of each segment, again each time it is drawn. Without it batches
            hold the "target" alone.
        beside: gives tensors that belong to a segment.
        skip_bad: leave out recordings that are shorter than a segment.

    Raises:
        DataError: a recording is shorter than a segment (without skip_bad), or none is left.
    """

    def __init__(
        self,
        recordings: Sequence[Recording],
        segment: int,
        *,
        gain: float = 0.0,
        step: int = 1,
        margin: int = 0,
        corrupt: Corrupt | None = None,
        beside: Beside | None = None,
        skip_bad: bool = False,
    ):
        self.segment, self.step, self.margin = segment, step, margin
        self.corrupt, self.beside, self.gain = corrupt, beside, 0.0 if beside else gain
        self.recordings: list[Recording] = []
        self.skipped: list[tuple[Path, str]] = []
        for recording in recordings:
            if len(recording) >= segment:
                self.recordings.append(recording)
                continue
            reason = (
                f"{recording.name}: {len(recording)} samples, shorter than a segment of {segment}; choose a smaller --segment, "
                "or skip it: --skip-bad"
            )
            if not skip_bad:
                raise DataError(reason)
            self.skipped.append((Path(recording.name), reason))
        if not self.recordings:
            first = "".join(reason for _, reason in self.skipped[:1])
            raise DataError(f"no recording is left of {len(recordings)}; expected at least one. {first}")
        self._recording_of_item = np.repeat(
            np.arange(len(self.recordings)), [max(1, round(len(r) / segment)) for r in self.recordings]
        )

    def __len__(self) -> int:
        """Number of items: about how many segments cover all recordings once."""
        return len(self._recording_of_item)

    def batch(self, rows: Rows) -> Batch:
        """Segments at random places: float32 "target" (B, segment), and what `corrupt` and `beside`
        give."""
        segments = [
            self._segment(int(self._recording_of_item[item]), rows.rng(i)) for i, item in enumerate(rows.indices)
        ]
        return {name: torch.stack([segment[name] for segment in segments]) for name in segments[0]}

    def _segment(self, number: int, rng: np.random.Generator) -> dict[str, Tensor]:
        recording = self.recordings[number]
        first = int(rng.integers((len(recording) - self.segment) // self.step + 1)) * self.step
        sound = _around(recording, first, self.segment, self.margin)
        if self.gain:
            sound = sound * float(10 ** (-self.gain * rng.random() / 20))
        target = sound[self.margin :][: self.segment]
        parts = self.corrupt(sound, rng, recording.name) if self.corrupt else {"target": target}
        return {**parts, **(self.beside(recording, first, self.segment) if self.beside else {})}


def _around(recording: Recording, first: int, count: int, margin: int) -> Tensor:
    """Samples of a recording and a margin on each side, (margin + count + margin,)."""
    before = min(margin, first)
    sound = recording.part(first - before, before + count + margin)[0]
    return nn.functional.pad(sound, (margin - before, before + count + margin - len(sound)))
