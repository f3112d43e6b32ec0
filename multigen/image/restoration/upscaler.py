"""Inference with a trained restoration generator: images of any size, in tiles."""

import copy
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from multigen.image.image_to_image import ImageToImage
from multigen.image.sheets import strip
from multigen.image.sizes import OWN, Size
from multigen.tasks.graph import Graph

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

__all__ = ["Restorer", "Upscaler"]


class Restorer(ImageToImage):
    """A trained generator as a function of images (see `ImageToImage`)."""

    task = "image-restoration"

    def restore(self, image: "Tensor | np.ndarray | Picture") -> Any:
        """An image `scale` times as large, of the kind given: uint8 tensor (3, H, W), uint8 array
        (H, W, 3), or PIL image.

        A PIL image may have any mode: grey stays grey, of 8 or 16 bits, opacity and colour profile
        are kept, CMYK becomes RGB. Raises DataError for anything else.
        """
        return self._restored(image, OWN)

    def sheet(self, n: int, seed: int = 0) -> "Picture":
        """Up to n crops of the embedded held-out photographs, enlarged, side by side in one image:
        those with the most detail, the same for every model and seed. Raises ConfigError for n <
        1."""
        return strip(self, self.scale, n)

    def graph(self) -> Graph:
        """A copy of the network for `multigen export`: images (batch, 3, height, width) of any
        size."""

        def example(n: int, side: int) -> tuple[Tensor, ...]:
            return (torch.rand(n, 3, side + 8, side + 11, generator=torch.Generator().manual_seed(0)),)

        says = {
            "image": "float32 (batch, 3, height, width), RGB, 0..1",
            "large": f"float32 (batch, 3, {self.scale} height, {self.scale} width), RGB, 0..1; clip what lies beyond",
        }
        names = {0: "batch", 2: "height", 3: "width"}
        shape = ("batch", 3, f"{self.scale}*height", f"{self.scale}*width")
        return Graph(copy.deepcopy(self.network).cpu().float(), {"image": names}, example, "large", shape, says)


class Upscaler(Restorer):
    """A trained generator that enlarges images."""

    task = "super-resolution"

    def upscale(
        self,
        image: "Tensor | np.ndarray | Picture",
        scale: float | None = None,
        width: int | None = None,
        height: int | None = None,
        short: int | None = None,
    ) -> Any:
        """As `restore`, in a size (see `multigen.image.sizes.Size`): `scale` times as
        large, of a `width` or `height` or both, or with a shorter side of `short` pixels; default:
        the network's scale. Raises ConfigError for sizes that contradict each other."""
        return self._restored(image, Size(scale, width, height, short))
