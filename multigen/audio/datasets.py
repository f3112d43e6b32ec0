"""Splits of short recordings for training generators, each held whole as one float32 tensor of one rate and length.

They come from the embedded drum machine, or from sound files of any rate, number of channels and length: these are averaged
to one channel, resampled, and cut or padded. What was changed is said once for a whole set, never done in silence.
"""

import hashlib
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import ClassVar, Self

import numpy as np
import torch
from torch import Tensor

from multigen.audio.drums import CLASSES, drums
from multigen.audio.files import AUDIO, check_rates, read_sound, resample
from multigen.console import counted, say
from multigen.data.datasets import ItemSet, numbered, numbered_as
from multigen.data.folders import NoTestSplit
from multigen.data.labels import file_classes
from multigen.data.locate import locate
from multigen.data.parts import Parts, find_parts
from multigen.data.unread import find_files, report_unread
from multigen.engine.batches import Batch, Rows, TensorSource
from multigen.errors import ConfigError, DataError

__all__ = ["CUTS", "DRUMS", "Silent", "SliceSource", "SoundSet", "check_audible", "open_sounds", "trimmed"]

CUTS = ("start", "onsets", "slices", "random")
DRUMS = {"train": (4_000, 0), "test": (1_000, 1)}
"""Split -> sounds of the drum machine, and their seed."""

SILENCE = 1e-3  # -60 dB of full scale: recordings whose peak is below are damage, not data
QUIET = 1e-2  # -40 dB, below a recording's peak for trimming, below its loudest frame for its loudness
LOUDNESS = 0.1  # -20 dB of full scale, which leaves most speech and music room for its peaks
PEAK = 0.99
FADE = 0.002  # seconds
MARGIN = 0.005  # seconds kept around what is not silent
FRAME = 0.05  # seconds


@dataclass(frozen=True, eq=False)
class SoundSet(ItemSet):
    """Recordings of one length and rate, float32 (N, 1, length) in -1..1.

    Args:
        rate: Hz.
        whole: (T,) all recordings one after another, uncut, where windows are drawn from them at random, else None.
        spans: int64 (N, 2), first sample of `whole` that each item stands for, and the one behind its last.
    """

    noun: ClassVar[str] = "recordings"
    key: ClassVar[str] = "sound"

    rate: int = 0
    whole: Tensor | None = None
    spans: Tensor | None = None

    def subset(self, indices: Iterable[int] | Tensor) -> Self:
        """The items of these indices, in this order; windows are drawn from what these stand for alone."""
        chosen = torch.as_tensor(indices if isinstance(indices, Tensor) else list(indices), dtype=torch.int64)
        part = super().subset(chosen)
        return part if self.spans is None else replace(part, spans=self.spans[chosen])

    # Slices of a recording resemble each other: were some trained on and others held out, a generator that repeats the
    # training data would seem to know the held-out ones. Hence whole recordings are held out, by the name before the #.
    def origins(self) -> tuple[str, ...]:
        """N names of the recordings: "a/loop.wav" of item "a/loop.wav#3"."""
        parts = [(name, *name.rpartition("#")) for name in self.names]
        return tuple(before if number.isdecimal() else name for name, before, _, number in parts)

    def fingerprint(self) -> str:
        """Hash of the recordings; where windows are drawn from them, of all of each, held-out ones included."""
        if self.whole is None:
            return super().fingerprint()
        return hashlib.blake2b(super().fingerprint().encode() + self.whole.numpy().data, digest_size=8).hexdigest()

    def to_source(self) -> TensorSource:
        """Batches of "sound" (B, 1, length), cut at random if the set was opened so, and perhaps "label" (B,) int64."""
        if self.whole is None or self.spans is None:
            return super().to_source()
        return SliceSource(self.whole, self.spans, self.items.shape[-1], self.rate, self.labels)


