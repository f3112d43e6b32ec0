"""A sheet of crops of photographs beside degraded ones, so that people can choose a strength by eye."""

import re
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from torch import Tensor

from multigen.errors import ConfigError
from multigen.image.files import open_photos
from multigen.image.restoration.blind import STRENGTHS, Strength, degrade
from multigen.image.restoration.corruption import compressed, draws_of, noisy, to_bytes
from multigen.image.restoration.evaluator import comparison
from multigen.image.restoration.test_sets import TestSet
from multigen.storage.output import replacing

__all__ = ["degradation_of", "write_sheet"]

PHOTOS, DRAWS = 4, 3
SCALE = 4  # of blind degradation, as trained by default
NUMBERED = re.compile(r"(noise|jpeg)(\d{1,3})")
MOST = {"noise": (0, 255), "jpeg": (1, 100)}


def degradation_of(name: str) -> Callable[[Tensor, np.random.Generator], Tensor]:
    """The function of a degradation's name, of uint8 (3, H, W), sides multiples of `SCALE`, to the same type and size. Raises
    ConfigError for an unknown name."""
    if name in STRENGTHS:
        strength: Strength = "strong" if name == "strong" else "mild"
        return lambda image, rng: _enlarged(degrade(image, SCALE, strength, rng))
    if match := NUMBERED.fullmatch(name):
        kind, number = match[1], int(match[2])
        if MOST[kind][0] <= number <= MOST[kind][1]:
            if kind == "jpeg":
                return lambda image, rng: to_bytes(compressed(image.float() / 255, number))
            return lambda image, rng: to_bytes(noisy(image.float() / 255, number, rng))
    raise ConfigError(
        f"degradation {name!r}: expected mild or strong (of realesrgan), or noise0 to noise255 or jpeg1 to jpeg100 (of denoise)"
    )


def write_sheet(data: str, name: str, path: Path) -> None:
    """Writes a PNG file with the crop of most detail of up to four photographs: degraded three times, and as it is."""
    make = degradation_of(name)
    photos = open_photos(data)
    step = max(1, len(photos) // PHOTOS)
    test = TestSet.of("sheet", photos[::step][:PHOTOS], SCALE, lambda image, name: image)
    assert test is not None  # open_photos raises where there is no image

    def draw(image: Tensor, number: int) -> Tensor:
        return make(image, draws_of(str(number)))

    with replacing(path) as file:
        comparison({f"{name}, {i}": partial(draw, number=i) for i in range(1, DRAWS + 1)}, test).save(file, "PNG")


def _enlarged(image: Tensor) -> Tensor:
    return image.repeat_interleave(SCALE, 1).repeat_interleave(SCALE, 2)
