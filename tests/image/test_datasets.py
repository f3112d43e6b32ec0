"""Splits of small images: folders, labels, splits."""

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import multigen.console.messages
from multigen.data.datasets import numbered_as, pick, split_off, split_off_classes
from multigen.data.folders import NoTestSplit
from multigen.errors import ConfigError, DataError
from multigen.image.datasets import ImageSet, open_images
from multigen.image.files import open_photos
from multigen.image.inspection import inspect_images
from multigen.image.restoration.crops import CropSource
from multigen.image.synthesis.sampler import grid
from tests.tiny import pixels


def write(path: Path, seed: int = 0, size: tuple[int, int] = (20, 30), grey: bool = False) -> Path:
    """An image of height and width `size`."""
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


def unlabelled(images: ImageSet) -> ImageSet:
    return replace(images, labels=None, classes=())


# ---------------------------------------------------------------------------------------------------- reading


def test_images_of_another_shape_are_cut_to_the_largest_part_in_the_middle(tmp_path: Path) -> None:
    ramp = np.arange(60, dtype=np.uint8)[None, :, None].repeat(20, 0).repeat(3, 2)  # 20 x 60
    for i in range(2):
        Image.fromarray(ramp).save(tmp_path / f"{i}.png")
    images = open_images(str(tmp_path), (10, 20)).images  # from 20 x 40, columns 10 to 49
    assert images.shape == (2, 3, 10, 20)
    assert (images[0, 0, 0].float() - torch.arange(10.5, 50, 2)).abs()[1:-1].max() <= 1
    high = open_images(str(tmp_path), (20, 5)).images
    assert high.shape == (2, 3, 20, 5) and high[0, 0, 0].tolist() == [27, 28, 29, 30, 31]


@pytest.mark.parametrize("kind", ["folder", "npz"])
def test_opacity_is_kept_with_four_channels_and_laid_on_white_without(kind: str, tmp_path: Path) -> None:
    rgba = np.full((2, 8, 8, 4), (200, 100, 0, 51), np.uint8)
    rgba[1, :, :, 3] = 255
    if kind == "npz":
        np.savez(tmp_path / "p.npz", images=rgba)
    for i in range(2):
        (tmp_path / "p").mkdir(exist_ok=True)
        Image.fromarray(rgba[i]).save(tmp_path / "p" / f"{i}.png")
    data = str(tmp_path / ("p.npz" if kind == "npz" else "p"))
    kept = open_images(data, 8, channels=4).images
    assert torch.equal(kept, torch.from_numpy(rgba).permute(0, 3, 1, 2))
    for channels in (0, 3):
        white = open_images(data, 8, channels=channels).images[:, :, 0, 0]
        assert (white.int() - torch.tensor([[244, 224, 204], [200, 100, 0]])).abs().max() <= 1
    for i in range(2):
        write(tmp_path / "opaque" / f"{i}.png", grey=i == 1)
    opaque = open_images(str(tmp_path / "opaque"), 8, channels=4).images
    assert opaque.shape == (2, 4, 8, 8) and (opaque[:, 3] == 255).all()


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


@pytest.mark.parametrize(
    ("size", "box"), [((30, 20), (0, 5, 20, 25)), ((20, 21), (0, 0, 20, 20)), ((9, 9), (0, 0, 9, 9))]
)
def test_high_and_small_pictures_are_cut_and_resized_likewise(
    tmp_path: Path, size: tuple[int, int], box: tuple[int, int, int, int]
) -> None:
    for i in range(2):
        write(tmp_path / f"{i}.png", seed=i, size=size)
    with Image.open(tmp_path / "1.png") as picture:
        expected = np.asarray(picture.crop(box).resize((20, 20), Image.Resampling.LANCZOS)).transpose(2, 0, 1)
    images = open_images(str(tmp_path), 20).images
    assert np.array_equal(images[1].numpy(), expected)
    if size == (20, 21):  # cut only, and every value stays
        assert np.array_equal(images[1].permute(1, 2, 0).numpy(), pixels(*size, seed=1)[:, :20])


