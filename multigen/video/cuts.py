"""Scene cuts: where a recurrent model must forget what it saw."""

from collections.abc import Iterable, Iterator

import numpy as np

__all__ = ["cuts"]

SIDE = 32  # of the squares that frames are compared in, at most: small motions do not count
JUMP = 0.1  # change of the mean of a square, of 0..1, that a cut has at least
TIMES = 3.0  # and how many times that of the frames before


def cuts(frames: Iterable[np.ndarray]) -> Iterator[bool]:
    """For each frame (H, W, C), of integers, whether a new scene begins with it; of the first one
    True.

    A cut is a jump of the mean absolute difference to the frame before, of the frames reduced to
    squares: at least `JUMP` of the whole range, and `TIMES` as much as the running mean of the
    differences before it, so that a flicker or a fast pan is none.
    """
    before, usual = None, 0.0
    for frame in frames:
        small = _reduced(frame)
        if before is None or small.shape != before.shape:
            before, usual = small, 0.0
            yield True
            continue
        change = float(np.abs(small - before).mean())
        cut = change >= JUMP and change >= TIMES * usual
        usual = 0.0 if cut else 0.8 * usual + 0.2 * change
        before = small
        yield cut


def _reduced(frame: np.ndarray) -> np.ndarray:
    """Means of squares, in 0..1, at most `SIDE` in a row or column."""
    height, width = frame.shape[:2]
    step = max(1, -(-max(height, width) // SIDE))
    rows, columns = np.arange(0, height, step), np.arange(0, width, step)
    sums = np.add.reduceat(np.add.reduceat(frame.astype(np.float64), rows, 0), columns, 1)
    counts = np.diff([*rows, height])[:, None, None] * np.diff([*columns, width])[None, :, None]
    return sums / counts / np.iinfo(frame.dtype).max
