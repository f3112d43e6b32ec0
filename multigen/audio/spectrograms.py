"""Spectrograms of sounds side by side, to compare models by eye."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from multigen.audio.spectral import magnitude

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

__all__ = ["GAP", "HEIGHT", "SECONDS", "WIDTH", "loudest", "side_by_side", "spectrogram"]

SECONDS = 1.6  # shown of a recording: where it is loudest
WIDTH, HEIGHT, GAP, TITLE = 320, 200, 4, 16  # pixels of a spectrogram, between two, of their names
RANGE = 70  # dB from black to white
WINDOW, HOP = 0.032, 0.005  # seconds


def side_by_side(rows: Sequence[Mapping[str, Tensor]], rate: int) -> "Picture":
    """Spectrograms of sounds (T,) under their names, the same in all rows. White is the loudest of
    the last sound of each row."""
    from PIL import Image, ImageDraw

    names = [*rows[0]]
    size = (len(names) * (WIDTH + GAP) - GAP, len(rows) * (HEIGHT + GAP) + TITLE - GAP)
    sheet = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(sheet)
    for column, name in enumerate(names):
        draw.text((column * (WIDTH + GAP) + 2, 2), name, fill="black")
    for number, row in enumerate(rows):
        top = float(_decibels(row[names[-1]], rate).max())
        for column, sound in enumerate(row.values()):
            tile = spectrogram(sound.cpu(), rate, top)
            sheet.paste(tile, (column * (WIDTH + GAP), TITLE + number * (HEIGHT + GAP)))
    return sheet


def loudest(sound: Tensor, length: int) -> slice:
    """The part of a sound (T,) of so many samples, or all of it, that has the most energy."""
    length = min(length, len(sound))
    energy = torch.cat([torch.zeros(1, dtype=torch.float64), sound.double().square().cumsum(0)])
    first = int((energy[length:] - energy[:-length]).argmax())
    return slice(first, first + length)


def spectrogram(sound: Tensor, rate: int, top: float | None = None) -> "Picture":
    """A grey image of a sound (T,), linear in frequency, low ones at the bottom: white is `top` dB,
    or the sound's loudest."""
    from PIL import Image

    level = _decibels(sound, rate)  # (F, frames)
    top = float(level.max()) if top is None else top
    grey = ((level - top) / RANGE + 1).clamp(0, 1).flip(0) * 255
    picture = Image.fromarray(grey.round().to(torch.uint8).numpy())
    return picture.resize((WIDTH, HEIGHT), Image.Resampling.BILINEAR)


def _decibels(sound: Tensor, rate: int) -> Tensor:
    size = 1 << round(math.log2(max(WINDOW * rate, 8)))
    sound = torch.nn.functional.pad(sound.float(), (0, max(size - len(sound), 0)))
    return 20 * magnitude(sound, size, max(round(HOP * rate), 1)).clamp(min=1e-6).log10()
