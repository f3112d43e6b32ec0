"""Reading the pixels of an image file of any kind: as it is (`read_raster`), or as it is trained on
(`read_picture`).

It handles what real folders of photographs have: grey, palette, transparent, 16-bit, CMYK and
rotated images, colour profiles, animations.
"""

import contextlib
import os
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from multigen.catalogue import MODALITIES
from multigen.console import say_once
from multigen.data.locate import no_path
from multigen.data.unread import check_readable
from multigen.errors import DataError, OutOfMemory
from multigen.image.colour import kept_profile, to_srgb
from multigen.image.depth import FULL, REMEDY, deep_channels, is_deep, open_tiff, scaled, to_16_bits, turned
from multigen.memory import require
from multigen.storage.provenance import FORMATS
from multigen.storage.reading import check_netpbm, check_scans, open_regular

if TYPE_CHECKING:
    from PIL.Image import Image as Picture
    from PIL.ImageFile import ImageFile as File

__all__ = [
    "Raster",
    "decode",
    "frame_numbers",
    "open_picture",
    "orientation",
    "raster_in",
    "raster_of",
    "read_frame_numbers",
    "read_picture",
    "read_pictures",
    "read_raster",
    "say_first",
    "to_pil",
    "visible",
]

# EXIF orientation, 2 to 8 -> the `PIL.Image.Transpose` that sets the image upright.
TURNS = ("FLIP_LEFT_RIGHT", "ROTATE_180", "FLIP_TOP_BOTTOM", "TRANSPOSE", "ROTATE_270", "TRANSVERSE", "ROTATE_90")
SPARSE, BLANK = 50_000_000, 1000
"""Pixels, and pixels for each byte of the file: an image that has more of both is a damaged
header."""
LARGE = 16_000_000  # pixels: a larger JPEG is decoded smaller where a small image is made of it
NEAR = 4  # times the size that is made of it, at least
MOVING = ("GIF", "WEBP", "PNG", "TIFF", "AVIF")
"""Formats whose further images are frames or pages; those of others are layers, previews or depth
maps."""
HEIF = re.compile(rb"hei[cxms]|hev[cxms]|mif1|msf1")
"""Brands of HEIC files, which say behind their length and `ftyp` what they are."""
MODES = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}


@dataclass(frozen=True)
class Raster:
    """The pixels of an image file: uint8 or uint16 (H, W, C), C being 1 (grey) or 3 (RGB), with
    opacity 2 or 4."""

    pixels: np.ndarray
    profile: bytes = b""
    """The ICC profile that says which colours its numbers are; b"": those of sRGB."""

    @property
    def alpha(self) -> np.ndarray | None:
        """Opacity, (H, W, 1)."""
        return self.pixels[..., -1:] if self.pixels.shape[-1] % 2 == 0 else None

    @property
    def colour(self) -> np.ndarray:
        """Without opacity, (H, W, 1 or 3)."""
        return self.pixels if self.alpha is None else self.pixels[..., :-1]


def read_raster(path: str | Path, frame: int = 0) -> Raster:
    """An image file with its depth, grey or colour, its opacity and its colour profile; upright.
    CMYK becomes sRGB.

    Raises DataError as `open_picture` does, and for values that are neither of 8 nor of 16 bits,
    nor floats of 0..1.
    """
    with open_picture(path, frame) as file:
        return raster_in(file, path, frame)


def raster_in(file: "File", path: str | Path, frame: int = 0) -> Raster:
    """As `read_raster`, of an opened file at its frame `frame`. Raises the errors of decoders."""
    if not is_deep(file, path):
        return raster_of(_upright(file, path), path)
    _check_room(file, path)
    turn, profile = orientation(file), file.info.get("icc_profile")
    values = deep_channels(file, path, frame)
    stand_in = to_pil(Raster(np.zeros((1, 1, values.shape[-1]), np.uint8)))
    stand_in.info["icc_profile"] = profile
    return Raster(turned(values, turn), kept_profile(stand_in, path))


