"""Splits of short recordings for training generators, of one rate, length and number of channels.

They come from an embedded machine that drums or speaks, or from sound files of any rate, number of
channels and length: these are mixed to one channel or two, resampled, and cut or padded. Changes
are reported once per set. Files are read block by block, so that an hour takes no more memory than
a minute.
"""

import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import cast

import numpy as np
import torch
from torch import Tensor

from multigen.audio.drums import CLASSES, drums
from multigen.audio.files import AUDIO, check_rates, open_sound
from multigen.audio.levels import Silent, audible, check_audible, gain, offset_of, peak_of
from multigen.audio.rates import resampled
from multigen.audio.sets import SliceSource, SoundSet, Windows
from multigen.audio.store import BLOCK, MEMORY, Store
from multigen.audio.voice import SPEAKERS, utterance
from multigen.console import counted, say
from multigen.data.datasets import numbered, numbered_as
from multigen.data.folders import NoTestSplit
from multigen.data.labels import file_classes
from multigen.data.locate import locate
from multigen.data.parts import Parts, find_parts
from multigen.data.unread import find_files, report_unread
from multigen.errors import ConfigError, DataError

__all__ = ["CUTS", "DRUMS", "EMBEDDED", "VOICE", "Silent", "SliceSource", "SoundSet", "open_sounds"]

CUTS = ("start", "onsets", "slices", "random")
DRUMS = {"train": (4_000, 0), "test": (1_000, 1)}
"""Split -> sounds of the drum machine, and their seed."""
VOICE = {"train": (40, 0), "test": (10, 40)}
"""Split -> sentences of each speaker of the speaking machine, and the number of the first."""
EMBEDDED = {"drums": CLASSES, "voice": tuple(SPEAKERS)}
"""Data that are generated on demand -> their classes."""

MINUTE = 60  # seconds of a recording in which onsets are looked for at once


# ---------------------------------------------------------------------------------------------------- opening


@dataclass(frozen=True)
class _Recording:
    name: str
    label: str
    sound: Store
    first: int = 0
    end: int = -1
    """What is left of it by `trim`; -1: all."""
    gain: float = 1.0

    def __len__(self) -> int:
        return (len(self.sound) if self.end < 0 else self.end) - self.first

    def blocks(self, frames: int = -1) -> Iterator[Tensor]:
        """The first `frames` frames, or all, as blocks (C, T)."""
        end = self.first + (len(self) if frames < 0 else min(frames, len(self)))
        for at in range(self.first, end, BLOCK):
            part = self.sound[at : min(at + BLOCK, end)]
            yield part if self.gain == 1 else part * self.gain


