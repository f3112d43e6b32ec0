"""Metrics of audio restoration, and spectrograms that show models side by side."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from multigen.audio.metrics import DEFINITIONS, METRICS, SoundScores
from multigen.audio.restoration.test_sets import TestSet
from multigen.audio.spectral import magnitude
from multigen.console import counted, say, say_once
from multigen.engine.distributed import all_sum, rank, world
from multigen.errors import ConfigError, DataError
from multigen.tasks.restoration.base import Restore

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

__all__ = ["available", "comparison", "definitions", "score", "spectrogram"]

SECONDS = 1.6  # shown of a recording: where it is loudest
WIDTH, HEIGHT, GAP, TITLE = 320, 200, 4, 16  # pixels of a spectrogram, between two, of their names
RANGE = 70  # dB from black to white
WINDOW, HOP = 0.032, 0.005  # seconds


def available(metrics: Sequence[str], rate: int) -> tuple[str, ...]:
    """Those of these metrics that are defined at this rate and whose packages are installed; says
    which are not, and why."""
    result = []
    for metric in metrics:
        try:
            SoundScores(rate, (metric,))
            result.append(metric)
        except ConfigError as error:
            say_once(f"{metric} is not measured: {error}")
    return tuple(result)


def score(
    restorers: Mapping[str, Restore],
    sets: Sequence[TestSet],
    metrics: Sequence[str],
    device: torch.device | str = "cpu",
) -> dict[str, dict[str, float]]:
    """Row -> "SET/metric" -> mean over the recordings of models and baselines, which map inputs
    (T,) to recordings (T,).

    A recording that a metric cannot measure in one of the rows, as where a model is silent, is left
    out of that metric in all rows, and a message says so; a metric without any is left out. Ranks
    share the recordings; all get the result.
    """
    rows: dict[str, dict[str, float]] = {name: {} for name in restorers}
    for test in sets:
        values = torch.zeros(2, len(metrics), len(restorers), len(test.targets), dtype=torch.float64, device=device)
        reasons: dict[str, str] = {}
        for i in range(rank(), len(test.targets), world()):
            for row, (name, restore) in enumerate(restorers.items()):
                made = restore(test.inputs[i])
                for which, metric in enumerate(metrics):
                    try:
                        value = float(METRICS[metric](made, test.targets[i], test.rate))
                    except DataError as error:
                        reasons.setdefault(metric, f"{test.names[i]}, {name}: {error}")
                    else:
                        values[:, which, row, i] = torch.tensor([value, 1.0])
        scores, measured = all_sum(values).unbind()  # (metrics, rows, recordings) each
        for which, metric in enumerate(metrics):
            usable = measured[which].bool().all(0)
            if metric in reasons:
                left = counted(int((~usable).sum()), "recordings")
                say(f"{test.name}/{metric}: {left} of {len(usable)} cannot be measured, such as {reasons[metric]}")
            if usable.any():
                means = scores[which][:, usable].mean(1).tolist()
                for name, mean in zip(restorers, means, strict=True):
                    rows[name][f"{test.name}/{metric}"] = mean
    return rows


def definitions(metrics: Sequence[str]) -> dict[str, str]:
    """Definitions of the metrics of `score`."""
    return {metric: DEFINITIONS[metric] for metric in metrics}


# ------------------------------------------------------------------------------------------------------ spectrograms


def comparison(restorers: Mapping[str, Restore], *sets: TestSet, most: int = 3) -> "tuple[Picture, Tensor]":
    """Spectrograms side by side under their names, each restorer's and the original's, one row for
    each recording, the first `most` of all sets; and the same, one row after another, as one sound
    (1, T)."""
    from PIL import Image, ImageDraw

    recordings = [(test, i) for test in sets for i in range(len(test.targets))][:most]
    names = [*restorers, "original"]
    size = (len(names) * (WIDTH + GAP) - GAP, len(recordings) * (HEIGHT + GAP) + TITLE - GAP)
    sheet, sounds = Image.new("RGB", size, "white"), []
    draw = ImageDraw.Draw(sheet)
    for column, name in enumerate(names):
        draw.text((column * (WIDTH + GAP) + 2, 2), name, fill="black")
    for row, (test, i) in enumerate(recordings):
        window = loudest(test.targets[i], round(SECONDS * test.rate))
        top = float(_decibels(test.targets[i][window], test.rate).max())
        for column, name in enumerate(names):
            sound = test.targets[i] if name == "original" else restorers[name](test.inputs[i])
            sounds += [sound.cpu(), torch.zeros(test.rate // 5)]
            tile = spectrogram(sound[window].cpu(), test.rate, top)
            sheet.paste(tile, (column * (WIDTH + GAP), TITLE + row * (HEIGHT + GAP)))
    return sheet, torch.cat(sounds)[None]


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
