"""Using a trained generator of super-resolution: images of any size, in tiles."""

import copy
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from multigen.errors import ConfigError, DataError
from multigen.image.degrade import imresize
from multigen.image.files import from_picture, to_picture
from multigen.image.restoration.evaluator import strip
from multigen.memory import require
from multigen.storage.provenance import NO_PROVENANCE, Provenance
from multigen.tasks.described import described
from multigen.tasks.graph import Graph

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

__all__ = ["Upscaler"]

CONTEXT = 4  # pixels of the input on each side that bicubic interpolation may need, and more


class Upscaler:
    """A trained generator as a function of images.

    Images are taken through the network in tiles of `tile` pixels of the input, each with as much of its surroundings as an
    output pixel can depend on (`network.radius`), so that tiles leave no seams and memory does not grow with the image.
    """

    task: ClassVar[str] = "super-resolution"
    """A name of `multigen.catalogue.TASKS`."""
    origin: Provenance = NO_PROVENANCE
    """Metadata of all files that it makes; filled in by `multigen.load`."""

    def __init__(self, network: nn.Module, scale: int, tile: int = 256):
        if tile < 1:
            raise ConfigError(f"tile {tile}: expected 1 pixel or more, 256 is usual")
        self.network, self.scale, self.tile = network, scale, tile
        self.radius: int = network.radius  # pyright: ignore[reportAttributeAccessIssue]

    def __repr__(self) -> str:
        return described(self)

    def upscale(self, image: "Tensor | np.ndarray | Picture") -> Any:
        """An image `scale` times as large, of the kind given: uint8 tensor (3, H, W), uint8 array (H, W, 3), or PIL image.

        A PIL image may have any mode; its alpha channel is kept, resized by bicubic interpolation. Raises DataError for
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
                f"a tensor, an array or a PIL image is expected, got {image!r}; open files with PIL.Image.open"
            )
        rgb, alpha = from_picture(image)
        return to_picture(*self.with_alpha(rgb, alpha))

    def with_alpha(self, rgb: Tensor, alpha: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """uint8 (3, H, W) through the network, and opacity (1, H, W), if any, through bicubic interpolation."""
        return self(rgb), None if alpha is None else self._tiled(alpha, CONTEXT, lambda x: imresize(x, self.scale))

    def sheet(self, n: int, seed: int = 0) -> "Picture":
        """Up to n crops of the embedded held-out photographs, enlarged, side by side in one image: those with the most detail,
        the same for every model and seed. Raises ConfigError for n < 1."""
        return strip(self, self.scale, n)

    def graph(self) -> Graph:
        """A copy of the network for `multigen export`: images (batch, 3, height, width) of any size."""

        def example(n: int, side: int) -> tuple[Tensor, ...]:
            return (torch.rand(n, 3, side + 8, side + 11, generator=torch.Generator().manual_seed(0)),)

        says = {
            "image": "float32 (batch, 3, height, width), RGB, 0..1",
            "large": f"float32 (batch, 3, {self.scale} height, {self.scale} width), RGB, 0..1; clip what lies beyond",
        }
        names = {0: "batch", 2: "height", 3: "width"}
        shape = ("batch", 3, f"{self.scale}*height", f"{self.scale}*width")
        return Graph(copy.deepcopy(self.network).cpu().float(), {"image": names}, example, "large", shape, says)

    @torch.no_grad()
    def __call__(self, image: Tensor) -> Tensor:
        """uint8 (3, H, W) -> uint8 (3, scale H, scale W), both on the CPU. Raises DataError for anything else."""
        if image.dtype != torch.uint8 or image.dim() != 3 or image.shape[0] != 3:
            raise DataError(f"a uint8 image (3, H, W) is expected, got {image.dtype} {tuple(image.shape)}")
        weight = next(self.network.parameters())

        def enlarged(window: Tensor) -> Tensor:
            x = window[None].to(weight.device, weight.dtype) / 255  # (1, 3, h, w)
            large = self.network(x.contiguous(memory_format=torch.channels_last))[0]  # (3, s h, s w)
            return (large * 255).round().clamp(0, 255).to(torch.uint8).cpu()

        return self._tiled(image, self.radius, enlarged)

    def _tiled(self, image: Tensor, r: int, enlarged: Callable[[Tensor], Tensor]) -> Tensor:
        """uint8 (C, H, W) -> (C, s H, s W), tile by tile, each with `r` pixels of its surroundings."""
        s, (planes, height, width) = self.scale, image.shape
        check_room(height, width, s, planes)
        result = torch.empty(height * s, width * s, planes, dtype=torch.uint8).permute(2, 0, 1)  # as files have it
        for top in range(0, height, self.tile):
            for left in range(0, width, self.tile):
                bottom, right = min(top + self.tile, height), min(left + self.tile, width)
                y, x = max(top - r, 0), max(left - r, 0)
                large = enlarged(image[:, y : bottom + r, x : right + r])
                large = large[:, s * (top - y) : s * (bottom - y), s * (left - x) : s * (right - x)]
                result[:, s * top : s * bottom, s * left : s * right] = large
        return result


def check_room(height: int, width: int, scale: int, planes: int) -> None:
    """Raises OutOfMemory where an image of this size, enlarged, and its copies while the file is written would not fit."""
    each = planes + 4 if planes == 3 else 9  # bytes: Pillow takes 4, and with opacity all planes are put together first
    require(
        height * width * scale**2 * each,
        f"an image of {width * scale:,} x {height * scale:,} pixels, {scale} times {width:,} x {height:,}",
        "cut the image into parts",
    )