@pytest.mark.parametrize(
    ("mode", "suffix", "channels"),
    [
        *[("L", "png", 1), ("L", "jpg", 1), ("1", "png", 1), ("LA", "png", 1), ("I;16", "png", 1), ("I", "tif", 1)],
        *[("RGB", "jpg", 3), ("RGBA", "png", 3), ("P", "png", 3), ("CMYK", "jpg", 3)],
    ],
)
def test_a_file_is_grey_by_its_mode(tmp_path: Path, mode: str, suffix: str, channels: int) -> None:
    values = pixels(8, 8)
    picture = Image.fromarray(values[..., 0] if channels == 1 else values)
    if mode[0] == "I":
        picture = Image.fromarray(values[..., 0].astype(np.uint16 if mode == "I;16" else np.int32) * 257)
    for i in range(2):
        (picture if picture.mode == mode else picture.convert(mode)).save(tmp_path / f"{i}.{suffix}")
    with Image.open(tmp_path / f"0.{suffix}") as file:
        assert file.mode == mode
    images = open_images(str(tmp_path), 8).images
    assert images.shape == (2, channels, 8, 8)
    if suffix != "jpg" and mode in ("L", "LA", "I;16", "I"):
        assert np.array_equal(images[0, 0].numpy(), values[..., 0])


def test_grey_is_the_luma_and_colour_of_grey_three_equal_planes(tmp_path: Path) -> None:
    for i in range(2):
        write(tmp_path / "colour" / f"{i}.png", seed=i, size=(8, 8))
        write(tmp_path / "grey" / f"{i}.png", seed=i, size=(8, 8), grey=True)
    luma = pixels(8, 8, seed=1) @ np.array([0.299, 0.587, 0.114])
    assert np.abs(open_images(str(tmp_path / "colour"), 8, channels=1).images[1, 0].numpy() - luma).max() <= 1
    planes = open_images(str(tmp_path / "grey"), 8, channels=3).images
    assert torch.equal(planes, open_images(str(tmp_path / "grey"), 8).images.expand(-1, 3, -1, -1))


def test_folders_are_classes(tmp_path: Path) -> None:
    images = open_images(str(classes(tmp_path)), 8)
    assert images.classes == ("cat", "dog") and images.labels is not None
    assert images.labels.tolist() == [0] * 4 + [1] * 4 and images.names[4] == "dog/0.png"
    assert open_images(str(tmp_path), 8, labels="none").labels is None
    source = images.to_source()
    assert source.tensors["image"].dtype == torch.uint8 and source.tensors["label"].tolist() == images.labels.tolist()


def test_the_first_folder_is_the_class_if_each_picture_lies_in_one_of_several(tmp_path: Path) -> None:
    for name in ("a/deep/1", "a/2", "b/1", ".hidden/1", "b/.hidden/1"):
        write(tmp_path / f"{name}.png")
    images = open_images(str(tmp_path), 8)
    assert images.names == ("a/2.png", "a/deep/1.png", "b/1.png") and images.labels is not None
    assert images.labels.tolist() == [0, 0, 1]
    assert open_images(str(tmp_path / "a"), 8).labels is None  # one lies in none
    (tmp_path / "b" / "1.png").unlink()
    alone = open_images(str(tmp_path), 8)  # a single class is none
    assert alone.labels is None and alone.classes == () and set(alone.to_source().tensors) == {"image"}


@pytest.mark.parametrize("test", ["test", "val"])
def test_folders_train_and_test_are_splits(tmp_path: Path, test: str) -> None:
    classes(tmp_path / "train", 3)
    classes(tmp_path / test, 1)
    assert [len(open_images(str(tmp_path), 8, split=split)) for split in ("train", "test")] == [6, 2]
    with pytest.raises(NoTestSplit, match=r"no folders train and test.*--test FOLDER"):
        open_images(str(tmp_path / "train"), 8, split="test")


