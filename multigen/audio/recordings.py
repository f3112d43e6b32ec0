"""Recordings of one rate and number of channels, whole: of an embedded machine that drums or
speaks, or of sound files of any rate, number of channels and length. Files are read block by block,
so that an hour takes no more memory than a minute."""

import hashlib
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from multigen.audio.drums import CLASSES, drums
from multigen.audio.files import AUDIO, check_rates, open_sound
from multigen.audio.levels import check_audible, offset_of, peak_of
from multigen.audio.rates import resampled
from multigen.audio.store import BLOCK, MEMORY, Store
from multigen.audio.voice import SPEAKERS, utterance
from multigen.console import counted, say
from multigen.data.folders import NoTestSplit
from multigen.data.labels import file_classes
from multigen.data.locate import locate
from multigen.data.parts import Parts, find_parts
from multigen.data.unread import find_files, report_unread
from multigen.errors import ConfigError, DataError

__all__ = [
    "DRUMS",
    "EMBEDDED",
    "VOICE",
    "Opened",
    "Recording",
    "Recordings",
    "fingerprint",
    "mixed",
    "open_recordings",
    "opened",
]

DRUMS = {"train": (4_000, 0), "test": (1_000, 1)}
"""Split -> sounds of the drum machine, and their seed."""
VOICE = {"train": (40, 0), "test": (10, 40)}
"""Split -> sentences of each speaker of the speaking machine, and the number of the first."""
EMBEDDED = {"drums": CLASSES, "voice": tuple(SPEAKERS)}
"""Data that are generated on demand -> their classes."""


# ---------------------------------------------------------------------------------------------------- opening


@dataclass(frozen=True)
class Recording:
    """A recording, or a part of one, in a store that others may share."""

    name: str
    label: str
    sound: Store
    first: int = 0
    end: int = -1
    """Its part of the store; -1: all from `first`."""
    gain: float = 1.0

    def __len__(self) -> int:
        return (len(self.sound) if self.end < 0 else self.end) - self.first

    def blocks(self, frames: int = -1) -> Iterator[Tensor]:
        """The first `frames` frames, or all, as blocks (C, T)."""
        end = self.first + (len(self) if frames < 0 else min(frames, len(self)))
        for at in range(self.first, end, BLOCK):
            part = self.sound[at : min(at + BLOCK, end)]
            yield part if self.gain == 1 else part * self.gain

    def part(self, first: int, count: int) -> Tensor:
        """So many frames of it from one on, or those that there are, (C, T)."""
        end = self.first + min(first + count, len(self))
        part = self.sound[self.first + first : end]
        return part if self.gain == 1 else part * self.gain


class Recordings(list[Recording]):
    """Recordings, and the files that were left out, with the reason."""

    skipped: list[tuple[Path, str]]
    folders: str
    """Where the split lies, such as "valid/"; "" in data without splits."""


def open_recordings(
    data: str,
    rate: int,
    *,
    split: str = "train",
    test_files: str = "",
    skip_bad: bool = False,
    only: Sequence[str] = (),
) -> Recordings:
    """The whole recordings meant by a data argument, of one rate, and one channel, which is the
    mean of all.

    Arguments and errors as of `multigen.audio.datasets.open_sounds`; a sound of the drum machine
    lasts a second. `only`: speakers of the speaking machine, the others of which are not made;
    none: all.
    """
    skipped: list[tuple[Path, str]] = []
    source = opened(
        data,
        rate,
        rate,
        split=split,
        labels="none",
        test_files=test_files,
        skipped=skipped if skip_bad else None,
        only=only,
    )
    whole, result = Store(1, source.most), Recordings()
    for recording in source.recordings:
        first = len(whole)
        for block in recording.blocks():
            whole.append(block)
        result.append(Recording(recording.name, recording.label, whole, first, len(whole)))
    result.skipped, result.folders = skipped, source.folders
    if not result:
        raise DataError(f"{data}: no recording is left of {len(skipped)}, expected at least 1; add recordings")
    return result


