"""Image files of more than 8 bits a channel, read at full depth as 16 bits. Pillow by itself
reduces all but grey ones to 8.

PNG is read in two passes of Pillow's decoder, since its unpackers take either the upper or the
lower byte of each value; so is PPM from its bytes; TIFF by tifffile, or where that lacks the
compression in two passes too.
"""

import logging
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from multigen.console import say_once
from multigen.errors import DataError
from multigen.storage.provenance import FORMATS
from multigen.storage.reading import check_expansion, open_regular

if TYPE_CHECKING:
    from PIL.ImageFile import ImageFile as File

__all__ = ["FULL", "deep_channels", "is_deep", "open_tiff", "scaled", "to_16_bits", "turned"]

FULL = 65535
"""The greatest value of 16 bits."""
HALVES = {"RGB;16B": ("RGB;16B", "RGB;16L"), "RGBA;16B": ("RGBA;16B", "RGBA;16L")}
HALVES |= {"RGB;16L": HALVES["RGB;16B"][::-1], "RGBA;16L": HALVES["RGBA;16B"][::-1]}
"""How Pillow would unpack -> how the upper bytes are got, and the lower ones."""
NARROW = (8, 10, 12)
"""Bits of data that cameras and programs put into files of 16 without scaling them up."""
CODED = ("AVIF", "HEIF", "JPEG2000")
"""Formats whose depth Pillow does not tell."""
ROWS = 1 << 22  # values that are scaled at a time
HEAD = 1 << 16  # bytes of a file in which its header is sought
REMEDY = "save it again as an uncompressed TIFF or a PNG of 16 bits, or with 8 bits"


def is_deep(file: "File", path: str | Path) -> bool:
    """Whether an opened file has more than 8 bits a channel, of which Pillow would keep 8, or has
    one channel of such."""
    args = file.tile[0].args if file.tile else None
    raw = args[0] if isinstance(args, tuple) and args else args
    if file.format in CODED:
        return _bits(path) > 8
    if file.format == "TIFF" and not file.mode.startswith(("I", "F")):
        tags: Any = file.tag_v2  # pyright: ignore[reportAttributeAccessIssue]
        return max(tags.get(258) or (1,)) > 8
    return file.mode.startswith(("I", "F")) or ";16" in str(raw) or (file.format == "PPM" and _most_of_ppm(args) > 255)


def _bits(path: str | Path) -> int:
    """Bits a channel of a JPEG 2000, AVIF or HEIC file, as its header says; 8 if it does not."""
    with open_regular(path) as opened:
        head = opened.read(HEAD)
    match = re.search(rb"\xff\x4f\xff\x51.{38}(.)|pixi.{4}[\x01-\x04](.)", head, re.DOTALL)
    return 8 if match is None else (match[1][0] & 127) + 1 if match[1] else match[2][0]


def _most_of_ppm(args: Any) -> int:
    return args[1] if isinstance(args, tuple) and len(args) > 1 and isinstance(args[1], int) else 0


def deep_channels(file: "File", path: str | Path, frame: int = 0) -> np.ndarray:
    """The values of an opened file that `is_deep`, uint16 (H, W, C) of 0..65535, C being 1 (grey),
    2, 3 or 4: even with opacity.

    It has not been decoded yet, and is not rotated by its metadata unless it is a TIFF. Raises the
    errors of decoders.
    """
    if file.mode.startswith(("I", "F")):
        clear, most = file.info.get("transparency"), _declared(file, path)
        file.load()
        values = np.asarray(file)[..., None]  # (H, W, 1)
        alpha = _opacity(values, [clear] if isinstance(clear, int) else None)
        return np.concatenate([to_16_bits(values, most, str(path)), *alpha], -1)
    if file.format == "TIFF":
        return _tiff(file, path, frame)
    if file.format == "PPM" and file.tile[0].codec_name == "ppm":
        return _ppm(file, path)
    if file.format != "PNG":
        say_once(f"{path}: {file.format} of more than 8 bits is read with 8; for all, {REMEDY}", kind="8 of more bits")
        file.load()
        pixels = np.asarray(file.convert("RGBA" if file.has_transparency_data else "RGB"))
        return pixels.astype(np.uint16) * 257
    raw = file.tile[0].args
    if raw == "LA;16B":  # 4 bytes a pixel: L, L, A, A
        four = _unpacked(path, frame, "RGBA").astype(np.uint16)  # (H, W, 4)
        values = four[..., ::2] << 8 | four[..., 1::2]
    else:
        values = _joined(path, frame, str(raw))
    clear = file.info.get("transparency")
    alpha = _opacity(values, clear if isinstance(clear, tuple) else None)
    return np.concatenate([_scaled_up(values, _declared(file, path), str(path)), *alpha], -1)


