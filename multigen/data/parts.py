"""The splits that a folder of data is divided into by the names of its folders, such as train/,
valid/ and test/.

`train` is trained on, `validation` chooses the best checkpoint, `test` serves the final evaluation
alone. Data with two of them bring no validation split of their own, whatever the second is called:
the best checkpoint is never chosen by what is measured in the end, so it is chosen by a part of the
training data.
"""

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from multigen.console import counted, say_once
from multigen.data.folders import NoTestSplit
from multigen.errors import DataError

__all__ = ["Parts", "find_parts"]

SPLITS = {
    "train": "train(ing)?",
    "validation": "val(id(ation)?)?|dev(el(opment)?)?",
    "test": "tests?|testing|eval(uation)?",
}
"""Split -> the names of its folders, in upper or lower case, as `_split_of` reads them."""
ENDING = r"[ _-]?(set|data|split|\d{4})?"
"""What may follow such a name, as in train2017."""


@dataclass(frozen=True)
class Parts:
    """The files of a folder by their use, each list sorted; without splits, all of them are for
    training."""

    root: Path
    train: Sequence[Path]
    validation: Sequence[Path] = ()
    test: Sequence[Path] = ()
    left: Sequence[Path] = ()
    """Files beside the splits."""
    divided: bool = False
    """Whether there are splits."""

    def of(self, split: str) -> list[Path]:
        """The files of "train", "validation" or "test". Raises NoTestSplit where the folder has no
        such split."""
        if split == "train" or getattr(self, split):
            return [*getattr(self, split)]
        raise NoTestSplit(f"{self.root}: no folders train and test (or val) in it; name a test set: --test FOLDER")

    def below(self, path: Path) -> tuple[str, ...]:
        """The names of the folders that a file lies in, below the data or below its split, and its
        own."""
        parts = path.relative_to(self.root).parts
        return parts[1:] if self.divided else parts

    def folders(self, split: str) -> str:
        """Where a split lies, such as "valid/"; "" in data without splits."""
        return ", ".join(sorted({_top(self.root, path) for path in getattr(self, split)})) if self.divided else ""

    def report_left(self, noun: str) -> None:
        """Reports, once, how many files are in no split. `noun`: what they are, in the plural."""
        if self.left:
            count = counted(len(self.left), noun)
            say_once(
                f"{self.root}: {count} beside the folders of its splits left out, such as {self.name(self.left[0])}"
            )

    def name(self, path: Path) -> str:
        """A file's path in the folder, for people."""
        return path.relative_to(self.root).as_posix() if path.is_relative_to(self.root) else str(path)


def find_parts(root: Path, paths: Sequence[Path], files: bool = False) -> Parts:
    """The splits of `paths`, files in the folder `root` (or `root` itself).

    Folders are splits where all have names of splits and one is for training, or where there are
    such for training and for testing; among other folders, one called train is a class. `files`:
    files directly in the folder, such as train.txt and test.txt, may be splits as well. Raises
    DataError where there are splits, but none for training.
    """
    if not root.is_dir():
        return Parts(root.parent, paths)
    tops = {top for path in paths if (top := _top(root, path, files))}
    uses = {top: _split_of(top) for top in tops}
    present = {use for use in uses.values() if use}
    if len(tops) > 1 and all(uses.values()) and "train" not in present:
        raise DataError(
            f"{root}: its folders {', '.join(sorted(tops))} are splits, but none is for training; rename one to train, or give "
            f"one of them: {root / min(tops)}"
        )
    if "train" not in present or not (all(uses.values()) or len(present) > 1):
        return Parts(root, sorted(paths))
    splits: dict[str, list[Path]] = defaultdict(list)
    for path in sorted(paths):
        splits[uses.get(_top(root, path, files)) or ""].append(path)
    second = "test" if splits["test"] else "validation"
    validation = splits["validation"] if second == "test" else []
    return Parts(root, splits["train"], validation, splits[second], splits[""], divided=True)


def _top(root: Path, path: Path, files: bool = True) -> str:
    """The folder in `root` that a file lies in, as "train/"; the name of one that lies in it
    directly, if `files` count."""
    top, *inside = path.relative_to(root).parts
    return f"{top}/" if inside else top if files else ""


def _split_of(top: str) -> str:
    """The split that a folder, or a file, is named after; "" for any other name."""
    name = top.removesuffix("/") if top.endswith("/") else Path(top).stem
    return next((split for split, names in SPLITS.items() if re.fullmatch(f"({names}){ENDING}", name, re.I)), "")
