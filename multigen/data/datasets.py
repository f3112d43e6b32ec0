"""In-memory datasets with or without labels, and their validation and test splits.

Images and recordings are divided alike. Which items are held out depends on their names alone,
neither on where the data are nor on the order of the items.
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar, Generic, Protocol, Self, TypeVar

import numpy as np
import torch
from torch import Tensor

from multigen.console import counted, did_you_mean, say
from multigen.data.folders import NoTestSplit
from multigen.data.labels import differing_classes, some
from multigen.data.skipped import reasons, report_skipped
from multigen.engine.batches import TensorSource
from multigen.engine.evaluation import Evaluation
from multigen.errors import ConfigError, DataError

__all__ = [
    "ItemSet",
    "Splits",
    "hash_of",
    "numbered",
    "numbered_as",
    "open_splits",
    "origin_of",
    "pick",
    "report_compared",
    "split_off",
    "split_off_classes",
    "with_skipped",
]


@dataclass(frozen=True, eq=False)
class ItemSet:
    """Items of one shape, in memory. A modality derives its own, with a noun and a key.

    Args:
        name: of the whole set, e.g. "digits" or "flowers64".
        items: (N, ...).
        labels: int64 (N,), or None.
        classes: names by label; () without labels.
        names: N names that do not depend on where the data are: a file's path inside the folder, or
            "digits/17".
        skipped: (path, reason) of each damaged file that was left out.
        folders: in which the set is a split of its data, such as "train/"; "" where the data have
            no splits.
    """

    noun: ClassVar[str] = "items"
    """What the items are, in the plural, for sentences."""
    key: ClassVar[str] = "item"
    """Their name in batches."""

    name: str
    items: Tensor
    labels: Tensor | None
    classes: tuple[str, ...]
    names: tuple[str, ...]
    skipped: tuple[tuple[Path, str], ...] = ()
    folders: str = ""

    def __len__(self) -> int:
        return len(self.items)

    def subset(self, indices: Iterable[int] | Tensor) -> Self:
        """The items of these indices, in this order; classes stay numbered as they are."""
        selection = torch.as_tensor(indices if isinstance(indices, Tensor) else list(indices), dtype=torch.int64)
        return replace(
            self,
            items=self.items[selection],
            labels=None if self.labels is None else self.labels[selection],
            names=tuple(self.names[i] for i in selection.tolist()),
        )

    def origins(self) -> tuple[str, ...]:
        """N names of what each item was cut from; items of one origin are held out together. Here
        each is its own."""
        return self.names

    def fingerprint(self) -> str:
        """Hash of the items and their labels."""
        digest = hashlib.blake2b(digest_size=8)
        for tensor in (self.items, self.labels):
            if tensor is not None:
                digest.update(tensor.contiguous().numpy().data)
        return digest.hexdigest()

    def to_source(self) -> TensorSource:
        """Batches of `key` (B, ...), and where there are labels "label" (B,) int64."""
        labels = {} if self.labels is None else {"label": self.labels}
        return TensorSource({self.key: self.items, **labels})


def report_compared(data: str, items: ItemSet) -> None:
    """Reports which part of `data` is compared, and which of its files were skipped."""
    if items.folders:
        say(f"{data}: {items.folders} alone is compared ({len(items):,} {items.noun})")
    report_skipped(items.skipped, items.noun, data, "--json and the file of --out list all")


def with_skipped(evaluation: Evaluation, *compared: ItemSet) -> Evaluation:
    """An evaluation with a remark that names the files that were skipped in what was compared."""
    lines = [line for items in compared for line in reasons(items.skipped)]
    return replace(evaluation, remarks={**evaluation.remarks, "skipped": "; ".join(lines)}) if lines else evaluation


S = TypeVar("S", bound=ItemSet)


@dataclass(frozen=True)
class Splits(Generic[S]):
    """Items by their use. `validation` chooses the best checkpoint; `test` serves nothing but the
    final measurement."""

    train: S
    validation: S | None
    test: S
    baseline: S | None = None
    """All training items, where `train` is some of them: real items to compare samples with."""


class SplitSettings(Protocol):
    """Data settings of a configuration, as `multigen.tasks.synthesis.base.SynthesisConfig`
    documents it."""

    @property
    def data(self) -> str: ...
    @property
    def test(self) -> str: ...
    @property
    def labels(self) -> str: ...
    @property
    def validation_size(self) -> int: ...
    @property
    def test_classes(self) -> int: ...
    @property
    def classes(self) -> tuple[str, ...]: ...
    @property
    def train_size(self) -> int: ...


def open_splits(c: SplitSettings, read: Callable[[str, str, str, S | None], S]) -> Splits[S]:
    """The three sets of a configuration: test items as given, brought by the data, or split off.

    Args:
        read: gives the set of (data, split, labels, like), with `split` as in `multigen.data.parts`
            and `labels` as in `multigen.data.labels`; `like` is None, or the training set, whose
            shape the others must have. Raises NoTestSplit where there is no such split.

    Raises ConfigError and DataError for parts that are not available.
    """
    if c.test_classes and c.test:
        raise ConfigError(
            f"test {c.test!r} and test_classes {c.test_classes}: both name the test data; give one of them"
        )
    read = _of_classes(c, read) if c.classes else read
    train = read(c.data, "train", c.labels, None)
    noun = train.noun
    labels = "none"
    if c.test_classes:
        train, test = split_off_classes(train, c.test_classes)
        if len(train.classes) < 2:
            train = replace(train, labels=None, classes=())
    else:
        table = c.test and c.labels not in ("", "none", "name", "first")  # a table names the files of one folder only
        labels = "none" if table or train.labels is None else c.labels
        try:
            test = read(c.test or c.data, "test", labels, train)
        except NoTestSplit:  # so a set named for it is the test set as a whole, and data that bring none give a tenth
            if c.test:
                test = read(c.test, "train", labels, train)
            elif len(train) < 4:
                raise DataError(
                    f"{c.data}: {counted(len(train), noun)}, expected at least 4, two of them for testing; add {noun}, or "
                    "name a test set: --test FOLDER"
                ) from None
            else:
                train, test = split_off(train, max(2, len(train) // 10))
    if len(test) < 2 or len(train) < 2:
        raise DataError(
            f"{c.data}: {counted(len(train), noun)} for training and {len(test)} for testing, expected at least 2 of each; "
            f"add {noun}, or hold out others"
        )
    validation = None if c.test_classes or c.validation_size < 2 else _own_validation(c, read, labels, train)
    for part in [test] if validation is None else [validation, test]:
        if part.classes and train.classes and (line := differing_classes(train.classes, part.classes)):
            say(f"{part.folders or part.name}: {line}")
    test = numbered_as(test, train.classes)
    if validation is not None:
        validation = pick(numbered_as(validation, train.classes), c.validation_size)
    elif (hold := min(c.validation_size, len(train) // 10)) >= 2:
        train, validation = split_off(train, hold)
    some_train = _some_of(train, c.train_size, c.data) if c.train_size else train
    _report_splits(c.data, some_train, validation, test)
    return Splits(some_train, validation, test, train if c.train_size else None)


def _of_classes(
    c: SplitSettings, read: Callable[[str, str, str, S | None], S]
) -> Callable[[str, str, str, S | None], S]:
    """`read`, with the items of `c.classes` alone: those of the data must be there, and other test
    data without any of them are taken as they are."""

    def selected(data: str, split: str, labels: str, like: S | None) -> S:
        table = c.labels not in ("", "none", "name", "first")
        known = "none" if table and data != c.data else "" if c.labels == "none" else c.labels
        items = read(data, split, known, like)
        if like is None:
            _check_classes(items, c.classes, data)
        if present := sorted(items.classes.index(name) for name in {*c.classes} & {*items.classes}):
            items = _only(items, present)
        elif data == c.data:
            raise DataError(
                f"{data}: no {split} {items.noun} of the classes {', '.join(c.classes)}; add some, or name others"
            )
        if len(items) < 2:
            raise DataError(
                f"{data}: {counted(len(items), items.noun)} of the classes {', '.join(c.classes)}, expected at least 2"
            )
        return replace(items, labels=None, classes=()) if labels == "none" or len(items.classes) < 2 else items

    return selected


def _check_classes(items: ItemSet, classes: Sequence[str], data: str) -> None:
    """Raises ConfigError for a class that the training items do not have."""
    if not items.classes:
        raise ConfigError(
            f"classes {' '.join(classes)}: {data} has no classes; sort the {items.noun} into one folder per class, or give "
            "--labels"
        )
    for name in classes:
        if name not in items.classes:
            raise ConfigError(f"classes {name!r}: {data} has {some(items.classes)}{did_you_mean(name, items.classes)}")


def _some_of(train: S, count: int, data: str) -> S:
    """`count` of the training items, each class giving its share. Raises ConfigError where there are
    fewer."""
    if not 2 <= count <= len(train):
        raise ConfigError(
            f"train_size {count}: {data} has {counted(len(train), train.noun)} to train on; expected 2 to {len(train)}, or 0 for "
            "all"
        )
    return pick(train, count)


def _own_validation(c: SplitSettings, read: Callable[[str, str, str, S | None], S], labels: str, train: S) -> S | None:
    """The validation split that the data bring; None where there is none."""
    try:
        return read(c.data, "validation", labels, train)
    except NoTestSplit:
        return None


def _report_splits(data: str, train: ItemSet, validation: ItemSet | None, test: ItemSet) -> None:
    """Reports what each split of the data is used for, where they have splits."""
    if not train.folders:
        return
    own = validation is not None and validation.folders != train.folders
    selection = (
        f"{validation.folders if own else 'some of these'} ({len(validation):,})" if validation else "the last step"
    )
    tested = test.folders if test.folders and test.name == train.name else test.name
    say(
        f"{data}: {train.folders} is trained on ({len(train):,} {train.noun}), {selection} gives the best checkpoint, "
        f"{tested} ({len(test):,}) is for the final evaluation alone"
    )


def split_off(items: S, count: int, seed: int = 0) -> tuple[S, S]:
    """Splits a set into (the rest, `count` items held out) by a hash of the names; the order of
    each part stays.

    Where there are labels, each class gives its share, rounded so that the total is `count`. A
    greater count holds out the same items and more. Items cut from one recording are held out
    together, so `count` is then the least that are; but if all are of one recording, they are
    divided singly.

    Raises ConfigError if count is below 0, or none would remain.
    """
    if not 0 <= count < len(items):
        raise ConfigError(
            f"{count} of {len(items)} {items.noun} are to be held out, expected 0 to {len(items) - 1}; hold out fewer, or add "
            f"{items.noun}"
        )
    origins = items.origins()
    held_out: set[int] = set()
    for members in _in_turn(items, items.names if len(set(origins)) == 1 else origins, seed):
        if len(held_out) >= count or len(held_out) + len(members) == len(items):
            break
        held_out.update(members)
    return items.subset(i for i in range(len(items)) if i not in held_out), items.subset(sorted(held_out))


def pick(items: S, count: int) -> S:
    """`count` items that stand for the set, each class giving its share (see `split_off`); all,
    where there are no more.

    Several may be cut from one recording.
    """
    if count >= len(items):
        return items
    in_turn = [i for members in _in_turn(items, items.names, 0) for i in members]
    return items.subset(sorted(in_turn[:count]))


def split_off_classes(items: S, count: int) -> tuple[S, S]:
    """Splits a set into (the rest, `count` whole classes held out), such as people never seen in
    training.

    Those held out are the last by a hash of the class names. Classes of each part are renumbered,
    in their old order.

    Raises ConfigError if there are no labels, count is below 0, or no class would remain.
    """
    if items.labels is None:
        raise ConfigError(
            f"{count} classes are to be held out, but {items.name} has no labels; give --labels, or hold out none"
        )
    if not 0 <= count < len(items.classes):
        raise ConfigError(
            f"{count} of {len(items.classes)} classes are to be held out, expected 0 to {len(items.classes) - 1}; hold out "
            "fewer"
        )
    ranked = sorted(range(len(items.classes)), key=lambda k: hash_of(items.classes[k], 0))
    boundary = len(ranked) - count
    return _only(items, sorted(ranked[:boundary])), _only(items, sorted(ranked[boundary:]))


def numbered(labels: np.ndarray | Sequence[str]) -> tuple[Tensor | None, tuple[str, ...]]:
    """Numbers of the classes, int64 (N,), and their names; (None, ()) if all items are of one
    class."""
    classes, numbers = np.unique(np.asarray(labels), return_inverse=True)
    if len(classes) < 2:
        return None, ()
    return torch.from_numpy(numbers.astype(np.int64)), tuple(str(name) for name in classes)


def numbered_as(items: S, classes: tuple[str, ...]) -> S:
    """The set with its labels numbered as `classes` are; without labels if it has others, or none
    are given."""
    if items.labels is None or not set(items.classes) <= set(classes):
        return replace(items, labels=None, classes=())
    numbers = torch.tensor([classes.index(name) for name in items.classes])
    return replace(items, labels=numbers[items.labels], classes=classes)


def _in_turn(items: ItemSet, origins: Sequence[str], seed: int) -> list[list[int]]:
    """The items of each origin, in the order in which they are held out."""
    labels = [0] * len(items) if items.labels is None else items.labels.tolist()
    members: dict[str, list[int]] = {}
    for i, origin in enumerate(origins):
        members.setdefault(origin, []).append(i)
    sizes, seen, share = Counter(labels), Counter[int](), {}
    ranked = sorted(members, key=lambda origin: hash_of(origin, seed))
    for origin in ranked:
        label, count = labels[members[origin][0]], len(members[origin])
        share[origin] = (seen[label] + count / 2) / sizes[label]  # of its class that is held out with half of this one
        seen[label] += count
    return [members[origin] for origin in sorted(ranked, key=share.__getitem__)]


def origin_of(name: str) -> str:
    """The name of the file that an item is a part of, such as a frame of an animation or a piece of
    a recording: "a/loop.wav" of "a/loop.wav#3". Parts of one file resemble each other: were some
    trained on and others held out, a model that repeats what it saw would seem to know more."""
    file, _, number = name.rpartition("#")
    return file if file and number.isdecimal() else name


def hash_of(name: str, seed: int) -> bytes:
    """The hash of a name: what is held out are the items whose is smallest."""
    return hashlib.blake2b(f"{seed}/{name}".encode(errors="surrogateescape")).digest()


def _only(items: S, classes: list[int]) -> S:
    """The items of these classes, renumbered."""
    assert items.labels is not None
    numbers = torch.tensor(classes, dtype=torch.int64)
    selection = torch.isin(items.labels, numbers).nonzero()[:, 0]
    labels = torch.searchsorted(numbers, items.labels[selection])
    return replace(items.subset(selection), labels=labels, classes=tuple(items.classes[k] for k in classes))
