"""Applies a function to an image in tiles, so that memory does not grow with the image; tiles
shrink where memory is short."""

from collections.abc import Callable, Iterator

import numpy as np
import torch

from multigen.console import say
from multigen.errors import OutOfMemory
from multigen.memory import is_memory_error

__all__ = ["LEAST", "TILE", "WHOLE", "fill", "multiple"]

TILE = 256  # side of a tile, pixels of the input
WHOLE = 1 << 31  # side of a tile that holds any image
LEAST = 32  # side of the smallest tile that is tried where memory is short


def fill(
    result: np.ndarray,
    image: np.ndarray,
    scale: int,
    function: Callable[[np.ndarray], np.ndarray],
    side: int,
    around: int,
    done: Callable[[int], object],
    fade: int = 0,
    step: int = 1,
) -> int:
    """Applies `function`, (h, w, C) -> (s h, s w, C or more), to integers (H, W, C) in tiles, and
    writes `result` (s H, s W, C or more).

    Args:
        side: of a tile, pixels of the input; halved each time that memory runs out.
        around: pixels of context on each side of a tile.
        done: called after each tile with the number of its pixels; negative for pixels that will be
            processed again.
        fade: pixels on either side of a seam over which tiles are cross-faded.
        step: positions of tiles are multiples of it.

    Returns the side to continue with. Raises OutOfMemory where memory does not suffice for tiles of
    `LEAST` pixels.
    """
    first = now = multiple(min(side, max(image.shape[:2])), step)
    while not _fits(result, image, scale, function, now, around, done, fade):
        half = multiple(now // 2, step)
        if not LEAST <= half < now:
            raise OutOfMemory(
                f"out of memory with tiles of {now} pixels and {around} around them; close other programs, or choose a smaller "
                "model"
            )
        now = half
    if now == first:
        return side
    say(f"out of memory with tiles of {first} pixels; continuing with tiles of {now}")
    return now


def multiple(length: int, step: int) -> int:
    """The smallest multiple of `step` that is at least `length`."""
    return -(-length // step) * step


def _fits(
    result: np.ndarray,
    image: np.ndarray,
    scale: int,
    function: Callable[[np.ndarray], np.ndarray],
    side: int,
    around: int,
    done: Callable[[int], object],
    fade: int,
) -> bool:
    """Fills `result`. False if memory ran out, of the CPU or of a GPU; all of it is freed then."""
    pixels = 0
    try:
        for more in _fill(result, image, scale, function, side, around, fade):
            pixels += more
            done(more)
        return True
    except Exception as error:
        if not is_memory_error(error):
            raise
    done(-pixels)
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    return False


def _fill(
    result: np.ndarray,
    image: np.ndarray,
    s: int,
    function: Callable[[np.ndarray], np.ndarray],
    side: int,
    around: int,
    fade: int,
) -> Iterator[int]:
    """Yields after each tile the number of its pixels."""
    height, width = image.shape[:2]
    for top in range(0, height, side):
        for left in range(0, width, side):
            bottom, right = min(top + side, height), min(left + side, width)
            y, x = max(top - around, 0), max(left - around, 0)
            large = function(image[y : bottom + around, x : right + around])
            # The part written: the tile, and next to other tiles some of its surroundings.
            first, last = (max(top - fade, 0), max(left - fade, 0)), (bottom + fade, right + fade)
            large = large[s * (first[0] - y) : s * (last[0] - y), s * (first[1] - x) : s * (last[1] - x)]
            place = result[s * first[0] : s * last[0], s * first[1] : s * last[1]]
            place[:] = _faded(place, large, s * (top - first[0]), s * (left - first[1])) if fade else large
            yield (bottom - top) * (right - left)


def _faded(old: np.ndarray, new: np.ndarray, above: int, beside: int) -> np.ndarray:
    """Integers (h, w, C): a linear cross-fade from `old` to `new` over the first 2 `above` rows and
    2 `beside` columns."""
    weights = np.ones(new.shape[:2], np.float32)
    for count, rows in ((above, weights), (beside, weights.T)):
        if count:
            ramp = (np.arange(2 * count, dtype=np.float32) + 0.5) / (2 * count)
            rows[: 2 * count] *= ramp[: len(rows), None]
    mixed = old + (new.astype(np.float32) - old) * weights[..., None]
    return np.rint(mixed).astype(new.dtype)
