"""Metrics of image translation, and images that show it: next to the truth where there is one, as
sets of images in any case."""

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from multigen.engine.distributed import all_sum, rank, world
from multigen.image.backbones import DIMENSIONS, POOLED
from multigen.image.files import to_picture
from multigen.image.metrics import DEFINITIONS as IMAGE
from multigen.image.metrics import NOISY, ImageScores
from multigen.image.perceptual import DEFINITIONS as DISTANCES
from multigen.image.perceptual import PerceptualDistance
from multigen.image.translation.domains import DomainSet
from multigen.metrics.distances import DEFINITIONS as SETS
from multigen.metrics.distances import Moments, frechet_distance
from multigen.tasks.translation.base import Translate

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

__all__ = ["FEW", "FRECHET", "chroma_error", "definitions", "saturation", "score", "sheet"]

FRECHET = "fd_efficientnet_lite0"
FEW = 10  # images of a paired set, with fewer of which the Fréchet distance is left out
GREY = 0.01  # saturation of a domain, below which it has none to compare with
SIDE = 160  # pixels: the longer side of an image that is shown
PAIRED = ("ssim",)
OWN = {
    "psnr": "PSNR in dB (peak 255) of the mean squared error over the pixels and channels of all images, each of which counts "
    "alike: images that equal the truth do not make it infinite.",
    "class_kept": "Share of the translated images that are of the input's class, by a classifier trained on the training images "
    "of both domains and their labels.",
    "chroma_error": "Mean over pixels of the distance of the chroma planes Cb and Cr (BT.601, 0..255) from the truth's; mean "
    "over images.",
    "saturation": "Mean saturation (of HSV: largest less smallest channel, over the largest; 0 for black) of all pixels, over "
    "that of the images of the other domain; 1: as colourful as these.",
}


def chroma_error(image: Tensor, truth: Tensor) -> float:
    """Mean distance of the chroma planes of two images, uint8 (3, H, W)."""
    red, green, blue = image.double() - truth.double()
    cb, cr = (
        -0.168736 * red - 0.331264 * green + 0.5 * blue,
        0.5 * red - 0.418688 * green - 0.081312 * blue,
    )
    return torch.hypot(cb, cr).mean().item()


def saturation(image: Tensor) -> float:
    """Mean saturation, 0..1, of an image, uint8 (3, H, W)."""
    x = image.double()
    most = x.amax(0)
    return ((most - x.amin(0)) / most.clamp(min=1)).mean().item()


@torch.no_grad()
def score(
    translators: Mapping[str, Translate],
    sets: Sequence[DomainSet],
    distances: Sequence[PerceptualDistance],
    features_of: Callable[[Tensor], Tensor],
    device: torch.device,
    needed: Collection[str] | None = None,
) -> dict[str, dict[str, float]]:
    """Row -> "SET/metric" -> value of models and baselines, which map inputs of the sets to images
    of the same size.

    Ranks share the images; all get the result.

    Args:
        distances: to the truth, where there is one.
        features_of: images (B, 3, H, W), 0..255 -> features (B, D) by which sets of images are
            compared.
        needed: slow metrics that are measured, of those with features; None: all.
    """
    distances = [d for d in distances if needed is None or d.name in needed]
    rows: dict[str, dict[str, float]] = {name: {} for name in translators}
    for items in sets:
        expected = not items.paired or (len(items.inputs) >= FEW and (needed is None or FRECHET in needed))
        extract = features_of if expected else None
        colours, features = _each(len(items.targets), items.targets.__getitem__, _colour, 1, extract, device)
        real, colour = _moments(features), colours[:, 0].mean().item()
        for name, translate in translators.items():
            row = _row(items, translate, distances, extract, real, device)
            own = row.pop("saturation")
            row |= {"saturation": own / colour} if colour > GREY else {}
            rows[name] |= {f"{items.name}/{metric}": value for metric, value in row.items()}
    return rows


