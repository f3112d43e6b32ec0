"""Small images stored as arrays: scikit-learn's digits, the IDX files of MNIST, CIFAR-10, and .npz.

`multigen.image.datasets.open_images` describes each and makes a dataset of it.
"""

import gzip
import io
import math
import tarfile
import zlib
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np

from multigen.console import counted
from multigen.data.folders import NoTestSplit
from multigen.data.locate import in_package
from multigen.errors import DataError, one_line
from multigen.storage.cache import cache_folder, private_folder
from multigen.storage.files import read_npz
from multigen.storage.reading import check_expansion, open_regular

__all__ = ["Arrays", "digits", "fetch_cifar10", "fetch_mnist", "read_arrays"]

CIFAR10_URL = "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"
CIFAR10_FILE = "cifar-10-binary.tar.gz"
CIFAR10_BYTES = 1 << 28  # unpacked, at most; it has 184 MB
CIFAR10_MD5 = "c32a1d4ab5d03f1284b67883e8d87530"  # as its authors state it


class Arrays(NamedTuple):
    """Images uint8 (N, H, W) or (N, H, W, 3), labels (N,) of integers or strings; names are
    `prefix`/0, `prefix`/1, ..."""

    prefix: str
    pixels: np.ndarray
    labels: np.ndarray | None


def digits() -> Arrays:
    """scikit-learn's 1,797 digits of 8x8 pixels, 0..16 scaled to 0..255; read straight from the
    package's folder.

    Raises DataError if the package, or its file, is missing.
    """
    path = in_package("sklearn", "datasets/data/digits.csv.gz")
    if path is None:
        raise DataError("digits: the file sklearn/datasets/data/digits.csv.gz is missing: install scikit-learn again")
    table = np.loadtxt(path, delimiter=",")  # (1797, 65): the pixels, then the label
    pixels = np.rint(table[:, :64] * (255 / 16)).astype(np.uint8).reshape(-1, 8, 8)
    return Arrays("digits", pixels, table[:, 64].astype(np.int64))


def read_arrays(place: Path, split: str, sides: tuple[int, int]) -> Arrays | None:
    """The images of a split ("train", "validation" or "test"); None for what holds no arrays, such
    as a folder of image files.

    Args:
        place: an .npz file, a folder with IDX files or with train*.npz and test*.npz, or the
            archive of `fetch_cifar10`.
        sides: of the requested images: 28x28 images of IDX files are padded with zeros to 32x32.

    Raises:
        NoTestSplit: the test split is requested, and there is none.
        DataError: files are missing, damaged, or hold something else.
    """
    if place.name == CIFAR10_FILE:
        return _read_cifar10(place, _of_two(place, split))
    if place.suffix == ".npz":
        if split != "train":
            raise NoTestSplit(f"{place}: which images are for testing is not known; name a test set: --test FILE")
        return _read_npz(place)
    if any(_idx_file(place, part, "images") for part in ("train", "t10k")):
        return _read_mnist(place, _of_two(place, split), sides)
    if any(place.glob("train*.npz")):
        return _read_npz(_only_npz(place, split))
    return None


def _of_two(place: Path, split: str) -> str:
    """The split, "train" or "test". Raises NoTestSplit for any other."""
    if split not in ("train", "test"):
        raise NoTestSplit(f"{place}: no {split} images of its own")
    return split


# ---------------------------------------------------------------------------------------------------- .npz


def _only_npz(folder: Path, split: str) -> Path:
    matches = sorted(folder.glob(f"{split}*.npz"))
    if not matches:
        raise NoTestSplit(f"{folder}: no {split}*.npz in this folder; add it, or name a test set: --test FILE")
    if len(matches) > 1:
        raise DataError(
            f"{folder}: {len(matches)} files {split}*.npz, expected one; give the file itself: {matches[0]}"
        )
    return matches[0]


