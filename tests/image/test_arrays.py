"""Splits of images that files hold as arrays."""

import gzip
import importlib.util
import io
import struct
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from multigen.data.folders import NoTestSplit
from multigen.errors import DataError
from multigen.image import arrays
from multigen.image.datasets import open_images

RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 256, (6, 28, 28), dtype=np.uint8)
COLOUR = RNG.integers(0, 256, (6, 8, 8, 3), dtype=np.uint8)
LABELS = np.array([0, 1, 2, 0, 1, 2])


def write_idx(path: Path, values: np.ndarray) -> None:
    content = struct.pack(f">BBBB{values.ndim}I", 0, 0, 8, values.ndim, *values.shape) + values.tobytes()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)


def test_digits_are_those_of_scikit_learn() -> None:
    from sklearn.datasets import load_digits

    pixels, labels = load_digits(return_X_y=True)
    seen = []
    for images in (open_images("digits", 8, split=split) for split in ("train", "test")):
        numbers = [int(name.removeprefix("digits/")) for name in images.names]
        assert np.array_equal(images.images.flatten(1).numpy(), np.rint(pixels[numbers] * 255 / 16))
        assert images.labels is not None and images.labels.tolist() == labels[numbers].tolist()
        seen += numbers
    assert sorted(seen) == [*range(1797)]


def test_digits_without_scikit_learn_name_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(DataError, match=r"digits: the file .* is missing: install scikit-learn again"):
        open_images("digits", 8)


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_idx_files_are_read_and_padded_to_32(tmp_path: Path, suffix: str) -> None:
    for part in ("train", "t10k"):
        write_idx(tmp_path / f"{part}-images-idx3-ubyte{suffix}", GREY)
        write_idx(tmp_path / f"{part}-labels-idx1-ubyte{suffix}", LABELS.astype(np.uint8))
    images = open_images(str(tmp_path), 32)
    assert torch.equal(images.images[:, 0, 2:30, 2:30], torch.from_numpy(GREY)) and images.images.shape[2:] == (32, 32)
    assert images.images[:, :, :2].max() == 0
    assert images.labels is not None and images.labels.tolist() == LABELS.tolist()
    assert images.names[0] == "train/0" and images.images[:, :, 30:].max() == images.images[..., 30:].max() == 0
    assert torch.equal(open_images(str(tmp_path), 28, split="test").images[:, 0], torch.from_numpy(GREY))
    with Image.fromarray(GREY[3]) as picture:  # other sizes are resized
        smaller = np.asarray(picture.resize((16, 16), Image.Resampling.LANCZOS))
    assert np.array_equal(open_images(str(tmp_path), 16, split="test").images[3, 0].numpy(), smaller)
    assert open_images(str(tmp_path), 28, labels="none").labels is None


def test_damaged_idx_files_are_named(tmp_path: Path) -> None:
    images = tmp_path / "train-images-idx3-ubyte"
    write_idx(images, GREY)
    with pytest.raises(DataError, match="expected train-images-idx3-ubyte and train-labels-idx1-ubyte"):
        open_images(str(tmp_path), 28)
    write_idx(tmp_path / "train-labels-idx1-ubyte", LABELS[:5].astype(np.uint8))
    with pytest.raises(DataError, match="6 images, but 5 labels"):
        open_images(str(tmp_path), 28)
    images.write_bytes(images.read_bytes()[:-9])
    with pytest.raises(DataError, match="cut off or damaged"):
        open_images(str(tmp_path), 28)
    images.write_bytes(b"PK\x03\x04 no idx")
    with pytest.raises(DataError, match="expected an IDX file"):
        open_images(str(tmp_path), 28)
    with pytest.raises(NoTestSplit, match="t10k-images"):
        open_images(str(tmp_path), 28, split="test")


def test_damaged_gzip_is_named(tmp_path: Path) -> None:
    images = tmp_path / "train-images-idx3-ubyte.gz"
    write_idx(images, GREY)
    write_idx(tmp_path / "train-labels-idx1-ubyte.gz", LABELS.astype(np.uint8))
    whole = images.read_bytes()
    for content in (whole[:-20], b"no gzip", whole[:10] + b"\xff" * 90):
        images.write_bytes(content)
        with pytest.raises(DataError, match=rf"{images.name}: cannot be read \(.*\); fetch the file again"):
            open_images(str(tmp_path), 28)


