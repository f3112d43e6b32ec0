"""Degradations by which restoration methods synthesise inputs: by name, and as a contact sheet."""

import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from multigen.console import say
from multigen.errors import ConfigError, DataError
from multigen.image.files import open_photos, read_image, to_picture
from multigen.image.restoration.blind import Strength, sharpened
from multigen.image.restoration.blind import degrade as blind
from multigen.image.restoration.corruption import compressed, noisy, to_bytes
from multigen.image.restoration.denoise import DenoiseConfig, DenoiseTrainer
from multigen.image.sheets import busiest

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

__all__ = ["DEGRADATIONS", "degradation_of", "degradation_sheet"]

SCALE = 4  # of blind super-resolution, as is usual
SIDE, ZOOM, GAP, HEAD = (
    128,
    2,
    4,
    16,
)  # pixels of a crop; times its size it is shown; pixels between two, and of the line above
LEAST = 32  # pixels of a side of an image, from which on one is of use
ROWS, COLUMNS = 4, 5  # photographs, and degraded versions of each


def _blind(image: Tensor, rng: np.random.Generator, strength: Strength) -> Tensor:
    """The degradation of `realesrgan`, at scale 4."""
    height, width = (side - side % SCALE for side in image.shape[1:])
    return blind(sharpened(image[:, :height, :width]), SCALE, strength, rng)


def _denoising(image: Tensor, rng: np.random.Generator, corruption: str) -> Tensor:
    """The degradation of `denoise`."""
    return to_bytes(DenoiseTrainer(DenoiseConfig(corruption=corruption)).corrupted(image, rng))  # pyright: ignore[reportArgumentType]


def _noisy(image: Tensor, rng: np.random.Generator, sigma: int) -> Tensor:
    return to_bytes(noisy(image.float() / 255, sigma, rng))


def _compressed(image: Tensor, rng: np.random.Generator, quality: int) -> Tensor:
    return to_bytes(compressed(image.float() / 255, quality))


Degrade = Callable[[Tensor, np.random.Generator], Tensor]
"""uint8 (3, H, W) -> uint8, of the same size or smaller; random numbers come from the generator."""
DEGRADATIONS: Mapping[str, Degrade] = {
    "strong": partial(_blind, strength="strong"),
    "mild": partial(_blind, strength="mild"),
    "noise": partial(_denoising, corruption="noise"),
    "jpeg": partial(_denoising, corruption="jpeg"),
    "noise-jpeg": partial(_denoising, corruption="both"),
}
NUMBERED = re.compile(r"(noise|jpeg)(\d{1,3})")
"""Noise with a standard deviation (of 255), and JPEG compression with a quality."""


def degradation_of(name: str) -> Degrade:
    """The degradation with a name. Raises ConfigError for an unknown one."""
    if name in DEGRADATIONS:
        return DEGRADATIONS[name]
    kind, number = match.groups() if (match := NUMBERED.fullmatch(name)) else ("", "0")
    if kind == "noise" and int(number) <= 255:
        return partial(_noisy, sigma=int(number))
    if kind == "jpeg" and 1 <= int(number) <= 100:
        return partial(_compressed, quality=int(number))
    raise ConfigError(
        f"degradation {name!r}: expected one of {', '.join(DEGRADATIONS)}, or noise0 to noise255 or jpeg1 to jpeg100"
    )


def degradation_sheet(data: str, name: str, seed: int = 0) -> "tuple[Picture, list[str]]":
    """Crops of a few photographs, chosen by the seed, each beside degraded versions resized to
    equal size; and the names of the photographs. Unreadable files are skipped and reported.

    Raises ConfigError for an unknown degradation, DataError if no image can be used.
    """
    from PIL import Image, ImageDraw

    degrade = degradation_of(name)
    crops = _crops(data, seed)
    step = SIDE * ZOOM + GAP
    sheet = Image.new("RGB", ((1 + COLUMNS) * step - GAP, len(crops) * step - GAP + HEAD), "white")
    draw = ImageDraw.Draw(sheet)
    for column, text in enumerate(["original", *(f"{name} {i}" for i in range(1, COLUMNS + 1))]):
        draw.text((column * step + GAP, 2), text, fill="black")
    for row, crop in enumerate(crops.values()):
        draws = [np.random.default_rng((seed, row, column)) for column in range(COLUMNS)]
        for column, image in enumerate([crop, *(degrade(crop, rng) for rng in draws)]):
            size = crop.shape[2] * ZOOM, crop.shape[1] * ZOOM
            shown = to_picture(image).resize(size, Image.Resampling.NEAREST)
            sheet.paste(shown, (column * step, row * step + HEAD))
    return sheet, [*crops]


def _crops(data: str, seed: int) -> dict[str, Tensor]:
    """Name -> most detailed window, uint8 (3, SIDE, SIDE) or smaller, of photographs in random
    order by the seed."""
    photos = open_photos(data, skip_bad=True)
    crops, problem = {}, None
    for i in np.random.default_rng(seed).permutation(len(photos)):
        if len(crops) == ROWS:
            break
        try:
            image = read_image(photos[i].path)
            if min(image.shape[1:]) < LEAST:
                raise DataError(
                    f"{photos[i].path}: {image.shape[2]}x{image.shape[1]} pixels; expected {LEAST}x{LEAST} at least to look at"
                )
        except DataError as error:
            problem = error
            say(f"skipped: {error}")
            continue
        rows, columns = next(busiest(image, SIDE))
        crops[photos[i].name] = image[:, rows, columns].contiguous()
    if problem is not None and not crops:
        raise problem
    return crops