class SliceSource(TensorSource):
    """Windows at random places of long recordings.

    Each item stands for a span of a recording, about a window long. Spans that adjoin are joined, and a window is drawn from
    anywhere in what the item's span was joined to, never from what belongs to no item: that may be held out.

    Args:
        whole: (T,) recordings one after another, with a sample that is in no span between each two.
        spans: int64 (N, 2) as in `SoundSet`.
        length: of a window, samples. Of what is shorter, all is taken, faded out and padded.
        rate: Hz.
        labels: int64 (N,), or None.
    """

    def __init__(self, whole: Tensor, spans: Tensor, length: int, rate: int, labels: Tensor | None = None):
        super().__init__({"span": _joined(spans)} | ({} if labels is None else {"label": labels}))
        self.whole, self.length, self.rate = whole, length, rate

    def batch(self, rows: Rows) -> Batch:
        """Float32 "sound" (B, 1, length), and where there are labels "label" (B,)."""
        batch = super().batch(rows)
        sounds = []
        for i, (first, end) in enumerate(batch.pop("span").tolist()):
            start = first + int(rows.rng(i).integers(max(end - first - self.length, 0) + 1))
            sounds.append(_fitted(self.whole[start:end], self.length, self.rate))
        return {"sound": torch.stack(sounds)[:, None], **batch}


def _joined(spans: Tensor) -> Tensor:
    """For each span (N, 2) the first sample and the end of the unbroken row of spans that it is in."""
    order = spans[:, 0].argsort()
    first, end = spans[order].unbind(1)
    number = torch.cat([torch.zeros(1, dtype=torch.int64), (first[1:] != end[:-1]).cumsum(0)])  # (N,) of the row
    starts = torch.searchsorted(number, number)
    ends = torch.searchsorted(number, number, right=True) - 1
    joined = torch.empty_like(spans)
    joined[order] = torch.stack([first[starts], end[ends]], 1)
    return joined


# ---------------------------------------------------------------------------------------------------- opening


@dataclass(frozen=True)
class _Recording:
    name: str
    label: str
    sound: Tensor  # (T,)


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
) -> SoundSet:
    """The recordings meant by a data argument, of one channel, rate and length.

    - "drums": `multigen.audio.drums`, with its classes; 4,000 sounds to train and 1,000 others to test (`DRUMS`).
    - a folder of sound files at any depth, of the kinds `multigen.catalogue` lists; with
      splits where its folders are called so (`multigen.data.parts`), or `test_files` says which files are the test split.
    - one sound file, which has no test split.

    A relative path that does not exist here is sought in the folder that the environment variable MULTIGEN_DATA names.

    Args:
        rate: Hz; what has another is resampled.
        length: samples of each item. Shorter recordings are faded out over their last 2 ms and padded with zeros.
        split: "train", "validation" or "test"; where the data have no splits, all are "train".
        labels: "" for those that the data bring (of files: the folder, if each lies in one; a single class is none), "none",
            "name" (the file name before the last _), "first" (before the first _), or a CSV file with the columns `file`,
            relative to the folder, and `label`.
        test_files: pattern of the test files' paths in the folder, such as "*_[0-4].flac"; * also stands for folders.
        cut: what becomes of longer recordings. "start": their first `length` samples. "onsets": an item for each note or beat
            that begins, up to the next; "slices": consecutive windows, of which the last is left out if it is less than
            half full; items are then named "loop.wav#0", "loop.wav#1", ... "random": the same items as "slices", but
            `SoundSet.to_source` gives windows at random places.
        trim: leave out what is 40 dB below the peak at the beginning and the end, up to 5 ms.
        normalise: scale each recording so that its 50 ms frames, without the silent ones, have an RMS of -20 dB of full scale
            together, or less if its peak would be above .99.
        skip_bad: leave out files that cannot be read or are silent, and list them in `.skipped`.

    Raises:
        ConfigError: a setting is none of those above, or labels or test files are asked for of the drum machine.
        NoTestSplit: the test split is asked for of data that have none.
        DataError: nothing there, damaged or silent files, fewer than two items, or one class only although labels are asked
            for.
    """
    if rate < 1 or length < 1 or split not in ("train", "validation", "test") or cut not in CUTS:
        raise ConfigError(
            f"rate {rate} Hz, length {length}, split {split!r}, cut {cut!r}: expected a rate and a length of 1 or more, train or "
            f"test, or validation, and one of {', '.join(CUTS)}; correct what is not"
        )
    skipped: list[tuple[Path, str]] = []
    folders = ""
    if data == "drums":
        name, recordings = data, _from_drums(rate, length, split, labels, test_files)
    else:
        place = locate(data, "a folder of sound files, a sound file, or the name drums")
        name = place.resolve().name if place.is_dir() else place.stem
        if place.is_dir():
            report_unread(place, AUDIO, labels)
        parts = _find(place, test_files)
        parts.report_left("recordings")
        folders = parts.folders(split)
        recordings = _from_files(parts, rate, split, labels, skipped if skip_bad else None)
    if trim:
        recordings = [replace(r, sound=trimmed(r.sound, rate)) for r in recordings]
    if normalise:
        recordings = [replace(r, sound=_normalised(r.sound, rate)) for r in recordings]
    sounds = replace(_assembled(name, recordings, rate, length, cut), skipped=tuple(skipped), folders=folders)
    _check_enough(data, sounds, labels)
    if labels == "none":
        return replace(sounds, labels=None, classes=())
    return numbered_as(sounds, CLASSES) if data == "drums" else sounds


