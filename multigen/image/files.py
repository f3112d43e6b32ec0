"""Image files: reading any kind of them, finding them, the embedded photographs.

Reading takes what folders of photographs really hold: grey, palette, transparent, 16-bit, CMYK and camera-turned images become
8-bit RGB; what cannot be decoded is named with its path, or left out and counted (`skip_bad`).
"""

import contextlib
import hashlib
import os
import re
import warnings
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from multigen.catalogue import MODALITIES
from multigen.data.locate import in_package, locate, no_path
from multigen.data.unread import check_readable, find_files
from multigen.errors import ConfigError, DataError, OutOfMemory
from multigen.memory import require
from multigen.storage.provenance import FORMATS
from multigen.storage.reading import check_netpbm, check_scans

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

__all__ = [
    "EMBEDDED",
    "EMBEDDED_NAMES",
    "IMAGE",
    "Photo",
    "Photos",
    "decode",
    "embedded_photos",
    "find_images",
    "fingerprint",
    "from_picture",
    "is_grey",
    "open_photos",
    "open_picture",
    "read_image",
    "read_image_with_alpha",
    "to_picture",
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

# EXIF orientation, 2 to 8 -> the `PIL.Image.Transpose` that sets the image upright.
TURNS = ("FLIP_LEFT_RIGHT", "ROTATE_180", "FLIP_TOP_BOTTOM", "TRANSPOSE", "ROTATE_270", "TRANSVERSE", "ROTATE_90")
SPARSE, BLANK = 50_000_000, 1000
"""Pixels, and pixels for each byte of the file: an image that has more of both is a damaged header."""
LONGEST = 12_288  # pixels: with longer sides the matrices that reduce an image take gigabytes
END = 1 << 16  # bytes at each end of a file that its fingerprint covers


# ---------------------------------------------------------------------------------------------------- reading


def read_image(path: str | Path) -> Tensor:
    """An image file as uint8 RGB (3, H, W); transparent ones are laid on white. Errors as for `read_image_with_alpha`."""
    rgb, alpha = read_image_with_alpha(path)
    if alpha is None:
        return rgb
    a = alpha.int()
    return ((rgb.int() * a + 255 * (255 - a) + 127) // 255).to(torch.uint8)


def read_image_with_alpha(path: str | Path) -> tuple[Tensor, Tensor | None]:
    """An image file as uint8 RGB (3, H, W) and its opacity (1, H, W), None if it has none.

    Grey becomes RGB; 16-bit grey is divided by 257; the orientation a camera noted is applied; of an animation the
    first frame is read. Colour profiles are not applied.

    Raises:
        DataError: no such file, or not an image, damaged, of 32 bits a channel, or of more pixels than Pillow allows
            (twice `PIL.Image.MAX_IMAGE_PIXELS`: 179 million), or of more than so few bytes can hold.
    """
    from PIL import Image

    with open_picture(path) as file:
        require(12 * file.width * file.height, f"{path}: {file.width:,} x {file.height:,} pixels", "shrink the image")
        decode(file, path)
        turn = _orientation(file)
        return from_picture(file if turn == 1 else file.transpose(Image.Transpose[TURNS[turn - 2]]))


def decode(file: "Picture", path: str | Path) -> None:
    """Reads the pixels of an opened picture. Raises ValueError, and what decoders raise."""
    if file.format in ("JPEG", "MPO"):
        check_scans(path)
    file.load()


def from_picture(picture: "Picture") -> tuple[Tensor, Tensor | None]:
    """A PIL image of any mode as uint8 RGB (3, H, W) and its opacity (1, H, W), None if it has none."""
    from PIL import Image

    if picture.mode.startswith(("I", "F")):
        picture = Image.fromarray(_to_8_bits(np.asarray(picture)))
    clear = picture.has_transparency_data
    pixels = np.array(picture.convert("RGBA" if clear else "RGB"))  # (H, W, 4 or 3)
    planes = torch.from_numpy(pixels).permute(2, 0, 1).contiguous()  # (4 or 3, H, W)
    return planes[:3], planes[3:] if clear else None


def to_picture(rgb: Tensor, alpha: Tensor | None = None) -> "Picture":
    """uint8 (3, H, W), and opacity (1, H, W) if any, as a PIL image of mode RGB or RGBA."""
    from PIL import Image

    planes = rgb if alpha is None else torch.cat([rgb, alpha])  # (3 or 4, H, W)
    return Image.fromarray(planes.permute(1, 2, 0).contiguous().numpy())


def _to_8_bits(values: np.ndarray) -> np.ndarray:
    """Grey of 16 bits, of any integer type, to the nearest of 0..255."""
    if values.dtype.kind == "f" or values.min() < 0 or values.max() > 65535:
        raise DataError(f"{values.dtype} values from {values.min()} to {values.max()}; 8 or 16 bits are read")
    return ((values.astype(np.int32) + 128) // 257).astype(np.uint8)


def _size(path: Path) -> tuple[int, int]:
    """Height and width as `read_image` will give them, from the header alone.

    (A PNG that notes its orientation behind the pixels counts as upright here; its sides are then swapped.)
    """
    with open_picture(path) as file:
        return (file.width, file.height) if _orientation(file) >= 5 else (file.height, file.width)


def _orientation(file: "Picture") -> int:
    """The EXIF number, 1 (upright) to 8, of how a camera was held. Pillow turns TIFF files itself."""
    from PIL import ExifTags, Image

    if file.format == "TIFF":
        return 1
    try:
        number = Image.Image.getexif(file).get(ExifTags.Base.Orientation, 1)  # PNG's own getexif decodes the pixels
    except Exception:  # damaged metadata raise as many kinds of errors as damaged pixels, but do no harm
        return 1
    return number if number in range(1, 9) else 1


def is_grey(path: str | Path) -> bool:
    """Whether an image file has one channel besides opacity (modes L, LA, I;16, ...), by its header. Raises DataError."""
    from PIL import Image

    with open_picture(path) as file:
        return Image.getmodebase(file.mode) == "L"


@contextlib.contextmanager
def open_picture(path: str | Path) -> Iterator["Picture"]:
    """An opened image file, not decoded yet. Whatever a decoder raises within becomes a DataError that names the file."""
    from PIL import Image

    if reason := no_path(path):
        raise DataError(f"{path} {reason}")
    check_readable(Path(path), IMAGE)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of damaged metadata, which do no harm; of large images below the limit
            check_netpbm(path)
            with Image.open(path, formats=FORMATS) as file:
                pixels, size = file.width * file.height, os.stat(path).st_size
                if pixels > max(SPARSE, BLANK * size):
                    raise ValueError(f"its header promises {pixels:,} pixels in {size:,} bytes")
                yield file
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file; check the path") from error
    except (MemoryError, OutOfMemory):  # not the file's fault
        raise
    except Image.DecompressionBombError as error:
        counts = [f"{int(number):,} pixels" for number in re.findall(r"\d+", str(error))]
        raise DataError(
            f"{path}: {'; expected at most '.join(counts)}; shrink the image, or skip it: --skip-bad"
        ) from error
    except Exception as error:  # decoders of damaged files raise OSError, SyntaxError, ValueError, struct.error, ...
        reason = str(error).replace(str(path), "file")
        raise DataError(
            f"{path}: expected an image, but it cannot be decoded ({reason}); fix or remove it, or skip it: --skip-bad"
        ) from error


# ---------------------------------------------------------------------------------------------------- finding


@dataclass(frozen=True)
class Photo:
    """An image file. `name` is short and stays the same when the folder is moved; the size is in pixels."""

    name: str
    path: Path
    height: int
    width: int


class Photos(list[Photo]):
    """Photographs, and in `skipped` the (path, reason) of each file left out."""

    def __init__(self, photos: Iterable[Photo] = (), skipped: Iterable[tuple[Path, str]] = ()):
        super().__init__(photos)
        self.skipped = list(skipped)


def find_images(folder: str | Path) -> list[Path]:
    """Image files in a folder and the folders in it, sorted; hidden files and folders are ignored.

    Raises:
        DataError: no such folder, or no image in it.
    """
    return find_files(folder, IMAGE)


def open_photos(data: str, *, skip_bad: bool = False) -> Photos:
    """The photographs meant by a data argument. Only their headers are read.

    Args:
        data: "embedded" or "embedded-held-out" (see `EMBEDDED`), a folder, or an image file. A relative path that does
            not exist here is looked for in the folder named by the environment variable MULTIGEN_DATA.
        skip_bad: leave out files whose header cannot be read, and list them in `.skipped`.

    Raises:
        DataError: nothing there, no image, or (without skip_bad) a file that is none.
    """
    if data in EMBEDDED_NAMES:
        return Photos(embedded_photos(EMBEDDED_NAMES[data]))
    place = locate(data, f"a folder of images, an image, or one of the names {' and '.join(EMBEDDED_NAMES)}")
    paths = find_images(place) if place.is_dir() else [place]
    photos = Photos()
    for path in paths:
        try:
            name = path.relative_to(place).as_posix() if place.is_dir() else path.name
            photo = Photo(name, path, *_size(path))
            if (side := max(photo.height, photo.width)) > LONGEST:
                raise DataError(
                    f"{path}: a side of {side:,} pixels, expected {LONGEST:,} at most; cut it into parts, or skip it: --skip-bad"
                )
            photos.append(photo)
        except DataError as error:
            if not skip_bad:
                raise
            photos.skipped.append((path, str(error)))
    if not photos:
        raise DataError(f"{place}: none of {len(paths)} images can be read; {photos.skipped[0][1]}")
    return photos


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
        photos.append(Photo(path.stem, path, *_size(path)))
    return photos


def fingerprint(photos: Sequence[Photo], contents: bool = True) -> str:
    """Hash of photographs, whatever their order: of their names, and unless `contents` is False of their sizes in bytes and of
    the CRC-32 of the first and the last 64 KiB of each, so that a large folder takes seconds.

    Raises DataError for a file that is not there any more.
    """
    digest = hashlib.blake2b(digest_size=8)
    for photo in sorted(photos, key=lambda photo: photo.name):
        parts = (photo.name, *_ends(photo.path)) if contents else (photo.name,)
        digest.update(repr(parts).encode())
    return digest.hexdigest()


def _ends(path: Path) -> tuple[int, int]:
    """Size of a file, bytes, and the CRC-32 of its first and last `END` bytes."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(0)
            crc = zlib.crc32(file.read(END))
            file.seek(max(0, size - END))
            return size, zlib.crc32(file.read(END), crc)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); check the file") from error
