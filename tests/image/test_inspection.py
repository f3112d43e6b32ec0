"""What is said of images, and whether training accepts what is suggested."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from multigen.data import inspection
from multigen.data.inspection import Inspection, Suggestion
from multigen.errors import DataError
from multigen.image.datasets import open_images
from multigen.image.files import open_photos
from multigen.image.inspection import inspect_images
from multigen.image.restoration.crops import CropSource
from multigen.image.synthesis.base import ImageSynthesisTrainer
from multigen.runs.runner import parse
from tests import tiny
from tests.data.suggestions import configured, facts
from tests.tiny import photos, pixels


def save(path: Path, picture: np.ndarray, **options) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture).save(path, **options)
    return path


def classes(root: Path, count: int = 6, side: int = 40) -> Path:
    for k, name in enumerate(("cats", "dogs")):
        for i in range(count):
            save(root / name / f"{i}.png", pixels(side, side, seed=20 * k + i))
    return root


def opened(choice: Suggestion, data: Path):
    return ImageSynthesisTrainer(configured(choice, data)).open_splits()


def test_classes_sizes_and_colours_are_reported(tmp_path: Path) -> None:
    root = classes(tmp_path / "data")
    save(root / "dogs" / "wide.png", pixels(48, 90, seed=50))
    result = inspect_images(str(root))
    message = facts(result)
    assert message["items"].value == {"train": 13, "test": 0, "left": 0}
    assert message["classes"].value == {"cats": 6, "dogs": 7} and "cats (6), dogs (7)" in message["classes"].text
    assert message["sizes"].value["widths_x_heights"] == {"40x40": 12, "90x48": 1}
    assert message["sizes"].value["shorter_side"] == {"least": 40, "median": 40, "most": 48}
    assert message["colour"].value == {"grey": 0, "colour": 13, "colourless": 0}
    assert message["duplicates"].value == [] == message["near_duplicates"].value
    assert message["bytes"].value == sum(path.stat().st_size for path in root.rglob("*.png"))
    assert result.unreadable == []
    assert any("2 of 2 classes have fewer than 20" in warning for warning in result.warnings)


def test_classes_are_not_suggested_against_the_warning_of_few_items(tmp_path: Path) -> None:
    root = classes(tmp_path / "two words")
    result = inspect_images(str(root))
    assert any("so --conditional is not suggested" in warning for warning in result.warnings)
    assert not any("--conditional" in choice.options for choice in result.suggestions)


def test_few_pictures_with_classes_are_for_r3gan_with_diffaugment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inspection, "FEW_IN_CLASS", 6)
    root = classes(tmp_path / "two words")
    choice = inspect_images(str(root)).suggestions[0]
    assert (choice.method, choice.preset) == ("r3gan", "default")
    config = configured(choice, root)
    assert config.conditional and config.augment == "color,translation,cutout" and config.size == 32
    assert config.batch == 8  # of 9 that are left to train on
    sets = opened(choice, root)
    assert len(sets.train) + len(sets.test) == 12 and sets.train.classes == ("cats", "dogs")


def test_damaged_files_are_listed_with_the_reason_that_training_gives(tmp_path: Path) -> None:
    root = photos(tmp_path / "data", count=6)
    (root / "empty.jpg").write_bytes(b"")
    whole = save(tmp_path / "whole.jpg", pixels(300, 300)).read_bytes()
    (root / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    (root / "cut.png").write_bytes((root / "0.png").read_bytes()[:900])
    save(root / "fine.png", pixels(40, 40))
    result = inspect_images(str(root))
    by_training = open_images(str(root), 16, skip_bad=True).skipped
    assert {path.name for path, _ in result.unreadable} == {path.name for path, _ in by_training}
    assert {path.name for path, _ in result.unreadable} == {"empty.jpg", "cut.jpg", "cut.png"}
    assert all(str(path) in reason and "cannot be decoded" in reason for path, reason in result.unreadable)
    with pytest.raises(DataError, match=r"cut\.jpg|cut\.png|empty\.jpg"):
        open_images(str(root), 16)
    assert len(opened(result.suggestions[0], root).train) == 5  # --skip-bad


def test_a_file_twice_in_one_set_or_in_both_parts(tmp_path: Path) -> None:
    one = photos(tmp_path / "one", count=5)
    shutil.copy(one / "1.png", one / "copy.png")
    result = inspect_images(str(one))
    assert facts(result)["duplicates"].value == [["1.png", "copy.png"]]
    assert any("some may be trained on and held out at once" in warning for warning in result.warnings)
    both = tmp_path / "both"
    photos(both / "train" / "a", count=4)
    photos(both / "test" / "a", count=2)  # the first two again
    save(both / "notes.png", pixels(40, 40, seed=9))
    result = inspect_images(str(both))
    assert facts(result)["items"].value == {"train": 4, "test": 2, "left": 1}
    assert any("2 files are both in the training and in the test part" in warning for warning in result.warnings)
    assert any("notes.png" in warning and "not used" in warning for warning in result.warnings)
    assert len(opened(result.suggestions[0], both).test) == 2


def test_pictures_that_differ_in_encoding_or_size_are_near_duplicates(tmp_path: Path) -> None:
    root = photos(tmp_path / "data", count=6, side=64)
    Image.open(root / "0.png").save(root / "again.jpg", quality=90)
    picture = Image.open(root / "1.png")
    picture.resize((picture.width * 3, picture.height * 3), Image.Resampling.LANCZOS).save(root / "large.png")
    brighter = np.clip(pixels(64, 72, seed=2).astype(int) + 20, 0, 255).astype(np.uint8)
    save(root / "other.png", brighter)
    message = facts(inspect_images(str(root)))
    assert sorted(map(sorted, message["near_duplicates"].value)) == [["0.png", "again.jpg"], ["1.png", "large.png"]]
    assert message["duplicates"].value == []


@pytest.mark.parametrize(
    ("kinds", "flags", "channels"),
    [("LR", ("--channels", "3"), 3), ("rr", ("--channels", "1"), 1), ("LL", (), 1), ("AR", (), 3)],
    ids=["grey among coloured ones", "colourless as RGB", "grey", "transparent"],
)
def test_colours(tmp_path: Path, kinds: str, flags: tuple[str, ...], channels: int) -> None:
    for i in range(8):
        picture = Image.fromarray(pixels(32, 32, seed=i))
        kind = kinds[i % 2]
        if kind == "A":
            picture.putalpha(Image.fromarray(pixels(32, 32, seed=i)[..., 0]))
        if kind in "Lr":
            picture = picture.convert("L").convert("RGB" if kind == "r" else "L")
        picture.save(tmp_path / f"{i}.png")
    result = inspect_images(str(tmp_path))
    choice = result.suggestions[0]
    assert [w for w in choice.options if w == "--channels"] == list(flags[:1])
    assert opened(choice, tmp_path).train.images.shape[1] == channels
    assert facts(result)["transparent"].value == (4 if "A" in kinds else 0)


def test_photographs_are_for_srgan_first(tmp_path: Path) -> None:
    for i in range(5):
        save(tmp_path / f"{i}.jpg", pixels(200, 260, seed=i))
    save(tmp_path / "small.jpg", pixels(60, 60))
    result = inspect_images(str(tmp_path))
    assert [choice.method for choice in result.suggestions] == ["srgan", "r3gan"]
    config = configured(result.suggestions[0], tmp_path)
    assert (
        config.skip_bad
        and len(CropSource(open_photos(config.data), config.crop, config.scale, skip_bad=True).photos) == 5
    )
    assert len(opened(result.suggestions[1], tmp_path).train) == 4


def test_one_photograph_is_enough_for_srgan_alone(tmp_path: Path) -> None:
    path = save(tmp_path / "one.jpg", pixels(200, 260))
    result = inspect_images(str(path))
    assert [choice.method for choice in result.suggestions] == ["srgan"]
    assert configured(result.suggestions[0], path).data == str(path)


def test_too_few_and_too_small_gives_no_suggestion_but_says_why(tmp_path: Path) -> None:
    result = inspect_images(str(photos(tmp_path / "data", count=2)))
    assert result.suggestions == [] and any("too few" in warning for warning in result.warnings)


def test_labels_by_a_table_and_by_names(tmp_path: Path) -> None:
    named = tmp_path / "named"
    for i in range(20):
        save(named / f"{'ab'[i % 2]}_{i}.png", pixels(32, 32, seed=i))
    result = inspect_images(str(named))
    assert facts(result)["classes"].value == {} and "by the names of the files 2" in facts(result)["classes"].text
    assert not configured(result.suggestions[0], named).conditional
    assert opened(result.suggestions[1], named).train.classes == ("a", "b")
    (named / "labels.csv").write_text(
        "file,label\n" + "".join(f"{p.name},{p.name[0] * 2}\n" for p in named.glob("*.png"))
    )
    result = inspect_images(str(named))
    assert facts(result)["classes"].value == {"aa": 10, "bb": 10}
    assert opened(result.suggestions[0], named).train.classes == ("aa", "bb")
    (named / "labels.csv").write_text("name,kind\n")
    assert any("expected file and label" in warning for warning in inspect_images(str(named)).warnings)


def test_folders_that_are_parts_are_no_classes(tmp_path: Path) -> None:
    for name in ("train", "eval"):
        photos(tmp_path / name, count=4)
    result = inspect_images(str(tmp_path))
    assert facts(result)["classes"].value == {}
    assert facts(result)["items"].value == {"train": 4, "test": 4, "left": 0}
    assert opened(result.suggestions[0], tmp_path).train.labels is None


def test_arrays(tmp_path: Path) -> None:
    path = tmp_path / "set.npz"
    images = np.stack([pixels(20, 24, seed=i) for i in range(12)])
    images[3] = images[1]
    np.savez(path, images=images, labels=np.arange(12) % 3)
    result = inspect_images(str(path))
    message = facts(result)
    assert message["items"].value == {"train": 12} and message["duplicates"].value == 1
    assert message["classes"].value == {"0": 4, "1": 4, "2": 4}
    sets = opened(result.suggestions[0], path)
    assert sets.train.classes == ("0", "1", "2") and sets.train.images.shape[2:] == (16, 16)


def test_many_are_for_dcgan(tmp_path: Path) -> None:
    path = tmp_path / "many.npz"
    np.savez(path, images=np.random.default_rng(0).integers(0, 256, (10_000, 28, 28), np.uint8))
    choice = inspect_images(str(path)).suggestions[0]
    assert choice.method == "dcgan" and configured(choice, path).size == 32


@pytest.mark.parametrize(("name", "recipe"), [("digits", "dcgan"), ("embedded", "srgan")])
def test_what_is_embedded_has_its_preset(name: str, recipe: str) -> None:
    choice = inspect_images(name).suggestions[0]
    assert (choice.method, choice.preset) == (recipe, "laptop")
    assert configured(choice, name).data == name


@pytest.mark.slow
def test_a_suggestion_with_tiny_steps_trains(tmp_path: Path) -> None:
    from multigen.image import R3GANTrainer
    from multigen.recipes.r3gan import PRESETS

    root = classes(tmp_path / "data", side=32)
    choice = inspect_images(str(root)).suggestions[0]
    words = [
        "tiny",
        "--data",
        str(root),
        *choice.options,
        "--steps",
        "1",
        "--validation-size",
        "0",
        "--out",
        str(tmp_path / "run"),
    ]
    config, run, _ = parse([*words, "--device", "cpu", "--precision", "fp32", "--samples", "4"], "r3gan", PRESETS)
    trainer = R3GANTrainer(config, run).fit()
    assert trainer.data_info.classes == ("cats", "dogs")


@pytest.mark.data
def test_flowers(data_root: Path) -> None:
    result: Inspection = inspect_images("flowers64")
    message = facts(result)
    assert message["items"].value == {"train": 2934, "test": 736, "left": 0}
    assert len(message["duplicates"].value) == 3 and result.unreadable == []


def test_images_too_large_to_train_on_are_not_called_unreadable(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = photos(tmp_path / "data", count=6)
    Image.new("L", (12_289, 2)).save(root / "long.png")
    (root / "bad.png").write_bytes(b"no image")
    result = inspect_images(str(root))
    assert [path.name for path, _ in result.unreadable] == ["bad.png"]
    assert [path.name for path in result.too_large] == ["long.png"]
    (said,) = (warning for warning in result.warnings if "long.png" in warning)
    assert "1 image with a side above 12,288 pixels" in said and "upscale and restore take them whole" in said
    assert all("--skip-bad" in suggestion.options for suggestion in result.suggestions)
    assert tiny.multigen(["inspect", root, "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["too_large"] == [str(root / "long.png")] and len(printed["unreadable"]) == 1
    for path in root.iterdir():
        if path.name != "long.png":
            path.unlink()
    with pytest.raises(DataError, match=r"none of 1 images can be used; .*a side of 12,289 pixels"):
        inspect_images(str(root))
