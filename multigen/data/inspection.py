"""Inspection of data before training: one record for all modalities.

Each modality fills it with the readers that training uses; what they share is in this file.
"""

import contextlib
import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, TypeVar

from multigen.console import Progress, counted, shell_word
from multigen.data.labels import differing_classes, file_classes
from multigen.data.parts import Parts
from multigen.errors import DataError

__all__ = [
    "Fact",
    "Inspection",
    "Labels",
    "Suggestion",
    "batch_for",
    "equal_files",
    "find_labels",
    "listed",
    "spread",
    "total_bytes",
    "watched",
]

T = TypeVar("T")

MANY = 3_000  # items from which on reading them shows its progress
NAMED = 12  # classes that are named
FEW_IN_CLASS = 20


@dataclass(frozen=True)
class Fact:
    """A finding: its value for JSON, and in words."""

    name: str
    value: Any
    text: str


@dataclass(frozen=True)
class Suggestion:
    """A way to train: `options` are words of the command line behind --data."""

    method: str
    preset: str
    options: tuple[str, ...]
    reason: str

    def command(self, data: str) -> str:
        """The line to paste into a shell."""
        words = ["multigen", "train", self.method, self.preset, "--data", data, *self.options]
        return " ".join(map(shell_word, words))


@dataclass
class Inspection:
    """Findings about data. The first suggestion is the recommended one, the others are
    alternatives. There are none for data that cannot be trained on as they are; `warnings` then say
    why."""

    facts: list[Fact] = field(default_factory=list)
    unreadable: list[tuple[Path, str]] = field(default_factory=list)
    """(path, reason) of what training would refuse, or leave out with --skip-bad."""
    too_large: list[Path] = field(default_factory=list)
    """Files that can be read, but are too large to train some methods on."""
    warnings: list[str] = field(default_factory=list)
    suggestions: list[Suggestion] = field(default_factory=list)

    def add(self, name: str, value: Any, text: str) -> None:
        self.facts.append(Fact(name, value, text))


# ---------------------------------------------------------------------------------------------------- parts and classes


@dataclass(frozen=True)
class Labels:
    """Classes of files. `options` are the flags that training needs to see them."""

    counts: dict[str, int]
    options: tuple[str, ...] = ()
    guess: tuple[str, int] | None = None
    """Where there are no classes: a --labels that the files' names seem to allow, and the number of
    classes by it."""
    faults: tuple[str, ...] = ()
    """Tables in the folder that give no labels, each with the reason."""

    @property
    def learnable(self) -> bool:
        """Whether there are classes, and all of them have enough items to be learned."""
        return len(self.counts) > 1 and min(self.counts.values()) >= FEW_IN_CLASS


def find_labels(parts: Parts) -> Labels:
    """Classes by folders, or else by a CSV table in the folder, or else a guess by the names."""
    if len(counts := _counted(parts, "")) > 1:
        return Labels(counts)
    faults = []
    for table in sorted(parts.root.glob("*.csv")):
        try:
            counts = _counted(parts, str(table))
        except DataError as error:
            faults.append(str(error))
            continue
        if len(counts) > 1:
            return Labels(counts, ("--labels", str(table)))
    numbers = {}
    for way in ("first", "name"):
        with contextlib.suppress(DataError):
            if 1 < (number := len(_counted(parts, way))) <= len(parts.train) // 5:
                numbers[way] = number
    guess = min(numbers.items(), key=lambda item: item[1], default=None)
    return Labels({}, (), guess, tuple(faults))


def _counted(parts: Parts, labels: str) -> dict[str, int]:
    return dict(sorted(Counter(file_classes(parts, parts.train, labels) or ()).items()))


def describe_parts(inspection: Inspection, parts: Parts, labels: Labels, noun: str) -> None:
    """Adds the numbers of items and classes, and warnings about them."""
    sizes = {use: len(getattr(parts, use)) for use in ("train", "validation", "test", "left")}
    words = {"train": "to train", "validation": "to choose the best checkpoint", "test": "to test"}
    counts = [f"{n:,} {words[use]}{_where(parts, use)}" for use, n in sizes.items() if n and use in words]
    value = {use: n for use, n in sizes.items() if n or use != "validation"}
    text = ", ".join(counts) if parts.divided else f"{sizes['train']:,}"
    inspection.add("items", value, text + (f", {sizes['left']:,} in none of these" if parts.left else ""))
    if parts.left:
        inspection.warnings.append(
            f"{sizes['left']:,} {noun} lie beside the folders of the parts and are not used, such as {parts.name(parts.left[0])}"
        )
    inspection.warnings += _differing_classes(parts, labels)
    describe_classes(inspection, labels.counts, f" by {labels.options[-1] if labels.options else 'folders'}")
    if labels.guess:
        way, number = labels.guess
        inspection.facts[-1] = Fact(
            "classes", {}, f"none by folders; by the names of the files {number}: --labels {way}"
        )
    inspection.warnings += [f"no labels by {fault}" for fault in labels.faults]