def _read_npz(path: Path) -> Arrays:
    try:
        content = read_npz(path)
    except Exception as error:  # see there
        raise DataError(f"{path}: cannot be read as .npz ({error}); save it again with numpy.savez") from error
    pixels, labels = content.get("images"), content.get("labels")
    if pixels is None:
        raise DataError(f"{path}: holds no array images; save it with numpy.savez(path, images=..., labels=...)")
    if not (pixels.ndim == 3 or (pixels.ndim == 4 and pixels.shape[3] in (1, 3, 4))) or 0 in pixels.shape:
        raise DataError(
            f"{path}: images {pixels.shape}, expected (N, H, W) or (N, H, W, 1 or 3), 4 with opacity; save them so"
        )
    if labels is not None and (labels.shape != pixels.shape[:1] or labels.dtype.kind not in "biuU"):
        raise DataError(
            f"{path}: labels {labels.dtype} {labels.shape}, expected integers or strings ({len(pixels)},), one an image; "
            "save them so"
        )
    pixels = pixels[..., 0] if pixels.shape[3:] == (1,) else pixels  # (N, H, W), or (N, H, W, 3 or 4)
    return Arrays(path.stem, _to_bytes(path, pixels), labels)


def _to_bytes(path: Path, pixels: np.ndarray) -> np.ndarray:
    """uint8 as it is, floats 0..1 to the nearest of 0..255."""
    if pixels.dtype == np.uint8:
        return pixels
    if pixels.dtype.kind != "f":
        raise DataError(f"{path}: images of {pixels.dtype}, expected uint8 or floats in 0..1; convert them")
    if bad := int((~np.isfinite(pixels)).sum()):
        raise DataError(
            f"{path}: {bad} of {pixels.size} values are not finite; leave their images out, or correct them"
        )
    if pixels.min() < 0 or pixels.max() > 1:
        raise DataError(f"{path}: values {pixels.min():g} to {pixels.max():g}, expected 0..1 for floats; scale them")
    return np.rint(pixels * 255).astype(np.uint8)


# ---------------------------------------------------------------------------------------------------- MNIST


def _idx_file(folder: Path, part: str, kind: str) -> Path | None:
    """The file of "images" or "labels", gzipped or not."""
    stem = f"{part}-{kind}-idx{3 if kind == 'images' else 1}-ubyte"
    return next((path for path in (folder / stem, folder / f"{stem}.gz") if path.is_file()), None)


def _read_mnist(folder: Path, split: str, sides: tuple[int, int]) -> Arrays:
    part = "train" if split == "train" else "t10k"
    images, labels = (_idx_file(folder, part, kind) for kind in ("images", "labels"))
    if images is None and split == "test":
        raise NoTestSplit(f"{folder}: no file t10k-images-idx3-ubyte or .gz; add it, or name a test set: --test FOLDER")
    if images is None or labels is None:
        raise DataError(
            f"{folder}: expected {part}-images-idx3-ubyte and {part}-labels-idx1-ubyte, or .gz; add what is missing"
        )
    pixels, numbers = _read_idx(images, 3), _read_idx(labels, 1)
    if len(pixels) != len(numbers):
        raise DataError(
            f"{folder}: {counted(len(pixels), 'images')}, but {counted(len(numbers), 'labels')} ({part}); fetch both files again"
        )
    if sides == (32, 32) and pixels.shape[1:] == (28, 28):
        pixels = np.pad(pixels, ((0, 0), (2, 2), (2, 2)))  # (N, 32, 32)
    return Arrays(part, pixels, numbers)


def _read_idx(path: Path, dimensions: int) -> np.ndarray:
    """An IDX file of bytes: 0, 0, 8 (their type), the number of dimensions; each as a big-endian
    uint32; the bytes."""
    try:
        with open_regular(path) as opened:
            packed = path.suffix == ".gz"
            return _idx_array(
                gzip.GzipFile(fileobj=opened) if packed else opened, dimensions, path.stat().st_size, packed
            )
    except (OSError, EOFError, zlib.error, ValueError) as error:
        raise DataError(f"{path}: cannot be read ({error}); fetch the file again") from error


