"""Images of two domains, A and B: to train on, and to measure on."""

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from multigen.console import counted, say, say_once
from multigen.data.datasets import hash_of
from multigen.data.folders import NoTestSplit
from multigen.data.locate import locate
from multigen.engine.batches import Rows
from multigen.errors import ConfigError, DataError
from multigen.image.datasets import FETCH
from multigen.image.files import EMBEDDED_NAMES, set_name
from multigen.image.translation.made import MADE, made_of
from multigen.image.translation.sides import (
    DataSettings,
    Opening,
    Side,
    brings,
    halves_of,
    made_from,
    matched,
    read_side,
    room,
)

__all__ = ["FEW", "HALVES", "DomainSet", "DomainSource", "Domains", "Settings", "open_domains", "task_of"]

HALVES = "halves"
"""The setting `task` of data whose pictures are A and B side by side."""
HELD_OUT = "embedded-held-out"
TESTED, MOST_TESTED = 64, 1_000  # images that are measured on at most: held out of the data, and of a test set
FEW = 10  # images, with fewer of which a checkpoint is not chosen by a Fréchet distance
APART = 32  # images, with fewer of which both domains have all that are pairs
FOLDERS = {"train": "train", "validation": "val", "test": "test"}
"""Split -> the folders trainA and trainB, ..., of data in one folder, as of CycleGAN's authors."""


class Settings(DataSettings, Protocol):
    """Settings of the data, as `ImageTranslationConfig` documents them."""

    @property
    def data(self) -> str: ...
    @property
    def target(self) -> str: ...
    @property
    def task(self) -> str: ...
    @property
    def test(self) -> str: ...
    @property
    def test_target(self) -> str: ...
    @property
    def mirror(self) -> bool: ...
    @property
    def validation_size(self) -> int: ...


@dataclass(frozen=True)
class DomainSet:
    """Images to measure on, uint8 (3, H, W): `inputs` are translated; where `paired`, the target at
    an index is the truth for the input at it, of its size, else the targets are images of the other
    domain."""

    name: str
    names: tuple[str, ...]
    inputs: Sequence[Tensor]
    targets: Sequence[Tensor]
    paired: bool = True
    labels: tuple[str, ...] = ()
    """Class of each input, where the data say it."""
    target_labels: tuple[str, ...] = ()

    def turned(self) -> "DomainSet":
        """With inputs and targets exchanged."""
        return replace(
            self,
            inputs=self.targets,
            targets=self.inputs,
            labels=self.target_labels,
            target_labels=self.labels,
        )

    def named(self, name: str) -> "DomainSet":
        return replace(self, name=name)


