"""The Wiener filter with decision-directed estimates: a baseline of enhancement without training.

Ephraim and Malah 1984, doi:10.1109/TASSP.1984.1164453, sections II and V (their a-priori ratio,
with Wiener's gain); the noise is taken to be steady, and its spectrum the mean of the quietest
frames of each frequency.
"""

import math

import torch
from torch import Tensor

from multigen.audio import spectral

__all__ = ["wiener"]

WINDOW = 0.032  # seconds, the nearest power of two samples; hop a quarter
QUIET = 0.2  # share of the frames of a frequency that is taken for noise
BIAS = 2.0  # that the mean of these, of smoothed powers, is too small by
SMOOTHED = 9  # frames that powers are averaged over before
MEMORY = 0.98  # of the a-priori ratio: alpha
LEAST = 0.1  # gain: -20 dB


def wiener(sound: Tensor, rate: int) -> Tensor:
    """A noisy sound (..., T) with less noise; a sound of half a window or less as it is."""
    n_fft = 1 << max(round(math.log2(WINDOW * rate)), 3)
    if sound.shape[-1] <= n_fft // 2:
        return sound.clone()
    spectrum = spectral.stft(sound.reshape(-1, sound.shape[-1]), n_fft, n_fft // 4)  # (N, F, frames)
    power = spectrum.abs().square()
    smooth = torch.nn.functional.avg_pool1d(power, SMOOTHED, 1, SMOOTHED // 2, count_include_pad=False)
    count = max(round(QUIET * power.shape[-1]), 1)
    noise = BIAS * smooth.sort(-1).values[..., :count].mean(-1).clamp(min=1e-12)  # (N, F)
    before, gains = torch.ones_like(noise), []
    for ratio in (power / noise[..., None]).unbind(-1):  # the a-posteriori ratio of each frame
        prior = MEMORY * before + (1 - MEMORY) * (ratio - 1).clamp(min=0)
        gain = (prior / (1 + prior)).clamp(min=LEAST)
        before = gain.square() * ratio
        gains.append(gain)
    window = torch.hann_window(n_fft, dtype=power.dtype, device=power.device)
    restored = torch.istft(spectrum * torch.stack(gains, -1), n_fft, n_fft // 4, window=window, length=sound.shape[-1])
    return restored.view(sound.shape)
