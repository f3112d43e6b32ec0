"""Using and measuring super-resolution: pictures of any size through a trained generator, in tiles; scores beside bicubic."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from multigen.errors import ConfigError, DataError
from multigen.image.degrade import imresize
from multigen.image.files import from_picture, to_picture
from multigen.storage.provenance import NOTHING, Provenance

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

__all__ = ["Upscaler"]


class Upscaler:
    """A trained generator as a function of pictures.

    Pictures are taken through the network in tiles of `tile` pixels of the input, each with as much of its surroundings as an
    output pixel can depend on (`network.radius`), so that tiles leave no seams and memory does not grow with the picture.
    """

    task: ClassVar[str] = "super-resolution"
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
        from multigen.image.restoration.evaluator import comparison
        from multigen.image.restoration.test_sets import open_test_set

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
