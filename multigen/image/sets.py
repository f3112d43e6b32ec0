"""Sets of small pictures for training generators, each held whole as one uint8 tensor.

They come from scikit-learn's digits, the IDX files of MNIST, CIFAR-10, .npz files, or folders of picture files, with labels or
without. All pictures of a set are cut to the square in their middle and resized, antialiased (Pillow's LANCZOS), to one size.
"""

import csv
import hashlib
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from multigen.engine.data import TensorSource
from multigen.errors import ConfigError, DataError
from multigen.image.arrays import Arrays, NoTestSplit, digits, fetch_cifar10, fetch_mnist, read_arrays
from multigen.image.data import find_images, read_image, to_picture
from multigen.image.sampling import to_pictures
from multigen.places import locate

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

__all__ = ["ImageSet", "NoTestSplit", "grid", "numbered_as", "open_images", "pick", "split_off", "split_off_classes"]

DIGITS_TEST = 359  # of scikit-learn's 1,797 digits: a fifth
FETCH = {"mnist": fetch_mnist, "cifar10": fetch_cifar10}
EXPECTED = "a folder of pictures, an .npz file, or digits, mnist or cifar10"


@dataclass(frozen=True, eq=False)
class ImageSet:
    """Pictures of one size, in memory.

    Args:
        name: of the whole set, e.g. "digits" or "flowers64".
        images: uint8 (N, C, size, size), C being 1 (grey) or 3 (RGB).
        labels: int64 (N,), or None.
        classes: names by label; () without labels.
        names: N names that do not depend on where the data lie: a file's path inside the folder, or "digits/17".
        skipped: (path, reason) of each damaged file that was left out.
    """

    name: str
    images: Tensor
    labels: Tensor | None
    classes: tuple[str, ...]
    names: tuple[str, ...]
    skipped: tuple[tuple[Path, str], ...] = ()

    def __len__(self) -> int:
        return len(self.images)

    def subset(self, indices: Iterable[int] | Tensor) -> "ImageSet":
        """The pictures of these indices, in this order; classes stay numbered as they are."""
        chosen = torch.as_tensor(indices if isinstance(indices, Tensor) else list(indices), dtype=torch.int64)
        return replace(
            self,
            images=self.images[chosen],
            labels=None if self.labels is None else self.labels[chosen],
            names=tuple(self.names[i] for i in chosen.tolist()),
        )

    def to_source(self) -> TensorSource:
        """Batches of "image" (B, C, size, size) uint8, and where there are labels "label" (B,) int64."""
        labels = {} if self.labels is None else {"label": self.labels}
        return TensorSource({"image": self.images, **labels})


def open_images(
    data: str, size: int, *, split: str = "train", channels: int = 0, labels: str = "", skip_bad: bool = False
) -> ImageSet:
    """The pictures meant by a data argument.

    - "digits": the 1,797 handwritten digits that come with scikit-learn; the test split is a fixed fifth of them.
    - "mnist", "cifar10": a folder of that name, of the kinds below, or else downloaded into multigen's cache folder.
    - a folder with MNIST's IDX files, gzipped or not. Its 28x28 pictures are padded with zeros, not resized, to a size of 32.
    - an .npz file: `images` (N, H, W), (N, H, W, 1) or (N, H, W, 3), uint8 or floats in 0..1, perhaps `labels` (N,). It has no
      test split. A folder with train*.npz and test*.npz has.
    - a folder of picture files at any depth, read by `read_image`. With train/ and test/ or else val/ in it, these are its
      splits.

    A relative path that does not exist here is sought in the folder that the environment variable MULTIGEN_DATA names.

    Args:
        size: height and width of the result, pixels.
        split: "train" or "test"; where the data have no splits, all are "train".
        channels: 1 for grey (luma of BT.601), 3 for RGB, 0 for what the data are; a file is grey by its mode (L, I;16, ...).
        labels: "" for those that the data bring (of files: the folder, if each lies in one; a single class is none), "none",
            "name" (the file name before the last _), or a CSV file with the columns `file`, relative to the folder, and `label`.
        skip_bad: leave out files that cannot be decoded, and list them in `.skipped`.

    Raises:
        ConfigError: a setting is none of those above, or labels are asked for of data that have no file names.
        NoTestSplit: the test split is asked for of data that have none.
        DataError: nothing there, no network, fewer than two pictures, damaged or inconsistent files, grey pictures among
            coloured ones with `channels` 0, or one class only although labels are asked for.
    """
    if size < 1 or channels not in (0, 1, 3) or split not in ("train", "test"):
        raise ConfigError(
            f"size {size}, channels {channels}, split {split!r}: expected a size of 1 or more, 0, 1 or 3 channels, and train "
            "or test; correct what is not"
        )
    if data == "digits":
        # Split while all labels are there, so that the test pictures are the same with labels and without.
        images = split_off(_from_arrays(data, data, digits(), size, channels), DIGITS_TEST)[split == "test"]
    else:
        place = _place(data)
        name = data if data in FETCH else place.resolve().name.removesuffix(".npz")
        arrays = read_arrays(place, split, size)
        if arrays is None:
            return _from_folder(name, place, split, size, channels, labels, skip_bad)
        images = _from_arrays(name, str(place), arrays, size, channels)
    if labels not in ("", "none"):
        raise ConfigError(f"labels {labels!r}: {data} holds no picture files; leave labels empty, or say none")
    return replace(images, labels=None, classes=()) if labels == "none" else images


