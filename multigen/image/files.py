"""Image files: as tensors, finding them, the embedded photographs. `decoding` reads the pixels of
any kind of them.

A file that cannot be decoded is an error with its path, or is skipped and counted (`skip_bad`).
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from multigen.catalogue import MODALITIES
from multigen.data.folders import NoTestSplit
from multigen.data.locate import in_package, locate
from multigen.data.parts import find_parts
from multigen.data.unread import find_files
from multigen.errors import ConfigError, DataError
from multigen.image.decoding import open_picture, orientation, read_frame_numbers, read_picture
from multigen.storage.files import ends

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

__all__ = [
    "EMBEDDED",
    "EMBEDDED_NAMES",
    "IMAGE",
    "Photo",
    "Photos",
    "embedded_photos",
    "find_images",
    "fingerprint",
    "is_grey",
    "named_frames",
    "open_photos",
    "read_image",
    "set_name",
    "size_of",
    "to_picture",
    "to_planes",
]

IMAGE = MODALITIES["image"]

EMBEDDED = {
    "train": (
        "skimage/data/astronaut.png",
        "skimage/data/coffee.png",
        "skimage/data/motorcycle_left.png",
        "skimage/data/rocket.jpg",
        "sklearn/datasets/images/flower.jpg",
    ),
    "held_out": ("skimage/data/chelsea.png", "sklearn/datasets/images/china.jpg"),
}
"""Split -> photographs that packages needed anyway bring with them: no download."""
EMBEDDED_NAMES = {"embedded": "train", "embedded-held-out": "held_out"}
"""Data argument -> split of `EMBEDDED`."""

LONGEST = 12_288  # pixels: with longer sides the matrices that reduce an image take gigabytes
TOO_LARGE = f"expected {LONGEST:,} at most"


# ---------------------------------------------------------------------------------------------------- reading


def read_image(path: str | Path, frame: int | None = None) -> Tensor:
    """An image file as uint8 RGB (3, H, W): in sRGB, upright, transparent ones laid on white.

    Grey becomes RGB, 16 bits become 8; of an animation one frame is read. Raises DataError: no such
    file, or not an image, damaged, of 32 bits a channel, or of more pixels than Pillow allows
    (twice `PIL.Image.MAX_IMAGE_PIXELS`: 179 million), or of more than so few bytes can hold.
    """
    return to_planes(read_picture(path, frame).convert("RGB"))


def to_planes(picture: "Picture") -> Tensor:
    """A PIL image of mode L or RGB as uint8 (1 or 3, H, W)."""
    pixels = torch.from_numpy(np.array(picture))
    return pixels[None] if pixels.ndim == 2 else pixels.permute(2, 0, 1).contiguous()


def to_picture(rgb: Tensor) -> "Picture":
    """uint8 (3, H, W) as a PIL image."""
    from PIL import Image

    return Image.fromarray(rgb.permute(1, 2, 0).contiguous().numpy())


def size_of(path: Path, frame: int = 0) -> tuple[int, int]:
    """Height and width as `read_image` will give them, from the header alone.

    (A PNG that notes its orientation behind the pixels counts as upright here; its sides are then
    swapped.)
    """
    with open_picture(path, frame) as file:
        return (file.width, file.height) if orientation(file) >= 5 else (file.height, file.width)


def is_grey(path: str | Path) -> bool:
    """Whether an image file has one channel besides opacity (modes L, LA, I;16, ...), by its
    header. Raises DataError."""
    from PIL import Image

    with open_picture(path) as file:
        return Image.getmodebase(file.mode) == "L"


# ---------------------------------------------------------------------------------------------------- finding


@dataclass(frozen=True)
class Photo:
    """An image file. `name` is short and stays the same when the folder is moved; the size is in
    pixels."""

    name: str
    path: Path
    height: int
    width: int
    frame: int | None = None
    """Of an animation, or the page of a TIFF, where all are taken, each as an image."""


class Photos(list[Photo]):
    """Photographs, and in `skipped` the (path, reason) of each file left out."""

    def __init__(self, photos: Iterable[Photo] = (), skipped: Iterable[tuple[Path, str]] = ()):
        super().__init__(photos)
        self.skipped = list(skipped)

    @property
    def too_large(self) -> list[Path]:
        """Those of `skipped` that can be read, but are too large to train on."""
        return [path for path, reason in self.skipped if TOO_LARGE in reason]


def find_images(folder: str | Path) -> list[Path]:
    """Image files in a folder and the folders in it, sorted; hidden files and folders are ignored.

    Raises:
        DataError: no such folder, or no image in it.
    """
    return find_files(folder, IMAGE)


def open_photos(data: str, *, split: str = "", skip_bad: bool = False, frames: str = "first") -> Photos:
    """The photographs meant by a data argument. Only their headers are read.

    Args:
        data: "embedded" or "embedded-held-out" (see `EMBEDDED`), a folder, or an image file. A
            relative path that does not exist here is looked for in the folder named by the
            environment variable MULTIGEN_DATA.
        split: "train", "validation" or "test", of a folder with such splits
            (`multigen.data.parts`); empty: all of them.
        skip_bad: leave out files whose header cannot be read, and list them in `.skipped`.
        frames: "all" takes each frame of an animation and each page of a TIFF as an image, named
            FILE#NUMBER; "first" one.

    Raises:
        NoTestSplit: there is no such split.
        DataError: nothing there, no image, or (without skip_bad) a file that is none.
    """
    if data in EMBEDDED_NAMES:
        if split not in ("", "train"):
            raise NoTestSplit(f"{data}: no {split} photographs of its own")
        return Photos(embedded_photos(EMBEDDED_NAMES[data]))
    place = locate(data, f"a folder of images, an image, or one of the names {' and '.join(EMBEDDED_NAMES)}")
    paths = find_images(place) if place.is_dir() else [place]
    if split:
        paths = find_parts(place, paths).of(split)
    photos = Photos()
    for path in paths:
        try:
            name = path.relative_to(place).as_posix() if place.is_dir() else path.name
            photos += [_photo(each, path, frame) for each, frame in named_frames(name, path, frames)]
        except DataError as error:
            if not skip_bad:
                raise
            photos.skipped.append((path, str(error)))
    if not photos:
        raise DataError(f"{place}: none of {len(paths)} images can be used; {photos.skipped[0][1]}")
    return photos


def set_name(data: str) -> str:
    """The name of a set by its folder or file: "photos/Set5/HR" is Set5."""
    return next(part for part in reversed(Path(data).absolute().parts) if part != "HR")


def _photo(name: str, path: Path, frame: int | None) -> Photo:
    photo = Photo(name, path, *size_of(path, frame or 0), frame)
    if (side := max(photo.height, photo.width)) > LONGEST:
        raise DataError(f"{path}: a side of {side:,} pixels, {TOO_LARGE}; cut it into parts, or skip it: --skip-bad")
    return photo


def named_frames(name: str, path: Path, frames: str) -> list[tuple[str, int | None]]:
    """(name, frame number) of the items of a file: with frames "all" each frame, otherwise the file
    itself and None.

    Raises DataError for a file that cannot be read.
    """
    numbers = read_frame_numbers(path) if frames == "all" else []
    return [(f"{name}#{number}", number) for number in numbers] if len(numbers) > 1 else [(name, None)]


def embedded_photos(split: str = "train") -> list[Photo]:
    """The embedded photographs of a split of `EMBEDDED`, read straight from the packages' folders.

    Raises:
        ConfigError: no such split.
        DataError: a package, or a file of it, is missing.
    """
    if split not in EMBEDDED:
        raise ConfigError(f"no embedded photographs {split!r}; choose from {', '.join(EMBEDDED)}")
    photos = []
    for entry in EMBEDDED[split]:
        path = in_package(*entry.split("/", 1))
        if path is None:
            raise DataError(f"the embedded photograph {entry} is missing: install scikit-image and scikit-learn again")
        photos.append(Photo(path.stem, path, *size_of(path)))
    return photos


def fingerprint(photos: Sequence[Photo], contents: bool = True) -> str:
    """Hash of photographs, whatever their order: of their names, and unless `contents` is False of
    their sizes in bytes and of the CRC-32 of the first and the last 64 KiB of each, so that a large
    folder takes seconds.

    Raises DataError for a file that is not there any more.
    """
    digest = hashlib.blake2b(digest_size=8)
    for photo in sorted(photos, key=lambda photo: photo.name):
        parts = (photo.name, *ends(photo.path)) if contents else (photo.name,)
        digest.update(repr(parts).encode())
    return digest.hexdigest()
