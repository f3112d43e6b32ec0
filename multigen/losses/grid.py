"""Loss of enlarged images by a grid with the period of the enlargement."""

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["grid_error"]

PERIODS = 12  # averaged in either direction: there, what is no grid has nearly cancelled
EPS = 1e-8  # under the root, whose derivative at 0 is infinite


def grid_error(fake: Tensor, real: Tensor, period: int) -> Tensor:
    """How much of the difference of images (B, C, H, W) in 0..1 repeats after `period` pixels; 0-d.

    Each of the `period` x `period` pixels of a square is averaged over neighbouring squares, 12 by
    12 of them where there are as many. The averages differ where the difference is a grid, and are
    all the same, but for chance, where it is not: their standard deviation is averaged over places
    and channels. A period of 1 has no grid.
    """
    b, c, h, w = fake.shape
    rows, columns = h // period, w // period
    difference = (fake - real)[..., : rows * period, : columns * period]
    squares = difference.reshape(b * c, rows, period, columns, period).permute(0, 2, 4, 1, 3)
    pixels = squares.reshape(b * c, period**2, rows, columns)
    window = min(PERIODS, rows), min(PERIODS, columns)
    means = F.avg_pool2d(pixels, window, stride=(max(window[0] // 2, 1), max(window[1] // 2, 1)))
    return torch.sqrt((means - means.mean(1, keepdim=True)).square().mean(1) + EPS).mean()
