"""Which classes, and how many items, of data are trained on and measured against."""

from dataclasses import replace
from typing import Any

import pytest
import torch

from multigen.data.datasets import ItemSet, Splits, open_splits
from multigen.data.folders import NoTestSplit
from multigen.errors import ConfigError, DataError
from multigen.image.synthesis.dcgan import PRESETS
from multigen.tasks.synthesis.evaluator import Evaluator
from multigen.tasks.synthesis.extractors import Extractor

CONFIG = replace(PRESETS["tiny"], data="flowers", validation_size=20)
FLOWERS = ("daisy", "rose", "tulip")


def of(data: str, each: int, classes: tuple[str, ...]) -> ItemSet:
    """`each` items of each class."""
    numbers = torch.arange(len(classes)).repeat_interleave(each)
    names = tuple(f"{data}/{classes[k]}/{i}" for i, k in enumerate(numbers.tolist()))
    return ItemSet(data, numbers[:, None].clone(), numbers, classes, names)


DATA = {
    ("flowers", "train"): of("flowers", 100, FLOWERS),
    ("flowers", "test"): of("flowers test", 10, FLOWERS[:2]),
    ("other", "train"): of("other", 10, ("cat", "dog")),
    ("mixed", "train"): of("mixed", 10, ("cat", "rose")),
    ("one", "train"): replace(of("one", 10, ("tulip",)), labels=None, classes=()),
}


def read(data: str, split: str, labels: str, like: ItemSet | None) -> ItemSet:
    if (data, split) not in DATA:
        raise NoTestSplit(data)
    items = DATA[data, split]
    return replace(items, labels=None, classes=()) if labels == "none" else items


def opened(**settings: Any) -> Splits[ItemSet]:
    return open_splits(replace(CONFIG, **settings), read)


def kinds(items: ItemSet | None) -> set[str]:
    return set() if items is None else {name.split("/")[1] for name in items.names}


@pytest.mark.parametrize("labels", ["", "none"])
def test_classes_are_selected_in_all_splits_with_their_labels_or_without(labels: str) -> None:
    splits = opened(classes=("rose", "daisy"), labels=labels)
    assert [kinds(part) for part in (splits.train, splits.validation, splits.test)] == [{"daisy", "rose"}] * 3
    assert splits.train.classes == ((), FLOWERS[:2])[labels == ""]
    if not labels:
        assert splits.train.labels is not None and splits.train.labels.unique().tolist() == [0, 1]


def test_one_class_is_no_label() -> None:
    splits = opened(classes=("rose",))
    assert kinds(splits.train) == kinds(splits.test) == {"rose"} and splits.train.labels is splits.test.labels is None
    with pytest.raises(ConfigError, match="2 classes are to be held out, but flowers has no labels"):
        opened(classes=("rose",), test_classes=2)


def test_test_data_of_their_own_are_selected_where_they_have_such_classes() -> None:
    assert kinds(opened(classes=("rose", "daisy"), test="mixed").test) == {"rose"}
    assert kinds(opened(classes=("rose", "daisy"), test="other").test) == {"cat", "dog"}
    whole = opened(classes=("rose", "daisy"), test="one").test  # as that of few-shot training, of another class
    assert kinds(whole) == {"tulip"} and whole.labels is None


def test_some_training_items_stand_for_all_and_the_others_stay_as_they_are() -> None:
    few, whole = opened(train_size=30), opened()
    assert (
        len(few.train) == 30 and few.train.labels is not None and few.train.labels.bincount().tolist() == [10, 10, 10]
    )
    assert {*few.train.names} < {*whole.train.names} and {*opened(train_size=12).train.names} < {*few.train.names}
    assert few.validation is not None and whole.validation is not None
    assert few.validation.names == whole.validation.names and few.test.names == whole.test.names
    assert len(opened(classes=("rose",), train_size=90).train) == 90
    assert few.baseline is not None and few.baseline.names == whole.train.names and whole.baseline is None


def test_as_many_samples_are_measured_as_without_a_selection() -> None:
    extract = Extractor(lambda x: (x.float(), None), [])
    for splits in (opened(train_size=30), opened()):
        evaluator = Evaluator(splits, 250, torch.device("cpu"), "x", extract, "", lambda x: x)
        assert evaluator.samples == len(evaluator.training_sample) == 250


def test_what_cannot_be_selected_is_named() -> None:
    with pytest.raises(ConfigError, match="classes 'roses': flowers has daisy, rose, tulip; did you mean rose"):
        opened(classes=("daisy", "roses"))
    with pytest.raises(
        ConfigError, match="classes tulip: one has no classes; sort the items into one folder per class"
    ):
        opened(data="one", classes=("tulip",))
    with pytest.raises(DataError, match="flowers: no test items of the classes tulip; add some, or name others"):
        opened(classes=("tulip",))
    with pytest.raises(
        ConfigError, match="train_size 281: flowers has 280 items to train on; expected 2 to 280, or 0 for all"
    ):
        opened(train_size=281)
    with pytest.raises(ConfigError, match="train_size 1: flowers has 280 items"):
        opened(train_size=1)
    with pytest.raises(ConfigError, match="train_size -1: expected 0 or more"):
        opened(train_size=-1)
