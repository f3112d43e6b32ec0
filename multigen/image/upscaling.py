"""Using and measuring super-resolution: pictures of any size through a trained generator, in tiles; scores beside bicubic."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from multigen.engine.distributed import all_sum, rank, world
from multigen.errors import ConfigError, DataError
from multigen.image.data import Photo, from_picture, open_photos, read_image, to_picture
from multigen.image.degrade import imresize
from multigen.image.metrics import DEFINITIONS, ImageScores
from multigen.image.perceptual import DEFINITIONS as DISTANCES
from multigen.image.perceptual import PerceptualDistance
from multigen.provenance import NOTHING, Provenance

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

__all__ = ["TestSet", "Upscaler", "comparison", "open_test_set", "open_test_sets", "score_upscalers"]


class Upscaler:
    """A trained generator as a function of pictures.

    Pictures are taken through the network in tiles of `tile` pixels of the input, each with as much of its surroundings as an
    output pixel can depend on (`network.radius`), so that tiles leave no seams and memory does not grow with the picture.
    """

    noun: ClassVar[str] = "photographs"
    origin: Provenance = NOTHING
    """What files of its pictures say of the model; filled in by `multigen.load`."""

    def __init__(self, network: nn.Module, scale: int, tile: int = 256):
        if tile < 1:
            raise ConfigError(f"tile {tile}: expected 1 pixel or more, 256 is usual")
        self.network, self.scale, self.tile = network, scale, tile
        self.radius: int = network.radius  # pyright: ignore[reportAttributeAccessIssue]

    def upscale(self, image: "Tensor | np.ndarray | Picture") -> Any:
        """A picture `scale` times as large, of the kind given: uint8 tensor (3, H, W), uint8 array (H, W, 3), or PIL picture.

        A PIL picture may have any mode; its alpha channel is kept, resized by bicubic interpolation. Raises DataError for
        anything else.
        """
        if isinstance(image, Tensor):
            return self(image)
        if isinstance(image, np.ndarray):
            if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
                raise DataError(f"a uint8 array (H, W, 3) is expected, got {image.dtype} {image.shape}")
            return self(torch.from_numpy(image).permute(2, 0, 1)).permute(1, 2, 0).numpy()
        from PIL.Image import Image

        if not isinstance(image, Image):
            raise DataError(
                f"a tensor, array or PIL picture is expected, got {image!r}; open files with PIL.Image.open"
            )
        rgb, alpha = from_picture(image)
        return to_picture(*self.with_alpha(rgb, alpha))

    def with_alpha(self, rgb: Tensor, alpha: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """uint8 (3, H, W) through the network, and opacity (1, H, W), if any, through bicubic interpolation."""
        return self(rgb), None if alpha is None else imresize(alpha, self.scale)

    def beside(self, upscalers: "Mapping[str, Upscaler]", tests: Sequence[str]) -> "Picture":
        """Crops of the pictures of `tests` (as for `open_test_set`) by upscalers of this scale, bicubic interpolation first."""
        return comparison({"bicubic": None, **upscalers}, *(open_test_set(test, self.scale) for test in tests))

    @torch.no_grad()
    def __call__(self, image: Tensor) -> Tensor:
        """uint8 (3, H, W) -> uint8 (3, scale H, scale W), both on the CPU."""
        if image.dtype != torch.uint8 or image.dim() != 3 or image.shape[0] != 3:
            raise DataError(f"a uint8 picture (3, H, W) is expected, got {image.dtype} {tuple(image.shape)}")
        height, width = image.shape[1:]
        result = torch.empty(3, height * self.scale, width * self.scale, dtype=torch.uint8)
        for top in range(0, height, self.tile):
            for left in range(0, width, self.tile):
                self._one_tile(image, result, top, left)
        return result

    def _one_tile(self, image: Tensor, result: Tensor, top: int, left: int) -> None:
        s, r = self.scale, self.radius
        bottom, right = min(top + self.tile, image.shape[1]), min(left + self.tile, image.shape[2])
        y, x = max(top - r, 0), max(left - r, 0)
        parameter = next(self.network.parameters())
        window = (
            image[None, :, y : bottom + r, x : right + r].to(parameter.device, parameter.dtype) / 255
        )  # (1, 3, h, w)
        large = self.network(window.contiguous(memory_format=torch.channels_last))[0]  # (3, s h, s w)
        large = large[:, s * (top - y) : s * (bottom - y), s * (left - x) : s * (right - x)]
        result[:, s * top : s * bottom, s * left : s * right] = (
            (large * 255).round().clamp(0, 255).to(torch.uint8).cpu()
        )


@dataclass(frozen=True)
class TestSet:
    """Pictures to measure on: high resolution, cut to a multiple of the scale, and its bicubic reduction; uint8 (3, H, W)."""

    __test__ = False  # not a test, whatever pytest thinks of its name

    name: str
    scale: int
    names: tuple[str, ...]
    high: tuple[Tensor, ...]
    low: tuple[Tensor, ...]

    @classmethod
    def of(
        cls, name: str, photos: Sequence[Photo], scale: int, skipped: list[tuple[Path, str]] | None = None
    ) -> "TestSet | None":
        """The set of these photographs; None where there are none. Raises DataError for one that cannot be read or is too small
        to be measured; where a list `skipped` is given, it is noted there and left out."""
        high: dict[str, Tensor] = {}
        for photo in photos:
            try:
                high[photo.name] = _measurable(photo, scale)
            except DataError as error:
                if skipped is None:
                    raise
                skipped.append((photo.path, str(error)))
        low = tuple(imresize(h, (h.shape[1] // scale, h.shape[2] // scale)) for h in high.values())
        return cls(name, scale, tuple(high), tuple(high.values()), low) if high else None


def _measurable(photo: Photo, scale: int) -> Tensor:
    """A photograph cut to a multiple of the scale, large enough for SSIM without its borders and for perceptual distances."""
    image = read_image(photo.path)
    height, width = image.shape[1:]
    least = max(16, 11 + 2 * scale) + scale - 1
    if min(height, width) < least:
        raise DataError(
            f"{photo.path}: {height}x{width} pixels are too few to be measured at x{scale}, expected {least}x{least}; leave it "
            "out, or go on without it: --skip-bad"
        )
    return image[:, : height - height % scale, : width - width % scale]


def open_test_set(data: str, scale: int) -> TestSet:
    """A set by the name of its folder ("photos/Set5/HR" is Set5). Raises DataError as `open_photos` does."""
    name = next(part for part in reversed(Path(data).absolute().parts) if part != "HR")
    found = TestSet.of(name, open_photos(data), scale)
    assert found is not None  # open_photos raises where there is no picture
    return found


def open_test_sets(data: Sequence[str], scale: int) -> list[TestSet]:
    """The sets of `open_test_set`. Raises ConfigError where there is none, or two have one name: it tells their figures apart."""
    if not data:
        raise ConfigError("test: no set is named; expected at least one, such as embedded-held-out")
    sets = [open_test_set(each, scale) for each in data]
    names = [test.name for test in sets]
    if twice := [name for name in names if names.count(name) > 1]:
        raise ConfigError(
            f"test {' '.join(data)}: two sets are called {twice[0]!r}, as their folders are; rename one of the folders"
        )
    return sets


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
