"""Full-reference metrics of paired images of two folders, matched by name without suffix."""

import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean

import torch

from multigen.console import counted
from multigen.data.locate import locate
from multigen.data.skipped import report_skipped
from multigen.engine.device import choose_device
from multigen.engine.evaluation import Evaluation
from multigen.errors import ConfigError, DataError
from multigen.image.files import Photo, open_photos, read_image
from multigen.image.metrics import DEFINITIONS, NOISY, ImageScores
from multigen.image.pairs import listed, stem_of
from multigen.image.perceptual import DEFINITIONS as DISTANCES
from multigen.image.perceptual import PerceptualDistance, given_weights, open_distances

__all__ = ["compare_pairs"]

METRICS = ("psnr_y", "ssim_y", "psnr", "ssim")
LEAST = 16  # pixels of a side, from which on perceptual distances are defined


def compare_pairs(
    pair: tuple[str, str],
    device: str = "auto",
    skip_bad: bool = False,
    frames: str = "first",
    border: int = 0,
    perceptual_weights: str = "",
    squeezenet_weights: str = "",
) -> tuple[Evaluation, dict[str, dict[str, float]]]:
    """PSNR, SSIM and perceptual distances of the images of two folders, or of two files: means, and
    the values of each pair.

    Args:
        skip_bad: leave out images without a pair of their size, and those that cannot be read;
            report them.
        border: pixels cropped at each side by the luma metrics; usually the scale of
            super-resolution.
        perceptual_weights: VGG19 file, as for training; its distances are evaluated too.
        squeezenet_weights: likewise, of SqueezeNet 1.1.

    Raises DataError for images without a pair of their size, and for those that cannot be read.
    """
    if border < 0:
        raise ConfigError(f"--border {border}: expected 0 pixels or more; a scale of super-resolution is usual")
    import rich.progress

    where = choose_device(device)
    sets = [open_photos(data, skip_bad=skip_bad, frames=frames) for data in pair]
    pairs, skipped = _pairs(pair, *sets)
    if skipped and not skip_bad:
        raise DataError(
            f"--pairs {pair[0]} {pair[1]}: {counted(len(skipped), 'images')} without a pair: "
            f"{listed([reason for _, reason in skipped])}; give each an image of its name and size, or leave them "
            "out: --skip-bad"
        )
    files = {"perceptual_weights": perceptual_weights, "squeezenet_weights": squeezenet_weights}
    distances = open_distances("efficientnet_lite0", given_weights(files), where)
    values = {}
    skipped = [*(each for photos in sets for each in photos.skipped), *skipped]
    for name, (one, other) in rich.progress.track(pairs.items(), "measuring", disable=not sys.stderr.isatty()):
        try:
            values[name] = _measured(one, other, border, distances, where)
        except DataError as error:
            if not skip_bad:
                raise
            skipped.append((one.path, str(error)))
    report_skipped(skipped, "images", rest="correct the folders")
    if not values:
        raise DataError(
            f"--pairs {pair[0]} {pair[1]}: no pair is left to measure; expected images of equal names and sizes"
        )
    return _evaluation(values, border, distances), values


def _pairs(
    data: tuple[str, str], one: Sequence[Photo], other: Sequence[Photo]
) -> tuple[dict[str, tuple[Photo, Photo]], list[tuple[Path, str]]]:
    """Name -> images of one name and size, and (path, reason) of all others. Two files are a pair
    under any names."""
    files = all(locate(each, "a folder of images, or an image").is_file() for each in data)
    groups: dict[str, tuple[list[Photo], list[Photo]]] = {}
    for side, photos in enumerate((one, other)):
        for photo in photos:
            name = str(photo.frame) if files else stem_of(photo)
            groups.setdefault(name, ([], []))[side].append(photo)
    pairs, wrong = {}, []
    for group in groups.values():
        path = (group[0] or group[1])[0].path
        match group:
            case ([x], [y]) if (x.height, x.width) == (y.height, y.width):
                pairs[x.name] = (x, y)
            case ([x], [y]):
                wrong.append((path, f"{x.path} has {x.width}x{x.height} pixels, {y.path} {y.width}x{y.height}"))
            case ([], [_]) | ([_], []):
                wrong.append((path, f"{path} has none in {data[0] if group[1] else data[1]}"))
            case _:
                wrong.append((path, f"{path} has the name of another image, but for the suffix"))
    return pairs, wrong


@torch.no_grad()
def _measured(
    one: Photo, other: Photo, border: int, distances: Sequence[PerceptualDistance], device: torch.device
) -> dict[str, float]:
    x, y = (read_image(photo.path, photo.frame) for photo in (one, other))
    if min(x.shape[1:]) < LEAST:
        raise DataError(
            f"{one.path}: {x.shape[2]}x{x.shape[1]} pixels, expected {LEAST}x{LEAST} at least to be measured"
        )
    scores = ImageScores(border, METRICS)
    scores.update(y, x)
    far = {d.name: d(*(z[None].to(device).float() / 255 for z in (y, x))).item() for d in distances}
    return scores.compute() | far


def _evaluation(
    values: dict[str, dict[str, float]], border: int, distances: Sequence[PerceptualDistance]
) -> Evaluation:
    row = {metric: fmean(each[metric] for each in values.values()) for metric in next(iter(values.values()))}
    left_out = f"{border} pixels at each border left out" if border else "no border left out"
    says = {
        m: DEFINITIONS[m].replace("borders as wide as the scale left out", left_out).replace(NOISY, "") for m in METRICS
    }
    equal = sum(each["psnr"] == float("inf") for each in values.values())
    remarks = {"pairs": str(len(values))} | ({"equal": f"{counted(equal, 'pairs')}: PSNR infinite"} if equal else {})
    return Evaluation({"mean": row}, says | {d.name: DISTANCES[d.name] for d in distances}, remarks)
