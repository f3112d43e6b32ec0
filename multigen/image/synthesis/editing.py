"""Editing the images of a trained generator: what its directions change, one of them applied, the
styles of two samples mixed.

    editor = Editor(multigen.load("runs/flowers"))
    codes = editor.samples(6, seed=0)                            # or editor.project(images)
    edited = editor.edit(codes, direction=3, strength=2.0)       # uint8 (6, C, H, W)
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from multigen.errors import ConfigError, DataError
from multigen.image.datasets import open_images
from multigen.image.decoding import read_picture
from multigen.image.files import to_planes
from multigen.image.synthesis.directions import MEASURES, Direction, effect, find_directions
from multigen.image.synthesis.evaluator import open_extractor
from multigen.image.synthesis.projection import project
from multigen.image.synthesis.sampler import ImageSampler
from multigen.image.synthesis.spaces import Codes, Space, Styles, space_of
from multigen.tasks.synthesis.extractors import embed

__all__ = ["Editor", "Effects"]

STRENGTHS = 7  # on a sheet, from one end to the other
STRONGEST = 1_000  # strength; samples are hardly ever beyond 4


class Effects(NamedTuple):
    """A direction, and what it changes."""

    direction: Direction
    images: Tensor
    """uint8 (n, 7, C, H, W), from one end of the direction to the other; the images themselves are
    in the middle."""
    measures: dict[str, tuple[float, float]]
    """Measure -> its mean change from end to end, and how monotone it is (`directions.effect`)."""


class Editor:
    """Edits images of a trained generator.

    Args:
        sampler: the generator.
        by: how directions are found: "sefa" or "pca" (see `multigen.image.synthesis.directions`).
        layers: of styles, the layers that are edited, "3" or "0-5", the coarsest is 0; "": all.

    Raises ConfigError for layers that the generator does not have.
    """

    def __init__(self, sampler: ImageSampler, by: str = "sefa", layers: str = ""):
        self.space, self.by = space_of(sampler), by
        self.layers = _layers_of(self.space, layers)

    def directions(self, count: int | None = None) -> list[Direction]:
        """The first directions, that with the largest effect first. Raises ConfigError where there
        are fewer."""
        return find_directions(self.space, self.by, self.layers, count)

    def samples(
        self, n: int, seed: int = 0, label: str | int | None = None, truncation: float | None = None, first: int = 0
    ) -> Codes:
        """The codes of samples `first` to `first` + n - 1 of a seed. Raises as
        `ImageSampler.sample`."""
        return self.space.draw(n, seed, label, truncation, first)

    def project(
        self, images: Tensor, each_layer: bool = False, steps: int = 500, seed: int = 0, label: str | int | None = None
    ) -> Codes:
        """The codes whose images are nearest to images uint8 (n, C, H, W) of the generator's size;
        see `multigen.image.synthesis.projection`."""
        return project(self.space, images, each_layer, steps, seed, label)

    def images(self, codes: Codes) -> Tensor:
        """The images of codes, uint8 (n, C, H, W)."""
        return self.space.render(*codes)

    def edit(self, codes: Codes, direction: int | Direction, strength: float) -> Tensor:
        """The images of codes moved along a direction, by its number, uint8 (n, C, H, W).

        Args:
            strength: standard deviations of the codes along the direction; negative: to the other
                end.
        """
        if not abs(strength) <= STRONGEST:
            raise ConfigError(
                f"strength {strength:g}: expected standard deviations, from {-STRONGEST} to {STRONGEST}, such as 3"
            )
        if isinstance(direction, int):
            direction = self.directions(direction + 1)[-1]
        moved = self.space.moved(codes.codes, strength * direction.unit * direction.vector, self.layers)
        return self.space.render(moved, codes.labels)

    def effects(self, codes: Codes, count: int | None = None, strength: float = 3.0) -> Iterator[Effects]:
        """What the first directions change in the images of codes, from -strength to strength."""
        for direction in self.directions(count):
            ends = torch.linspace(-strength, strength, STRENGTHS).tolist()
            images = torch.stack([self.edit(codes, direction, each) for each in ends], 1)
            names = MEASURES if images.shape[2] > 2 else ["brightness"]
            yield Effects(direction, images, {name: effect(name, images) for name in names})

    def classifier(self, data: str) -> Callable[[Tensor], float]:
        """(images uint8 (n, strengths, C, H, W) along a direction) -> share of those at both ends
        that have the class of the image in the middle, by a classifier trained on labelled images.

        Raises as `open_images`, and ConfigError for images without classes.
        """
        channels, height, width = self.images(self.samples(1)).shape[1:]
        if height != width or channels > 3:
            raise ConfigError(f"data {data}: a classifier takes squares, grey or in colour; leave it out")
        device = self.space.device
        extract = open_extractor("classifier", open_images(data, height, channels=channels), device)

        def kept(images: Tensor) -> float:
            number, strengths = images.shape[:2]
            probabilities = embed(extract, images.flatten(0, 1), device)[1]
            assert probabilities is not None
            classes = probabilities.argmax(1).view(number, strengths)
            return (classes[:, [0, -1]] == classes[:, strengths // 2, None]).double().mean().item()

        return kept

    def mixed(self, one: Codes, other: Codes) -> Tensor:
        """Images uint8 (layers + 1, C, H, W) of the styles of two samples, each of one code: the
        first has all styles of `one`, in each next another of the finest is that of `other` (style
        mixing: Karras et al. 2019, arXiv:1812.04948, section 3.1). Raises ConfigError for a
        generator without styles.
        """
        layers = self.space.layers
        if not isinstance(self.space, Styles):
            raise ConfigError(
                "--mix: the generator has no styles to mix; walk from one sample to the other (multigen interpolate), or train "
                "stylegan2"
            )
        kept = torch.arange(layers) < torch.arange(layers, -1, -1)[:, None]  # (layers + 1, layers)
        return self.space.render(torch.where(kept[:, :, None].to(one.codes.device), one.codes, other.codes), None)

    def read(self, path: Path) -> Tensor:
        """An image file in the generator's size and channels, uint8 (C, H, W), opaque where it has
        opacity.

        Raises DataError for an image of another aspect, and for one that cannot be read.
        """
        from PIL.Image import Resampling

        channels, height, width = self.images(self.samples(1)).shape[1:]
        picture = read_picture(path)
        if abs(picture.width * height / picture.height - width) >= 1:
            raise DataError(
                f"{path}: {picture.width}x{picture.height} pixels, but the generator makes {width}x{height}; expected an image "
                "of this aspect: cut it"
            )
        picture = picture.convert("L" if channels == 1 else "RGB").resize((width, height), Resampling.LANCZOS)
        image = to_planes(picture)
        return torch.cat([image, image.new_full((channels - len(image), height, width), 255)])


def _layers_of(space: Space, request: str) -> slice:
    if not request:
        return slice(0, space.layers)
    if not isinstance(space, Styles):
        raise ConfigError(f"layers {request}: the generator has no styles, of which layers have one each; leave it out")
    first, dash, last = request.partition("-")
    last = last if dash else first
    if not (first.isdecimal() and last.isdecimal()) or not int(first) <= int(last) < space.layers:
        raise ConfigError(f"layers {request}: expected a number, or a range such as 0-3, of 0 to {space.layers - 1}")
    return slice(int(first), int(last) + 1)
