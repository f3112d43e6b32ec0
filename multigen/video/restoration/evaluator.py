"""Metrics of restored films, and images that show models side by side."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from multigen.engine.distributed import all_sum, rank, world
from multigen.image.files import to_picture
from multigen.image.metrics import psnr_y, ssim_y
from multigen.image.perceptual import DEFINITIONS as DISTANCES
from multigen.image.perceptual import PerceptualDistance
from multigen.image.restoration.corruption import to_bytes
from multigen.image.sheets import busiest
from multigen.metrics.temporal import TemporalReference, blurred
from multigen.video.restoration.test_films import BORDER, FilmSet

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

__all__ = ["comparison", "definitions", "score"]

RestoreFilm = Callable[[Tensor], Tensor]
"""uint8 (T, 3, h, w) -> uint8 (T, 3, H, W)."""
SIDE = 128  # pixels of a crop that is shown
ZOOM, GAP, HEAD = 2, 4, 16
BLURRED = "blurred"
AMPLIFIED = 4  # times, differences that are shown
DEFINITIONS = {
    "psnr_y": "PSNR in dB (peak 255) of each frame between the luma channels (BT.601, 16..235, unrounded) of 8-bit RGB, "
    f"{BORDER} pixels at each border left out; mean over frames.",
    "psnr_y_last": "psnr_y of the last frame, for which a recurrent model has seen all others.",
    "ssim_y": "SSIM (Gaussian window 11x11, sigma 1.5, whole windows only, data range 255) of each frame between the luma "
    f"channels, as for psnr_y, {BORDER} pixels at each border left out; mean over frames.",
    "tof_tvl1": "Mean length, pixels, of the difference between the original's and the film's optical flow from frame to frame "
    "(TV-L1 of scikit-image); lowest for blurred films: see the row blurred.",
    "warping_error": "1e6 times the mean squared difference of luma, 0..1, between a frame and the one before moved along the "
    "original's flow (TV-L1), where that finds no occlusion; lowest for blurred films: see the row blurred.",
}


def score(
    restorers: Mapping[str, RestoreFilm],
    sets: Sequence[FilmSet],
    distances: Sequence[PerceptualDistance],
    device: torch.device,
    temporal: bool,
) -> dict[str, dict[str, float]]:
    """Row -> "SET/metric" -> value, the mean over the films of a set. `temporal`: also the metrics
    of motion, with a row for the blurred originals.

    Ranks share the films; all get the result.
    """
    rows = [*restorers, *([BLURRED] if temporal else [])]
    names = [name for name in DEFINITIONS if temporal or name not in ("tof_tvl1", "warping_error")]
    names += [name for distance in distances for name in (distance.name, f"tlp_{distance.name}")]
    scores: dict[str, dict[str, float]] = {row: {} for row in rows}
    for each in sets:
        sums = torch.zeros(len(rows), len(names), dtype=torch.float64, device=device)
        for number in range(rank(), len(each.targets), world()):
            film = _Film(each.targets[number], distances, device, temporal)
            for row, name in enumerate(rows):
                made = film.blurred() if name == BLURRED else restorers[name](each.inputs[number])
                result = film.metrics(made)
                sums[row] += torch.tensor([result[name] for name in names], dtype=sums.dtype, device=device)
        for row, means in zip(rows, (all_sum(sums) / len(each.targets)).tolist(), strict=True):
            scores[row] |= {f"{each.name}/{name}": mean for name, mean in zip(names, means, strict=True)}
    return scores


class _Film:
    """A film that others are compared with."""

    def __init__(self, target: Tensor, distances: Sequence[PerceptualDistance], device: torch.device, temporal: bool):
        self.target, self.distances, self.device = target, distances, device
        self.motion = TemporalReference(_arrays(target)) if temporal else None
        self.features = [_features(distance, target, device) for distance in distances]

    def metrics(self, made: Tensor) -> dict[str, float]:
        psnr, ssim = (measure(made, self.target, BORDER) for measure in (psnr_y, ssim_y))  # (T,) each
        result = {"psnr_y": psnr.mean().item(), "psnr_y_last": psnr[-1].item(), "ssim_y": ssim.mean().item()}
        if self.motion is not None:
            frames = _arrays(made)
            result["tof_tvl1"] = self.motion.tof_tvl1(frames)
            result["warping_error"] = 1e6 * self.motion.warping_error(frames)
        for distance, real in zip(self.distances, self.features, strict=True):
            ours = _features(distance, made, self.device)
            result[distance.name] = distance.between(ours, real).mean().item()
            changes = _changes(distance, ours) - _changes(distance, real)
            result[f"tlp_{distance.name}"] = 100 * changes.abs().mean().item()
        return result

    def blurred(self) -> Tensor:
        return torch.from_numpy(np.stack(blurred(_arrays(self.target)))).permute(0, 3, 1, 2)


def definitions(distances: Sequence[PerceptualDistance]) -> dict[str, str]:
    """Definitions of the metrics of `score`."""
    result = dict(DEFINITIONS)
    for name in (distance.name for distance in distances):
        result[name] = f"{DISTANCES[name]}; mean over frames"
        result[f"tlp_{name}"] = (
            f"100 times the mean difference between the film's and the original's {name} of a frame and the next (tLP of "
            "TecoGAN, with this distance in place of LPIPS)"
        )
    return result


def comparison(restorers: Mapping[str, RestoreFilm], *sets: FilmSet, most: int = 4) -> "Picture":
    """Crops side by side under their names, of each restorer's film and the original: the last
    frame, below it the difference of the last two frames, amplified, where flicker shows. The crop
    is the window with the most detail."""
    from PIL import Image, ImageDraw

    films = [pair for each in sets for pair in zip(each.targets, each.inputs, strict=True)][:most]
    names = [*restorers, "original"]
    step = SIDE * ZOOM + GAP
    sheet = Image.new("RGB", (len(names) * step, 2 * len(films) * step + HEAD), "white")
    draw = ImageDraw.Draw(sheet)
    for column, name in enumerate(names):
        draw.text((column * step + GAP, 2), name, fill="black")
    for row, (target, given) in enumerate(films):
        rows, columns = next(busiest(target[-1], SIDE))
        for column, name in enumerate(names):
            clip = target if name == "original" else restorers[name](given)
            before, last = (frame[:, rows, columns].float() for frame in clip[-2:])
            difference = to_bytes((0.5 + AMPLIFIED * (last - before) / 255).clamp(0, 1))
            for below, crop in enumerate((last.to(torch.uint8), difference)):
                shown = to_picture(crop)
                shown = shown.resize((shown.width * ZOOM, shown.height * ZOOM), Image.Resampling.NEAREST)
                sheet.paste(shown, (column * step, (2 * row + below) * step + HEAD))
    return sheet


@torch.no_grad()
def _features(distance: PerceptualDistance, clip: Tensor, device: torch.device) -> list[Tensor]:
    dtype = next(distance.parameters()).dtype
    return distance.features(to_bytes(clip).to(device, dtype) / 255)


def _changes(distance: PerceptualDistance, features: list[Tensor]) -> Tensor:
    """Distances (T - 1,) of each frame and the next."""
    return distance.between([x[1:] for x in features], [x[:-1] for x in features])


def _arrays(clip: Tensor) -> list[np.ndarray]:
    return [frame.permute(1, 2, 0).cpu().numpy() for frame in clip]