def open_sounds(
    data: str,
    rate: int,
    length: int,
    *,
    split: str = "train",
    labels: str = "",
    test_files: str = "",
    cut: str = "start",
    trim: bool = False,
    normalise: bool = False,
    skip_bad: bool = False,
    channels: int = 1,
) -> SoundSet:
    """The recordings meant by a data argument, of one rate, length and number of channels.

    A constant offset of a recording (see `offset_of`) is removed and reported.

    - "drums": `multigen.audio.drums`, with its classes; 4,000 sounds to train and 1,000 others to
      test (`DRUMS`).
    - "voice": `multigen.audio.voice`: 40 sentences of each of four speakers, who are the classes,
      and 10 others of each to test (`VOICE`).
    - a folder of sound files at any depth, of the kinds `multigen.catalogue` lists; with splits
      where its folders are called so (`multigen.data.parts`), or `test_files` says which files are
      the test split.
    - one sound file, which has no test split.

    A relative path that does not exist here is sought in the folder that the environment variable
    MULTIGEN_DATA names.

    Args:
        rate: Hz; recordings of another rate are resampled.
        length: samples of each item. Shorter recordings are faded out over their last 2 ms and
            padded with zeros.
        split: "train", "validation" or "test"; where the data have no splits, all are "train".
        labels: "" for those that the data bring (of files: the folder, if each lies in one; a
            single class is none), "none", "name" (the file name before the last _), "first" (before
            the first _), or a CSV file with the columns `file`, relative to the folder, and
            `label`.
        test_files: pattern of the test files' paths in the folder, such as "*_[0-4].flac"; * also
            stands for folders.
        cut: what becomes of longer recordings. "start": their first `length` samples. "onsets": an
            item for each note or beat that begins, up to the next; "slices": consecutive windows,
            of which the last is left out if it is less than half full; items are then named
            "loop.wav#0", "loop.wav#1", ... "random": the same items as "slices", but
            `SoundSet.to_source` gives windows at random places.
        trim: leave out what is 40 dB below the peak at the beginning and the end, up to 5 ms.
        normalise: scale each recording so that its 50 ms frames, without the silent ones, have an
            RMS of -20 dB of full scale together, or less if its peak would be above .99.
        skip_bad: leave out files that cannot be read or are silent, and list them in `.skipped`.
        channels: 1, the mean of a file's; or 2, for which one is copied, and of more all from the
            third on are mixed into both.

    Raises:
        ConfigError: a setting is none of those above, or labels or test files are asked for of
            embedded data.
        NoTestSplit: the test split is requested of data that have none.
        DataError: nothing there, damaged or silent files, fewer than two items, or one class only
            although labels are asked for.
    """
    if (
        rate < 1
        or length < 1
        or split not in ("train", "validation", "test")
        or cut not in CUTS
        or channels not in (1, 2)
    ):
        raise ConfigError(
            f"rate {rate} Hz, length {length}, split {split!r}, cut {cut!r}, channels {channels}: expected a rate and a length "
            f"of 1 or more, train, validation or test, one of {', '.join(CUTS)}, and 1 or 2; correct what is not"
        )
    skipped: list[tuple[Path, str]] = []
    folders = ""
    if data in EMBEDDED:
        name, most = data, sys.maxsize
        recordings = _from_machine(data, rate, length, split, labels, test_files, channels)
    else:
        place = locate(data, "a folder of sound files, a sound file, or the name drums or voice")
        name, most = place.resolve().name if place.is_dir() else place.stem, MEMORY
        parts = _find(place, test_files)
        if place.is_dir():
            report_unread(place, AUDIO, labels)
        parts.report_left("recordings")
        folders, paths = parts.folders(split), parts.of(split)
        class_of = file_classes(parts, paths, labels) or [""] * len(paths)
        files = zip(paths, (path.relative_to(parts.root).as_posix() for path in paths), class_of, strict=True)
        recordings = _from_files(files, rate, channels, skipped if skip_bad else None)
    ready = (_levelled(r, rate, trim, normalise) for r in recordings)
    sounds = _assembled(name, ready, rate, length, cut, Store(channels, most))
    sounds = replace(sounds, skipped=tuple(skipped), folders=folders)
    _check_enough(data, sounds, labels)
    if labels == "none":
        return replace(sounds, labels=None, classes=())
    return numbered_as(sounds, EMBEDDED[data]) if data in EMBEDDED else sounds


def _check_enough(data: str, sounds: SoundSet, labels: str) -> None:
    if len(sounds) < 2:
        bad = f", {len(sounds.skipped)} damaged or silent" if sounds.skipped else ""
        raise DataError(
            f"{data}{bad}: {counted(len(sounds), 'recordings')}, expected at least 2; add recordings, or cut "
            "long ones: --cut slices"
        )
    if labels not in ("", "none") and sounds.labels is None:
        raise DataError(f"{data}: labels {labels!r} give one class only; expected two or more, or say --labels none")


def _from_machine(
    data: str, rate: int, length: int, split: str, labels: str, test_files: str, channels: int
) -> Iterator[_Recording]:
    if labels not in ("", "none") or test_files:
        raise ConfigError(
            f"labels {labels!r}, test_files {test_files!r}: {data} holds no files; leave both empty, or say labels none"
        )
    if split not in (DRUMS if data == "drums" else VOICE):
        raise NoTestSplit(f"{data} has no {split} sounds of its own")
    prefix = data if split == "train" else f"{data}/{split}"
    for name, label, sound in _drummed(rate, length, split) if data == "drums" else _spoken(rate, split):
        store = Store(channels)
        store.append(sound.expand(channels, -1))
        yield _Recording(f"{prefix}/{name}", label, store)


def _drummed(rate: int, length: int, split: str) -> Iterator[tuple[str, str, Tensor]]:
    """(name, class, (1, T)) of each sound."""
    count, seed = DRUMS[split]
    sounds, numbers = drums(count, length, rate, seed)
    for i, k in enumerate(numbers.tolist()):
        yield str(i), CLASSES[k], sounds[i]