def _check_enough(data: str, sounds: SoundSet, labels: str) -> None:
    if len(sounds) < 2:
        bad = f", {len(sounds.skipped)} damaged or silent" if sounds.skipped else ""
        raise DataError(
            f"{data}{bad}: {counted(len(sounds), 'recordings')}, expected at least 2; add recordings, or cut "
            "long ones: --cut slices"
        )
    if labels not in ("", "none") and sounds.labels is None:
        raise DataError(f"{data}: labels {labels!r} give one class only; expected two or more, or say --labels none")


def _from_drums(rate: int, length: int, split: str, labels: str, test_files: str) -> list[_Recording]:
    if labels not in ("", "none") or test_files:
        raise ConfigError(
            f"labels {labels!r}, test_files {test_files!r}: drums holds no files; leave both empty, or say labels none"
        )
    if split not in DRUMS:
        raise NoTestSplit(f"drums have no {split} sounds of their own")
    count, seed = DRUMS[split]
    sounds, numbers = drums(count, length, rate, seed)
    prefix = "drums" if split == "train" else f"drums/{split}"
    return [_Recording(f"{prefix}/{i}", CLASSES[k], sounds[i, 0]) for i, k in enumerate(numbers.tolist())]


def _from_files(
    parts: Parts, rate: int, split: str, labels: str, skipped: list[tuple[Path, str]] | None
) -> list[_Recording]:
    """Whole recordings, resampled; those that are no good go to `skipped`, if there is such a list.

    One after another: with threads 3,000 short files took longer (.8 s with two, .7 s without).
    """
    paths = parts.of(split)
    class_of = file_classes(parts, paths, labels) or [""] * len(paths)
    rates, channels, loud = Counter[int](), Counter[int](), 0
    recordings = []
    for path, label in zip(paths, class_of, strict=True):
        try:
            sound, before = read_sound(path, mono=False)  # (C, T)
            mono = sound.mean(0)  # (T,)
            if before != rate:
                check_rates(path, before, rate)
                mono = resample(mono, before, rate)
            check_audible(path, mono)
        except DataError as error:
            if skipped is None:
                raise
            skipped.append((path, str(error)))
            continue
        peak = mono.abs().max()
        loud += int(peak > 1)
        recordings.append(_Recording(path.relative_to(parts.root).as_posix(), label, mono / peak.clamp(min=1)))
        rates[before] += 1
        channels[len(sound)] += 1
    for found, wanted, text in (
        (rates, rate, "resampled from {} Hz to {} Hz"),
        (channels, 1, "of {} channels averaged to one"),
    ):
        if others := {value: n for value, n in found.items() if value != wanted}:
            listed = ", ".join(str(value) for value in sorted(others))
            say(f"{counted(sum(others.values()), 'recordings')} {text.format(listed, wanted)}")
    if loud:
        say(f"{counted(loud, 'recordings')} with peaks beyond -1..1 made less loud to fit")
    return recordings


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


class Silent(DataError):
    """A recording that is silent throughout."""


def check_audible(path: Path, sound: Tensor) -> None:
    """Raises Silent for silence, which can neither be trimmed nor scaled, and DataError for channels whose mean overflows."""
    peak = float(sound.abs().max())
    if not peak < math.inf:
        raise DataError(
            f"{path}: samples so large that their mean over the channels is {peak}; expected such about -1..1: scale them, or go "
            "on without this file: --skip-bad"
        )
    if peak < SILENCE:
        level = f"{20 * math.log10(peak):.0f}" if peak else "-inf"
        raise Silent(
            f"{path}: a peak of {level} dB of full scale, once averaged to one channel and resampled; expected -60 or more: "
            "silence is no data; remove it, or skip it: --skip-bad"
        )


