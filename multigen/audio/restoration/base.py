"""Base trainer of audio restoration: settings, recordings, segments and their degradation, metrics,
comparisons.

A method derives from `AudioRestorationTrainer`, and states only what differs: networks, losses,
stages, the degradation, the ready object.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, TypeVar

import numpy as np
from torch import Tensor, nn

from multigen.audio.files import write_sound
from multigen.audio.recordings import EMBEDDED, Recording, Recordings, fingerprint, open_recordings
from multigen.audio.restoration.evaluator import available, comparison, definitions, score
from multigen.audio.restoration.segments import SegmentSource
from multigen.audio.restoration.test_sets import SHORTEST, TestSet
from multigen.audio.sound_to_sound import SoundRestorer
from multigen.console import say
from multigen.data.folders import NoTestSplit
from multigen.engine import Batch, Callback, DataInfo, Step
from multigen.errors import ConfigError, MultigenError
from multigen.runs.card import Card
from multigen.storage.output import replacing
from multigen.tasks.loading import load
from multigen.tasks.restoration.base import (
    RANGES,
    RestorationConfig,
    RestorationTrainer,
    Restore,
    Skipped,
    hold_out,
)

__all__ = ["HELD_OUT", "AudioRestorationConfig", "AudioRestorationTrainer"]

HELD_OUT = "held-out"
TENTH = 10  # of the recordings, one in so many is a test recording, where the data have no split of their own


@dataclass(frozen=True)
class AudioRestorationConfig(RestorationConfig):
    """Settings common to all methods."""

    data: str = "voice"
    """Training recordings: voice or drums (embedded machines), a folder of sound files, or a file.
    Channels are averaged."""
    test: tuple[str, ...] = (HELD_OUT,)
    """Recordings that are measured in the end and never trained on: names or folders; held-out: the
    test split that the data bring, or a tenth of the recordings."""
    test_files: str = ""
    """Pattern of the data's files that are its test split, such as *_[0-4].flac; empty: folders
    train and test."""
    test_size: int = 20
    """Recordings that are measured of each test set at most, chosen by a hash of their names; 0:
    all. Of a recording the first 30 seconds are."""
    rate: int = 16_000
    """Sample rate, Hz; recordings of another rate are resampled."""
    segment: int = 8_000
    """Samples of the segments that are trained on."""
    gain: float = 6.0
    """dB by which a segment is made quieter at most, drawn at random, so that loudness does not
    matter."""
    batch: int = 16
    """Segments per step, over all processes."""

    ranges = RANGES | {"rate": (4_000, 192_000), "segment": 64, "gain": (0, 60), "test_size": 0}

    def __post_init__(self):
        super().__post_init__()
        if self.test_files and HELD_OUT not in self.test:
            raise ConfigError(
                f"test_files {self.test_files!r}, test {' '.join(self.test)}: each names the test data; give one of them"
            )


C = TypeVar("C", bound=AudioRestorationConfig)


class AudioRestorationTrainer(RestorationTrainer[C]):
    """Trains G to restore sounds. Items are recordings float32 (T,) of `config.rate`, batches hold
    "target" (B, segment) and what `corrupt` makes; a `Restore` maps (T,) to (T,)."""

    task = "audio-restoration"
    sizes = ("segment", "width")
    metrics: ClassVar[tuple[str, ...]] = (
        *("lsd", "multi_stft", "mcd", "si_sdr", "pesq", "stoi"),
        *("mcd_world", "f0_error", "voicing_error"),
    )
    """Metrics against originals, of `multigen.audio.metrics`; those are left out that are not
    defined at the rate, or whose package is not installed."""
    slow: ClassVar[Collection[str]] = ("mcd_world", "voicing_error")
    """Metrics that validations leave out."""
    margin: int = 0
    """Samples on each side of a segment that `corrupt` sees too."""
    data: SegmentSource
    _split: "tuple[Recordings, list[Recording]] | None" = None

    def default_callbacks(self) -> Sequence[Callback]:
        return [Card()]

    # ---------------------------------------------------------------------------------- what a method may state

    def corrupt(self, sound: Tensor, rng: np.random.Generator, name: str = "") -> dict[str, Tensor]:
        """The tensors of a batch for a segment with its margins (margin + segment + margin,) of the
        recording `name`: here "target" alone."""
        return {"target": sound[self.margin :][: self.config.segment]}

    def degrade(self, sound: Tensor, name: str) -> Tensor:
        """The input (T,) of a whole recording (T,) that is measured: here itself. Equal recordings
        of equal names give equal ones."""
        return sound

    def test_variants(self, test: TestSet) -> Sequence[TestSet]:
        """The sets that are measured of one of recordings, such as one for each degradation, with
        names of their own."""
        return [test]

    # ---------------------------------------------------------------------------------- data

    def items(self) -> int:
        """Number of training recordings, of which batches are segments."""
        return len(self.data.recordings)

    def open_items(self) -> Recordings:
        return self.own()[0]

    def own(self) -> tuple[Recordings, list[Recording]]:
        """The data's recordings to train on, and those to test with: its own test split, or a tenth
        of the recordings."""
        c = self.config
        if self._split is None:
            train = self._open(c.data)
            test: list[Recording] = []
            if HELD_OUT in c.test:
                try:
                    test = self._open(c.data, "test")
                except NoTestSplit:
                    if len(train) < 2:
                        raise ConfigError(
                            f"data {c.data}: one recording, none is left to test with; add recordings, or name a test set: "
                            "--test FOLDER"
                        ) from None
                    rest, test = hold_out(train, max(len(train) // TENTH, 1))
                    train[:] = rest
                    say(f"{c.data}: {len(test)} of {len(test) + len(rest)} recordings are held out, to test with")
            self._split = train, test
        return self._split

    def _open(self, data: str, split: str = "train") -> Recordings:
        c = self.config
        return open_recordings(
            data, c.rate, split=split, test_files=c.test_files if data == c.data else "", skip_bad=c.skip_bad
        )

    def open_validation(self) -> Recordings | None:
        try:
            return self._open(self.config.data, "validation")
        except NoTestSplit:
            return None

    def open_tests(self) -> list[TestSet]:
        c, sets = self.config, list[TestSet]()
        for name in c.test:
            recordings = self.own()[1] if name == HELD_OUT else self._open_test(name)
            called = "test" if name == HELD_OUT else name if name in EMBEDDED else Path(name).absolute().name
            skipped: Skipped = []
            test = TestSet.of(called, recordings, c.rate, self.degrade, c.test_size, skipped if c.skip_bad else None)
            if test is None:
                raise ConfigError(f"test {name}: no recording of {SHORTEST:g} seconds or more; name another set")
            if test.name in [each.name for each in sets]:
                raise ConfigError(
                    f"test {' '.join(c.test)}: two sets are called {test.name!r}; rename one of the folders"
                )
            sets.append(test)
        return [variant for test in sets for variant in self.test_variants(test)]

    def _open_test(self, name: str) -> Recordings:
        try:
            return self._open(name, "test")
        except NoTestSplit:
            return self._open(name)

    def to_source(self, items: Sequence[Recording]) -> SegmentSource:
        c = self.config
        return SegmentSource(
            items, c.segment, gain=c.gain, margin=self.margin, corrupt=self.corrupt, skip_bad=c.skip_bad
        )

    def to_set(self, name: str, items: Sequence[Recording], skipped: Skipped | None) -> TestSet | None:
        return TestSet.of(name, items, self.config.rate, self.degrade, skipped=skipped)

    def describe_data(self, source: SegmentSource) -> DataInfo:
        return DataInfo(fingerprint(source.recordings))

    def fingerprint_held_out(self, items: Sequence[Recording]) -> str:
        tests = [
            test for name in self.config.test for test in (self.own()[1] if name == HELD_OUT else self._open_test(name))
        ]
        return f"{fingerprint(items)} {fingerprint(tests)}"

    def inputs(self, batch: Batch, step: Step) -> Tensor:
        """Inputs of G, (B, segment)."""
        return batch["input"].to(step.dtype)

    def targets(self, batch: Batch, step: Step) -> Tensor:
        """Segments of recordings (B, segment)."""
        return batch["target"].to(step.dtype)

    # ---------------------------------------------------------------------------------- evaluation

    def restorer_of(self, network: nn.Module) -> SoundRestorer:
        raise NotImplementedError

    def baselines(self) -> dict[str, Restore]:
        """The input, and the model that training started from."""
        return {"input": lambda sound: sound, **self.start_row()}

    def start_row(self) -> dict[str, Restore]:
        """The model that training started from, as {row name: model}; empty if it no longer
        exists."""
        if not self.run.start:
            return {}
        try:
            model = load(self.run.start)
        except MultigenError as error:
            say(f"the model that training started from is not measured: {error}")
            return {}
        return {"start": model} if model.task == self.task and model.rate == self.config.rate else {}

    def measure(
        self, restorers: Mapping[str, Restore], sets: Sequence[TestSet], needed: Collection[str] | None = None
    ) -> dict[str, dict[str, float]]:
        metrics = [m for m in self.measured() if needed is None or m not in self.slow or m in needed]
        return score(restorers, sets, metrics, self.device)

    def measured(self) -> tuple[str, ...]:
        """The metrics that are measured here."""
        return available(self.metrics, self.config.rate)

    def definitions(self) -> dict[str, str]:
        return definitions(self.measured())

    def compare(self, restorers: Mapping[str, Restore], sets: Sequence[TestSet], path: Path) -> None:
        """Writes `PATH.png`, spectrograms, and `PATH.wav`, the same recordings one after
        another."""
        if len(sets) > 1:  # of several a recording each
            sets = [test.only(i % len(test.names)) for i, test in enumerate(sets)]
        picture, sound = comparison(restorers, *sets)
        with replacing(path.with_name(f"{path.name}.png")) as file:
            picture.save(file)
        write_sound(path.with_name(f"{path.name}.wav"), sound.clamp(-1, 1), self.config.rate)
