"""Inference with a trained image generator: samples by seed and class, and latent interpolation."""

import math
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from multigen.image.files import to_picture
from multigen.storage.output import replacing
from multigen.storage.provenance import NO_PROVENANCE, SAMPLE, Provenance, png
from multigen.tasks.synthesis import sampler as sampling

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

__all__ = ["ImageSampler", "grid", "to_pictures", "to_uint8", "to_unit"]


class ImageSampler(sampling.Sampler):
    """A trained generator as a source of images, uint8 (N, C, H, W); its network gives (B, C, H, W)
    in -1..1."""

    task = "image-synthesis"
    suffix = ".png"
    overview = "grid.png"

    def finish(self, x: Tensor) -> Tensor:
        return to_uint8(x)

    def pictures(
        self, n: int, seed: int = 0, label: str | int | None = None, truncation: float | None = None
    ) -> "list[Picture]":
        """The same as `sample`, as PIL images of mode L or RGB."""
        return to_pictures(self.sample(n, seed, label, truncation))

    def write(self, sample: Tensor, path: Path, about: Provenance = NO_PROVENANCE) -> None:
        with replacing(path) as file:
            to_pictures(sample[None])[0].save(file, **png(about, SAMPLE))

    def show(self, samples: Tensor, path: Path, about: Provenance = NO_PROVENANCE) -> None:
        with replacing(path) as file:
            grid(samples).save(file, **png(about, SAMPLE))

    def strip(self, samples: Tensor) -> "Picture":
        return grid(samples, columns=len(samples))

    def describe_output(self, shape: tuple[int, ...]) -> dict[str, str]:
        if len(shape) != 3:
            raise ValueError(f"it gives {shape} an item, expected (channels, height, width)")
        return {"image": f"float32 (batch, {', '.join(map(str, shape))}), -1..1; clip what lies beyond"}


def to_uint8(image: Tensor) -> Tensor:
    """-1..1 to the nearest of 0..255, uint8; values beyond are clamped."""
    return ((image.float() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)


def to_unit(image: Tensor) -> Tensor:
    """0..255, of a float type, to -1..1: the inverse of `to_uint8`."""
    return image / 127.5 - 1


def to_pictures(images: Tensor) -> "list[Picture]":
    """uint8 (N, C, H, W) as PIL images: mode L for one channel, RGB for three."""
    from PIL import Image

    return [Image.fromarray(x[0].numpy()) if len(x) == 1 else to_picture(x) for x in images]


def grid(images: Tensor, columns: int = 0, gap: int = 2) -> "Picture":
    """Images uint8 (N, C, H, W), row by row with white gaps of `gap` pixels, as one PIL image of
    mode L or RGB.

    Without `columns` the sheet is about as many images wide as high.
    """
    columns = columns or math.ceil(math.sqrt(len(images)))
    return to_pictures(sampling.tiled(images, columns, gap)[None])[0]
