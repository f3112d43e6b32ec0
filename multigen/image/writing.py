"""Writing image files: PNG, JPEG, WebP, TIFF and GIF, of 8 or 16 bits, with metadata, of one frame
or several."""

import io
import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from multigen.console import say_once
from multigen.errors import ConfigError
from multigen.image.decoding import Raster, to_pil
from multigen.image.depth import FULL, scaled
from multigen.image.metadata import Metadata
from multigen.storage.provenance import NO_PROVENANCE, Provenance, mark_gif

__all__ = ["QUALITY", "SIDES", "STILL", "Motion", "check_side", "write_image"]

SIDES = {
    ".gif": 65_535,
    ".jpeg": 65_535,
    ".jpg": 65_535,
    ".png": 1 << 31,
    ".tif": 1 << 31,
    ".tiff": 1 << 31,
    ".webp": 16_383,
}
"""Suffix of a format that is written -> the longest side that it can have, pixels."""
STILL = (".jpeg", ".jpg")
"""Suffixes of formats that hold one image, and no animation or pages."""
QUALITY: dict[str, dict[str, Any]] = {
    **{suffix: {"quality": 95, "subsampling": 0} for suffix in (".jpg", ".jpeg")},
    ".webp": {"lossless": True},
}
"""Suffix of a format that has a quality -> how it is written without one."""
KINDS = {1: 0, 2: 4, 3: 2, 4: 6}  # channels -> PNG's type of colour
ROWS = 1 << 24  # bytes that are compressed at a time


@dataclass(frozen=True)
class Motion:
    """How the frames of an animation follow each other."""

    durations: tuple[float, ...]
    """Of each frame, ms."""
    loop: int | None = None
    """How often it is played, 0 for ever; None: not said."""


def check_side(path: Path, height: int, width: int) -> None:
    """Raises ConfigError for an image that the format of a file, by its suffix, cannot hold."""
    if max(height, width) > (most := SIDES[path.suffix.lower()]):
        raise ConfigError(
            f"{path}: {width:,} x {height:,} pixels; {path.suffix} has sides of {most:,} at most; choose .png or .tif"
        )


def write_image(
    path: Path,
    frames: Sequence[Raster],
    metadata: Metadata | None = None,
    about: Provenance = NO_PROVENANCE,
    motion: Motion | None = None,
    quality: int | None = None,
) -> None:
    """Writes frames, in a format by the suffix: one image, an animation, or the pages of a TIFF.

    What the format does not support is dropped with a message: 16 bits become 8, transparent images
    are laid on white. `about` says where the file comes from (`multigen.storage.provenance`).
    `quality`: 1 to 100, for formats in `QUALITY`; WebP is lossless without it.
    """
    suffix, metadata = path.suffix.lower(), metadata or Metadata()
    for frame in frames:
        check_side(path, *frame.pixels.shape[:2])
    one = len(frames) == 1
    frames = [_fitting(frame, suffix, one) for frame in frames]
    height, width = frames[0].pixels.shape[:2]
    options = {**metadata.options(suffix, about, (width, height)), **_encoding(suffix, quality)}
    if frames[0].profile and suffix != ".gif":
        options["icc_profile"] = frames[0].profile
    if frames[0].pixels.dtype == np.uint16 and (suffix == ".png" or frames[0].pixels.shape[-1] > 1):
        _write_png(path, frames[0], options) if suffix == ".png" else _write_tiff(path, frames, metadata)
        return
    first, *others = (to_pil(replace(frame, profile=b"")) for frame in frames)
    if not one:
        options |= {"save_all": True, "append_images": others}
        if motion is not None and suffix not in (".tif", ".tiff"):
            options |= {"duration": list(motion.durations)} | ({} if motion.loop is None else {"loop": motion.loop})
        if suffix == ".gif":
            options["disposal"] = 2
    first.save(path, **options)
    if suffix == ".gif":
        mark_gif(path, metadata.xmp)


def _encoding(suffix: str, quality: int | None) -> dict[str, Any]:
    options = QUALITY.get(suffix, {})
    return (
        options
        if quality is None
        else {**options, "quality": quality, **({"lossless": False} if suffix == ".webp" else {})}
    )


