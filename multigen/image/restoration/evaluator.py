"""Evaluation of image restoration: metrics, and side-by-side comparisons."""

from collections.abc import Callable, Mapping, Sequence
from itertools import zip_longest
from types import MappingProxyType
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from multigen.engine.distributed import all_sum, rank, world
from multigen.image.files import to_picture
from multigen.image.metrics import DEFINITIONS, ImageScores
from multigen.image.perceptual import DEFINITIONS as DISTANCES
from multigen.image.perceptual import PerceptualDistance
from multigen.image.restoration.corruption import to_bytes
from multigen.image.restoration.test_sets import TestSet
from multigen.image.sheets import SIDE, busiest
from multigen.tasks.restoration.base import Restore

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

__all__ = ["comparison", "definitions", "score"]


def score(
    restorers: Mapping[str, Restore],
    sets: Sequence[TestSet],
    distances: Sequence[PerceptualDistance],
    device,
    metrics: Sequence[str] = ("psnr_y", "ssim_y"),
    further: Mapping[str, Callable[[Tensor, Tensor, Tensor], float]] = MappingProxyType({}),
) -> dict[str, dict[str, float]]:
    """Row -> "SET/metric" -> value for models and baselines, which map test inputs to images
    (3, scale H, scale W).

    Ranks share the images; all get the result.

    Args:
        metrics: names of `multigen.image.metrics`.
        further: metric -> (image, target, input) -> its value.
    """
    rows: dict[str, dict[str, float]] = {name: {} for name in restorers}
    for test in sets:
        scores = {name: ImageScores(test.scale, metrics, device) for name in restorers}
        names = [*further, *(d.name for d in distances)]
        sums = torch.zeros(len(restorers), len(names), dtype=torch.float64, device=device)
        for i in range(rank(), len(test.targets), world()):
            real = [_features(d, test.targets[i], device) for d in distances]
            given = test.inputs[i]
            for row, (name, restore) in enumerate(restorers.items()):
                image = restore(given)
                scores[name].update(image, test.targets[i])
                values = [measure(image, test.targets[i], given) for measure in further.values()]
                values += [
                    d.between(_features(d, image, device), features).item()
                    for d, features in zip(distances, real, strict=True)
                ]
                sums[row] += torch.tensor(values, dtype=sums.dtype, device=device)
        means = (all_sum(sums) / len(test.targets)).tolist()
        for name, mean in zip(restorers, means, strict=True):
            figures = scores[name].compute() | dict(zip(names, mean, strict=True))
            rows[name] |= {f"{test.name}/{metric}": value for metric, value in figures.items()}
    return rows


@torch.no_grad()
def _features(distance: PerceptualDistance, image: Tensor, device) -> list[Tensor]:
    dtype = next(distance.parameters()).dtype
    return distance.features(to_bytes(image)[None].to(device, dtype) / 255)


def definitions(
    distances: Sequence[PerceptualDistance], metrics: Sequence[str] = ("psnr_y", "ssim_y")
) -> dict[str, str]:
    """Definitions of the metrics of `score`."""
    return {m: DEFINITIONS[m] for m in metrics} | {d.name: DISTANCES[d.name] for d in distances}


def comparison(restorers: Mapping[str, Restore], *sets: TestSet, side: int = SIDE, most: int = 4) -> "Picture":
    """Crops side by side under their names: each restorer's and the original's, one row per image,
    the first `most`, of the sets by turns.

    The crop of an image is the window of `side` pixels with the most detail, shown at twice its
    size.
    """
    from PIL import Image, ImageDraw

    turns = zip_longest(*([(test, i) for i in range(len(test.targets))] for test in sets))
    images = [image for turn in turns for image in turn if image][:most]
    side = min(side, max(max(test.targets[i].shape[1:]) for test, i in images))
    names = [*restorers, "original"]
    zoom = 2
    sheet = Image.new("RGB", (len(names) * (side * zoom + 4), len(images) * (side * zoom + 4) + 16), "white")
    draw = ImageDraw.Draw(sheet)
    for column, name in enumerate(names):
        draw.text((column * (side * zoom + 4) + 4, 2), name, fill="black")
    for row, (test, i) in enumerate(images):
        window, given = next(busiest(test.targets[i], side)), test.inputs[i]
        for column, name in enumerate(names):
            image = test.targets[i] if name == "original" else to_bytes(restorers[name](given))
            crop = to_picture(image[:, window[0], window[1]])
            crop = crop.resize((crop.width * zoom, crop.height * zoom), Image.Resampling.NEAREST)
            sheet.paste(crop, (column * (side * zoom + 4), row * (side * zoom + 4) + 16))
    return sheet