def read_picture(path: str | Path, frame: int | None = None, size: int = 0, opacity: bool = False) -> "Picture":
    """An image file as training and measuring take it: PIL image of mode L or RGB, 8 bits, in sRGB,
    upright, on white; or of mode RGBA, with its `opacity`.

    Args:
        frame: of an animation, or the page of a TIFF; None: the first, with a message where there
            are more.
        size: the longer side of what it is to be cut to and resized to; a large JPEG is then
            decoded smaller, but at least four times as large. 0: whole.
        opacity: keep it.

    Raises DataError as `read_raster` does.
    """
    with open_picture(path, frame or 0) as file:
        if frame is None:
            say_first(file, path)
        if size and file.width * file.height > LARGE and not is_deep(file, path):
            file.draft(None, (NEAR * size, NEAR * size))
        return _seen(file, path, frame or 0, opacity)


def read_pictures(path: str | Path) -> Iterator["Picture"]:
    """The frames of an animation as `read_picture` takes them, each good until the next: the file
    is opened once and read forward, since a frame needs those before it. Raises DataError."""
    with open_picture(path) as file:
        for number in frame_numbers(file):
            file.seek(number)
            yield _seen(file, path, number)


def _seen(file: "File", path: str | Path, frame: int, opacity: bool = False) -> "Picture":
    """The current frame of an opened file as `read_picture` takes it."""
    from PIL import Image

    if not is_deep(file, path):
        return visible(_upright(file, path), path, opacity)
    _check_room(file, path)
    turn, info = orientation(file), {"icc_profile": file.info.get("icc_profile")}
    picture = to_pil(Raster(scaled(deep_channels(file, path, frame), FULL, np.uint8)))
    picture.info.update(info)
    upright = picture if turn == 1 else picture.transpose(Image.Transpose[TURNS[turn - 2]])
    upright.info.update(info)
    return visible(upright, path, opacity)


def _upright(file: "File", path: str | Path) -> "Picture":
    """The pixels of an opened file, rotated by its EXIF orientation."""
    from PIL import Image

    _check_room(file, path)
    decode(file, path)
    turn = orientation(file)
    return file if turn == 1 else file.transpose(Image.Transpose[TURNS[turn - 2]])


def _check_room(file: "File", path: str | Path) -> None:
    require(12 * file.width * file.height, f"{path}: {file.width:,} x {file.height:,} pixels", "shrink the image")


def decode(file: "File", path: str | Path) -> None:
    """Reads the pixels of an opened picture. Raises ValueError, and the errors of decoders."""
    if file.format in ("JPEG", "MPO"):
        check_scans(path)
    file.load()


# ---------------------------------------------------------------------------------------------------- kinds of pixels


def visible(picture: "Picture", path: str | Path = "an image", opacity: bool = False) -> "Picture":
    """A PIL image of any mode as it is seen: mode L or RGB, in sRGB, laid on white where it is
    transparent; with `opacity` mode RGBA."""
    from PIL import Image

    if picture.mode.startswith(("I", "F")):
        picture = to_pil(raster_of(picture, path, np.uint8))
    picture = to_srgb(_plain(picture), path)
    if opacity:
        return picture.convert("RGBA")
    if picture.mode in ("L", "RGB"):
        return picture
    white = Image.new(picture.mode[:-1], picture.size, "white")
    white.paste(picture, mask=picture)
    return white


def raster_of(picture: "Picture", path: str | Path = "an image", kind: Any = None) -> Raster:
    """The pixels of a PIL image of any mode. `kind`: uint8 reduces those of 16 bits. Raises
    DataError for values of neither."""
    if picture.mode.startswith(("I", "F")):
        values = to_16_bits(np.asarray(picture), name=str(path))[..., None]
        return Raster(values if kind is None else scaled(values, FULL, kind), kept_profile(picture.convert("L"), path))
    plain = _plain(picture)
    profile = kept_profile(plain, path)
    if plain.mode in ("CMYK", "LAB"):
        plain = to_srgb(plain, path)
    pixels = np.asarray(plain)
    return Raster(pixels.reshape(*pixels.shape[:2], -1), profile)


