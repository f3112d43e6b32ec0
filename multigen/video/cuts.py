"""Scene cuts: where a recurrent model must forget what it saw."""

import numpy as np

__all__ = ["Cuts"]

SIDE = 32  # of the squares that frames are compared in, at most: small motions do not count
JUMP = 0.1  # change of the mean of a square, of 0..1, that a cut has at least
TIMES = 3.0  # and how many times that of the frames before


class Cuts:
    """Finds the frames with which scenes begin, in one pass: `begins` takes each frame in turn.

    A cut is a jump of the mean absolute difference to the frame before, of the frames reduced to
    squares: at least `JUMP` of the whole range, and `TIMES` as much as the running mean of the
    differences before it, so that a flicker or a fast pan is none.
    """

    def __init__(self):
        self.before = np.empty((0, 0, 0))
        """The frame before, reduced."""
        self.usual = 0.0
        """The running mean of the differences."""

    def begins(self, frame: np.ndarray) -> bool:
        """Whether a new scene begins with a frame (H, W, C) of integers; with the first one it
        does."""
        small = _reduced(frame)
        if small.shape != self.before.shape:
            self.before, self.usual = small, 0.0
            return True
        change = float(np.abs(small - self.before).mean())
        cut = change >= JUMP and change >= TIMES * self.usual
        self.usual = 0.0 if cut else 0.8 * self.usual + 0.2 * change
        self.before = small
        return cut


def _reduced(frame: np.ndarray) -> np.ndarray:
    """Means of squares, in 0..1, at most `SIDE` in a row or column."""
    height, width = frame.shape[:2]
    step = max(1, -(-max(height, width) // SIDE))
    rows, columns = np.arange(0, height, step), np.arange(0, width, step)
    sums = np.add.reduceat(np.add.reduceat(frame.astype(np.float64), rows, 0), columns, 1)
    counts = np.diff([*rows, height])[:, None, None] * np.diff([*columns, width])[None, :, None]
    return sums / counts / np.iinfo(frame.dtype).max