def fingerprint(recordings: Sequence[Recording]) -> str:
    """Hash of the names and samples of recordings, in their order."""
    digest = hashlib.blake2b(digest_size=8)
    for recording in recordings:
        digest.update(f"{recording.name}\0{len(recording)}\0".encode())
        for block in recording.blocks():
            digest.update(block.contiguous().numpy().data)
    return digest.hexdigest()


class Opened(NamedTuple):
    """What `opened` finds."""

    name: str
    recordings: Iterator[Recording]
    """Each is read when its turn comes, and only then noted among the skipped."""
    folders: str
    most: int
    """Bytes of them that are well kept in memory."""


def opened(
    data: str,
    rate: int,
    length: int,
    *,
    split: str,
    labels: str,
    test_files: str = "",
    channels: int = 1,
    skipped: list[tuple[Path, str]] | None = None,
    only: Sequence[str] = (),
) -> Opened:
    """The recordings of a data argument, one after another. `length`: samples of a sound of the
    drum machine; `skipped`: where unusable files are noted, or None where they are an error.
    Arguments and errors as of `multigen.audio.datasets.open_sounds`."""
    if data in EMBEDDED:
        return Opened(
            data, _from_machine(data, rate, length, split, labels, test_files, channels, only), "", sys.maxsize
        )
    place = locate(data, "a folder of sound files, a sound file, or the name drums or voice")
    parts = _find(place, test_files)
    if place.is_dir():
        report_unread(place, AUDIO, labels)
    parts.report_left("recordings")
    paths = parts.of(split)
    class_of = file_classes(parts, paths, labels) or [""] * len(paths)
    files = zip(paths, (path.relative_to(parts.root).as_posix() for path in paths), class_of, strict=True)
    name = place.resolve().name if place.is_dir() else place.stem
    return Opened(name, _from_files(files, rate, channels, skipped), parts.folders(split), MEMORY)


def _from_machine(
    data: str,
    rate: int,
    length: int,
    split: str,
    labels: str,
    test_files: str,
    channels: int,
    only: Sequence[str],
) -> Iterator[Recording]:
    if labels not in ("", "none") or test_files:
        raise ConfigError(
            f"labels {labels!r}, test_files {test_files!r}: {data} holds no files; leave both empty, or say labels none"
        )
    if split not in (DRUMS if data == "drums" else VOICE):
        raise NoTestSplit(f"{data} has no {split} sounds of its own")
    prefix = data if split == "train" else f"{data}/{split}"
    for name, label, sound in _drummed(rate, length, split) if data == "drums" else _spoken(rate, split, only):
        store = Store(channels)
        store.append(sound.expand(channels, -1))
        yield Recording(f"{prefix}/{name}", label, store)


def _drummed(rate: int, length: int, split: str) -> Iterator[tuple[str, str, Tensor]]:
    """(name, class, (1, T)) of each sound."""
    count, seed = DRUMS[split]
    sounds, numbers = drums(count, length, rate, seed)
    for i, k in enumerate(numbers.tolist()):
        yield str(i), CLASSES[k], sounds[i]


def _spoken(rate: int, split: str, only: Sequence[str]) -> Iterator[tuple[str, str, Tensor]]:
    """(name, speaker, (1, T)) of each utterance; each speaker has a rhythm and melody of his
    own."""
    count, first = VOICE[split]
    for number in range(first, first + count):
        for take, speaker in enumerate(SPEAKERS):
            if only and speaker not in only:
                continue
            yield f"{speaker}/{number}", speaker, utterance(speaker, number, rate, take=take).sound[None]


