"""Inference with a trained network from images to images: of any size and depth, with opacity, in
tiles."""

import math
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from multigen.console import say
from multigen.errors import CheckpointError, ConfigError, DataError
from multigen.image.decoding import Raster, raster_of, to_pil
from multigen.image.degrade import imresize
from multigen.image.sizes import OWN, Size, resized
from multigen.image.tiles import TILE, WHOLE, fill, multiple
from multigen.memory import require
from multigen.tasks.ready import Ready

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

__all__ = ["SURROUNDINGS", "ImageToImage", "ignore", "opaque"]

SURROUNDINGS = 32
"""Most context of a tile, pixels of the input on each side. Receptive fields of published networks
with 23 blocks reach 348 pixels; with 32 a pixel differs by 7 of 255 at most beside a seam, and 3 %
of them by 1, before tiles are cross-faded."""
TIMED = 64  # side of the tile that is timed, pixels of the input
HALVES = (torch.float16, torch.bfloat16)
CONTEXT = 4  # pixels of the input on each side that bicubic interpolation may need, and more


class ImageToImage(Ready):
    """A trained network as a function of images. A task derives its own, with its methods for
    users.

    Images are taken through the network in tiles of `tile` pixels of the input, each with as much
    of its surroundings as an output pixel can depend on (`network.radius`), so that tiles leave no
    seams and memory does not grow with the image. Of a network that looks farther than
    `surroundings`, or at all of its input (radius None), tiles have that much, and are cross-faded
    where they meet. Where memory runs out, tiles are halved, down to 32 pixels. A network with
    `whole` gets whole images. One that takes sides of a `multiple` only, or no shorter ones than
    `least`, gets images that are continued by their reflection at the right and below; what is made
    of these parts is cut off."""

    on_tile: Callable[[int], object]
    """Called after each tile with its number of pixels."""
    keeps_grey: bool = True
    """Whether what is made of an image without colours has none; if not, one of a single channel
    gets three."""
    surroundings: int = SURROUNDINGS
    """Pixels of the input beside a tile, at most."""

    def __init__(self, network: nn.Module, scale: int = 1, tile: int | None = None):
        if tile is not None and tile < 1:
            raise ConfigError(f"tile {tile}: expected 1 pixel or more, {TILE} is usual")
        self.network, self.scale, self.on_tile = network, scale, ignore
        self.tile = tile or (WHOLE if getattr(network, "whole", False) else TILE)
        # Tiles begin where squares of pixels do that the network takes as channels.
        self.multiple, self.least = (int(getattr(network, name, 1)) for name in ("multiple", "least"))
        self.step = max(int(getattr(network, "unshuffle", 1)), self.multiple)
        radius: Any = getattr(network, "radius", None)
        most = multiple(self.surroundings, self.step)
        radius = most + 1 if radius is None else multiple(radius, self.step)
        self.radius, self.fade = (radius, 0) if radius <= most else (most, self.surroundings // 4)

    def restore_raster(self, raster: Raster, size: Size = OWN) -> Raster:
        """The pixels of an image file in a size, with the same channels, bits and profile.

        Opacity is resized by bicubic interpolation. Fully transparent pixels take the colours of
        visible ones nearby, so that no hidden colour shows as a fringe. Colour images that are all
        grey stay grey, if `keeps_grey`: the mean of the network's channels. Where an image of one
        channel becomes one of three, its profile is left out."""
        pixels, alpha, profile = raster.pixels, raster.alpha, raster.profile
        if not self.keeps_grey and raster.colour.shape[-1] == 1:
            pixels, profile = np.concatenate([raster.colour.repeat(3, -1), pixels[..., 1:]], -1), b""
        if alpha is not None and not alpha.all():
            pixels = np.concatenate([opaque(pixels[..., :-1], alpha[..., 0]), alpha], -1)
        colour = pixels if alpha is None else pixels[..., :-1]
        grey = self.keeps_grey and all(
            np.array_equal(colour[..., 0], colour[..., i]) for i in range(1, colour.shape[-1])
        )
        return Raster(self._in_size(pixels, size, alpha is not None, grey), profile)

    def __call__(self, image: Tensor, size: Size = OWN) -> Tensor:
        """uint8 (3, H, W), or float32 in 0..1, which noise may exceed -> uint8 (3, scale H, scale
        W), or of a size, both on the CPU. Raises DataError for anything else."""
        _check(image, torch.uint8, torch.float32)
        return torch.from_numpy(self._in_size(image.permute(1, 2, 0).cpu().numpy(), size)).permute(2, 0, 1)

    def _restored(self, image: "Tensor | np.ndarray | Picture", size: Size) -> Any:
        if isinstance(image, Tensor):
            _check(image, torch.uint8)  # not floats, of which some have 0..255
            return self(image, size)
        if isinstance(image, np.ndarray):
            if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
                raise DataError(f"a uint8 array (H, W, 3) is expected, got {image.dtype} {image.shape}")
            return self(torch.from_numpy(image).permute(2, 0, 1), size).permute(1, 2, 0).numpy()
        from PIL.Image import Image

        if not isinstance(image, Image):
            raise DataError(
                f"a tensor, an array or a PIL image is expected, got {image!r}; open files with PIL.Image.open"
            )
        return to_pil(self.restore_raster(raster_of(image), size))

    def _in_size(self, pixels: np.ndarray, size: Size, alpha: bool = False, grey: bool = False) -> np.ndarray:
        """As `_network`, to a size: as many passes as needed, then downsampling."""
        height, width, planes = pixels.shape
        passes, target = size.inputs(height, width, self.scale), size.of(height, width, self.scale)
        # Pillow makes a copy while the file is written.
        each = planes * _kind(pixels).itemsize + (1 if planes == 1 else 4)
        check_room((height, width), passes, target, self.scale, each)
        for _ in passes:
            pixels = self._once(pixels, alpha, grey)
        return resized(pixels, target)

    def opacity(self, alpha: np.ndarray, size: Size) -> np.ndarray:
        """Opacity (H, W, 1) in a size, as `restore_raster` makes it."""
        s, (height, width, _) = self.scale, alpha.shape
        target = size.of(height, width, s)
        for rows, columns in size.inputs(height, width, s):
            large = np.empty((rows * s, columns * s, 1), alpha.dtype)
            self._fill(large, alpha, CONTEXT, self._interpolated, ignore)
            alpha = large
        return resized(alpha, target)

    def _once(self, pixels: np.ndarray, alpha: bool, grey: bool) -> np.ndarray:
        """As `_network`, tile by tile: (H, W, C) -> (s H, s W, C). `alpha`: the last channel is
        opacity."""
        s, (height, width, planes) = self.scale, pixels.shape
        result = np.empty((height * s, width * s, planes), _kind(pixels))
        colour, enlarged = (pixels[..., :-1], result[..., :-1]) if alpha else (pixels, result)
        self._fill(enlarged, colour[..., :1] if grey else colour, self.radius, self._network, self.on_tile)
        if alpha:
            self._fill(result[..., -1:], pixels[..., -1:], CONTEXT, self._interpolated, ignore)
        return result

    def seconds(self, sizes: Sequence[tuple[int, int]]) -> float:
        """Estimated time for images of these sizes (height, width), from one timed tile of
        noise."""
        side = self._side(min(TIMED, self.tile))
        window = np.random.default_rng(0).integers(0, 256, (side, side, 3), np.uint8)
        self._network(window[:8, :8])  # memory is taken at the first pass
        began = time.perf_counter()
        self._network(window)
        pace = (time.perf_counter() - began) / side**2
        with_surroundings = [
            math.prod(self._side(length + 2 * self.radius * ((length - 1) // self.tile)) for length in size)
            for size in sizes
        ]
        return pace * sum(with_surroundings)

    @torch.no_grad()
    def _network(self, window: np.ndarray) -> np.ndarray:
        """Integers (h, w, 1 or 3), grey or RGB -> of the same type (s h, s w, 1 or 3); floats in
        0..1 -> uint8."""
        kind = _kind(window)
        real, most = window.dtype == np.float32, int(np.iinfo(kind).max)
        height, width = (self.scale * side for side in window.shape[:2])
        whole = self._continued(window).astype(np.float32)
        large = self._finite(torch.from_numpy(whole).permute(2, 0, 1), 1 if real else most)[:, :height, :width]
        large = large.mean(0, keepdim=True) if window.shape[-1] == 1 else large
        return large.mul_(most).round_().clamp_(0, most).permute(1, 2, 0).cpu().numpy().astype(kind)

    def _continued(self, window: np.ndarray) -> np.ndarray:
        """(h, w, C) with its reflection at the right and below, so that the sides are of the
        `multiple` and not below `least`."""
        more = [(0, self._side(side) - side) for side in window.shape[:2]]
        return np.pad(window, (*more, (0, 0)), mode="reflect") if any(after for _, after in more) else window

    def _side(self, length: int) -> int:
        """The side of what the network is given for one of this length."""
        return multiple(max(length, self.least), self.multiple)

    def _finite(self, window: Tensor, most: int) -> Tensor:
        """The network's output (3, s h, s w), float32 or float64, for (1 or 3, h, w) in 0..most. A
        network in half precision whose output is not finite computes in float32 from then on.
        Raises CheckpointError where it is still not finite."""
        weight = next(self.network.parameters())
        half = weight.dtype in HALVES  # in which 16 bits have no room
        x = window.to(weight.device, torch.float32 if half else weight.dtype) / most
        x = x.to(weight.dtype).expand(3, -1, -1)[None].contiguous(memory_format=torch.channels_last)  # (1, 3, h, w)
        large = self.network(x)[0]
        large = large if large.dtype == torch.float64 else large.float()
        if math.isfinite(large.sum().item()):
            return large
        model = self.origin.get("model", "the network")
        if not half:
            raise CheckpointError(
                f"{model}: its output is not finite, so its weights are no good; choose another model"
            )
        say(f"{model}: its output is not finite in {str(weight.dtype).removeprefix('torch.')}; computing in float32")
        self.network.float()
        return self._finite(window, most)

    def _interpolated(self, window: np.ndarray) -> np.ndarray:
        """Integers (h, w, 1) -> of the same type (s h, s w, 1)."""
        planes = torch.from_numpy(
            np.ascontiguousarray(window if window.dtype == np.uint8 else window.astype(np.float64))
        )
        large = imresize(planes.permute(2, 0, 1), self.scale).permute(1, 2, 0).numpy()
        return (
            large
            if window.dtype == np.uint8
            else np.rint(large).clip(0, np.iinfo(window.dtype).max).astype(window.dtype)
        )

    def _fill(
        self,
        result: np.ndarray,
        image: np.ndarray,
        around: int,
        function: Callable[[np.ndarray], np.ndarray],
        done: Callable[[int], object],
    ) -> None:
        """Applies the function to (H, W, C), in tiles with `around` pixels of context on each side,
        and writes (s H, s W, C or more)."""
        fade = self.fade if around == self.radius else 0
        self.tile = fill(result, image, self.scale, function, self.tile, around, done, fade, self.step)


def _check(image: Tensor, *types: torch.dtype) -> None:
    if image.dtype not in types or image.dim() != 3 or image.shape[0] != 3:
        names = " or ".join(str(each).removeprefix("torch.") for each in types)
        raise DataError(f"a {names} image (3, H, W) is expected, got {image.dtype} {tuple(image.shape)}")


def _kind(pixels: np.ndarray) -> np.dtype:
    """The type of what is made of pixels: the same integers, of floats uint8."""
    return np.dtype(np.uint8) if pixels.dtype == np.float32 else pixels.dtype


def opaque(colour: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Replaces colours (H, W, C) of fully transparent pixels, `alpha` (H, W) = 0, by a mean of
    visible ones nearby, so that hidden colours never show."""
    visible = alpha > 0
    return colour if visible.all() or not visible.any() else _filled(colour, visible)


def _filled(colour: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Fills unknown pixels with the mean of the known ones in their 2 x 2 block, coarse to fine as
    far as needed."""
    height, width, channels = colour.shape
    half = (height + 1) // 2, (width + 1) // 2
    sums, counts = np.zeros((*half, channels), np.uint32), np.zeros((*half, 1), np.uint32)
    for top, left in ((0, 0), (0, 1), (1, 0), (1, 1)):
        part, its = colour[top::2, left::2], mask[top::2, left::2, None]
        place = slice(part.shape[0]), slice(part.shape[1])
        sums[place] += np.where(its, part, 0)
        counts[place] += its
    means = ((sums + counts // 2) // np.maximum(counts, 1)).astype(colour.dtype)
    if not counts.all():
        means = _filled(means, counts[..., 0] > 0)
    return np.where(mask[..., None], colour, means.repeat(2, 0).repeat(2, 1)[:height, :width])


def check_room(
    given: tuple[int, int], passes: Sequence[tuple[int, int]], target: tuple[int, int], scale: int, each: int
) -> None:
    """Raises OutOfMemory where an image of a size, enlarged in passes and reduced to `target`, with
    `each` bytes a pixel, would not fit."""
    (height, width), factor = (passes[-1], scale) if passes else (given, 1)
    largest = height * factor, width * factor
    way = f"{factor} times {width:,} x {height:,}" if target == largest else f"to be {target[1]:,} x {target[0]:,}"
    require(
        (math.prod(largest) + (target != largest) * math.prod(target)) * each,
        f"an image of {largest[1]:,} x {largest[0]:,} pixels, {way}",
        "cut the image into parts",
    )


def ignore(_: float) -> None:
    """A progress callback that does nothing."""
