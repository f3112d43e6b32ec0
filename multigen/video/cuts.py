"""Scene-cut detection: where a recurrent model must reset its hidden state."""

import numpy as np

__all__ = ["Cuts"]

SIDE = 32  # of the squares that frames are compared in, at most: small motions do not count
JUMP = 0.1  # change of the mean of a square, of 0..1, that a cut has at least
TIMES = 3.0  # and how many times that of the frames before


class Cuts:
    """Finds the frames with which scenes begin, in one pass: `begins` takes each frame in turn.

    A cut is a jump in the mean absolute difference between consecutive downsampled frames: at
    least `JUMP` of the full range, and `TIMES` the running mean of earlier differences, so that
    flicker and fast pans are not cuts.
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
    """The frame in 0..1, downsampled by block averaging to at most `SIDE` pixels a side."""
    height, width = frame.shape[:2]
    step = max(1, -(-max(height, width) // SIDE))
    rows, columns = np.arange(0, height, step), np.arange(0, width, step)
    sums = np.add.reduceat(np.add.reduceat(frame.astype(np.float64), rows, 0), columns, 1)
    counts = np.diff([*rows, height])[:, None, None] * np.diff([*columns, width])[None, :, None]
    return sums / counts / np.iinfo(frame.dtype).max
