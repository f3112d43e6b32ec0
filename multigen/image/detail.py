"""How much of an image's fine detail a restored one has, whether it is in the right places, and
whether it is a grid."""

import torch
from torch import Tensor

__all__ = ["detail", "gradient_correlation", "gradient_lengths", "grid"]

WINDOW = 64  # side of the windows whose spectra are averaged, pixels; less by what the period leaves over
NEAR, FAR = 3, 5  # frequencies from a peak, between which lie those that it is compared with
LEAST = 8  # periods that a window has
FLOOR = 1e-3  # grey levels, less than any rounding: flat images have a detail of 1, and equal ones a grid of 0 dB


def gradient_lengths(luma: Tensor) -> Tensor:
    """(..., H, W) -> (..., H - 1, W - 1): lengths of the gradients, which are differences of
    neighbours."""
    down, across = luma[..., 1:, 1:] - luma[..., :-1, 1:], luma[..., 1:, 1:] - luma[..., 1:, :-1]
    return torch.hypot(down, across)


def detail(prediction: Tensor, target: Tensor) -> Tensor:
    """Mean length of the gradients of luma (..., 1, H, W) over the target's, (...): 1 is as much as
    the target has."""
    mean, of_target = (gradient_lengths(x).mean((-3, -2, -1)) for x in (prediction, target))
    return (mean + FLOOR) / (of_target + FLOOR)


def gradient_correlation(prediction: Tensor, target: Tensor) -> Tensor:
    """Correlation of the lengths of the gradients of luma (..., 1, H, W) with the target's, (...):
    1 where detail is where the target has it; 0 where one of them has none."""
    x, y = (gradient_lengths(z).flatten(-3) for z in (prediction, target))
    x, y = x - x.mean(-1, keepdim=True), y - y.mean(-1, keepdim=True)
    norms = torch.linalg.vector_norm(x, dim=-1) * torch.linalg.vector_norm(y, dim=-1)
    return (x * y).sum(-1) / norms.clamp_min(torch.finfo(norms.dtype).tiny)


def grid(prediction: Tensor, target: Tensor, period: int) -> Tensor:
    """The strongest peak, dB, that the spectrum of the difference of luma (..., 1, H, W) has at the
    frequencies of a pattern that repeats after `period` pixels, over its surroundings, (...).
    Random differences have up to 5, a lattice that can be seen 15.

    Spectra are of windows of 64 pixels, Hann-weighted and half overlapping, and averaged; a peak is
    divided by the median of the frequencies 3 to 5 away. 0 for a period of 1, and for images with
    fewer than 8 periods.
    """
    difference = prediction - target  # (..., 1, H, W)
    side = min(WINDOW, *difference.shape[-2:]) // period * period
    if period < 2 or side < LEAST * period:
        return difference.new_zeros(difference.shape[:-3])
    weights = torch.hann_window(side, periodic=False, dtype=difference.dtype, device=difference.device)
    windows = difference.unfold(-2, side, side // 2).unfold(-2, side, side // 2)  # (..., 1, rows, columns, side, side)
    windows = (windows - windows.mean((-2, -1), keepdim=True)) * weights[:, None] * weights
    power = torch.fft.fft2(windows).abs().square().mean((-5, -4, -3))  # (..., side, side)
    every = range(0, side, side // period)
    power = power + FLOOR**2 * weights.square().sum() ** 2  # as much noise in both
    places = [(row, column) for row in every for column in every if row or column]
    peaks = [power[..., row, column] / _around(power, row, column) for row, column in places]
    return 10 * torch.log10(torch.stack(peaks).amax(0))


def _around(power: Tensor, row: int, column: int) -> Tensor:
    """Median of the power (..., n, n) at frequencies near (row, column), (...)."""
    n, steps = power.shape[-1], range(-FAR, FAR + 1)
    near = [(row + i, column + j) for i in steps for j in steps if max(abs(i), abs(j)) >= NEAR]
    rows, columns = (torch.tensor([place[k] % n for place in near]) for k in (0, 1))
    return power[..., rows, columns].median(-1).values