def to_16_bits(values: np.ndarray, most: int = 0, name: str = "an image") -> np.ndarray:
    """Integers of 0..65535, or floats of 0..1, of any shape, as uint16 of 0..65535.

    Args:
        most: the value of white; 0: not known. Then data that use 8, 10 or 12 bits only are scaled
            up, with a message.
    """
    if values.dtype.kind == "f":
        if not np.isfinite(values).all() or values.min() < 0 or values.max() > 1:
            raise DataError(
                f"{name}: {values.dtype} values from {values.min():g} to {values.max():g}; of floats 0..1 are read, of integers "
                "8 or 16 bits; scale them, or save with 16 bits"
            )
        return np.rint(values * FULL).astype(np.uint16)
    if values.min() < 0 or values.max() > FULL:
        raise DataError(
            f"{name}: {values.dtype} values from {values.min()} to {values.max()}; 8 or 16 bits are read; save with 16 bits"
        )
    return _scaled_up(values, most, name)


def _scaled_up(values: np.ndarray, most: int, name: str) -> np.ndarray:
    top = int(values.max(initial=0))
    if top <= most:
        return scaled(values, most, np.uint16)
    bits = next((n for n in NARROW if top < 1 << n), 16)
    if not top or bits == 16:
        return values.astype(np.uint16, copy=False)
    say_once(
        f"{name}: values up to {top:,} in 16 bits: taken for {bits} bits, white being {(1 << bits) - 1:,}; other such "
        "images are not named",
        kind="fewer bits",
    )
    return scaled(values, (1 << bits) - 1, np.uint16)


