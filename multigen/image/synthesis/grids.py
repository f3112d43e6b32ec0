"""Sizes of images that networks make by doubling a small grid."""

import itertools
from dataclasses import dataclass
from typing import ClassVar

from multigen.errors import ConfigError
from multigen.image.synthesis.base import ImageSynthesisConfig

__all__ = ["GridConfig", "grid_of"]

LEAST, MOST, LONGEST = 4, 7, 16
"""Cells of the grid's shorter side, and of its longer one at most."""
LARGEST = 1024  # pixels


def grid_of(height: int, width: int) -> tuple[int, int, int]:
    """Rows and columns of the grid that images of a size are doubled from, and how often, twice at
    least: 64 x 96 is 4 x 6, four times.

    Raises ConfigError, with the nearest possible sizes, for any other size.
    """
    doublings = max(min(height, width) // LEAST, 1).bit_length() - 1
    step = 1 << doublings
    if doublings >= 2 and not height % step and not width % step and _fits(height // step, width // step, doublings):
        return height // step, width // step, doublings
    first, second = _nearest(height, width)
    asked = str(height) if height == width else f"{height} x {width}"
    rule = f"a grid of {LEAST} to {MOST} by at most {LONGEST} cells, twice or more, up to {LARGEST} pixels"
    raise ConfigError(f"size {asked}: the network doubles {rule}; the nearest it has are {first} and {second}")


def _fits(rows: int, columns: int, doublings: int) -> bool:
    return LEAST <= min(rows, columns) <= MOST and max(rows, columns) <= min(LONGEST, LARGEST >> doublings)


def _nearest(height: int, width: int) -> list[str]:
    """The two nearest sizes; squares only for a square."""
    cells = range(LEAST, LONGEST + 1)
    sizes = {
        (rows << doublings, columns << doublings)
        for doublings, rows, columns in itertools.product(range(2, LARGEST.bit_length()), cells, cells)
        if _fits(rows, columns, doublings) and (height != width or rows == columns)
    }

    def distance(size: tuple[int, int]) -> tuple[int, ...]:  # and of those as near, the ones that keep a side
        rows, columns = abs(size[0] - height), abs(size[1] - width)
        return rows + columns, min(rows, columns), *size

    nearest = sorted(sorted(sizes, key=distance)[:2])
    return [str(rows) if height == width else f"{rows} x {columns}" for rows, columns in nearest]


@dataclass(frozen=True)
class GridConfig(ImageSynthesisConfig):
    """Settings of methods whose networks double a grid, so that images need not be squares."""

    size: int = 32
    """Height of an image, pixels, and its width unless `image_width` says otherwise: 4 to 7 times a
    power of two, from 16 to 1024 pixels."""
    image_width: int = 0
    """Width of an image, pixels: up to four times the height, or a quarter of it, in steps of the
    same power of two. 0: as its height."""

    any_size: ClassVar[bool] = True
    ranges = ImageSynthesisConfig.ranges | {"image_width": 0}

    def __post_init__(self):
        super().__post_init__()
        self.grid  # noqa: B018  # which raises ConfigError

    @property
    def sides(self) -> tuple[int, int]:
        return self.size, self.image_width or self.size

    @property
    def grid(self) -> tuple[int, int, int]:
        """Rows and columns that the images begin with, and how often they are doubled."""
        return grid_of(*self.sides)