def _idx_array(file: gzip.GzipFile | BinaryIO, dimensions: int, size: int, packed: bool) -> np.ndarray:
    """The array of an opened file of `size` bytes, which is read as far as its header promises.
    Raises ValueError."""
    head = file.read(4 + 4 * dimensions)
    if len(head) < 4 + 4 * dimensions or head[:4] != bytes((0, 0, 8, dimensions)):
        raise ValueError(f"expected an IDX file of bytes in {dimensions} dimensions")
    shape = np.frombuffer(head, ">u4", dimensions, offset=4).tolist()
    expected = math.prod(shape)
    if packed:
        check_expansion(expected, size)
    if 0 in shape or (not packed and expected != size - len(head)):
        raise ValueError(f"{size - len(head):,} bytes for {shape}; it is cut off or damaged")
    content = file.read(expected + 1)  # a byte behind the last would be too many
    if len(content) != expected:
        raise ValueError(
            f"{'more' if len(content) > expected else 'fewer'} than {expected:,} bytes for {shape}; it is damaged"
        )
    return np.frombuffer(content, np.uint8).reshape(shape)


def fetch_mnist() -> Path:
    """Folder of MNIST's IDX files in multigen's cache; downloaded if they are not there. Raises
    DataError if they cannot be."""
    try:
        folder = private_folder() / "MNIST" / "raw"  # torchvision's choice
        if not all(_idx_file(folder, part, kind) for part in ("train", "t10k") for kind in ("images", "labels")):
            from torchvision.datasets import MNIST

            MNIST(cache_folder(), download=True)
    except (OSError, RuntimeError) as error:
        raise _no_network("mnist", error) from error
    return folder


def _no_network(name: str, error: Exception) -> DataError:
    return DataError(
        f"{name}: not here, nor in the folder that MULTIGEN_DATA names, and it cannot be downloaded to {cache_folder()} "
        f"({one_line(error)}); connect to a network, give a folder that holds it, or take digits, which need none"
    )


# ---------------------------------------------------------------------------------------------------- CIFAR-10


def fetch_cifar10() -> Path:
    """CIFAR-10's binary archive (162 MB) in multigen's cache, its checksum verified; downloaded if
    it is not there.

    Raises DataError if it cannot be. (torchvision's own class for this set unpickles files.)
    """
    from torchvision.datasets.utils import download_url

    try:
        download_url(CIFAR10_URL, private_folder(), CIFAR10_FILE, CIFAR10_MD5)
    except (OSError, RuntimeError) as error:
        raise _no_network("cifar10", error) from error
    return cache_folder() / CIFAR10_FILE


def _read_cifar10(path: Path, split: str) -> Arrays:
    """Records of 3,073 bytes: the label, and 32x32 of red, of green, of blue."""
    parts = [f"data_batch_{i}.bin" for i in range(1, 6)] if split == "train" else ["test_batch.bin"]
    try:
        with open_regular(path) as opened:
            unpacked = gzip.GzipFile(fileobj=opened).read(CIFAR10_BYTES + 1)
        if len(unpacked) > CIFAR10_BYTES:
            raise ValueError(f"more than {CIFAR10_BYTES:,} bytes in it")
        with tarfile.open(fileobj=io.BytesIO(unpacked)) as archive:
            files = {Path(member.name).name: member for member in archive if member.isfile()}
            content = {name: archive.extractfile(files[name]) for name in (*parts, "batches.meta.txt")}
            read = {name: file.read() for name, file in content.items() if file is not None}
        records = np.frombuffer(b"".join(read[name] for name in parts), np.uint8).reshape(-1, 3073)
        classes = np.array(read["batches.meta.txt"].decode().split())
        labels = classes[records[:, 0]]
    except (OSError, EOFError, zlib.error, tarfile.TarError, KeyError, ValueError, IndexError) as error:
        raise DataError(f"{path}: is not CIFAR-10's binary archive ({error}); remove it to fetch it again") from error
    return Arrays(split, records[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1), labels)  # (N, 32, 32, 3)
