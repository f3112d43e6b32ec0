"""Images of sounds: the waveform, and below it the log-mel spectrogram, low frequencies at the
bottom.

The waveform shows how loud a sound is; the spectrogram is as bright for quiet ones, so that one
sees what they are.
"""

import math
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from multigen.audio.spectral import log_mel
from multigen.tasks.synthesis.sampler import tiled

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

__all__ = ["draw"]

WIDTH, WAVE, BANDS, GAP = 160, 32, 64, 6  # pixels
RANGE = 1e5  # 50 dB of power from black to white, which is the loudest of each sound
QUIET = 1e-3  # mel power of a tone at -50 dB; what is quieter throughout is darker, so that near silence does not look like noise


def draw(sounds: Tensor, rate: int, columns: int = 0, below: Tensor | None = None) -> "Picture":
    """Sounds (N, C, T), row by row, the mean of their channels, as one grey PIL image.

    Args:
        columns: sounds a row; 0: about twice as many rows as columns.
        below: (N, C, T), each drawn under the sound of the same number, as for comparison.
    """
    from PIL import Image

    tiles = [_tile(x.mean(0), rate) for x in sounds.float().cpu()]
    if below is not None:
        tiles = [torch.cat([a, _tile(x.mean(0), rate)]) for a, x in zip(tiles, below.float().cpu(), strict=True)]
    columns = columns or max(1, math.ceil(math.sqrt(len(tiles) / 2)))
    return Image.fromarray(tiled(torch.stack(tiles)[:, None], columns, GAP)[0].numpy())


def _tile(sound: Tensor, rate: int) -> Tensor:
    """uint8 (WAVE + BANDS, WIDTH) of a sound (T,)."""
    wave = torch.full((WAVE, WIDTH), 230, dtype=torch.uint8)
    starts = np.cumsum([0, *(len(part) for part in sound.tensor_split(WIDTH))])[: min(WIDTH, len(sound))]
    levels, middle = sound.clamp(-1, 1).double().numpy(), (WAVE - 1) / 2
    low, high = (np.rint(middle - middle * f.reduceat(levels, starts)) for f in (np.maximum, np.minimum))  # rows
    rows = np.arange(WAVE)[:, None]
    wave[:, : len(starts)][torch.from_numpy((low <= rows) & (rows <= high))] = 0
    n_fft = 1 << max(5, round(math.log2(rate * 0.032)))
    spectrum = log_mel(sound, rate, n_fft, n_fft // 4, BANDS, floor=QUIET / RANGE)  # (BANDS, frames)
    top = spectrum.max().clamp(min=math.log(QUIET))
    grey = (1 + (spectrum - top) / math.log(RANGE)).clamp(0, 1) * 255
    grey = interpolate(grey[None, None], (BANDS, WIDTH), mode="bilinear")[0, 0].flip(0)  # (BANDS, WIDTH)
    return torch.cat([wave, grey.round().to(torch.uint8)])