def _row(
    items: DomainSet,
    translate: Translate,
    distances: Sequence[PerceptualDistance],
    extract: Callable[[Tensor], Tensor] | None,
    real: Moments | None,
    device: torch.device,
) -> dict[str, float]:
    """Metric -> value of what `translate` makes of a set; `saturation` is not yet divided by that
    of the other domain."""
    scores = ImageScores(0, PAIRED, device)

    def measure(image: Tensor, i: int) -> list[float]:
        if not items.paired:
            return _colour(image, i)
        truth = items.targets[i]
        scores.update(image, truth)
        error = (image.double() - truth.double()).square().mean().item()
        far = (_distance(d, image, truth, device) for d in distances)
        return [saturation(image), error, chroma_error(image, truth), *far]

    names = ["saturation", *(["error", "chroma_error", *(d.name for d in distances)] if items.paired else [])]
    figures, features = _each(
        len(items.inputs), lambda i: translate(items.inputs[i]), measure, len(names), extract, device
    )
    row = dict(zip(names, figures.mean(0).tolist(), strict=True))
    if items.paired:
        error = row.pop("error")
        psnr = 10 * math.log10(255**2 / error) if error else math.inf
        row = {"psnr": psnr, **scores.compute(), **row}
    fake = _moments(features)
    return row if fake is None or real is None else row | {FRECHET: frechet_distance(real, fake)}


def _each(
    count: int,
    image_of: Callable[[int], Tensor],
    measure: Callable[[Tensor, int], list[float]],
    figures: int,
    extract: Callable[[Tensor], Tensor] | None,
    device: torch.device,
) -> tuple[Tensor, Tensor | None]:
    """The figures (count, figures) and the features (count, D) of images, which the ranks share."""
    table = torch.zeros(count, figures + DIMENSIONS * (extract is not None), dtype=torch.float64, device=device)
    for i in range(rank(), count, world()):
        image = image_of(i)
        table[i, :figures] = torch.tensor(measure(image, i), dtype=torch.float64)
        if extract:
            table[i, figures:] = extract(image[None].to(device))[0]
    table = all_sum(table)
    return table[:, :figures], table[:, figures:] if extract else None


def _colour(image: Tensor, i: int) -> list[float]:
    return [saturation(image)]


def _moments(features: Tensor | None) -> Moments | None:
    """Of features (N, D), one of which alone counts as two that are equal."""
    if features is None:
        return None
    moments = Moments(features.shape[1], features.device)
    moments.add(features if len(features) > 1 else features.expand(2, -1))
    return moments


def _distance(distance: PerceptualDistance, image: Tensor, truth: Tensor, device: torch.device) -> float:
    dtype = next(distance.parameters()).dtype
    one, other = (x[None].to(device, dtype) / 255 for x in (image, truth))
    return distance(one, other).item()


def definitions(distances: Sequence[PerceptualDistance]) -> dict[str, str]:
    """Definitions of the metrics of `score`."""
    result = {m: IMAGE[m].replace(NOISY, "") for m in PAIRED} | OWN | {d.name: DISTANCES[d.name] for d in distances}
    return result | {FRECHET: f"{SETS['frechet']}; features: {POOLED}"}


def sheet(columns: Mapping[str, Sequence[Tensor]]) -> "Picture":
    """Images uint8 (3, H, W) side by side under the names of their columns, one row for each index;
    large ones are reduced."""
    from PIL import Image, ImageDraw

    rows = [[_shown(image) for image in row] for row in zip(*columns.values(), strict=True)]
    width = max([picture.width for row in rows for picture in row])
    heights = [max(picture.height for picture in row) for row in rows]
    result = Image.new("RGB", (len(columns) * (width + 4), sum(heights) + 4 * len(rows) + 16), "white")
    draw = ImageDraw.Draw(result)
    for i, name in enumerate(columns):
        draw.text((i * (width + 4) + 4, 2), name, fill="black")
    top = 16
    for row, height in zip(rows, heights, strict=True):
        for i, picture in enumerate(row):
            result.paste(picture, (i * (width + 4), top))
        top += height + 4
    return result


def _shown(image: Tensor) -> "Picture":
    """Its longer side in `SIDE` pixels, or of a small image the largest multiple of its own that
    fits."""
    from PIL import Image

    picture = to_picture(image)
    longer = max(picture.size)
    if longer <= SIDE:
        times = SIDE // longer
        return picture.resize((times * picture.width, times * picture.height), Image.Resampling.NEAREST)
    size = (max(1, round(side * SIDE / longer)) for side in picture.size)
    return picture.resize((next(size), next(size)), Image.Resampling.LANCZOS)