def split_off(images: ImageSet, count: int, seed: int = 0) -> tuple[ImageSet, ImageSet]:
    """Splits a set into (the rest, `count` pictures held out) by a hash of the names; the order of each part stays.

    Where there are labels, each class gives its share, rounded so that the total is `count`. A greater count holds out the
    same pictures and more.

    Raises ConfigError if count is below 0, or none would remain.
    """
    if not 0 <= count < len(images):
        raise ConfigError(
            f"{count} of {len(images)} pictures are to be held out, expected 0 to {len(images) - 1}; hold out fewer, or add "
            "pictures"
        )
    labels = [0] * len(images) if images.labels is None else images.labels.tolist()
    sizes, seen, share = Counter(labels), Counter[int](), {}
    ranked = sorted(range(len(images)), key=lambda i: _hash(images.names[i], seed))
    for i in ranked:
        share[i] = (seen[labels[i]] + 0.5) / sizes[labels[i]]  # of its class that is held out once this picture is
        seen[labels[i]] += 1
    held = set(sorted(ranked, key=share.__getitem__)[:count])
    return images.subset(i for i in range(len(images)) if i not in held), images.subset(sorted(held))


def pick(images: ImageSet, count: int) -> ImageSet:
    """`count` pictures that stand for the set, each class giving its share (see `split_off`); all, where there are no more."""
    return split_off(images, count)[1] if count < len(images) else images


def numbered_as(images: ImageSet, classes: tuple[str, ...]) -> ImageSet:
    """The set with its labels numbered as `classes` are; without labels if it has others, or none are given."""
    if images.labels is None or not set(images.classes) <= set(classes):
        return replace(images, labels=None, classes=())
    numbers = torch.tensor([classes.index(name) for name in images.classes])
    return replace(images, labels=numbers[images.labels], classes=classes)


def split_off_classes(images: ImageSet, count: int) -> tuple[ImageSet, ImageSet]:
    """Splits a set into (the rest, `count` whole classes held out), such as people never seen in training.

    Those held out are the last by a hash of the class names. Classes of each part are numbered anew, in their old order.

    Raises ConfigError if there are no labels, count is below 0, or no class would remain.
    """
    if images.labels is None:
        raise ConfigError(
            f"{count} classes are to be held out, but {images.name} has no labels; give --labels, or hold out none"
        )
    if not 0 <= count < len(images.classes):
        raise ConfigError(
            f"{count} of {len(images.classes)} classes are to be held out, expected 0 to {len(images.classes) - 1}; hold out "
            "fewer"
        )
    ranked = sorted(range(len(images.classes)), key=lambda k: _hash(images.classes[k], 0))
    kept = len(ranked) - count
    return _only(images, sorted(ranked[:kept])), _only(images, sorted(ranked[kept:]))