def to_pil(raster: Raster) -> "Picture":
    """As a PIL image of mode L, LA, RGB or RGBA, or I;16. Raises DataError for colours or opacity
    of 16 bits, which have none."""
    from PIL import Image

    pixels = raster.pixels[..., 0] if raster.pixels.shape[-1] == 1 else raster.pixels
    if pixels.dtype == np.uint16 and pixels.ndim == 3:
        raise DataError(f"16 bits of {MODES[pixels.shape[-1]]}: PIL has no such image; use `multigen.image.writing`")
    picture = Image.fromarray(np.ascontiguousarray(pixels))
    if raster.profile:
        picture.info["icc_profile"] = raster.profile
    return picture


def _plain(picture: "Picture") -> "Picture":
    """A PIL image of 8 bits and any mode as one of L, LA, RGB, RGBA, CMYK or LAB."""
    info: dict[str | tuple[int, int], Any] = {"icc_profile": picture.info.get("icc_profile")}
    clear = picture.has_transparency_data
    if picture.mode in ("L", "LA", "RGB", "RGBA", "CMYK", "LAB") and "transparency" not in picture.info:
        return picture
    if picture.mode == "La":
        plain = picture.convert("LA")
    elif picture.mode in ("1", "L", "LA"):
        plain = picture.convert("RGBA").convert("LA") if clear else picture.convert("L")
    else:
        plain = picture.convert("RGBA" if clear else "RGB")
        if picture.mode in ("P", "PA") and not info["icc_profile"] and _is_grey_palette(picture):
            plain = plain.convert("LA" if clear else "L")
    plain.info = info
    return plain


def _is_grey_palette(picture: "Picture") -> bool:
    """Whether all colours that an image takes from its palette are grey."""
    used = {index for _, index in picture.convert("P").getcolors(256) or [(0, -1)]}
    palette = picture.getpalette("RGB") or []
    return all(len({*palette[3 * index : 3 * index + 3]}) == 1 for index in used if isinstance(index, int))


# ---------------------------------------------------------------------------------------------------- opening


def orientation(file: "File") -> int:
    """The EXIF orientation, 1 (upright) to 8. Pillow rotates TIFF files itself."""
    from PIL import ExifTags, Image

    if file.format == "TIFF":
        return 1
    try:
        number = Image.Image.getexif(file).get(ExifTags.Base.Orientation, 1)  # PNG's own getexif decodes the pixels
    except Exception:  # damaged metadata raise as many kinds of errors as damaged pixels, but do no harm
        return 1
    return number if number in range(1, 9) else 1


def say_first(file: "File", path: str | Path) -> None:
    """Reports, once, that only the first of several frames of an opened file is used."""
    if file.format in MOVING and getattr(file, "is_animated", False) and len(frame_numbers(file)) > 1:
        say_once(
            f"{path}: the first of several frames is taken, as of all such files; for all of them: --frames all",
            kind="frames",
        )


def read_frame_numbers(path: Path) -> list[int]:
    """Those of `frame_numbers` of a file. Raises DataError."""
    with open_picture(path) as file:
        return frame_numbers(file)


def frame_numbers(file: "File") -> list[int]:
    """Of the frames of an opened animation, or the pages of a TIFF, for `Image.seek`; [0] for other
    images.

    Thumbnails among the pages are left out. Raises ValueError for more frames than so few bytes can
    hold.
    """
    if file.format not in MOVING or not getattr(file, "is_animated", False):
        return [0]
    count, size = int(getattr(file, "n_frames", 1)), Path(str(file.filename)).stat().st_size
    if count * file.width * file.height > max(SPARSE, BLANK * size):
        raise ValueError(f"{count:,} frames of {file.width * file.height:,} pixels in {size:,} bytes")
    if file.format != "TIFF":
        return list(range(count))
    numbers = []
    for number in range(count):
        file.seek(number)
        if not file.tag_v2.get(254, 0) & 1:  # pyright: ignore[reportAttributeAccessIssue]  # NewSubfileType: reduced
            numbers.append(number)
    file.seek(0)
    return numbers or [0]


