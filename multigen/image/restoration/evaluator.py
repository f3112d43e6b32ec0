"""Metrics and comparison sheets of super-resolution, beside bicubic interpolation."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from multigen.engine.distributed import all_sum, rank, world
from multigen.image.degrade import imresize
from multigen.image.files import to_picture
from multigen.image.metrics import DEFINITIONS, ImageScores
from multigen.image.perceptual import DEFINITIONS as DISTANCES
from multigen.image.perceptual import PerceptualDistance
from multigen.image.restoration.test_sets import TestSet
from multigen.image.restoration.upscaler import Upscaler

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

__all__ = ["comparison", "score_upscalers"]


def score_upscalers(
    upscalers: Mapping[str, Upscaler | None], sets: Sequence[TestSet], distances: Sequence[PerceptualDistance], device
) -> dict[str, dict[str, float]]:
    """Row -> "SET/metric" -> figure; None stands for bicubic interpolation. Ranks share the pictures; all get the result."""
    rows: dict[str, dict[str, float]] = {name: {} for name in upscalers}
    for test in sets:
        scores = {name: ImageScores(test.scale, device=device) for name in upscalers}
        far = torch.zeros(len(upscalers), len(distances), dtype=torch.float64, device=device)
        for i in range(rank(), len(test.high), world()):
            real = [_features(d, test.high[i], device) for d in distances]
            for row, (name, upscaler) in enumerate(upscalers.items()):
                image = imresize(test.low[i], test.scale) if upscaler is None else upscaler(test.low[i])
                scores[name].update(image, test.high[i])
                for column, d in enumerate(distances):
                    far[row, column] += d.between(_features(d, image, device), real[column]).item()
        means = (all_sum(far) / len(test.high)).tolist()
        for name, distant in zip(upscalers, means, strict=True):
            figures = scores[name].compute() | {d.name: value for d, value in zip(distances, distant, strict=True)}
            rows[name] |= {f"{test.name}/{metric}": value for metric, value in figures.items()}
    return rows


@torch.no_grad()
def _features(distance: PerceptualDistance, image: Tensor, device) -> list[Tensor]:
    dtype = next(distance.parameters()).dtype
    return distance.features(image[None].to(device, dtype) / 255)


def definitions(distances: Sequence[PerceptualDistance]) -> dict[str, str]:
    """What the figures of `score_upscalers` are."""
    return {m: DEFINITIONS[m] for m in ("psnr_y", "ssim_y")} | {d.name: DISTANCES[d.name] for d in distances}


def comparison(upscalers: Mapping[str, Upscaler | None], *sets: TestSet, side: int = 160, most: int = 4) -> "Picture":
    """Crops side by side under their names: each upscaler's and the original's; a row a picture, the first `most` of all sets.

    The crop of a picture is the window of `side` pixels with the most detail, at the centre of its strongest gradients.
    """
    from PIL import Image, ImageDraw

    pictures = [(test, i) for test in sets for i in range(len(test.high))][:most]
    names = [*upscalers, "original"]
    zoom = 2
    sheet = Image.new("RGB", (len(names) * (side * zoom + 4), len(pictures) * (side * zoom + 4) + 16), "white")
    draw = ImageDraw.Draw(sheet)
    for column, name in enumerate(names):
        draw.text((column * (side * zoom + 4) + 4, 2), name, fill="black")
    for row, (test, i) in enumerate(pictures):
        window = _busiest(test.high[i], side)
        for column, name in enumerate(names):
            if name == "original":
                image = test.high[i]
            else:
                upscaler = upscalers[name]
                image = imresize(test.low[i], test.scale) if upscaler is None else upscaler(test.low[i])
            crop = to_picture(image[:, window[0], window[1]])
            crop = crop.resize((crop.width * zoom, crop.height * zoom), Image.Resampling.NEAREST)
            sheet.paste(crop, (column * (side * zoom + 4), row * (side * zoom + 4) + 16))
    return sheet


def _busiest(image: Tensor, side: int) -> tuple[slice, slice]:
    """The window of side x side pixels (less, in small pictures) with the largest sum of gradients."""
    grey = image.float().mean(0)  # (H, W)
    detail = torch.zeros_like(grey)
    detail[1:, 1:] = (grey[1:, 1:] - grey[:-1, 1:]).abs() + (grey[1:, 1:] - grey[1:, :-1]).abs()
    height, width = (min(side, n) for n in grey.shape)
    sums = torch.nn.functional.avg_pool2d(detail[None, None], (height, width), stride=8)[0, 0]  # (h, w)
    top, left = divmod(int(sums.argmax()), sums.shape[1])
    return slice(top * 8, top * 8 + height), slice(left * 8, left * 8 + width)