def grid(images: Tensor, columns: int = 0, gap: int = 2) -> "Picture":
    """Pictures uint8 (N, C, H, W), row by row with white gaps of `gap` pixels, as one PIL picture of mode L or RGB.

    Without `columns` the sheet is about as many pictures wide as high.
    """
    n, c, h, w = images.shape
    columns = columns or math.ceil(math.sqrt(n))
    rows = math.ceil(n / columns)
    sheet = torch.full((c, rows * (h + gap) - gap, columns * (w + gap) - gap), 255, dtype=torch.uint8)
    for i, image in enumerate(images):
        top, left = i // columns * (h + gap), i % columns * (w + gap)
        sheet[:, top : top + h, left : left + w] = image
    return to_pictures(sheet[None])[0]


def _place(data: str) -> Path:
    """Where the data lie; fetched if they must be."""
    try:
        place = locate(data, "a folder of pictures, an .npz file, or one of the names digits, mnist and cifar10")
    except DataError as error:
        if data in FETCH:
            return FETCH[data]()
        raise DataError(
            f"{data}: no such file or folder here or in the folder that MULTIGEN_DATA names; expected {EXPECTED}"
        ) from error
    if not place.is_dir() and place.suffix != ".npz":
        raise DataError(f"{place}: this file is no set of pictures; expected {EXPECTED}")
    return place


def _hash(name: str, seed: int) -> bytes:
    return hashlib.blake2b(f"{seed}/{name}".encode()).digest()


def _only(images: ImageSet, classes: list[int]) -> ImageSet:
    """The pictures of these classes, numbered anew."""
    assert images.labels is not None
    wanted = torch.tensor(classes, dtype=torch.int64)
    chosen = torch.isin(images.labels, wanted).nonzero()[:, 0]
    labels = torch.searchsorted(wanted, images.labels[chosen])
    return replace(images.subset(chosen), labels=labels, classes=tuple(images.classes[k] for k in classes))


def _from_arrays(name: str, where: str, arrays: Arrays, size: int, channels: int) -> ImageSet:
    from PIL import Image

    _expect_two(len(arrays.pixels), where)
    images = np.stack([_fit(Image.fromarray(x), size, channels) for x in arrays.pixels])  # (N, C, size, size)
    numbers, classes = (None, ()) if arrays.labels is None else _numbered(arrays.labels)
    names = tuple(f"{arrays.prefix}/{i}" for i in range(len(images)))
    return ImageSet(name, torch.from_numpy(images), numbers, classes, names)


# ---------------------------------------------------------------------------------------------------- picture files


def _from_folder(name: str, root: Path, split: str, size: int, channels: int, labels: str, skip_bad: bool) -> ImageSet:
    folder = _split_folder(root, split)
    paths = find_images(folder)
    names = [path.relative_to(root).as_posix() for path in paths]
    class_of = _file_classes(root, folder, paths, labels)
    rows: list[np.ndarray] = []
    kept: list[int] = []
    skipped: list[tuple[Path, str]] = []
    for i, path in enumerate(paths):
        try:
            rows.append(_fit(_read_picture(path), size, channels))  # (C, size, size)
            kept.append(i)
        except DataError as error:
            if not skip_bad:
                raise
            skipped.append((path, str(error)))
    _expect_two(len(rows), f"{root}{f', {len(skipped)} damaged' if skipped else ''}")
    example = {len(row): paths[i] for row, i in zip(rows, kept, strict=True)}  # channels -> a picture that has them
    if len(example) > 1:
        raise DataError(
            f"{root}: {example[1]} is grey, {example[3]} is not; expected pictures of one kind, make them so: --channels 3 or 1"
        )
    numbers, classes = (None, ()) if class_of is None else _numbered([class_of[i] for i in kept])
    if labels not in ("", "none") and numbers is None:
        raise DataError(f"{root}: labels {labels!r} give one class only; expected two or more, or say --labels none")
    images = torch.from_numpy(np.stack(rows))  # (N, C, size, size)
    return ImageSet(name, images, numbers, classes, tuple(names[i] for i in kept), tuple(skipped))


