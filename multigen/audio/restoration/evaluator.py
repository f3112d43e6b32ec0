"""Metrics of audio restoration, and spectrograms that show models side by side."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from multigen.audio.metrics import DEFINITIONS, METRICS, SoundScores
from multigen.audio.restoration.test_sets import TestSet
from multigen.audio.spectrograms import SECONDS, loudest, side_by_side
from multigen.console import counted, say, say_once
from multigen.engine.distributed import all_sum, rank, world
from multigen.errors import ConfigError, DataError
from multigen.tasks.restoration.base import Restore

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

__all__ = ["available", "comparison", "definitions", "score"]


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


def comparison(restorers: Mapping[str, Restore], *sets: TestSet, most: int = 3) -> "tuple[Picture, Tensor]":
    """Spectrograms side by side under their names, each restorer's and the original's, one row for
    each recording, the first `most` of all sets; and the same, one row after another, as one sound
    (1, T)."""
    rows, sounds = list[dict[str, Tensor]](), list[Tensor]()
    recordings = [(test, i) for test in sets for i in range(len(test.targets))]
    for test, i in recordings[:most]:
        made = {name: restore(test.inputs[i]).cpu() for name, restore in restorers.items()}
        made["original"] = test.targets[i].cpu()
        window = loudest(test.targets[i], round(SECONDS * test.rate))
        rows.append({name: sound[window] for name, sound in made.items()})
        sounds += [part for sound in made.values() for part in (sound, torch.zeros(test.rate // 5))]
    return side_by_side(rows, sets[0].rate), torch.cat(sounds)[None]
