"""Folders called train, valid and test are splits, in every modality; a class that is called so is
none."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from multigen.audio.synthesis.wavegan import WaveGANConfig, WaveGANTrainer
from multigen.catalogue import MODALITIES, imported
from multigen.data.datasets import report_compared
from multigen.data.folders import files_in
from multigen.data.parts import Parts, find_parts
from multigen.engine import Run
from multigen.errors import DataError
from multigen.image.datasets import open_images
from multigen.image.restoration.srgan import PRESETS as SRGAN
from multigen.image.restoration.srgan import SRGANTrainer
from multigen.image.synthesis.dcgan import DCGANConfig, DCGANTrainer
from multigen.text.datasets import open_corpus
from multigen.text.inspection import inspect_texts
from tests import tiny
from tests.audio import recordings

CPU = Run(device="cpu")
TRAINERS: dict[str, Any] = {
    "image": lambda data, **more: DCGANTrainer(DCGANConfig(data=data, size=16, **more), CPU),
    "audio": lambda data, **more: WaveGANTrainer(WaveGANConfig(data=data, length=1024, **more), CPU),
}


def parts_of(root: Path, *names: str, files: bool = False) -> Parts:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return find_parts(root, files_in(root), files)


def items(folder: Path, modality: str, count: int) -> None:
    """Two classes of so many items each."""
    for name in ("cat", "dog"):
        if modality == "image":
            tiny.photos(folder / name, count, side=16)
        for i in range(count if modality == "audio" else 0):
            recordings.write(folder / name / f"{i}.wav", recordings.sine(1024, 300.0 + 10 * i))


@pytest.mark.parametrize(
    ("train", "second"),
    [
        *[
            ("train", name)
            for name in ("valid", "val", "validation", "dev", "test", "testing", "eval", "VALID", "Test")
        ],
        *[("Train", "Valid"), ("TRAINING", "Testing"), ("train2017", "val2017"), ("train_set", "test-set")],
    ],
)
def test_a_second_split_is_for_testing(train: str, second: str, tmp_path: Path) -> None:
    parts = parts_of(tmp_path, f"{train}/a/1.png", f"{train}/2.png", f"{second}/a/3.png")
    assert ([*map(parts.name, parts.train)], [*map(parts.name, parts.test)]) == (
        [f"{train}/2.png", f"{train}/a/1.png"],
        [f"{second}/a/3.png"],
    )
    assert parts.validation == () or parts.validation == []
    assert parts.below(parts.test[0]) == ("a", "3.png") and parts.folders("test") == f"{second}/"


def test_of_three_splits_one_chooses_the_best_checkpoint(tmp_path: Path) -> None:
    parts = parts_of(tmp_path, "train/1.png", "dev/2.png", "Test/3.png", "loose.png")
    uses = [[*map(parts.name, paths)] for paths in (parts.train, parts.validation, parts.test, parts.left)]
    assert uses == [["train/1.png"], ["dev/2.png"], ["Test/3.png"], ["loose.png"]]


@pytest.mark.parametrize("others", [["bus"], ["planes", "trains"], ["bus", "trainer", "testbed"]])
def test_a_class_may_be_called_train(others: list[str], tmp_path: Path) -> None:
    parts = parts_of(tmp_path, *(f"{name}/1.png" for name in ("train", *others)))
    assert not parts.divided and len(parts.train) == len(others) + 1 and not parts.test
    assert {parts.below(path)[0] for path in parts.train} == {"train", *others}


def test_a_folder_without_items_is_no_class_and_no_split(tmp_path: Path) -> None:
    (tmp_path / "notes").mkdir()
    (tmp_path / "test").mkdir()
    parts = parts_of(tmp_path, "train/1.png")
    assert parts.divided and len(parts.train) == 1 and not parts.test


def test_splits_without_one_for_training_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"its folders test/, valid/ are splits, but none is for training; rename one"):
        parts_of(tmp_path, "valid/1.png", "test/1.png")


def test_files_may_be_splits(tmp_path: Path) -> None:
    assert not parts_of(tmp_path, "train.txt", "valid.txt", "test.txt").divided
    parts = parts_of(tmp_path, "train.txt", "valid.txt", "test.txt", files=True)
    assert [*map(parts.name, (*parts.train, *parts.validation, *parts.test))] == ["train.txt", "valid.txt", "test.txt"]
    assert not parts_of(tmp_path / "b", "train.txt", "poem.txt", files=True).divided


@pytest.mark.parametrize("modality", TRAINERS)
def test_training_uses_the_splits(modality: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, count in (("Train", 6), ("valid", 2), ("TEST", 3)):
        items(tmp_path / "d" / name, modality, count)
    trainer = TRAINERS[modality](str(tmp_path / "d"), conditional=True)
    splits = trainer.open_splits()
    assert [len(each) for each in (splits.train, splits.validation, splits.test)] == [12, 4, 6]
    assert splits.train.classes == splits.validation.classes == splits.test.classes == ("cat", "dog")
    assert {name.split("/")[0] for name in splits.validation.names} == {"valid"}
    message = capsys.readouterr().err
    assert (
        "Train/ is trained on (12 " in message
        and "valid/ (4) gives the best checkpoint, TEST/ (6) is for the final" in message
    )


@pytest.mark.parametrize("modality", TRAINERS)
def test_the_best_checkpoint_is_not_chosen_by_the_test_data(
    modality: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    items(tmp_path / "d" / "train", modality, 15)
    items(tmp_path / "d" / "validation", modality, 2)
    splits = TRAINERS[modality](str(tmp_path / "d")).open_splits()
    assert [len(each) for each in (splits.train, splits.validation, splits.test)] == [27, 3, 4]
    assert {name.split("/")[0] for name in splits.validation.names} == {"train"}
    assert "some of these (3) gives the best checkpoint, validation/ (4) is for the final" in capsys.readouterr().err


@pytest.mark.parametrize("modality", TRAINERS)
def test_classes_that_differ_are_named(modality: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = tmp_path / "d"
    items(root / "train", modality, 4)
    items(root / "test", modality, 2)
    (root / "test" / "dog").rename(root / "test" / "emu")
    splits = TRAINERS[modality](str(root)).open_splits()
    assert splits.test.labels is None
    line = "test/: classes that training lacks, so its labels are not used: emu; no item of the classes dog"
    assert line in capsys.readouterr().err
    result = imported(MODALITIES[modality].inspect)(str(root))
    assert line in result.warnings
    (items_found,) = (fact for fact in result.facts if fact.name == "items")
    assert items_found.text == "8 to train (train/), 4 to test (test/)"


def test_srgan_trains_on_the_training_split_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, count in (("train", 3), ("valid", 1), ("test", 2)):
        tiny.photos(tmp_path / "d" / name, count)
    config = replace(SRGAN["tiny"], data=str(tmp_path / "d"), crop=32, test=("embedded-held-out",))
    trainer = SRGANTrainer(config, CPU)
    assert {photo.name.split("/")[0] for photo in trainer.open_items()} == {"train"}
    assert {photo.name for photo in trainer.open_validation() or ()} == {"valid/0.png"}
    assert [test.name for test in trainer.open_tests()] == ["embedded-held-out", "d"]
    assert [name.split("/")[0] for name in trainer.open_tests()[1].names] == ["test", "test"]
    assert (
        "train/ is trained on (3 photographs), valid/ gives the best checkpoint, test/ is for"
        in capsys.readouterr().err
    )
    named = SRGANTrainer(replace(config, test=(str(tmp_path / "d"),)), CPU)
    assert len(named.open_tests()) == 1 and len(named.open_tests()[0].names) == 2
    every = SRGANTrainer(replace(config, splits=False), CPU)
    assert len(every.open_items()) == 6 and every.open_validation() is None
    assert [test.name for test in every.open_tests()] == ["embedded-held-out"]


def test_evaluate_says_what_it_compares(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("train", "test"):
        items(tmp_path / "d" / name, "image", 3)
    report_compared("d", open_images(str(tmp_path / "d"), 16))
    assert "d: train/ alone is compared (6 images)" in capsys.readouterr().err
    report_compared("d", open_images(str(tmp_path / "d" / "train"), 16))
    assert capsys.readouterr().err == ""


# ---------------------------------------------------------------------------------------------------- texts


@pytest.mark.parametrize("layout", ["folders", "files"])
def test_texts_have_splits_too(layout: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, count in (("train", 9), ("valid", 3), ("test", 4)):
        file = tmp_path / "d" / (f"{name}.txt" if layout == "files" else f"{name}/a.txt")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("".join(f"the {name} fox saw {i} hens\n" for i in range(count)))
    corpus = open_corpus(str(tmp_path / "d"), 12)
    assert [len(part) for part in (corpus.train, corpus.validation, corpus.test)] == [9, 3, 4]
    assert "test fox" in corpus.test_texts[0] and "valid fox" in corpus.real_texts[-1]
    ending = ".txt" if layout == "files" else "/"
    message = capsys.readouterr().err
    assert (
        f"train{ending} is trained on (9 texts), valid{ending} (3) gives the best checkpoint, test{ending} (4)"
        in message
    )
    result = inspect_texts(str(tmp_path / "d"))
    facts = {fact.name: fact for fact in result.facts}
    assert (
        facts["splits"].value == {"train": 1, "validation": 1, "test": 1} and f"valid{ending}" in facts["splits"].text
    )
    assert facts["texts"].value["count"] == 9


def test_the_best_checkpoint_of_texts_is_not_chosen_by_the_test_texts(tmp_path: Path) -> None:
    for name, count in (("train", 30), ("dev", 4)):
        (tmp_path / "d" / name).mkdir(parents=True)
        (tmp_path / "d" / name / "a.txt").write_text("".join(f"the {name} fox saw {i} hens\n" for i in range(count)))
    corpus = open_corpus(str(tmp_path / "d"), 12)
    assert len(corpus.test) == 4 and len(corpus.train) + len(corpus.validation) == 30
    assert not any("dev" in text for text in corpus.real_texts) and len(corpus.validation) > 0