def test_of_test_and_val_the_first_is_taken_and_train_alone_is_a_part(tmp_path: Path) -> None:
    for name, count in (("train", 2), ("test", 3), ("val", 4)):
        for i in range(count):
            write(tmp_path / "both" / name / f"{i}.png")
            write(tmp_path / "alone" / "train" / name / f"{i}.png")
            write(tmp_path / "classes" / ("train" if name == "train" else "car") / f"{i}.png")
    assert open_images(str(tmp_path / "both"), 8, split="test").names == ("test/0.png", "test/1.png", "test/2.png")
    assert open_images(str(tmp_path / "alone"), 8).classes == ("test", "train", "val")
    assert open_images(str(tmp_path / "classes"), 8).classes == ("car", "train")  # of vehicles
    for name in ("alone", "classes"):
        with pytest.raises(NoTestSplit, match=f"{name}: no folders train and test"):
            open_images(str(tmp_path / name), 8, split="test")


def test_a_table_names_the_files_of_both_parts(tmp_path: Path) -> None:
    names = [f"{part}/{i}.png" for part in ("train", "test") for i in range(2)]
    for name in names:
        write(tmp_path / "p" / name)
    table = "file,label\n" + "".join(f'"{name}","of, {name[-5]}"\n' for name in names)
    (tmp_path / "p" / "labels.csv").write_text(table, encoding="utf-8-sig")  # as spreadsheets write it
    for split in ("train", "test"):
        images = open_images(str(tmp_path / "p"), 8, split=split, labels=str(tmp_path / "p" / "labels.csv"))
        assert images.classes == ("of, 0", "of, 1") and images.names == (f"{split}/0.png", f"{split}/1.png")


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
        ("file,label\n/a_1.png,x\n", "expected a path inside .*; correct this line"),
        ("file,label\na_1.png,\n", r"line 2: file 'a_1\.png', label ''; expected each file once with its label"),
        ("file;label\na_1.png;x\n", r"columns \['file;label'\], expected file and label"),
        ('file,label\n"a_1.png,x\n', "cannot be read as CSV .*; save it as UTF-8 text with commas"),
    ],
)
def test_a_table_that_does_not_fit_is_named(tmp_path: Path, text: str, message: str) -> None:
    for i, name in enumerate(("a_1", "a_2", "b_1")):
        write(tmp_path / "p" / f"{name}.png", seed=i)
    (tmp_path / "labels.csv").write_text(text)
    with pytest.raises(DataError, match=message):
        open_images(str(tmp_path / "p"), 8, labels=str(tmp_path / "labels.csv"))


def test_labels_that_cannot_be_had_are_named(tmp_path: Path) -> None:
    for i in range(2):
        write(tmp_path / f"a_{i}.png")
    with pytest.raises(ConfigError, match=r"labels 'no\.csv': expected none, name, first, or the path of a CSV file"):
        open_images(str(tmp_path), 8, labels="no.csv")
    with pytest.raises(DataError, match=r"labels 'name' give one class only; .*--labels none"):
        open_images(str(tmp_path), 8, labels="name")
    (tmp_path / "latin.csv").write_bytes(b"file,label\na_0.png,\xe9\n")
    with pytest.raises(DataError, match=r"latin\.csv: cannot be read as CSV .*; save it as UTF-8"):
        open_images(str(tmp_path), 8, labels=str(tmp_path / "latin.csv"))
    write(tmp_path / "plain.png")
    with pytest.raises(
        DataError, match=r"plain\.png: expected CLASS_NAME in the file's name; rename it, or --labels none"
    ):
        open_images(str(tmp_path), 8, labels="name")


def test_mixed_grey_and_colour_names_one_of_each_and_the_remedy(tmp_path: Path) -> None:
    write(tmp_path / "colour.png")
    write(tmp_path / "grey.png", grey=True)
    with pytest.raises(DataError, match=r"grey\.png is grey, .*colour\.png is not.*--channels 3 or 1"):
        open_images(str(tmp_path), 8)
    assert open_images(str(tmp_path), 8, channels=1).images.shape == (2, 1, 8, 8)
    assert open_images(str(tmp_path), 8, channels=3).images.shape == (2, 3, 8, 8)


def test_damaged_files_are_named_or_skipped(tmp_path: Path) -> None:
    classes(tmp_path, 2)
    (tmp_path / "cat" / "bad.png").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"bad\.png.*--skip-bad"):
        open_images(str(tmp_path), 8)
    images = open_images(str(tmp_path), 8, skip_bad=True)
    assert len(images) == 4 and [path.name for path, _ in images.skipped] == ["bad.png"]
    assert images.labels is not None and images.labels.tolist() == [0, 0, 1, 1] and len(images.names) == 4
    for path in sorted(tmp_path.rglob("*.png"))[1:]:
        path.write_bytes(b"no image")
    with pytest.raises(DataError, match=f"{tmp_path}, 4 damaged: 1 image, expected at least 2; add images"):
        open_images(str(tmp_path), 8, skip_bad=True)


