"""Output sizes other than the network's scale: the number of passes, and the final downsampling."""

import math
from dataclasses import dataclass, fields

import numpy as np

from multigen.errors import ConfigError

__all__ = ["OWN", "Size", "resized"]


MOST = 1 << 40  # pixels of a side, or factor, that no format can hold


@dataclass(frozen=True)
class Size:
    """Output size; default: by the network's scale. The aspect ratio is always kept.

    The network is applied until the image is at least as large as requested, then it is
    downsampled once. Images already large enough for `width`, `height` or `short` are only
    downsampled.
    """

    scale: float | None = None
    """Scale factor of the sides."""
    width: int | None = None
    """Pixels; with `height` the largest size that fits into both."""
    height: int | None = None
    """Pixels."""
    short: int | None = None
    """The shorter side, pixels."""

    def __post_init__(self):
        given = {field.name: value for field in fields(self) if (value := getattr(self, field.name)) is not None}
        for name, value in given.items():
            if not 0 < value <= MOST:
                message, unit = (
                    f"{value:g}" if value <= MOST else str(value)[:20],
                    "a factor" if name == "scale" else "pixels",
                )
                raise ConfigError(f"{name} {message}: expected {unit} above 0, at most {MOST:,}")
        if len(given) > 1 and given.keys() != {"width", "height"}:
            words = " and ".join(f"{name} {value:g}" for name, value in given.items())
            raise ConfigError(f"{words}: each says how large; give one of them, or width and height")

    def factor(self, own: int) -> float | None:
        """Scale factor of the sides; None if it differs between images."""
        return (self.scale or own) if self.width is self.height is self.short is None else None

    def of(self, height: int, width: int, own: int) -> tuple[int, int]:
        """(height, width) of the result for an image, `own` being the scale of the network."""
        if self.width and self.height:
            factor = min(self.width / width, self.height / height)
        elif self.width:
            factor = self.width / width
        elif self.height:
            factor = self.height / height
        elif self.short:
            factor = self.short / min(height, width)
        else:
            factor = self.scale or own
        return max(1, math.floor(height * factor + 0.5)), max(1, math.floor(width * factor + 0.5))

    def inputs(self, height: int, width: int, own: int) -> list[tuple[int, int]]:
        """(height, width) of the network's inputs in successive passes over an image."""
        target, sizes = self.of(height, width, own), []
        once = self.factor(own) is not None
        while (once and not sizes) or (own > 1 and (height < target[0] or width < target[1])):
            sizes.append((height, width))
            height, width = own * height, own * width
        return sizes


OWN = Size()


def resized(pixels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Integers (H, W, C) -> the same type (height, width, C), plane by plane by Pillow's Lanczos
    filter: antialiased, and a sixth of the time of `imresize`, whose purpose is to equal MATLAB's,
    without its copy in float64."""
    from PIL import Image

    if pixels.shape[:2] == size:
        return pixels
    most = np.iinfo(pixels.dtype).max
    result = np.empty((*size, pixels.shape[2]), pixels.dtype)
    for i in range(pixels.shape[2]):
        plane = np.ascontiguousarray(pixels[..., i] if most == 255 else pixels[..., i].astype(np.float32))
        made = np.asarray(Image.fromarray(plane).resize((size[1], size[0]), Image.Resampling.LANCZOS))
        result[..., i] = made if most == 255 else np.rint(made).clip(0, most)
    return result
