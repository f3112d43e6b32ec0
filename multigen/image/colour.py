"""Colour profiles of image files: converted to sRGB where pixels are trained on or measured, kept
where they are written."""

import functools
import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from multigen.console import say_once

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

__all__ = ["kept_profile", "to_srgb"]

SAME = 1  # of 255: a profile that moves no colour by more is sRGB, as another program computes it
SPACES = {"L": b"GRAY", "LA": b"GRAY", "RGB": b"RGB ", "RGBA": b"RGB ", "CMYK": b"CMYK"}
"""Mode -> the colour space that the profile of such an image names in its bytes 16 to 19."""


def to_srgb(picture: "Picture", path: str | Path = "an image") -> "Picture":
    """A picture of mode L, LA, RGB or RGBA in the colours of sRGB; given of one of these modes, or
    CMYK or LAB.

    Without a profile, or with a damaged one (reported), its values are taken as sRGB. CMYK without
    one is inverted.
    """
    from PIL import Image

    if picture.mode == "LAB":
        return _applied(picture, _transform(b"", "LAB"))
    profile = _usable(picture.info.get("icc_profile"), picture.mode, path)
    transform = _transform(profile, picture.mode) if profile else None
    if transform is None:
        return picture.convert("RGB") if picture.mode == "CMYK" else picture
    if picture.mode in ("L", "LA"):  # 256 values, so a table does it
        ramp = _applied(Image.fromarray(np.arange(256, dtype=np.uint8)[None]), transform)
        table = np.asarray(ramp)[0, :, 0].tolist()
        return picture.point(table if picture.mode == "L" else [*table, *range(256)])
    return _applied(picture, transform)


def kept_profile(picture: "Picture", path: str | Path = "an image") -> bytes:
    """The colour profile for an output in the same colours; b"" where none fits, and for CMYK."""
    return b"" if picture.mode == "CMYK" else _usable(picture.info.get("icc_profile"), picture.mode, path)


def _usable(profile: Any, mode: str, path: str | Path) -> bytes:
    """The profile if it is intact and fits the image's mode, else b""."""
    from PIL import ImageCms

    if not isinstance(profile, bytes) or not profile:
        return b""
    space = profile[16:20]
    try:
        if space != SPACES[mode]:
            raise ValueError(f"it is one of {space.decode('ascii', 'replace').strip() or 'nothing'}")
        _transform(profile, mode)
    except (OSError, ValueError, ImageCms.PyCMSError) as error:
        say_once(
            f"{path}: its colour profile cannot be used ({error}): taken for sRGB; other such images are not named",
            kind="colour profile",
        )
        return b""
    return profile


@functools.lru_cache(maxsize=8)
def _transform(profile: bytes, mode: str) -> Any:
    """Transform from a profile to sRGB, from LAB for b""; None for an identity. Raises the errors
    of littleCMS."""
    from PIL import Image, ImageCms

    source = ImageCms.getOpenProfile(io.BytesIO(profile)) if profile else ImageCms.createProfile("LAB")
    kind = {"L": "L", "LA": "L"}.get(mode, mode)
    result = "RGBA" if mode == "RGBA" else "RGB"
    transform = ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), kind, result)
    if kind not in ("L", "RGB", "RGBA"):
        return transform
    levels = np.arange(0, 256, 15, dtype=np.uint8)
    channels = 1 if kind == "L" else 3
    lattice = np.stack(np.meshgrid(*[levels] * channels, indexing="ij"), -1).reshape(1, -1, channels)
    probe = Image.fromarray(lattice[..., 0] if channels == 1 else lattice).convert(kind)
    moved = np.asarray(_applied(probe, transform).convert("RGB"), int) - lattice
    return None if np.abs(moved).max() <= SAME else transform


def _applied(picture: "Picture", transform: Any) -> "Picture":
    from PIL import ImageCms

    same = picture.mode == transform.output_mode
    converted = ImageCms.applyTransform(picture, transform, inPlace=same)  # in place: saves a copy of a large image
    return picture if converted is None else converted