# ---------------------------------------------------------------------------------------------------- loudness and cutting


def trimmed(sound: Tensor, rate: int) -> Tensor:
    """A sound (T,) that is not silent without what is 40 dB below its peak at its ends, up to 5 ms."""
    audible = (sound.abs() >= QUIET * sound.abs().max()).nonzero()
    margin = round(MARGIN * rate)
    return sound[max(int(audible[0]) - margin, 0) : int(audible[-1]) + 1 + margin]


def _normalised(sound: Tensor, rate: int) -> Tensor:
    size = min(max(round(FRAME * rate), 1), len(sound))
    power = sound.unfold(0, size, size).square().mean(1)  # (T // size,)
    loudness = power[power >= QUIET**2 * power.max()].mean().sqrt()
    return sound * torch.minimum(LOUDNESS / loudness, PEAK / sound.abs().max())


def _assembled(name: str, recordings: Sequence[_Recording], rate: int, length: int, cut: str) -> SoundSet:
    items, labels, names, spans, pieces, at = [], [], [], [], [], 0
    for recording in recordings:
        ranges = _ranges(recording.sound, rate, length, cut)
        items += [_fitted(recording.sound[first:end], length, rate) for first, end in ranges]
        labels += [recording.label] * len(ranges)
        names += [recording.name if cut == "start" else f"{recording.name}#{i}" for i in range(len(ranges))]
        if cut == "random":
            ends = [end for _, end in ranges[:-1]] + [len(recording.sound)]  # with what the last slice left out
            spans += [(at + first, at + end) for (first, _), end in zip(ranges, ends, strict=True)]
            pieces += [recording.sound, torch.zeros(1)]
            at += len(recording.sound) + 1
    sounds = torch.stack(items)[:, None] if items else torch.empty(0, 1, length)  # (N, 1, length)
    numbers, classes = numbered(labels)
    whole = (torch.cat(pieces), torch.tensor(spans)) if pieces else (None, None)
    return SoundSet(name, sounds, numbers, classes, tuple(names), (), "", rate, *whole)


def _ranges(sound: Tensor, rate: int, length: int, cut: str) -> list[tuple[int, int]]:
    """First sample of each item, and the one behind its last."""
    if cut == "start":
        starts = [0]
    elif cut == "onsets":
        starts = _onsets(sound.numpy(), rate)
    else:  # the last at least half full, but of each recording at least one
        starts = [0, *range(length, len(sound) - (length + 1) // 2 + 1, length)]
    return [(a, min(a + length, b)) for a, b in zip(starts, [*starts[1:], len(sound)], strict=True)]


def _onsets(sound: np.ndarray, rate: int) -> list[int]:
    """Samples at which notes or beats begin; the first sample, if none is found.

    In 15 patterns of recorded drums, 9 in 10 beats were found within 50 ms; of what was found, 1 in 5 was none.
    """
    import librosa

    hop = max(rate // 100, 1)  # 10 ms
    window = 2 << (rate // 40).bit_length()  # 50 to 100 ms
    if len(sound) <= window:
        return [0]
    # Silence before lets a beat on the first sample be found; the mirrored end keeps the end itself from being taken for one.
    padded = np.concatenate([np.zeros(window, np.float32), sound, sound[-window - 1 : -1][::-1]])
    envelope = librosa.onset.onset_strength(y=padded, sr=rate, hop_length=hop, n_fft=window, n_mels=24)
    found = librosa.onset.onset_detect(
        onset_envelope=envelope, sr=rate, hop_length=hop, units="samples", backtrack=True
    )
    return sorted({max(int(start) - window, 0) for start in found if start < len(sound) + window}) or [0]


def _fitted(sound: Tensor, length: int, rate: int) -> Tensor:
    """The first `length` samples, (T,) -> (length,); if there are fewer, faded out at the end, so that no click arises, and
    padded."""
    if len(sound) >= length:
        return sound[:length]
    padded = torch.zeros(length)
    padded[: len(sound)] = sound
    fade = min(round(FADE * rate), len(sound))
    padded[len(sound) - fade : len(sound)] *= torch.arange(fade - 1, -1, -1) / max(fade, 1)
    return padded