def test_what_cannot_be_a_set_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nowhere: no such file or folder.*expected a folder of images"):
        open_images("nowhere", 8)
    with pytest.raises(DataError, match="no set of images"):
        open_images(str(write(tmp_path / "one.png")), 8)
    with pytest.raises(DataError, match="1 image, expected at least 2"):
        open_images(str(tmp_path), 8)
    with pytest.raises(ConfigError, match="size 0"):
        open_images("digits", 0)
    with pytest.raises(ConfigError, match="holds no image files; leave labels empty"):
        open_images("digits", 8, labels="name")
    with pytest.raises(
        ConfigError, match=r"channels 2, split 'val': expected .*0, 1, 3 or \(with opacity\) 4 channels, and train"
    ):
        open_images("digits", 8, channels=2, split="val")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"empty: no images in this folder; expected files ending in .*png"):
        open_images(str(tmp_path / "empty"), 8)


@pytest.mark.parametrize("data", ["a" * 300, "~nobody-of-this-name/images"], ids=["long", "home"])
def test_a_path_that_no_file_can_have_is_named(data: str) -> None:
    with pytest.raises(DataError, match=f"{data}: no such file or folder"):
        open_images(data, 8)


def test_relative_paths_are_also_sought_in_multigen_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    classes(tmp_path / "data" / "pets")
    monkeypatch.setenv("MULTIGEN_DATA", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)
    assert open_images("pets", 8).name == "pets"
    classes(tmp_path / "data" / "mnist", 2)  # and so are the names of sets that would be downloaded
    assert open_images("mnist", 8).classes == ("cat", "dog")
    classes(tmp_path / "pets", 1)  # here comes first
    assert len(open_images("pets", 8)) == 2


# ---------------------------------------------------------------------------------------------------- splits


def test_held_out_pictures_are_a_stable_share_of_each_class() -> None:
    images = made([0] * 30 + [1] * 10)
    rest, held = split_off(images, 8)
    assert held.labels is not None and held.labels.bincount().tolist() == [6, 2] and len(rest) == 32
    assert {*held.names} < {*split_off(images, 12)[1].names}
    shuffled = images.subset(torch.randperm(40, generator=torch.Generator().manual_seed(0)))
    assert {*split_off(shuffled, 8)[1].names} == {*held.names}
    assert {*split_off(images, 8, seed=1)[1].names} != {*held.names}
    with pytest.raises(ConfigError, match="40 of 40 images are to be held out, expected 0 to 39"):
        split_off(images, 40)


def test_those_held_out_are_the_first_by_the_hash_of_their_names() -> None:
    images = unlabelled(made([0] * 9))
    ranked = sorted(images.names, key=lambda name: hashlib.blake2b(f"0/{name}".encode()).digest())
    for count in range(9):
        rest, held = split_off(images, count)
        assert {*held.names} == {*ranked[:count]} and len(rest) == 9 - count
        for part in (rest, held):
            assert list(part.names) == sorted(part.names)  # in the old order, each with its image
            assert [f"made/{int(x)}" for x in part.images[:, 0, 0, 0]] == list(part.names)
    with pytest.raises(ConfigError, match="-1 of 9 images"):
        split_off(images, -1)


@pytest.mark.parametrize("count", [1, 4, 7, 14])
def test_shares_of_classes_are_rounded_so_that_the_total_is_right(count: int) -> None:
    images = made([0] * 7 + [1] * 5 + [2] * 3, ("a", "b", "c"))
    held = split_off(images, count)[1].labels
    assert held is not None and len(held) == count
    for result, size in zip(held.bincount(minlength=3).tolist(), (7, 5, 3), strict=True):
        assert abs(result - count * size / 15) < 1
    rare = split_off(made([0] * 30 + [1, 2, 3], ("a", "b", "c", "d")), 3)[1].labels
    assert rare is not None and rare.tolist() == [0, 0, 0]


