"""Inference with a trained image generator: samples by seed and class, and latent interpolation."""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from multigen.errors import ConfigError
from multigen.image.files import to_picture
from multigen.storage.output import replacing
from multigen.storage.provenance import NO_PROVENANCE, SAMPLE, Provenance, png
from multigen.tasks.synthesis import sampler as sampling

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

__all__ = ["ImageSampler", "StyleSampler", "grid", "to_pictures", "to_uint8", "to_unit"]


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
        """The same as `sample`, as PIL images of mode L, RGB or RGBA."""
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


class StyleSampler(ImageSampler):
    """A trained generator whose network is split in two: `mapping(z, label, truncation)` gives
    styles w, `synthesis(w)` images. Truncation moves the styles towards their mean, which is that
    of the class or cluster where there are any."""

    truncations = (0.9, 0.7, 0.5)
    untruncated = 1.0

    def truncate(self, z: Tensor, truncation: float) -> Tensor:
        if not 0 < truncation <= 1:
            raise ConfigError(
                f"truncation {truncation:g}: expected more than 0 and at most 1, the share of the distance between a style and "
                "the mean style that is left, such as 0.7"
            )
        return z

    def run(self, z: Tensor, label: Tensor | None, truncation: float | None) -> Tensor:
        network: Any = self.network
        return network.synthesis(network.mapping(z, label, 1.0 if truncation is None else truncation))


def to_uint8(image: Tensor) -> Tensor:
    """-1..1 to the nearest of 0..255, uint8; values beyond are clamped."""
    return ((image.float() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)


def to_unit(image: Tensor) -> Tensor:
    """0..255, of a float type, to -1..1: the inverse of `to_uint8`."""
    return image / 127.5 - 1


def to_pictures(images: Tensor) -> "list[Picture]":
    """uint8 (N, C, H, W) as PIL images: mode L for one channel, RGB for three, RGBA for four."""
    from PIL import Image

    return [Image.fromarray(x[0].numpy()) if len(x) == 1 else to_picture(x) for x in images]


def grid(images: Tensor, columns: int = 0, gap: int = 2) -> "Picture":
    """Images uint8 (N, C, H, W), row by row with white gaps of `gap` pixels, as one PIL image of
    mode L, RGB or RGBA.

    Without `columns` the sheet is about as many images wide as high.
    """
    columns = columns or math.ceil(math.sqrt(len(images)))
    return to_pictures(sampling.tiled(images, columns, gap)[None])[0]
