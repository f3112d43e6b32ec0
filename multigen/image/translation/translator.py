"""Inference with trained translation generators: images of any size, from one domain to the
other."""

import copy
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from multigen.console import say_once
from multigen.errors import ConfigError
from multigen.image.decoding import Raster
from multigen.image.image_to_image import ImageToImage
from multigen.image.sheets import strip
from multigen.image.sizes import OWN, Size
from multigen.image.translation.made import Make
from multigen.tasks.graph import Graph
from multigen.tasks.translation.base import Direction

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

__all__ = ["InUnit", "Translator"]

SURROUNDINGS = 64
"""Pixels of the input beside a tile, where memory or `--tile` makes tiles."""
LARGE = 4  # times the size of training, from which on an image is reported


class InUnit(nn.Module):
    """A generator of images in -1..1 as one of images in 0..1."""

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network
        for name in ("multiple", "least", "whole", "radius"):
            if hasattr(network, name):
                setattr(self, name, getattr(network, name))

    def forward(self, image: Tensor) -> Tensor:
        return (self.network(image * 2 - 1) + 1) / 2


class Translator(ImageToImage):
    """Trained generators as a function of images (see `ImageToImage`), which are translated whole,
    or in tiles with 64 pixels of their surroundings where memory is short.

    Args:
        networks: by direction; the first is used where none is named.
        make: makes the image of A from a photograph, for `sheet`; None: photographs are of A.
        side: shorter side of the training images, pixels; 0: they had sizes of their own.
    """

    task = "image-translation"
    keeps_grey = False
    surroundings = SURROUNDINGS

    def __init__(
        self, networks: Mapping[str, nn.Module], make: Make | None = None, tile: int | None = None, side: int = 0
    ):
        self.networks, self.make, self.side = dict(networks), make, side
        self.direction = next(iter(self.networks))
        super().__init__(InUnit(self.networks[self.direction]), 1, tile)

    def translate(self, image: "Tensor | np.ndarray | Picture", direction: Direction | None = None) -> Any:
        """The image in the other domain, in the same size, of the kind given: uint8 tensor (3, H,
        W), uint8 array (H, W, 3), or PIL image of any mode, whose depth and opacity are kept; grey
        ones become RGB.

        Args:
            direction: "AB", from A to B, or "BA"; None: the one that the model was trained for, or
                by which it was chosen.

        Raises ConfigError for a direction that was not trained, DataError for anything else than an
        image."""
        return (self.turned(direction) if direction else self)._restored(image, OWN)

    def restore_raster(self, raster: Raster, size: Size = OWN) -> Raster:
        """As of `ImageToImage`; reports an image much larger than those of training."""
        height, width = raster.pixels.shape[:2]
        if self.side and min(height, width) >= LARGE * self.side:
            say_once(
                f"an image of {width:,} x {height:,} pixels: the model was trained on images of {self.side} on the shorter side, "
                "and knows things of that size; for its best, reduce larger ones first",
                kind="size of training",
            )
        return super().restore_raster(raster, size)

    @property
    def directions(self) -> tuple[str, ...]:
        """Those that were trained, the one that is used first."""
        return tuple(self.networks)

    def turned(self, direction: str) -> "Translator":
        """The same model for a direction. Raises ConfigError for one that was not trained."""
        if direction not in self.networks:
            trained = ", ".join(self.networks)
            raise ConfigError(
                f"direction {direction}: the model was trained for {trained}; expected {' or '.join(self.networks)}: train "
                f"another one with --direction {direction}, or cyclegan, which learns both"
            )
        if direction == self.direction:
            return self
        first = {direction: self.networks[direction]}
        turned = Translator(first | self.networks, self.make, self.tile, self.side)
        turned.origin = self.origin
        return turned

    def sheet(self, n: int, seed: int = 0) -> "Picture":
        """Up to n crops of the embedded held-out photographs, translated, side by side in one
        image: those with the most detail, the same for every model and seed. Raises ConfigError for
        n < 1."""
        make = self.make if self.direction == "AB" else None
        return strip(self, 1, n, degrade=make or (lambda image, name: image))

    def graph(self) -> Graph:
        """A copy of the network for `multigen export`."""
        m, least = self.multiple, max(self.least, self.multiple)

        def example(n: int, side: int) -> tuple[Tensor, ...]:
            height, width = least + m * (side // m), least + m * (side // m + 1)
            return (torch.rand(n, 3, height, width, generator=torch.Generator().manual_seed(0)),)

        to = self.direction[1]
        says = {
            "image": f"float32 (batch, 3, height, width), RGB, 0..1; sides multiples of {m}, at least {least}: continue images "
            "by reflection, and cut the result",
            "translated": f"float32 (batch, 3, height, width), RGB, 0..1, of domain {to}",
        }
        names = {0: "batch", 2: "height", 3: "width"}
        network = copy.deepcopy(self.network).cpu().float()
        return Graph(network, {"image": names}, example, "translated", ("batch", 3, "height", "width"), says)
