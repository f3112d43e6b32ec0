"""Splits of small images for training generators, each held whole as one uint8 tensor.

They come from scikit-learn's digits, the IDX files of MNIST, CIFAR-10, .npz files, or folders of
image files, with labels or without. All images of a set are cut to the largest part in their middle
of one shape, most often a square, and resized, antialiased (Pillow's LANCZOS), to one size.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import torch
from torch import Tensor

from multigen.console import counted
from multigen.data.datasets import ItemSet, numbered, origin_of, split_off
from multigen.data.folders import NoTestSplit
from multigen.data.labels import file_classes
from multigen.data.locate import NotFound, locate
from multigen.data.parts import find_parts
from multigen.data.unread import check_readable, report_unread
from multigen.errors import ConfigError, DataError
from multigen.image.arrays import Arrays, digits, fetch_cifar10, fetch_mnist, read_arrays
from multigen.image.decoding import read_picture, visible
from multigen.image.files import IMAGE, find_images, is_grey, named_frames

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

__all__ = ["ImageSet", "open_images"]

DIGITS_TEST = 359  # of scikit-learn's 1,797 digits: a fifth
FETCH = {"mnist": fetch_mnist, "cifar10": fetch_cifar10}
MODES = {1: "L", 3: "RGB", 4: "RGBA"}
"""Channels -> PIL's name for such images."""
EXPECTED = "a folder of images, an .npz file, or digits, mnist or cifar10"


@dataclass(frozen=True, eq=False)
class ImageSet(ItemSet):
    """Images of one size, uint8 (N, C, H, W), C being 1 (grey), 3 (RGB) or 4 (RGBA)."""

    noun: ClassVar[str] = "images"
    key: ClassVar[str] = "image"

    @property
    def images(self) -> Tensor:
        return self.items

    def origins(self) -> tuple[str, ...]:
        return tuple(map(origin_of, self.names))


def open_images(
    data: str,
    size: int | tuple[int, int],
    *,
    split: str = "train",
    channels: int = 0,
    labels: str = "",
    skip_bad: bool = False,
    frames: str = "first",
) -> ImageSet:
    """The images meant by a data argument.

    - "digits": the 1,797 handwritten digits that come with scikit-learn; the test split is a fixed
      fifth of them.
    - "mnist", "cifar10": a folder of that name, of the kinds below, or else downloaded into
      multigen's cache folder.
    - a folder with MNIST's IDX files, gzipped or not. Its 28x28 images are padded with zeros, not
      resized, to a size of 32.
    - an .npz file: `images` (N, H, W) or (N, H, W, 1, 3 or 4), uint8 or floats in 0..1, perhaps
      `labels` (N,). It has no test split. A folder with train*.npz and test*.npz has.
    - a folder of image files at any depth, read by `read_image`, with splits where its folders are
      called so (`multigen.data.parts`).

    A relative path that does not exist here is sought in the folder that the environment variable
    MULTIGEN_DATA names.

    Args:
        size: height and width of the result, pixels; one number for both.
        split: "train", "validation" or "test"; where the data have no splits, all are "train".
        channels: 1 for grey (luma of BT.601), 3 for RGB, 4 for RGB with opacity, 0 for what the
            data are, on white; a file is grey by its mode (L, I;16, ...).
        labels: "" for those that the data bring (of files: the folder, if each lies in one; a
            single class is none), "none", "name" (the file name before the last _), "first" (before
            the first _), or a CSV file with the columns `file`, relative to the folder, and
            `label`.
        skip_bad: leave out files that cannot be decoded, and list them in `.skipped`.
        frames: of `open_photos`. Frames of one file are held out together.

    Raises:
        ConfigError: a setting is none of those above, or labels are requested of data that have no
            file names.
        NoTestSplit: the test split is requested of data that have none.
        DataError: nothing there, no network, fewer than two images, damaged or inconsistent files,
            grey images among coloured ones with `channels` 0, or one class only although labels are
            requested.
    """
    sides = (size, size) if isinstance(size, int) else size
    if min(sides) < 1 or channels not in (0, *MODES) or split not in ("train", "validation", "test"):
        raise ConfigError(
            f"size {' x '.join(map(str, dict.fromkeys(sides)))}, channels {channels}, split {split!r}: expected a size of 1 or "
            "more, 0, 1, 3 or (with opacity) 4 channels, and train, test or validation; correct what is not"
        )
    if data == "digits":
        if split == "validation":
            raise NoTestSplit("digits have no validation images of their own")
        # Split while all labels are there, so that the test images are the same with labels and without.
        images = split_off(_from_arrays(data, data, digits(), sides, channels), DIGITS_TEST)[split == "test"]
    else:
        place = _place(data)
        name = data if data in FETCH else place.resolve().name.removesuffix(".npz")
        arrays = read_arrays(place, split, sides)
        if arrays is None:
            return _from_folder(name, place, split, sides, channels, labels, skip_bad, frames)
        images = _from_arrays(name, str(place), arrays, sides, channels)
    if labels not in ("", "none"):
        raise ConfigError(f"labels {labels!r}: {data} holds no image files; leave labels empty, or say none")
    return replace(images, labels=None, classes=()) if labels == "none" else images