@pytest.mark.parametrize("kind", [np.uint8, np.float32])
def test_npz_files(tmp_path: Path, kind: type) -> None:
    path = tmp_path / "mine.npz"
    np.savez(path, images=COLOUR if kind is np.uint8 else (COLOUR / 255).astype(kind), labels=np.array(list("abcabc")))
    images = open_images(str(path), 8)
    assert torch.equal(images.images, torch.from_numpy(COLOUR).permute(0, 3, 1, 2)) and images.classes == (
        "a",
        "b",
        "c",
    )
    with pytest.raises(NoTestSplit, match="--test FILE"):
        open_images(str(path), 8, split="test")


@pytest.mark.parametrize("shape", [(6, 28, 28), (6, 28, 28, 1)])
def test_grey_npz_files(tmp_path: Path, shape: tuple[int, ...]) -> None:
    np.savez(tmp_path / "mine.npz", images=GREY.reshape(shape), labels=np.full(6, 7))
    images = open_images(str(tmp_path / "mine.npz"), 28)
    assert torch.equal(images.images[:, 0], torch.from_numpy(GREY)) and images.images.shape[1] == 1
    assert images.labels is None and images.name == "mine" and images.names[5] == "mine/5"  # one class is none
    assert open_images(str(tmp_path / "mine.npz"), 32).images[:, :, 0].max() > 0  # resized: only IDX files are padded


def test_floats_become_the_nearest_byte_and_oblongs_squares(tmp_path: Path) -> None:
    np.savez(tmp_path / "mine.npz", images=np.full((2, 4, 10), [[[0.4980]], [[0.4982]]]), labels=np.array([5, -1]))
    images = open_images(str(tmp_path / "mine.npz"), 4)
    assert images.images.shape == (2, 1, 4, 4) and images.images.flatten(1).unique(dim=1).tolist() == [[127], [127]]
    assert images.labels is not None and images.classes == ("-1", "5") and images.labels.tolist() == [1, 0]
    oblong = np.arange(2 * 4 * 10, dtype=np.uint8).reshape(2, 4, 10)
    np.savez(tmp_path / "oblong.npz", images=oblong)
    assert np.array_equal(open_images(str(tmp_path / "oblong.npz"), 4).images[:, 0].numpy(), oblong[:, :, 3:7])


def test_a_folder_of_npz_files_has_splits(tmp_path: Path) -> None:
    np.savez(tmp_path / "train_6.npz", images=COLOUR)
    np.savez(tmp_path / "test_2.npz", images=COLOUR[:2])
    assert [len(open_images(str(tmp_path), 8, split=split)) for split in ("train", "test")] == [6, 2]
    (tmp_path / "test_2.npz").unlink()
    with pytest.raises(NoTestSplit, match=r"no test\*\.npz in this folder; add it, or name a test set: --test FILE"):
        open_images(str(tmp_path), 8, split="test")
    np.savez(tmp_path / "train_7.npz", images=COLOUR)
    with pytest.raises(DataError, match=r"2 files train\*\.npz, expected one; give the file itself: .*train_6\.npz"):
        open_images(str(tmp_path), 8)


def test_an_array_of_one_picture_is_named_with_its_path(tmp_path: Path) -> None:
    np.savez(tmp_path / "one.npz", images=COLOUR[:1])
    with pytest.raises(DataError, match=r"one\.npz: 1 image, expected at least 2; add images"):
        open_images(str(tmp_path / "one.npz"), 8)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"pictures": COLOUR}, "holds no array images; save it with numpy.savez"),
        ({"images": COLOUR[..., :2]}, r"expected \(N, H, W\) or \(N, H, W, 1 or 3\)"),
        ({"images": COLOUR, "labels": LABELS[:4]}, r"labels int64 \(4,\), expected integers or strings \(6,\)"),
        ({"images": np.full((6, 8, 8), np.nan)}, "384 of 384 values are not finite; leave their images out"),
        ({"images": np.full((6, 8, 8), 7.0)}, "values 7 to 7, expected 0..1 for floats; scale them"),
        (
            {"images": np.where(np.arange(6)[:, None, None] == 2, np.inf, np.zeros((6, 8, 8)))},
            "64 of 384 values are not",
        ),
        ({"images": np.full((6, 8, 8), -0.5)}, "values -0.5 to -0.5, expected 0..1 for floats"),
        ({"images": COLOUR[:0]}, r"images \(0, 8, 8, 3\), expected"),
        ({"images": COLOUR, "labels": LABELS / 2}, "labels float64 .*, expected integers or strings"),
        ({"images": COLOUR, "labels": np.array([{}] * 6, dtype=object)}, "cannot be read as .npz"),  # a pickle
        ({"images": COLOUR.astype(np.int32)}, "images of int32, expected uint8 or floats in 0..1"),
        ({"images": np.array([{}] * 6, dtype=object)}, "cannot be read as .npz"),  # a pickle
    ],
)
def test_npz_files_that_do_not_fit_are_named(tmp_path: Path, content: dict[str, np.ndarray], message: str) -> None:
    np.savez(tmp_path / "bad.npz", **content)  # pyright: ignore[reportArgumentType]
    with pytest.raises(DataError, match=message) as error:
        open_images(str(tmp_path / "bad.npz"), 8)
    assert str(tmp_path / "bad.npz") in str(error.value)