def _spoken(rate: int, split: str) -> Iterator[tuple[str, str, Tensor]]:
    """(name, speaker, (1, T)) of each utterance; each speaker has a rhythm and melody of his
    own."""
    count, first = VOICE[split]
    for number in range(first, first + count):
        for take, speaker in enumerate(SPEAKERS):
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
) -> Iterator[_Recording]:
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
        yield _Recording(name, label, sound, gain=1 / max(peak, 1))
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


# ---------------------------------------------------------------------------------------------------- loudness and cutting


def _levelled(recording: _Recording, rate: int, trim: bool, normalise: bool) -> _Recording:
    """A recording trimmed and normalised, if it is to be."""
    if not trim and not normalise:
        return recording
    sound, none = recording.sound, torch.zeros(recording.sound.channels, 1)
    peak = peak_of(sound, none)
    first, end = audible(sound, rate, none, peak) if trim else (0, len(sound))
    scale = gain(sound, rate, first, end, peak) if normalise else recording.gain
    return replace(recording, first=first, end=end, gain=scale)


def _assembled(name: str, recordings: Iterable[_Recording], rate: int, length: int, cut: str, whole: Store) -> SoundSet:
    """The set of the recordings, which are kept in `whole` one after another, with a sample that is
    silent between each two."""
    labels, names, spans = list[str](), list[str](), list[tuple[int, int]]()
    for recording in recordings:
        at = len(whole)
        ranges = _ranges(recording, rate, length, cut)
        for block in recording.blocks(length if cut == "start" else -1):
            whole.append(block)
        whole.append(torch.zeros(whole.channels, 1))
        labels += [recording.label] * len(ranges)
        names += [recording.name if cut == "start" else f"{recording.name}#{i}" for i in range(len(ranges))]
        if cut == "random":  # with what the last slice left out
            ranges[-1] = (ranges[-1][0], len(recording))
        spans += [(at + first, at + end) for first, end in ranges]
    windows = Windows(whole, torch.tensor(spans, dtype=torch.int64).view(-1, 2), length, rate)
    numbers, classes = numbered(labels)
    sounds = cast(Tensor, windows) if whole.on_disk else windows[:]
    dataset = SoundSet(name, sounds, numbers, classes, tuple(names), rate=rate)
    if cut != "random" or not names:
        return dataset
    return replace(dataset, whole=whole if whole.on_disk else whole[:], spans=windows.spans)


def _ranges(recording: _Recording, rate: int, length: int, cut: str) -> list[tuple[int, int]]:
    """First sample of each item, and the one behind its last."""
    count = len(recording)
    if cut == "start":
        starts = [0]
    elif cut == "onsets":
        starts = _onsets(recording, rate)
    else:  # the last at least half full, but of each recording at least one
        starts = [0, *range(length, count - (length + 1) // 2 + 1, length)]
    return [(a, min(a + length, b)) for a, b in zip(starts, [*starts[1:], count], strict=True)]


def _onsets(recording: _Recording, rate: int) -> list[int]:
    """Samples at which notes or beats begin; the first sample, if none is found.

    In 15 patterns of recorded drums, 9 in 10 beats were found within 50 ms; of what was found, 1 in
    5 was none.
    """
    import librosa

    hop = max(rate // 100, 1)  # 10 ms
    window = 2 << (rate // 40).bit_length()  # 50 to 100 ms
    if len(recording) <= window:
        return [0]
    # Silence before lets a beat on the first sample be found; the mirrored end keeps the end itself from being taken for one.
    padded = Store()
    padded.append(torch.zeros(1, window))
    for block in recording.blocks():
        padded.append(block.mean(0, keepdim=True))
    padded.append(padded[len(padded) - window - 1 : len(padded) - 1].flip(1))
    size, around = hop * (MINUTE * rate // hop), hop * (4 * window // hop)
    parts = []
    for at in range(0, len(padded), size):
        first = max(at - around, 0)
        part = padded[first : at + size + around][0].numpy()
        envelope = librosa.onset.onset_strength(y=part, sr=rate, hop_length=hop, n_fft=window, n_mels=24)
        last = at + size >= len(padded)
        parts.append(envelope[(at - first) // hop :][: None if last else size // hop])
    onsets = librosa.onset.onset_detect(
        onset_envelope=np.concatenate(parts), sr=rate, hop_length=hop, units="samples", backtrack=True
    )
    count = len(recording)
    return sorted({max(int(start) - window, 0) for start in onsets if start < count + window}) or [0]