def _split_folder(root: Path, split: str) -> Path:
    inside = {path.name for path in root.iterdir() if path.is_dir() and not path.name.startswith(".")}
    tests = [part for part in ("test", "val") if part in inside]
    divided = "train" in inside and (tests or inside == {"train"})
    if split == "train":
        return root / "train" if divided else root
    if not divided or not tests:
        raise NoTestSplit(f"{root}: no folders train and test (or val) in it; name a test set: --test FOLDER")
    return root / tests[0]


def _read_picture(path: Path) -> "Picture":
    """A file as a picture of mode L if it is grey, else RGB."""
    from PIL import Image

    picture = to_picture(read_image(path))
    with Image.open(path) as file:  # the header alone
        return picture.convert("L") if Image.getmodebase(file.mode) == "L" else picture


def _fit(picture: "Picture", size: int, channels: int) -> np.ndarray:
    """A picture of mode L or RGB, cut to the square in its middle and resized: uint8 (C, size, size)."""
    from PIL import Image

    if channels:
        picture = picture.convert("L" if channels == 1 else "RGB")
    if picture.size != (size, size):
        side = min(picture.size)
        left, top = (picture.width - side) // 2, (picture.height - side) // 2
        square = picture.crop((left, top, left + side, top + side))
        picture = square.resize((size, size), Image.Resampling.LANCZOS)
    pixels = np.asarray(picture)
    return pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)


def _expect_two(count: int, what: str) -> None:
    if count < 2:
        raise DataError(f"{what}: {count} pictures, expected at least 2; add pictures")


# ---------------------------------------------------------------------------------------------------- labels


def _numbered(labels: np.ndarray | Sequence[str]) -> tuple[Tensor | None, tuple[str, ...]]:
    """Numbers of the classes (N,), and their names; none if all pictures are of one class."""
    classes, numbers = np.unique(np.asarray(labels), return_inverse=True)
    if len(classes) < 2:
        return None, ()
    return torch.from_numpy(numbers.astype(np.int64)), tuple(str(name) for name in classes)


def _file_classes(root: Path, folder: Path, paths: Sequence[Path], labels: str) -> list[str] | None:
    """The name of each file's class, None without classes."""
    if labels == "none":
        return None
    if labels == "name":
        stems = [path.stem.rpartition("_")[0] for path in paths]
        if "" in stems:
            raise DataError(
                f"{paths[stems.index('')]}: expected CLASS_NAME in the file's name; rename it, or --labels none"
            )
        return stems
    if labels:
        table = _read_csv(labels, root)
        listed = [table.get(path.relative_to(root).as_posix()) for path in paths]
        if None in listed:
            raise DataError(f"{paths[listed.index(None)]}: {labels} has no label for this file; add it to the table")
        return [label for label in listed if label is not None]
    parts = [path.relative_to(folder).parts for path in paths]
    return [part[0] for part in parts] if all(len(part) > 1 for part in parts) else None


def _read_csv(labels: str, root: Path) -> dict[str, str]:
    """File, relative to the root -> label."""
    try:
        path = locate(labels, "a CSV file")
    except DataError as error:
        raise ConfigError(
            f"labels {labels!r}: expected none, name, or the path of a CSV file; there is no such file"
        ) from error
    table: dict[str, str] = {}
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.DictReader(file, strict=True)
            if not {"file", "label"} <= set(rows.fieldnames or ()):
                raise DataError(
                    f"{path}: columns {rows.fieldnames}, expected file and label; name them in the first line"
                )
            for row in rows:
                name = Path(row["file"] or "")
                where = f"{path}, line {rows.line_num}: file {row['file']!r}, label {row['label']!r}"
                if not row["file"] or not row["label"] or name.as_posix() in table:
                    raise DataError(f"{where}; expected each file once with its label; mend this line")
                if name.is_absolute() or ".." in name.parts:
                    raise DataError(f"{where}; expected a path inside {root}, relative to it; mend this line")
                if not (root / name).is_file():
                    raise DataError(f"{where}; there is no such file in {root}; remove this line, or add the file")
                table[name.as_posix()] = row["label"]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: cannot be read as CSV ({error}); save it as UTF-8 text with commas") from error
    return table