def scaled(values: np.ndarray, most: int, kind: Any) -> np.ndarray:
    """Integers (H, ...) of 0..`most` to the nearest of all values of `kind`, uint8 or uint16; some
    rows at a time."""
    full = int(np.iinfo(kind).max)
    if most == full:
        return values.astype(kind, copy=False)
    result = np.empty(values.shape, kind)
    step = max(1, ROWS // max(1, values[:1].size))
    for top in range(0, len(values), step):
        part = values[top : top + step].astype(np.uint32)
        result[top : top + step] = (part * full + most // 2) // most
    return result


# ---------------------------------------------------------------------------------------------------- formats


def _unpacked(path: str | Path, frame: int, raw: str) -> np.ndarray:
    """The pixels of a file, decoded again by one of Pillow's unpackers."""
    from PIL import Image

    with Image.open(path, formats=FORMATS) as file:
        if frame:
            file.seek(frame)
        file.tile = [
            tile._replace(args=(raw, *tile.args[1:]) if isinstance(tile.args, tuple) else raw) for tile in file.tile
        ]
        file.load()
        return np.asarray(file)


def _joined(path: str | Path, frame: int, raw: str) -> np.ndarray:
    high, low = HALVES[raw]
    values = _unpacked(path, frame, high).astype(np.uint16)
    values <<= 8
    values |= _unpacked(path, frame, low)
    return values


def _ppm(file: "File", path: str | Path) -> np.ndarray:
    most = _most_of_ppm(file.tile[0].args)
    count = file.width * file.height * 3
    with open_regular(path) as opened:
        opened.seek(file.tile[0].offset)
        content = opened.read(2 * count)
    if len(content) < 2 * count:
        raise ValueError(f"{len(content):,} bytes of pixels, expected {2 * count:,}")
    values = np.frombuffer(content, ">u2").reshape(file.height, file.width, 3)
    return scaled(np.minimum(values, most), most, np.uint16)


def open_tiff(path: str | Path) -> Any:
    """A file opened by tifffile, without warnings of damaged tags: these are errors later, or
    harmless."""
    import tifffile

    logging.getLogger("tifffile").setLevel(logging.CRITICAL)
    return tifffile.TiffFile(path)


def _tiff(file: "File", path: str | Path, frame: int) -> np.ndarray:
    most = _declared(file, path)
    raw = str((file.tile[0].args or ("",))[0])
    turn = file.getexif().get(274, 1)
    with open_tiff(path) as opened:
        page: Any = opened.pages[frame]
        check_expansion(page.nbytes, Path(path).stat().st_size)
        try:
            values = page.asarray()
        except (ValueError, KeyError, ImportError) as error:  # a compression that needs another package
            raw = {"RGB;16N": "RGB;16L", "RGBA;16N": "RGBA;16L"}.get(raw, raw)
            if raw not in HALVES or page.planarconfig == 2:
                description = f"a TIFF of {page.bitspersample} bits, compressed by {page.compression.name}"
                raise ValueError(f"{description}; {REMEDY}") from error
            return _scaled_up(_joined(path, frame, raw), most, str(path))  # rotated by Pillow already
        values = np.moveaxis(values, 0, -1) if page.planarconfig == 2 and values.ndim == 3 else values
        if values.dtype != np.uint16 or values.ndim != 3 or values.shape[-1] not in (3, 4):
            raise ValueError(f"a TIFF of {values.dtype} {values.shape}; {REMEDY}")
        values = _scaled_up(values, most, str(path))
        if values.shape[-1] == 4 and 1 in page.extrasamples:  # premultiplied alpha
            alpha = values[..., 3:].astype(np.uint32)
            colour = (values[..., :3].astype(np.uint32) * FULL + alpha // 2) // np.maximum(alpha, 1)
            values = np.concatenate([np.minimum(colour, FULL).astype(np.uint16), values[..., 3:]], -1)
    return turned(values, turn)


def turned(values: np.ndarray, orientation: int) -> np.ndarray:
    """(H, W, C) rotated upright by the EXIF orientation, 1 to 8."""
    if orientation >= 5:
        values = values.swapaxes(0, 1)
    rows, columns = {2: (1, -1), 3: (-1, -1), 4: (-1, 1), 6: (1, -1), 7: (-1, -1), 8: (-1, 1)}.get(orientation, (1, 1))
    return np.ascontiguousarray(values[::rows, ::columns])


def _opacity(values: np.ndarray, clear: Sequence[int] | None) -> list[np.ndarray]:
    """The channel of opacity, (H, W, 1), where the file declares one colour transparent; else
    none."""
    if clear is None:
        return []
    return [np.where((values == np.array(clear)).all(-1, keepdims=True), 0, FULL).astype(np.uint16)]


def _declared(file: "File", path: str | Path) -> int:
    """The value that stands for white, as far as tags of the file say that it is below 65535;
    otherwise 0."""
    if file.format == "TIFF":
        tags: Any = file.tag_v2  # pyright: ignore[reportAttributeAccessIssue]
        bits, most = tags.get(258, (0,)), tags.get(281, 0)  # BitsPerSample, MaxSampleValue
        most = max(most) if isinstance(most, tuple) else most
        return (1 << bits[0]) - 1 if 8 < bits[0] < 16 else int(most) if 255 < most < FULL else 0
    if file.format == "PNG":
        with open_regular(path) as opened:
            head = opened.read(HEAD)
        if match := re.search(rb"\0\0\0[\x01-\x04]sBIT(.)", head[: head.find(b"IDAT")], re.DOTALL):
            return (1 << match[1][0]) - 1 if 8 < match[1][0] < 16 else 0
    return 0
