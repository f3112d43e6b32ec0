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
from multigen.image.metrics import NOISY, saturation, ssim
from multigen.image.perceptual import DEFINITIONS as DISTANCES
from multigen.image.perceptual import PerceptualDistance
from multigen.image.translation.domains import FEW, DomainSet
from multigen.metrics.distances import DEFINITIONS as SETS
from multigen.metrics.distances import Moments, frechet_distance
from multigen.tasks.translation.base import Translate

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

__all__ = ["FEW", "FRECHET", "chroma_error", "definitions", "score", "sheet"]

FRECHET = "fd_efficientnet_lite0"
GREY = 0.01  # saturation of a domain, below which it has none to compare with
SIDE = 160  # pixels: the longer side of an image that is shown
ERRORS = ("error", "ssim", "chroma_error")  # next to the truth; of the first, the mean square, psnr is made
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
        compared = not items.paired or (len(items.inputs) >= FEW and (needed is None or FRECHET in needed))
        extract = features_of if compared else None
        real = _Table(["saturation"], len(items.targets), extract, device)
        for i in range(rank(), len(items.targets), world()):
            real.add(i, items.targets[i], [saturation(items.targets[i]).item()])
        names = ["saturation", *([*ERRORS, *(d.name for d in distances)] if items.paired else [])]
        tables = {name: _Table(names, len(items.inputs), extract, device) for name in translators}
        for i in range(rank(), len(items.inputs), world()):
            truth = _Truth(items.targets[i], distances, device) if items.paired else None
            for name, translate in translators.items():
                image = translate(items.inputs[i])
                tables[name].add(i, image, [saturation(image).item(), *(truth.errors(image) if truth else [])])
        real.share()
        for name, table in tables.items():
            rows[name] |= {f"{items.name}/{metric}": value for metric, value in _row(table, real).items()}
    return rows


def _row(table: "_Table", real: "_Table") -> dict[str, float]:
    """Metric -> value of the images of a row, next to those of the other domain."""
    table.share()
    row, colour = table.means(), real.means()["saturation"]
    own = row.pop("saturation")
    if (error := row.pop("error", None)) is not None:
        row = {"psnr": 10 * math.log10(255**2 / error) if error else math.inf, **row}
    row |= {"saturation": own / colour} if colour > GREY else {}
    fake, expected = table.moments(), real.moments()
    return row if fake is None or expected is None else row | {FRECHET: frechet_distance(expected, fake)}


class _Table:
    """Figures and features of `count` images, which the ranks share."""

    def __init__(
        self, names: Sequence[str], count: int, extract: Callable[[Tensor], Tensor] | None, device: torch.device
    ):
        self.names, self.extract = names, extract
        width = len(names) + DIMENSIONS * (extract is not None)
        self.values = torch.zeros(count, width, dtype=torch.float64, device=device)

    def add(self, i: int, image: Tensor, figures: Sequence[float]) -> None:
        self.values[i, : len(self.names)] = torch.tensor(figures, dtype=torch.float64)
        if self.extract:
            self.values[i, len(self.names) :] = self.extract(image[None].to(self.values.device))[0]

    def share(self) -> None:
        """Brings the rows of all ranks together; each must call it, once all are added."""
        self.values = all_sum(self.values)

    def means(self) -> dict[str, float]:
        return dict(zip(self.names, self.values[:, : len(self.names)].mean(0).tolist(), strict=True))

    def moments(self) -> Moments | None:
        """Of the features, one of which alone counts as two that are equal."""
        if self.extract is None:
            return None
        features = self.values[:, len(self.names) :]
        moments = Moments(features.shape[1], features.device)
        moments.add(features if len(features) > 1 else features.expand(2, -1))
        return moments


class _Truth:
    """The true image, uint8 (3, H, W), with its features."""

    def __init__(self, image: Tensor, distances: Sequence[PerceptualDistance], device: torch.device):
        self.image, self.device = image, device
        self.features = [(d, self._features(d, image)) for d in distances]

    def errors(self, image: Tensor) -> list[float]:
        """`ERRORS` of an image made in its place, and its distances."""
        error = (image.double() - self.image.double()).square().mean().item()
        far = (d.between(self._features(d, image), features).item() for d, features in self.features)
        return [error, ssim(image, self.image).item(), chroma_error(image, self.image), *far]

    def _features(self, distance: PerceptualDistance, image: Tensor) -> list[Tensor]:
        return distance.features(image[None].to(self.device, next(distance.parameters()).dtype) / 255)


def definitions(distances: Sequence[PerceptualDistance]) -> dict[str, str]:
    """Definitions of the metrics of `score`."""
    result = {"ssim": IMAGE["ssim"].replace(NOISY, "")} | OWN | {d.name: DISTANCES[d.name] for d in distances}
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