def test_whole_classes_are_held_out_and_renumbered() -> None:
    images = made([0, 1, 2, 0, 1, 2], ("a", "b", "c"))
    rest, held = split_off_classes(images, 1)
    assert len(rest.classes) == 2 and len(held.classes) == 1 and {*rest.classes, *held.classes} == {"a", "b", "c"}
    for part in (rest, held):
        assert part.labels is not None
        for image, label in zip(part.images, part.labels, strict=True):
            assert part.classes[label] == "abc"[int(image[0, 0, 0]) % 3]
    assert {*held.classes} < {*split_off_classes(images, 2)[1].classes}
    for count in (3, -1):
        with pytest.raises(
            ConfigError, match=f"{count} of 3 classes are to be held out, expected 0 to 2; hold out fewer"
        ):
            split_off_classes(images, count)
    with pytest.raises(ConfigError, match="1 classes are to be held out, but made has no labels; give --labels"):
        split_off_classes(unlabelled(images), 1)


def test_classes_are_matched_by_name_or_not_at_all() -> None:
    images = made([0, 1, 1])
    same = numbered_as(images, ("b", "x", "a"))
    assert same.labels is not None and same.labels.tolist() == [2, 0, 0] and same.classes == ("b", "x", "a")
    for other in (numbered_as(images, ("a",)), numbered_as(images, ()), numbered_as(unlabelled(images), ("a", "b"))):
        assert other.labels is None and other.classes == () and len(other) == 3


def test_a_few_pictures_stand_for_all() -> None:
    images = made([0] * 30 + [1] * 10)
    chosen = pick(images, 4)
    assert chosen.labels is not None and chosen.labels.bincount().tolist() == [3, 1]
    assert pick(images, 40) is images


def test_a_grid_lays_pictures_out_row_by_row() -> None:
    sheet = np.asarray(grid(torch.tensor([10, 20, 30], dtype=torch.uint8).view(3, 1, 1, 1), columns=2, gap=1))
    assert sheet.tolist() == [[10, 255, 20], [255, 255, 255], [30, 255, 255]]
    colour = torch.arange(5, dtype=torch.uint8).view(5, 1, 1, 1).expand(5, 3, 4, 6)
    with grid(colour) as picture:  # about as many wide as high
        assert picture.mode == "RGB" and picture.size == (3 * 6 + 2 * 2, 2 * 4 + 2)
        assert picture.getpixel((8, 6)) == (4, 4, 4) and picture.getpixel((6, 0)) == (255, 255, 255)


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


def test_each_frame_is_an_image_on_request(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(multigen.console.messages.output, "once", set())
    frames = [Image.new("RGB", (16, 16), colour) for colour in ((255, 0, 0), (0, 255, 0), (0, 0, 255))]
    frames[0].save(tmp_path / "a.png", save_all=True, append_images=frames[1:])
    frames[0].save(tmp_path / "b.tif", save_all=True, append_images=frames[1:])
    frames[1].save(tmp_path / "c.png")
    first = open_images(str(tmp_path), 16)
    assert first.names == ("a.png", "b.tif", "c.png")
    (line,) = capsys.readouterr().err.splitlines()
    assert "a.png: the first of several frames" in line and "--frames all" in line
    every = open_images(str(tmp_path), 16, frames="all")
    assert every.names == (*(f"a.png#{i}" for i in range(3)), *(f"b.tif#{i}" for i in range(3)), "c.png")
    assert every.origins() == ("a.png",) * 3 + ("b.tif",) * 3 + ("c.png",)
    assert [int(image.float().mean((1, 2)).argmax()) for image in every.images] == [0, 1, 2, 0, 1, 2, 1]
    photos = open_photos(str(tmp_path), frames="all")
    assert [photo.name for photo in photos] == list(every.names)
    source = CropSource(photos, 16)
    assert (
        len({int(target.argmax()) for target in (source._decode(photo)[0].mean((1, 2)) for photo in source.photos)})
        == 3
    )
    assert {fact.name: fact.value for fact in inspect_images(str(tmp_path)).facts}["frames"] == {
        "files": 2,
        "frames": 6,
    }