class DomainSource:
    """Batches of "A" and "B", uint8 (B, 3, crop, crop): windows of the same place of a pair, or
    where not `paired`, of images drawn each for itself, mirrored left to right or not."""

    def __init__(self, a: Side, b: Side, crop: int, mirror: bool, paired: bool):
        self.a, self.b, self.crop, self.mirror, self.paired = a.images, b.images, crop, mirror, paired
        self.labels = a.labels, b.labels

    def __len__(self) -> int:
        return len(self.a)

    def batch(self, rows: Rows) -> dict[str, Tensor]:
        pairs = [self._pair(int(item), rows.rng(i)) for i, item in enumerate(rows.indices)]
        return {name: torch.stack([pair[i] for pair in pairs]) for i, name in enumerate("AB")}

    def _pair(self, item: int, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        if self.paired:
            both = self._window(torch.cat([self.a[item], self.b[item]]), rng)
            return both[:3], both[3:]
        return self._window(self.a[item], rng), self._window(self.b[int(rng.integers(len(self.b)))], rng)

    def _window(self, image: Tensor, rng: np.random.Generator) -> Tensor:
        top, left = (int(rng.integers(side - self.crop + 1)) for side in image.shape[1:])
        window = image[:, top : top + self.crop, left : left + self.crop]
        return window.flip(2) if self.mirror and rng.random() < 0.5 else window


@dataclass(frozen=True)
class Domains:
    """What the data of a configuration are."""

    train: DomainSource
    validation: DomainSet | None
    tests: tuple[DomainSet, ...]
    fingerprint: str
    """Of the training images."""
    held_out: str = ""
    """Of the images of `validation` and `tests`."""
    skipped: tuple[tuple[Path, str], ...] = ()
    """(path, reason) of files that were left out."""


class Both(NamedTuple):
    """Images of both domains."""

    a: Side
    b: Side
    aligned: bool
    """Whether the images of one index are a pair."""

    @property
    def fingerprint(self) -> str:
        return " ".join(dict.fromkeys((self.a.fingerprint, self.b.fingerprint)))

    def parts(self, *counts: int) -> "list[Both]":
        """Divides each side by a hash of the names: so many for each part, and the rest last."""
        sides: list[list[Side]] = []
        for side in (self.a, self.b):
            names = self.a.names if self.aligned else side.names
            ranked = sorted(range(len(side)), key=lambda i: hash_of(names[i], 0))
            ends = [0, *(sum(counts[: i + 1]) for i in range(len(counts))), len(side)]
            sides.append([side.subset(sorted(ranked[start:end])) for start, end in pairwise(ends)])
        return [Both(a, b, self.aligned) for a, b in zip(*sides, strict=True)]

    def to_set(self, name: str) -> DomainSet:
        a, b = self.a, self.b
        return DomainSet(name, a.names, a.images, b.images, self.aligned, a.labels, b.labels)

    def apart(self) -> "Both":
        """Half of the images as A, the other half as B, where they are pairs, so that nothing is
        seen in both domains; of few images both have all."""
        if not self.aligned or len(self.a) < APART:
            return self
        first, second = self.parts(len(self.a) // 2)
        return Both(first.a, second.b, False)


def task_of(c: Settings) -> str:
    """The task of a configuration; "none" where A has images of its own, in `target` or in a folder
    beside that of B, so that none are made."""
    with contextlib.suppress(DataError):  # a model's data may be on another machine
        return "none" if c.target or (c.task in MADE and _layout(c.data)) else c.task
    return c.task


def open_domains(c: Settings, paired: bool) -> Domains:
    """Opens the data of a configuration. `paired`: batches hold pairs; else images of A and B drawn
    each for itself, and where the data are pairs, A is of one half of them, and B of the other.

    Raises ConfigError for settings that contradict each other, DataError for images that cannot be
    used.
    """
    opening = Opening(room())
    if task_of(c) != c.task:
        there = f"target {c.target}: its images are those of B" if c.target else f"{c.data}: A and B are folders in it"
        say_once(f"{there}, and task {c.task} is not used")
    train = _read(c, c.data, c.target, "train", paired, opening)
    test, validation = _tests(c, paired, opening), _own(c, paired, "validation", opening)
    fewest = min(len(train.a), len(train.b))
    tested = 0 if test else max(1, min(TESTED, fewest // 10))
    checked = min(c.validation_size, fewest // 10 if validation is None else min(len(validation.a), len(validation.b)))
    if not paired and c.validation_size and checked < FEW:
        say_once(
            f"{counted(checked, 'images')} for validation, and a Fréchet distance takes {FEW}: the last checkpoint is used"
        )
        checked = checked if train.aligned else 0  # next to the truth they say something
    needed = tested + (checked if validation is None else 0) + 1
    if fewest < needed:
        few = c.data if len(train.a) == fewest else c.target
        raise DataError(
            f"{few}: {counted(fewest, 'images')}, expected at least {needed}"
            f"{', some of them for testing' if tested else ''}; add images"
        )
    if validation is None:
        held, validation, rest = train.parts(tested, checked)
    else:
        validation, held, rest = validation.parts(checked)[0], *train.parts(tested)
    name, test = test or ("test", held)
    test = _at_most(name, test)
    if not paired:
        rest = rest.apart()
    return Domains(
        DomainSource(rest.a, rest.b, c.crop, c.mirror, paired),
        validation.to_set("validation") if checked else None,
        (test.to_set(name),),
        train.fingerprint,
        f"{test.fingerprint} {validation.fingerprint}" if checked else test.fingerprint,
        tuple(opening.skipped),
    )


def _tests(c: Settings, paired: bool, opening: Opening) -> tuple[str, Both] | None:
    """The name and the images of the test set that is named, or that the data bring; None where
    they are held out."""
    if not c.test and (c.target or c.data not in EMBEDDED_NAMES):
        own = _own(c, paired, "test", opening)
        return None if own is None else ("test", own)
    data = c.test or HELD_OUT
    if bool(c.test_target) != bool(c.test and c.target):
        raise ConfigError(
            f"test {c.test!r}, test_target {c.test_target!r}: expected both where data and target are given, else test alone; "
            "name the test images of each domain"
        )
    try:
        both = _read(c, data, c.test_target, "test", paired, opening)
    except NoTestSplit:
        both = _read(c, data, c.test_target, "", paired, opening)
    return set_name(data), both


def _at_most(name: str, both: Both) -> Both:
    """Not more images of a test set than take minutes to measure."""
    most = max(len(both.a), len(both.b))
    if most <= MOST_TESTED:
        return both
    say(f"{name}: {MOST_TESTED:,} of {counted(most, 'images')} are measured on")
    return both.parts(MOST_TESTED)[0]


def _own(c: Settings, paired: bool, split: str, opening: Opening) -> Both | None:
    """A split that the data bring; None where they bring none."""
    try:
        return _read(c, c.data, c.target, split, paired, opening)
    except NoTestSplit:
        if task_of(c) == "none":
            _say_half(c, *_sides(c.data, c.target, split))
        return None


def _say_half(c: Settings, a: str, b: str, split: str, part: str) -> None:
    """Says where one domain brings a split, and the other does not."""
    there = {each: brings(c, each, part) for each in (a, b)}
    for one, other in ((a, b), (b, a)):
        if there[one] and not there[other]:
            say_once(
                f"{one}: its {split} images are not used, since {other} has none; images of the training data are held out"
            )


def _read(c: Settings, data: str, target: str, split: str, paired: bool, opening: Opening) -> Both:
    """The images of a split: "" for all. Raises NoTestSplit where there is none."""
    task = task_of(c)
    if task in MADE:
        b = read_side(c, data, split, opening)
        return Both(made_from(b, made_of(task), opening), b, True)
    if task == HALVES:
        return Both(*halves_of(c, data, split, opening), True)
    a, b, _, part = _sides(data, target, split)
    if missing := [each for each in (a, b) if split and not part and not Path(each).is_dir()]:
        raise NoTestSplit(f"{missing[0]}: no such folder")
    if paired:
        return Both(*matched(c, a, b, part, opening), True)
    return Both(read_side(c, a, part, opening), read_side(c, b, part, opening), False)


def _sides(data: str, target: str, split: str) -> tuple[str, str, str, str]:
    """The data arguments of A and of B, the split, and the split in each: "" where the folders are
    of the split, which may not be there."""
    if target:
        return data, target, split, split
    match _layout(data, others=True):
        case place, "train":
            a, b = (place / f"{FOLDERS[split or 'train']}{side}" for side in "AB")
            return str(a), str(b), split, ""
        case place, _:
            return str(place / "A"), str(place / "B"), split, split
        case None:
            raise ConfigError(
                f"{data}, task none, no target: expected a second folder (--target), folders A and B in it, or how pairs are "
                f"made of its images: --task {', '.join(MADE)}, or {HALVES} where they are side by side"
            )


def _layout(data: str, others: bool = False) -> tuple[Path, str] | None:
    """The folder that holds both domains, and how the names of theirs begin: "train" of trainA and
    trainB, perhaps beside testA and testB, "" of A and B. `others`: A and B may be beside other
    folders, as of classes."""
    if data in (*EMBEDDED_NAMES, "digits", *FETCH):
        return None
    place = locate(data, "a folder of images")
    if all((place / f"train{side}").is_dir() for side in "AB"):
        return place, "train"
    names = {path.name for path in place.glob("[!.]*") if path.is_dir()}
    return (place, "") if names == {*"AB"} or (others and names >= {*"AB"}) else None