def _fitting(frame: Raster, suffix: str, one: bool) -> Raster:
    """A frame converted to what its format supports."""
    pixels = frame.pixels
    if pixels.dtype == np.uint16 and (suffix not in (".png", ".tif", ".tiff") or (suffix == ".png" and not one)):
        say_once(f"{suffix}: holds 8 bits of the 16 that there are; for all, choose .png or .tif")
        pixels = scaled(pixels, FULL, np.uint8)
    if suffix in (".jpg", ".jpeg") and pixels.shape[-1] % 2 == 0:
        say_once(f"{suffix}: holds no transparency: laid on white; to keep it, choose .png")
        colour, alpha = pixels[..., :-1].astype(np.uint16), pixels[..., -1:].astype(np.uint16)
        pixels = ((colour * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8)
    return replace(frame, pixels=pixels)


# ---------------------------------------------------------------------------------------------------- 16 bits


def _write_png(path: Path, frame: Raster, options: dict[str, Any]) -> None:
    """A PNG of 16 bits a channel. Its metadata are the chunks that Pillow writes for them into a
    PNG of one pixel."""
    from PIL import Image

    small = io.BytesIO()
    Image.new("L", (1, 1)).save(
        small, "PNG", **{name: value for name, value in options.items() if name != "icc_profile"}
    )
    height, width, channels = frame.pixels.shape
    head = struct.pack(">IIBBBBB", width, height, 16, KINDS[channels], 0, 0, 0)
    with path.open("wb") as file:
        file.write(b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", head))
        if frame.profile:
            file.write(_chunk(b"iCCP", b"ICC Profile\0\0" + zlib.compress(frame.profile)))
        for kind, content in _chunks(small.getvalue()):
            if kind not in (b"IHDR", b"IDAT", b"IEND"):
                file.write(_chunk(kind, content))
        packer = zlib.compressobj(6)
        for part in _filtered(frame.pixels):
            file.write(_chunk(b"IDAT", packer.compress(part)))
        file.write(_chunk(b"IDAT", packer.flush()) + _chunk(b"IEND", b""))


def _filtered(pixels: np.ndarray) -> Iterator[bytes]:
    """The rows (H, W, C), each less that above it, which is PNG's filter 2, as big-endian bytes;
    some rows at a time."""
    above = np.zeros((1, pixels[0].size * 2), np.uint8)
    step = max(1, ROWS // above.size)
    for top in range(0, len(pixels), step):
        part = pixels[top : top + step]
        rows = part.astype(">u2").reshape(len(part), -1).view(np.uint8)  # (h, 2 W C)
        less = rows - np.concatenate([above, rows[:-1]])
        above = rows[-1:]
        yield np.concatenate([np.full((len(rows), 1), 2, np.uint8), less], 1).tobytes()


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def _chunks(png: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = 8
    while at < len(png):
        size = int.from_bytes(png[at : at + 4])
        yield png[at + 4 : at + 8], png[at + 8 : at + 8 + size]
        at += 12 + size


def _write_tiff(path: Path, frames: Sequence[Raster], metadata: Metadata) -> None:
    """A TIFF of 16 bits a channel, in colour or with opacity. EXIF has no place in it that tifffile
    writes, which is said."""
    import tifffile

    if metadata.exif:
        say_once(f"{path.suffix}: EXIF is not written into TIFF files of 16 bits in colour; to keep it, choose .png")
    extra = ((700, 1, metadata.xmp), (33723, 7, metadata.iptc))
    tags = [(tag, kind, len(value), value, True) for tag, kind, value in extra if value]
    with tifffile.TiffWriter(path) as file:
        for frame in frames:
            pixels = frame.pixels[..., 0] if frame.pixels.shape[-1] == 1 else frame.pixels
            if pixels.shape[2:] == (2,):  # Pillow reads no grey of 16 bits with opacity
                pixels = pixels[..., [0, 0, 0, 1]]
            file.write(
                pixels,
                photometric="minisblack" if pixels.ndim == 2 else "rgb",
                extrasamples=None if frame.alpha is None else ["unassalpha"],
                compression="zlib",
                predictor=True,
                iccprofile=frame.profile or None,
                resolution=metadata.dpi,
                resolutionunit="INCH" if metadata.dpi else None,
                extratags=tags,
                metadata=None,
                software=False,
            )
