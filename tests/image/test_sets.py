"""Sets of small pictures: folders, labels, splits."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from multigen.errors import ConfigError, DataError
from multigen.image.sets import ImageSet, NoTestSplit, grid, open_images, pick, split_off, split_off_classes
from tests.tiny import pixels


def write(path: Path, seed: int = 0, size: tuple[int, int] = (20, 30), grey: bool = False) -> Path:
    """A picture of height and width `size`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = Image.fromarray(pixels(*size, seed=seed))
    (picture.convert("L") if grey else picture).save(path)
    return path


def classes(root: Path, count: int = 4) -> Path:
    for i in range(count):
        for name in ("cat", "dog"):
            write(root / name / f"{i}.png", seed=i)
    return root


def made(labels: list[int], names: tuple[str, ...] = ("a", "b")) -> ImageSet:
    n = len(labels)
    images = torch.arange(n, dtype=torch.uint8).view(n, 1, 1, 1).expand(n, 1, 2, 2)
    return ImageSet("made", images, torch.tensor(labels), names, tuple(f"made/{i}" for i in range(n)))


# ---------------------------------------------------------------------------------------------------- reading


def test_digits_have_a_fixed_fifth_for_testing() -> None:
    train, test = (open_images("digits", 32, split=split) for split in ("train", "test"))
    assert (len(train), len(test)) == (1438, 359)
    assert train.images.shape[1:] == (1, 32, 32) and train.classes == tuple("0123456789")
    assert not {*train.names} & {*test.names}
    assert test.labels is not None and test.labels.bincount().min() >= 34  # each class gives its share
    assert open_images("digits", 32, split="test", labels="none").names == test.names


@pytest.mark.parametrize("grey", [False, True])
def test_pictures_are_cut_to_the_middle_square_and_resized_antialiased(tmp_path: Path, grey: bool) -> None:
    for i in range(2):
        write(tmp_path / f"{i}.png", seed=i, grey=grey)
    images = open_images(str(tmp_path), 8)
    assert images.images.shape == (2, 1 if grey else 3, 8, 8) and images.labels is None
    with Image.open(tmp_path / "0.png") as picture:
        square = picture.crop((5, 0, 25, 20)).resize((8, 8), Image.Resampling.LANCZOS)
    expected = np.asarray(square) if grey else np.asarray(square).transpose(2, 0, 1)
    assert np.array_equal(images.images[0].numpy().squeeze(), expected)


def test_folders_are_classes(tmp_path: Path) -> None:
    images = open_images(str(classes(tmp_path)), 8)
    assert images.classes == ("cat", "dog") and images.labels is not None
    assert images.labels.tolist() == [0] * 4 + [1] * 4 and images.names[4] == "dog/0.png"
    assert open_images(str(tmp_path), 8, labels="none").labels is None
    source = images.to_source()
    assert source.tensors["image"].dtype == torch.uint8 and source.tensors["label"].tolist() == images.labels.tolist()


@pytest.mark.parametrize("test", ["test", "val"])
def test_folders_train_and_test_are_splits(tmp_path: Path, test: str) -> None:
    classes(tmp_path / "train", 3)
    classes(tmp_path / test, 1)
    assert [len(open_images(str(tmp_path), 8, split=split)) for split in ("train", "test")] == [6, 2]
    with pytest.raises(NoTestSplit, match=r"no folders train and test.*--test FOLDER"):
        open_images(str(tmp_path / "train"), 8, split="test")


def test_labels_from_names_and_from_a_table(tmp_path: Path) -> None:
    for i, name in enumerate(("a_1", "a_2", "b_1")):
        write(tmp_path / "p" / f"{name}.png", seed=i)
    by_name = open_images(str(tmp_path / "p"), 8, labels="name")
    assert by_name.classes == ("a", "b") and by_name.labels is not None and by_name.labels.tolist() == [0, 0, 1]
    table = tmp_path / "labels.csv"
    table.write_text("label,file\nx,a_1.png\ny,a_2.png\nx,b_1.png\n")
    by_table = open_images(str(tmp_path / "p"), 8, labels=str(table))
    assert by_table.classes == ("x", "y") and by_table.labels is not None and by_table.labels.tolist() == [0, 1, 0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("file,label\na_1.png,x\n", "has no label for this file; add it to the table"),
        ("file,label\n../p/a_1.png,x\n", "expected a path inside"),
        ("file,label\na_1.png,x\na_1.png,y\n", "each file once"),
        ("file,label\nnone.png,x\n", "there is no such file"),
        ("name,label\na_1.png,x\n", "expected file and label"),
        ("file,label\na_1.png,x\na_2.png,x\nb_1.png,x\n", "one class only"),
    ],
)
def test_a_table_that_does_not_fit_is_named(tmp_path: Path, text: str, message: str) -> None:
    for i, name in enumerate(("a_1", "a_2", "b_1")):
        write(tmp_path / "p" / f"{name}.png", seed=i)
    (tmp_path / "labels.csv").write_text(text)
    with pytest.raises(DataError, match=message):
        open_images(str(tmp_path / "p"), 8, labels=str(tmp_path / "labels.csv"))