@dataclass
class _Changes:
    """Changes made to recordings, reported once."""

    rates: Counter[int] = field(default_factory=Counter)
    channels: Counter[int] = field(default_factory=Counter)
    offsets: list[float] = field(default_factory=list)
    loud: int = 0

    def report(self, rate: int, channels: int) -> None:
        changes = [(self.rates, rate, f"resampled from {{}} Hz to {rate} Hz")]
        if channels == 1:
            changes.append((self.channels, 1, "of {} channels averaged to one"))
        else:
            more = Counter({n: count for n, count in self.channels.items() if n > 1})
            changes += [
                (self.channels - more, 2, "of {} channel copied to two"),
                (more, 2, "of {} channels mixed to two"),
            ]
        for counts, target, text in changes:
            if changed := {value: n for value, n in counts.items() if value != target}:
                listed = ", ".join(str(value) for value in sorted(changed))
                say(f"{counted(sum(changed.values()), 'recordings')} {text.format(listed)}")
        if self.offsets:
            say(
                f"{counted(len(self.offsets), 'recordings')} with a constant offset of up to {max(self.offsets):.3g} of full "
                "scale, which is removed"
            )
        if self.loud:
            say(f"{counted(self.loud, 'recordings')} with peaks beyond -1..1 made less loud to fit")


def _from_files(
    files: Iterable[tuple[Path, str, str]], rate: int, channels: int, skipped: list[tuple[Path, str]] | None
) -> Iterator[Recording]:
    """Whole recordings of files, resampled, with names and classes; unusable ones are added to
    `skipped`, if there is such a list.

    One after another: with threads 3,000 short files took longer (.8 s with two, .7 s without).
    """
    changes = _Changes()
    for path, name, label in files:
        try:
            sound, peak = _read(path, rate, channels, changes)
        except DataError as error:
            if skipped is None:
                raise
            skipped.append((path, str(error)))
            continue
        yield Recording(name, label, sound, gain=1 / max(peak, 1))
    changes.report(rate, channels)


def _read(path: Path, rate: int, channels: int, changes: _Changes) -> tuple[Store, float]:
    """A recording of this rate, without its offset, and its peak."""
    sound = Store(channels)
    with open_sound(path) as file:
        check_rates(path, file.rate, rate)
        for block in file.blocks():
            sound.append(mixed(block, channels))
    offset = offset_of(sound, file.rate)
    if file.rate != rate or offset.any():
        raw, sound = sound, Store(channels)
        for block in resampled((block - offset for _, block in raw.blocks()), file.rate, rate):
            sound.append(block)
    peak = peak_of(sound, torch.zeros(channels, 1))
    check_audible(path, peak)
    changes.rates[file.rate] += 1
    changes.channels[file.channels] += 1
    changes.loud += int(peak > 1)
    changes.offsets += [float(offset.abs().max())] if offset.any() else []
    return sound, peak


def mixed(block: Tensor, channels: int) -> Tensor:
    """(C, T) -> (channels, T), 1 or 2: the mean; or a copy of the one, or two with those behind
    them mixed into both."""
    if channels == 1:
        return block.mean(0, keepdim=True)
    if len(block) == 1:
        return block.expand(2, -1)
    both = block[2:].sum(0, keepdim=True)
    return (block[:2] + both) / (len(block) - 1)


def _find(place: Path, test_files: str) -> Parts:
    """The files by their use."""
    if not place.is_dir():
        if test_files:
            raise NoTestSplit(f"{place}: one file has no test files; name a test set: --test FOLDER")
        return find_parts(place, [place])
    paths = find_files(place, AUDIO, "sound files")
    if not test_files:
        return find_parts(place, paths)
    tests = [path for path in paths if fnmatchcase(path.relative_to(place).as_posix(), test_files)]
    if not 0 < len(tests) < len(paths):
        raise ConfigError(
            f"test_files {test_files!r} fits {len(tests)} of {len(paths)} files in {place}, expected some, not all; give another "
            "pattern, such as '*_[0-4].flac'"
        )
    return Parts(place, sorted({*paths} - {*tests}), test=tests)