def test_a_damaged_npz_is_named(tmp_path: Path) -> None:
    np.savez(tmp_path / "bad.npz", images=COLOUR)
    (tmp_path / "bad.npz").write_bytes((tmp_path / "bad.npz").read_bytes()[:300])
    with pytest.raises(DataError, match=r"bad\.npz: cannot be read as \.npz .*; save it again with numpy\.savez"):
        open_images(str(tmp_path / "bad.npz"), 8)


def write_cifar10(path: Path, files: dict[str, bytes]) -> None:
    with tarfile.open(path, "w:gz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))


def test_cifar10_is_read_from_its_archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    planes = RNG.integers(0, 256, (2, 3, 32, 32), dtype=np.uint8)
    record = b"".join(bytes([label]) + x.tobytes() for label, x in zip((3, 1), planes, strict=True))
    files = {f"data_batch_{i}.bin": record for i in range(1, 6)} | {"test_batch.bin": record}
    names = b"plane\ncar\nbird\ncat\n"
    write_cifar10(tmp_path / arrays.CIFAR10_FILE, files | {"batches.meta.txt": names})
    monkeypatch.setenv("MULTIGEN_CACHE", str(tmp_path))
    monkeypatch.setattr("torchvision.datasets.utils.download_url", lambda *arguments: None)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MULTIGEN_DATA", raising=False)
    train, test = (open_images("cifar10", 32, split=split) for split in ("train", "test"))
    assert len(train) == 10 and torch.equal(test.images, torch.from_numpy(planes))
    assert test.classes == ("car", "cat") and test.labels is not None and test.labels.tolist() == [1, 0]
    for damage in (record[:-1], b"\x04" + record[1:]):  # cut off; a class without a name
        write_cifar10(tmp_path / arrays.CIFAR10_FILE, {"test_batch.bin": damage, "batches.meta.txt": names})
        with pytest.raises(DataError, match=r"is not CIFAR-10's binary archive \(.*\); remove it to fetch it again"):
            open_images("cifar10", 32, split="test")
    with pytest.raises(DataError, match=r"is not CIFAR-10's binary archive .*data_batch_1"):
        open_images("cifar10", 32)
    (tmp_path / arrays.CIFAR10_FILE).write_bytes(b"<html>")
    with pytest.raises(DataError, match="is not CIFAR-10's binary archive"):
        open_images("cifar10", 32)


def test_mnist_in_the_cache_is_not_fetched_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "cache" / "MNIST" / "raw"
    folder.mkdir(parents=True)
    for part in ("train", "t10k"):
        write_idx(folder / f"{part}-images-idx3-ubyte", GREY)
        write_idx(folder / f"{part}-labels-idx1-ubyte.gz", LABELS.astype(np.uint8))
    monkeypatch.setenv("MULTIGEN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("torchvision.datasets.MNIST", None)  # a call of it would fail
    monkeypatch.delenv("MULTIGEN_DATA", raising=False)
    monkeypatch.chdir(tmp_path)
    images = open_images("mnist", 28, split="test")
    assert images.name == "mnist" and torch.equal(images.images[:, 0], torch.from_numpy(GREY))


@pytest.mark.parametrize("name", ["mnist", "cifar10"])
def test_without_a_network_the_remedy_is_named(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*arguments: object, **options: object) -> None:
        raise RuntimeError("Error downloading")

    monkeypatch.setenv("MULTIGEN_CACHE", str(tmp_path))
    monkeypatch.delenv("MULTIGEN_DATA", raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("torchvision.datasets.utils.download_url", unreachable)
    monkeypatch.setattr("torchvision.datasets.MNIST", unreachable)
    with pytest.raises(
        DataError, match=f"{name}: not here.*connect to a network, give a folder that holds it, or take"
    ):
        open_images(name, 32)
