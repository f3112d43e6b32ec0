"""Recordings of several speakers: to train on, and to measure on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path, PurePosixPath
from typing import Protocol

from multigen.audio.recordings import EMBEDDED, Recording, fingerprint, open_recordings
from multigen.audio.speech import speakers_of
from multigen.console import counted, say
from multigen.data.datasets import hash_of
from multigen.data.folders import NoTestSplit
from multigen.errors import ConfigError, DataError

__all__ = ["LEAST", "MOST", "Opened", "Settings", "Speakers", "open_speakers", "sentence_of"]

LEAST = 8.0
"""Seconds of training recordings that a speaker must have."""
MOST = 16
"""Speakers of one model."""
TENTH = 10  # of the sentences, one in so many is a test sentence, where the data have no split of their own
SHORTEST = 0.3  # seconds: what is less cannot be measured
USUAL = ("F1", "M2")  # of the speaking machine, where none are named

Speakers = Mapping[str, Sequence[Recording]]
"""Name -> recordings."""


class Settings(Protocol):
    """Settings of the data, as `AudioTranslationConfig` documents them."""

    @property
    def data(self) -> str: ...
    @property
    def target(self) -> str: ...
    @property
    def test(self) -> str: ...
    @property
    def test_target(self) -> str: ...
    @property
    def speakers(self) -> tuple[str, ...]: ...
    @property
    def rate(self) -> int: ...
    @property
    def seconds(self) -> float: ...
    @property
    def skip_bad(self) -> bool: ...


@dataclass
class Opened:
    """What the data of a configuration are."""

    train: Speakers
    test: Speakers
    test_name: str
    skipped: list[tuple[Path, str]] = field(default_factory=list)

    @property
    def fingerprints(self) -> tuple[str, str]:
        """Of the training recordings, and of the test recordings."""
        both = ([r for each in part.values() for r in each] for part in (self.train, self.test))
        first, second = map(fingerprint, both)
        return first, second


def open_speakers(c: Settings) -> Opened:
    """Opens the recordings of all speakers: of two folders, those of `data` and of `target`, or of
    one, in which names of folders or files say who speaks. Sentences are held out for testing where
    the data have no test split and none is named; the same of all speakers.

    Raises ConfigError for settings that contradict each other, DataError for recordings that cannot
    be used.
    """
    skipped: list[tuple[Path, str]] = []
    if "drums" in (c.data, c.target, c.test, c.test_target):
        raise ConfigError("drums: nobody speaks in them; give recordings of speech, or voice, the speaking machine")
    named = c.speakers or (USUAL if c.data in EMBEDDED else ())
    train = _chosen(c, named, _read(c, c.data, c.target, "train", named, skipped))
    test, name = _tests(c, tuple(train), skipped)
    if test is None:
        train, test = _held_out(train)
    train = {who: _first(_long(each, c.rate), c.seconds * c.rate) for who, each in train.items()}
    for who, recordings in train.items():
        seconds = sum(map(len, recordings)) / c.rate
        if seconds < LEAST:
            more = "add recordings, or raise --seconds" if c.seconds else "add recordings"
            raise DataError(
                f"{c.target if c.target and who == tuple(train)[1] else c.data}: {seconds:.1f} seconds of {who} to train on, "
                f"expected at least {LEAST:g}, and a minute or more for a likeness; {more}"
            )
    return Opened(train, {who: _long(each, c.rate) for who, each in test.items()}, name, skipped)


def sentence_of(name: str, speaker: str) -> str:
    """What a recording is called without its speaker: recordings that share it say the same."""
    path = PurePosixPath(name)
    folders = [part for part in path.parts[:-1] if part != speaker]
    return "/".join([*folders, path.stem.removeprefix(speaker).strip("_-")])


def _long(recordings: Sequence[Recording], rate: int) -> list[Recording]:
    return [each for each in recordings if len(each) >= SHORTEST * rate]


def _first(recordings: Sequence[Recording], samples: float) -> list[Recording]:
    """The first of them that have so many samples together; 0: all."""
    ends = accumulate(map(len, recordings), initial=0)
    return [each for each, before in zip(recordings, ends, strict=False) if not samples or before < samples]


def _read(
    c: Settings, data: str, target: str, split: str, only: Sequence[str], skipped: list[tuple[Path, str]]
) -> dict[str, list[Recording]]:
    """Name of a speaker -> recordings of a split; raises NoTestSplit where there is none."""

    def recordings(place: str) -> list[Recording]:
        opened = open_recordings(place, c.rate, split=split, skip_bad=c.skip_bad, only=tuple(only))
        skipped.extend(opened.skipped)
        return opened

    if target:
        if data in EMBEDDED or target in EMBEDDED:
            raise ConfigError(
                f"data {data}, target {target}: an embedded machine has all its speakers; leave out target, and choose two: "
                "--speakers F2 M1"
            )
        if Path(data).expanduser().resolve() == Path(target).expanduser().resolve():
            raise ConfigError(
                f"data {data}, target {target}: the same recordings; name those of another speaker: --target"
            )
        names = _two_names(data, target)
        return {names[0]: recordings(data), names[1]: recordings(target)}
    if unknown := [name for name in only if data in EMBEDDED and name not in EMBEDDED[data]]:
        raise _unknown(unknown, EMBEDDED[data])
    found = recordings(data)
    if data in EMBEDDED:
        return _sorted(found, [each.label for each in found])
    names = speakers_of(PurePosixPath(each.name) for each in found)[1]
    return _sorted(found, names or [PurePosixPath(each.name).parts[0] if "/" in each.name else "" for each in found])


def _sorted(recordings: Sequence[Recording], names: Sequence[str]) -> dict[str, list[Recording]]:
    result: dict[str, list[Recording]] = {}
    for recording, name in zip(recordings, names, strict=True):
        result.setdefault(name, []).append(recording)
    return {name: result[name] for name in sorted(result)}


def _two_names(data: str, target: str) -> tuple[str, str]:
    """The names of the two folders, or of those that they are in, or A and B."""
    a, b = (Path(place).expanduser().absolute() for place in (data, target))
    for one, two in ((a.stem, b.stem), (a.parent.name, b.parent.name)):
        if one != two:
            return one, two
    return "A", "B"


def _chosen(c: Settings, named: Sequence[str], found: dict[str, list[Recording]]) -> dict[str, list[Recording]]:
    """The speakers that are trained on, in their order: those that are named, else all."""
    if unknown := [name for name in named if name not in found]:
        raise _unknown(unknown, tuple(found))
    if len(found) < 2:
        raise DataError(
            f"{c.data}: one speaker, as far as the names of folders and files say; expected two or more: give a second folder, "
            "--target, or a folder for each speaker"
        )
    names = named or tuple(found)
    if len({*names}) != len(names):
        raise ConfigError(f"speakers {', '.join(names)}: one is named twice; name each once")
    if not 2 <= len(names) <= MOST:
        raise ConfigError(f"{counted(len(names), 'speakers')}: expected 2 to {MOST}; choose some: --speakers NAME NAME")
    return {name: found[name] for name in names}


def _unknown(names: Sequence[str], there: Sequence[str]) -> ConfigError:
    return ConfigError(f"speakers {', '.join(names)}: not in the data; expected some of {', '.join(there)}")


def _tests(c: Settings, names: tuple[str, ...], skipped: list[tuple[Path, str]]) -> tuple[Speakers | None, str]:
    """The test recordings that are named, or that the data bring, and how they are called; None
    where they are held out."""
    if c.test_target and not (c.test and c.target):
        raise ConfigError(
            f"test {c.test!r}, test_target {c.test_target!r}: expected both where data and target are given, else test alone; "
            "name the test recordings of each speaker"
        )
    if not c.test:
        try:
            return {
                who: each for who, each in _read(c, c.data, c.target, "test", names, skipped).items() if who in names
            }, "test"
        except NoTestSplit:
            return None, "test"
    if c.target and not c.test_target:
        raise ConfigError(
            f"test {c.test!r}: data and target are two folders; name the test recordings of each: --test-target"
        )
    try:
        found = _read(c, c.test, c.test_target, "test", names, skipped)
    except NoTestSplit:
        found = _read(c, c.test, c.test_target, "train", names, skipped)
    if c.target:
        found = dict(zip(names, found.values(), strict=True))
    if missing := [name for name in names if name not in found]:
        raise DataError(
            f"test {c.test}: no recording of {', '.join(missing)}; name a set with all speakers that are trained on"
        )
    return {name: found[name] for name in names}, Path(c.test).absolute().name


def _held_out(
    train: Mapping[str, Sequence[Recording]],
) -> tuple[dict[str, list[Recording]], dict[str, list[Recording]]]:
    """Training and test recordings: of each speaker the tenth of the sentences with the smallest
    hashes, and what others say of these, so that the recordings of one sentence are on one
    side."""
    kept: dict[str, list[Recording]] = {}
    held: dict[str, list[Recording]] = {}
    chosen = {sentence for who, recordings in train.items() for sentence in _tenth(who, recordings)}
    for who, recordings in train.items():
        sentences = [sentence_of(each.name, who) for each in recordings]
        tests = chosen if {*sentences} - chosen else {*_tenth(who, recordings)}  # something is left to train on
        held[who] = [each for each, sentence in zip(recordings, sentences, strict=True) if sentence in tests]
        kept[who] = [each for each, sentence in zip(recordings, sentences, strict=True) if sentence not in tests]
    total = sum(map(len, train.values()))
    say(f"{sum(map(len, held.values()))} of {total} recordings are held out, to test with")
    return kept, held


def _tenth(who: str, recordings: Sequence[Recording]) -> list[str]:
    """The tenth of a speaker's sentences with the smallest hashes, one at least. Raises DataError
    where none would be left."""
    sentences = sorted({sentence_of(each.name, who) for each in recordings}, key=lambda each: hash_of(each, 0))
    if len(sentences) < 2:
        raise DataError(
            f"{who}: one recording, none is left to test with; cut it into sentences, or name a test set: --test"
        )
    return sentences[: max(1, len(sentences) // TENTH)]
