"""Images that show what a model does to photographs: windows with the most detail, side by side."""

from collections.abc import Callable, Iterator
from itertools import islice, zip_longest
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from multigen.errors import ConfigError
from multigen.image.degrade import Degrade, reduced
from multigen.image.files import embedded_photos, read_image, to_picture

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

__all__ = ["SIDE", "busiest", "strip"]

SIDE = 160  # pixels of a crop that is shown
STRIDE = 8  # pixels between the windows that are considered for it
MARGIN = 24  # pixels at the lower and right border that some scale may cut off


def strip(
    restore: Callable[[Tensor], Tensor], scale: int, n: int, side: int = SIDE, degrade: Degrade | None = None
) -> "Picture":
    """n crops of `side` pixels in one row: the most detailed windows of the embedded held-out
    photographs in turn, degraded by `degrade` (default: bicubic downsampling) and restored. Fewer
    if they would overlap; the same windows for every scale.

    Raises ConfigError for n < 1, DataError where the photographs are missing.
    """
    from PIL import Image

    if n < 1:
        raise ConfigError(f"n {n}: expected 1 crop or more")
    crops: list[list[Picture]] = []  # of each photograph
    for photo in embedded_photos("held_out"):
        image = read_image(photo.path)
        height, width = (length - length % scale for length in image.shape[1:])
        image = image[:, :height, :width]
        large = restore(degrade(image, photo.name) if degrade else reduced(image, scale))
        windows = islice(busiest(image[:, :-MARGIN, :-MARGIN], side), n)
        crops.append([to_picture(large[:, rows, columns]) for rows, columns in windows])
    selection = [crop for turn in zip_longest(*crops) for crop in turn if crop][:n]
    sheet = Image.new("RGB", (len(selection) * (side + 2) - 2, side), "white")
    for i, crop in enumerate(selection):
        sheet.paste(crop, (i * (side + 2), 0))
    return sheet


def busiest(image: Tensor, side: int) -> Iterator[tuple[slice, slice]]:
    """Non-overlapping windows of side x side pixels (smaller in small images), by descending
    gradient magnitude."""
    grey = image.float().mean(0)  # (H, W)
    detail = torch.zeros_like(grey)
    detail[1:, 1:] = (grey[1:, 1:] - grey[:-1, 1:]).abs() + (grey[1:, 1:] - grey[1:, :-1]).abs()
    height, width = (min(side, n) for n in grey.shape)
    sums = torch.nn.functional.avg_pool2d(detail[None, None], (height, width), stride=STRIDE)[0, 0]  # (h, w)
    while sums.max() >= 0:
        row, column = divmod(int(sums.argmax()), sums.shape[1])
        top, left = row * STRIDE, column * STRIDE
        yield slice(top, top + height), slice(left, left + width)
        down, across = -(-height // STRIDE), -(-width // STRIDE)  # windows in between overlap
        sums[max(row - down + 1, 0) : row + down, max(column - across + 1, 0) : column + across] = -1