def _where(parts: Parts, split: str) -> str:
    return f" ({parts.folders(split)})" if parts.folders(split) else ""


def _differing_classes(parts: Parts, labels: Labels) -> list[str]:
    """A warning for each split beside that for training whose classes are others."""
    if len(labels.counts) < 2:
        return []
    way = labels.options[-1] if labels.options else ""
    return [
        f"{parts.folders(split)}: {line}"
        for split in ("validation", "test")
        if (names := file_classes(parts, getattr(parts, split), way))
        and (line := differing_classes([*labels.counts], names))
    ]


def describe_classes(inspection: Inspection, counts: Mapping[str, int], how: str = "") -> None:
    """Adds the numbers of items by class."""
    listing = ", ".join(f"{name} ({count:,})" for name, count in list(counts.items())[:NAMED])
    more = f", and {len(counts) - NAMED} more" if len(counts) > NAMED else ""
    inspection.add("classes", dict(counts), f"{len(counts)}{how}: {listing}{more}" if len(counts) > 1 else "none")
    if small := {name: n for name, n in counts.items() if n < FEW_IN_CLASS and len(counts) > 1}:
        name = min(small, key=lambda key: small[key])
        inspection.warnings.append(
            f"{len(small)} of {len(counts)} classes have fewer than {FEW_IN_CLASS} items ({name!r} {small[name]}): they will "
            "hardly be learned, so --conditional is not suggested; join them to others, or add items"
        )


# ---------------------------------------------------------------------------------------------------- files and figures


def describe_files(inspection: Inspection, parts: Parts, paths: Sequence[Path]) -> set[Path]:
    """Adds bytes and files of equal content; returns those that repeat an earlier one."""
    groups = equal_files(paths)
    repeated = {path for group in groups for path in group[1:]}
    value = [[parts.name(path) for path in group] for group in groups]
    example = f", such as {value[0][1]} that of {value[0][0]}" if groups else ""
    inspection.add(
        "duplicates", value, f"{len(repeated):,} files have the content of another{example}" if groups else "none"
    )
    inspection.add("bytes", total := total_bytes(paths), f"{total / 1e6:,.1f} MB in {counted(len(paths), 'files')}")
    train, test = {*parts.train}, {*parts.test}
    leaked = [group[0] for group in groups if train.intersection(group) and test.intersection(group)]
    if leaked:
        inspection.warnings.append(
            f"{len(leaked)} files are both in the training and in the test part ({parts.name(leaked[0])}): test results will "
            "flatter; remove them from one"
        )
    elif groups and not test:
        inspection.warnings.append(
            f"{len(repeated):,} files repeat others: some may be trained on and held out at once; remove {value[0][1]} and such"
        )
    return repeated


def equal_files(paths: Sequence[Path]) -> list[list[Path]]:
    """Groups of files with the same content, by hash; only files of equal size are read."""
    by_size: dict[int, list[Path]] = defaultdict(list)
    for path in paths:
        by_size[path.stat().st_size].append(path)
    groups: dict[bytes, list[Path]] = defaultdict(list)
    for same in by_size.values():
        for path in same if len(same) > 1 else ():
            with contextlib.suppress(OSError), path.open("rb") as file:  # those that may not be read are listed apart
                groups[hashlib.file_digest(file, hashlib.blake2b).digest()].append(path)
    return [group for group in groups.values() if len(group) > 1]


def total_bytes(paths: Sequence[Path]) -> int:
    return sum(path.stat().st_size for path in paths)


def spread(values: Sequence[float]) -> dict[str, float]:
    """Least, median and greatest."""
    return {"least": min(values), "median": median(values), "most": max(values)}


def listed(counts: Mapping[Any, int], most: int = 5) -> str:
    """The commonest first, as "480x320 (210), 320x480 (190)"."""
    ranked = sorted(counts.items(), key=lambda item: -item[1])
    listing = ", ".join(f"{name} ({count:,})" for name, count in ranked[:most])
    return listing + (f" and {len(ranked) - most:,} others" if len(ranked) > most else "")


def batch_for(items: int, batch: int = 64) -> tuple[str, ...]:
    """The flag that lowers the batch to what so many items fill; none where they fill a batch."""
    return () if items >= batch else ("--batch", str(1 << (max(items, 2).bit_length() - 1)))


def watched(items: Sequence[T], noun: str) -> Iterator[T]:
    """The items one after another, with a line that tells the progress where there are many."""
    progress = Progress(f"reading {noun}", len(items), 0) if len(items) > MANY else None
    try:
        for i, item in enumerate(items, 1):
            yield item
            if progress and i % 1_000 == 0:
                progress.show(i, "")
    finally:
        if progress:
            progress.close()