def _place(data: str) -> Path:
    """Where the data are; downloaded if needed."""
    try:
        place = locate(data, EXPECTED)
    except NotFound:
        if data in FETCH:
            return FETCH[data]()
        raise
    if not place.is_dir() and place.suffix != ".npz":
        check_readable(place, IMAGE)
        raise DataError(f"{place}: this file is no set of images; expected {EXPECTED}")
    return place


def _from_arrays(name: str, where: str, arrays: Arrays, sides: tuple[int, int], channels: int) -> ImageSet:
    from PIL import Image

    _expect_two(len(arrays.pixels), where)
    pictures = (Image.fromarray(x) for x in arrays.pixels)
    seen = (x if channels == 4 else visible(x) for x in pictures)
    images = np.stack([_fit(x, sides, channels) for x in seen])  # (N, C, H, W)
    numbers, classes = (None, ()) if arrays.labels is None else numbered(arrays.labels)
    names = tuple(f"{arrays.prefix}/{i}" for i in range(len(images)))
    return ImageSet(name, torch.from_numpy(images), numbers, classes, names)


# ---------------------------------------------------------------------------------------------------- image files


def _from_folder(
    name: str, root: Path, split: str, sides: tuple[int, int], channels: int, labels: str, skip_bad: bool, frames: str
) -> ImageSet:
    candidates = find_images(root)  # which reports itself why there are none
    report_unread(root, IMAGE, labels)
    parts = find_parts(root, candidates)
    parts.report_left("images")
    paths = parts.of(split)
    names = [path.relative_to(root).as_posix() for path in paths]
    class_of = file_classes(parts, paths, labels)
    rows: list[np.ndarray] = []
    indices: list[int] = []
    called: list[str] = []
    skipped: list[tuple[Path, str]] = []
    for i, path in enumerate(paths):
        try:
            for each, frame in named_frames(names[i], path, frames):
                rows.append(_fit(_read_picture(path, frame, max(sides), channels), sides, channels))  # (C, H, W)
                indices.append(i)
                called.append(each)
        except DataError as error:
            if not skip_bad:
                raise
            skipped.append((path, str(error)))
    _expect_two(len(rows), f"{root}{f', {len(skipped)} damaged' if skipped else ''}")
    example = {len(row): paths[i] for row, i in zip(rows, indices, strict=True)}  # channels -> an image that has them
    if len(example) > 1:
        raise DataError(
            f"{root}: {example[1]} is grey, {example[3]} is not; expected images of one kind, make them so: --channels 3 or 1"
        )
    numbers, classes = (None, ()) if class_of is None else numbered([class_of[i] for i in indices])
    if labels not in ("", "none") and numbers is None:
        raise DataError(f"{root}: labels {labels!r} give one class only; expected two or more, or say --labels none")
    images = torch.from_numpy(np.stack(rows))  # (N, C, H, W)
    return ImageSet(name, images, numbers, classes, tuple(called), tuple(skipped), parts.folders(split))


def _read_picture(path: Path, frame: int | None, size: int, channels: int) -> "Picture":
    """A file as an image of mode RGBA for four channels, else L if it is grey by its header, else
    RGB."""
    if channels == 4:
        return read_picture(path, frame, size, opacity=True)
    return read_picture(path, frame, size).convert("L" if is_grey(path) else "RGB")


def _fit(picture: "Picture", sides: tuple[int, int], channels: int) -> np.ndarray:
    """An image of mode L, RGB or RGBA, cut to the largest part in its middle of the shape of
    `sides` (height, width), and resized: uint8 (C, height, width)."""
    from PIL import Image

    if channels:
        picture = picture.convert(MODES[channels])
    height, width = sides
    if picture.size != (width, height):
        share = min(picture.width / width, picture.height / height)
        columns, rows = max(round(width * share), 1), max(round(height * share), 1)
        left, top = (picture.width - columns) // 2, (picture.height - rows) // 2
        if picture.size != (columns, rows):
            picture = picture.crop((left, top, left + columns, top + rows))
        picture = picture.resize((width, height), Image.Resampling.LANCZOS)
    pixels = np.asarray(picture)
    return pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)


def _expect_two(count: int, what: str) -> None:
    if count < 2:
        raise DataError(f"{what}: {counted(count, 'images')}, expected at least 2; add images")
