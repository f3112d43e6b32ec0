"""Scene-cut detection: where a recurrent model must reset its hidden state."""

from collections.abc import Iterable, Iterator

import numpy as np

__all__ = ["cuts"]

SIDE = 32  # of the squares that frames are compared in, at most: small motions do not count
JUMP = 0.1  # change of the mean of a square, of 0..1, that a cut has at least
TIMES = 3.0  # and how many times that of the frames before


def cuts(frames: Iterable[np.ndarray]) -> Iterator[bool]:
    """Yields for each frame, an integer array (H, W, C), whether it begins a new scene; True for
    the first.

    A cut is a jump in the mean absolute difference between consecutive downsampled frames: at
    least `JUMP` of the full range, and `TIMES` the running mean of earlier differences, so that
    flicker and fast pans are not cuts.
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
    """The frame in 0..1, downsampled by block averaging to at most `SIDE` pixels a side."""
    height, width = frame.shape[:2]
    step = max(1, -(-max(height, width) // SIDE))
    rows, columns = np.arange(0, height, step), np.arange(0, width, step)
    sums = np.add.reduceat(np.add.reduceat(frame.astype(np.float64), rows, 0), columns, 1)
    counts = np.diff([*rows, height])[:, None, None] * np.diff([*columns, width])[None, :, None]
    return sums / counts / np.iinfo(frame.dtype).max
