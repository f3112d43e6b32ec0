"""Test sets of audio restoration: recordings and their inputs."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from torch import Tensor

from multigen.audio.recordings import Recording
from multigen.audio.sound_to_sound import Degrade
from multigen.data.datasets import hash_of
from multigen.errors import DataError

__all__ = ["LONGEST", "SHORTEST", "TestSet"]

SHORTEST, LONGEST = 0.3, 30.0
"""Seconds: what is less cannot be measured, and of more the beginning is."""


@dataclass(frozen=True)
class TestSet:
    """Recordings to measure on, float32 (T,) of one rate, and the input for each."""

    __test__ = False  # the name makes pytest take it for a test

    name: str
    rate: int
    names: tuple[str, ...]
    targets: tuple[Tensor, ...]
    inputs: tuple[Tensor, ...]

    @classmethod
    def of(
        cls,
        name: str,
        recordings: Sequence[Recording],
        rate: int,
        degrade: Degrade,
        most: int = 0,
        skipped: list[tuple[Path, str]] | None = None,
    ) -> "TestSet | None":
        """The set of these recordings, `most` of them at most (0: all), chosen by a hash of their
        names; None where there are none. Raises DataError for one too short to be measured; where a
        list `skipped` is given, it is noted there and left out."""
        targets: dict[str, Tensor] = {}
        for recording in sorted(recordings, key=lambda each: hash_of(each.name, 0))[: most or None]:
            if len(recording) < SHORTEST * rate:
                reason = (
                    f"{recording.name}: {len(recording) / rate:.2g} seconds are too short to be measured, expected {SHORTEST:g}; "
                    "leave it out, or skip it: --skip-bad"
                )
                if skipped is None:
                    raise DataError(reason)
                skipped.append((Path(recording.name), reason))
                continue
            targets[recording.name] = recording.part(0, int(LONGEST * rate))[0]
        inputs = tuple(degrade(target, each) for each, target in targets.items())
        return cls(name, rate, tuple(targets), tuple(targets.values()), inputs) if targets else None

    def only(self, i: int) -> "TestSet":
        """The set of its recording `i` alone."""
        part = slice(i, i + 1)
        return replace(self, names=self.names[part], targets=self.targets[part], inputs=self.inputs[part])