@contextlib.contextmanager
def open_picture(path: str | Path, frame: int = 0) -> Iterator["File"]:
    """An opened image file, not decoded yet. Whatever a decoder raises within becomes a DataError
    that names the file."""
    from PIL import Image, UnidentifiedImageError

    if reason := no_path(path):
        raise DataError(f"{path} {reason}")
    check_readable(Path(path), MODALITIES["image"])
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of damaged metadata, which do no harm; of large images below the limit
            check_netpbm(path)
            with Image.open(path, formats=_formats(path)) as file:
                pixels, size = file.width * file.height, os.stat(path).st_size
                if pixels > max(SPARSE, BLANK * size):
                    raise ValueError(f"its header promises {pixels:,} pixels in {size:,} bytes")
                if frame:
                    file.seek(frame)
                yield file
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file; check the path") from error
    except (MemoryError, OutOfMemory) as error:
        if not _has_a_chunk_longer_than_itself(path):  # otherwise not the file's fault
            raise
        raise DataError(
            f"{path}: expected an image, but it cannot be decoded (a part of it is longer than the file); fix or remove it, "
            "or skip it: --skip-bad"
        ) from error
    except Image.DecompressionBombError as error:
        counts = [f"{int(number):,} pixels" for number in re.findall(r"\d+", str(error))]
        raise DataError(
            f"{path}: {'; expected at most '.join(counts)}; shrink the image, or skip it: --skip-bad"
        ) from error
    except Exception as error:  # decoders of damaged files raise OSError, SyntaxError, ValueError, struct.error, ...
        unknown = isinstance(error, UnidentifiedImageError) and _kind_of(path)
        reason = unknown or str(error).replace(str(path), "file")
        raise DataError(
            f"{path}: expected an image, but it cannot be decoded ({reason}); fix or remove it, or skip it: --skip-bad"
        ) from error


def _has_a_chunk_longer_than_itself(path: str | Path) -> bool:
    """Whether a chunk of a PNG promises more bytes than the file has; Pillow takes memory for
    them."""
    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        if file.read(8) != b"\x89PNG\r\n\x1a\n":
            return False
        while len(head := file.read(8)) == 8:
            if (length := int.from_bytes(head[:4], "big")) > size:
                return True
            file.seek(length + 4, os.SEEK_CUR)
    return False


def _formats(path: str | Path) -> tuple[str, ...]:
    """Pillow's decoders for a file. That of HEIC, of the extra `heif`, is added for a file that is
    one, whatever its name."""
    with open_regular(path) as file:
        head = file.read(64)
    if head[4:8] != b"ftyp" or b"avif" in head[8:32] or not HEIF.search(head[8:]):
        return FORMATS
    try:
        import pillow_heif
    except ImportError:
        raise ValueError("a HEIC image: pip install 'multigen[heif]', or convert to JPEG or PNG") from None
    pillow_heif.register_heif_opener(thumbnails=False)
    return (*FORMATS, "HEIF")


def _kind_of(path: str | Path) -> str:
    """What a TIFF that Pillow does not know holds, and how to convert it; "" for any other file."""
    try:
        with open_regular(path) as file:
            if file.read(4) not in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
                return ""
        with open_tiff(path) as opened:
            page: Any = opened.pages[0]
            supported = page.bitspersample <= 16 and page.dtype is not None and page.dtype.kind == "u"
            return (
                "" if supported else f"a TIFF of {page.samplesperpixel} x {page.dtype or page.bitspersample}; {REMEDY}"
            )
    except Exception:  # damaged: the decoder has reported it already
        return ""