def test_mixed_grey_and_colour_names_one_of_each_and_the_remedy(tmp_path: Path) -> None:
    write(tmp_path / "colour.png")
    write(tmp_path / "grey.png", grey=True)
    with pytest.raises(DataError, match=r"grey\.png is grey, .*colour\.png is not.*--channels 3 or 1"):
        open_images(str(tmp_path), 8)
    assert open_images(str(tmp_path), 8, channels=1).images.shape == (2, 1, 8, 8)
    assert open_images(str(tmp_path), 8, channels=3).images.shape == (2, 3, 8, 8)


def test_damaged_files_are_named_or_skipped(tmp_path: Path) -> None:
    classes(tmp_path, 2)
    (tmp_path / "dog" / "bad.png").write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"bad\.png.*--skip-bad"):
        open_images(str(tmp_path), 8)
    images = open_images(str(tmp_path), 8, skip_bad=True)
    assert len(images) == 4 and [path.name for path, _ in images.skipped] == ["bad.png"]


def test_what_cannot_be_a_set_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nowhere: no such file or folder.*expected a folder of pictures"):
        open_images("nowhere", 8)
    with pytest.raises(DataError, match="no set of pictures"):
        open_images(str(write(tmp_path / "one.png")), 8)
    with pytest.raises(DataError, match="1 pictures, expected at least 2"):
        open_images(str(tmp_path), 8)
    with pytest.raises(ConfigError, match="size 0"):
        open_images("digits", 0)
    with pytest.raises(ConfigError, match="holds no picture files; leave labels empty"):
        open_images("digits", 8, labels="name")


def test_relative_paths_are_also_sought_in_multigen_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    classes(tmp_path / "data" / "pets")
    monkeypatch.setenv("MULTIGEN_DATA", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)
    assert open_images("pets", 8).name == "pets"


# ---------------------------------------------------------------------------------------------------- splits


def test_held_out_pictures_are_a_stable_share_of_each_class() -> None:
    images = made([0] * 30 + [1] * 10)
    rest, held = split_off(images, 8)
    assert held.labels is not None and held.labels.bincount().tolist() == [6, 2] and len(rest) == 32
    assert {*held.names} < {*split_off(images, 12)[1].names}
    shuffled = images.subset(torch.randperm(40, generator=torch.Generator().manual_seed(0)))
    assert {*split_off(shuffled, 8)[1].names} == {*held.names}
    assert {*split_off(images, 8, seed=1)[1].names} != {*held.names}
    with pytest.raises(ConfigError, match="40 of 40 pictures are to be held out, expected 0 to 39"):
        split_off(images, 40)


def test_whole_classes_are_held_out_and_numbered_anew() -> None:
    images = made([0, 1, 2, 0, 1, 2], ("a", "b", "c"))
    rest, held = split_off_classes(images, 1)
    assert len(rest.classes) == 2 and len(held.classes) == 1 and {*rest.classes, *held.classes} == {"a", "b", "c"}
    for part in (rest, held):
        assert part.labels is not None
        for image, label in zip(part.images, part.labels, strict=True):
            assert part.classes[label] == "abc"[int(image[0, 0, 0]) % 3]
    with pytest.raises(ConfigError, match="3 of 3 classes"):
        split_off_classes(images, 3)


def test_a_few_pictures_stand_for_all() -> None:
    images = made([0] * 30 + [1] * 10)
    chosen = pick(images, 4)
    assert chosen.labels is not None and chosen.labels.bincount().tolist() == [3, 1]
    assert pick(images, 40) is images


def test_a_grid_lays_pictures_out_row_by_row() -> None:
    sheet = np.asarray(grid(torch.tensor([10, 20, 30], dtype=torch.uint8).view(3, 1, 1, 1), columns=2, gap=1))
    assert sheet.tolist() == [[10, 255, 20], [255, 255, 255], [30, 255, 255]]


@pytest.mark.data
@pytest.mark.parametrize(
    ("data", "labels", "train", "test", "number"),
    [
        ("mnist", "", 60_000, 10_000, 10),
        ("cifar10", "", 5_000, 1_000, 10),
        ("flowers64", "", 2_934, 736, 5),
        ("faces/olivetti", "name", 400, 0, 40),
    ],
)
def test_larger_sets(data_root: Path, data: str, labels: str, train: int, test: int, number: int) -> None:
    images = open_images(data, 32, labels=labels)
    assert (len(images), len(images.classes)) == (train, number) and images.labels is not None
    assert images.labels.bincount().min() > 0.5 * train / number
    if test:
        assert len(open_images(data, 32, split="test", labels=labels)) == test
    else:
        with pytest.raises(NoTestSplit):
            open_images(data, 32, split="test", labels=labels)
