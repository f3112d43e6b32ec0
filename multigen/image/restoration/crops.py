"""Crops of photographs in two resolutions: training data of super-resolution."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from multigen.data.datasets import hash_of
from multigen.engine.batches import Rows
from multigen.errors import ConfigError, DataError
from multigen.image.degrade import imresize
from multigen.image.files import Photo, read_image

__all__ = ["CropSource", "hold_out"]


def hold_out(photos: Sequence[Photo], count: int, seed: int = 0) -> tuple[list[Photo], list[Photo]]:
    """Splits photographs into (training, held out) by a hash of their names.

    Those held out are the `count` with the smallest hashes, so neither the folder's place nor the order of the
    photographs matters, and a photograph added or removed changes places with one other at most.

    Raises:
        ConfigError: count is below 0, or none would remain for training.
    """
    if not 0 <= count < len(photos):
        raise ConfigError(
            f"{count} of {len(photos)} pictures are to be held out, expected 0 to {len(photos) - 1}; hold out fewer, "
            "or add pictures"
        )
    ranked = sorted(photos, key=lambda photo: hash_of(photo.name, seed))
    held = {photo.name for photo in ranked[:count]}
    return [p for p in photos if p.name not in held], [p for p in photos if p.name in held]


class CropSource:
    """Random crops of photographs with their low-resolution counterparts: data for training super-resolution.

    A photograph's low resolution is `imresize` of the whole of it (cut to a multiple of the scale), so a crop pair is
    a pair of aligned windows of whole pictures and knows nothing of borders that are not there.

    Items: a photograph stands for as many items as crops fit into its area (at least one), so an epoch looks at about
    every pixel once, and pixels of small and large photographs are seen equally often.

    When files are decoded: at construction, each that still fits into `cache_bytes`; the others each time they are
    used, and a damaged one among them raises then. With `skip_bad` every file is decoded at construction, so that
    damaged ones are left out (and listed in `skipped`) before training begins.

    Args:
        photos: as from `open_photos`.
        crop: side of the high-resolution crop, pixels; a multiple of the scale.
        scale: factor between the resolutions.
        skip_bad: leave out pictures that are damaged or smaller than the crop.
        cache_bytes: memory for decoded pictures, bytes (a photograph takes 3 * H * W * (1 + 1 / scale^2)).

    Raises:
        ConfigError: crop is no multiple of scale.
        DataError: a picture is damaged or smaller than the crop (without skip_bad), or none is left.
    """

    def __init__(
        self, photos: Sequence[Photo], crop: int, scale: int, *, skip_bad: bool = False, cache_bytes: int = 2 << 30
    ):
        if scale < 1 or crop < scale or crop % scale:
            raise ConfigError(f"crop {crop} with scale {scale}: expected a multiple of the scale, at least {scale}")
        self.crop, self.scale = crop, scale
        self.photos: list[Photo] = []
        self.skipped: list[tuple[Path, str]] = []
        self._cache: dict[Path, tuple[np.ndarray, np.ndarray]] = {}
        room = cache_bytes
        for photo in photos:
            try:
                self._check(photo)
                size = 3 * photo.height * photo.width * (1 + 1 / scale**2)
                if size <= room:
                    self._cache[photo.path] = self._decode(photo)
                    room -= size
                elif skip_bad:
                    read_image(photo.path)
            except DataError as error:
                if not skip_bad:
                    raise
                self.skipped.append((photo.path, str(error)))
            else:
                self.photos.append(photo)
        if not self.photos:
            first = "".join(reason for _, reason in self.skipped[:1])
            raise DataError(f"no picture is left of {len(photos)} to crop from; expected at least one. {first}")
        crops = [max(1, round(photo.height * photo.width / crop**2)) for photo in self.photos]
        self._photo_of_item = np.repeat(np.arange(len(crops)), crops)

    def __len__(self) -> int:
        """Number of items: about how many crops cover all photographs once."""
        return len(self._photo_of_item)

    def batch(self, rows: Rows) -> dict[str, Tensor]:
        """Crops at random places, each turned and mirrored in one of the eight ways.

        Returns:
            uint8 "hr" (B, 3, crop, crop) and "lr" (B, 3, crop / scale, crop / scale), RGB.
        """
        side = self.crop // self.scale
        hr = np.empty((len(rows.indices), 3, self.crop, self.crop), np.uint8)
        lr = np.empty((len(rows.indices), 3, side, side), np.uint8)
        for i, item in enumerate(rows.indices):
            photo = self.photos[self._photo_of_item[item]]
            high, low = self._cache.get(photo.path) or self._decode(photo)
            rng = rows.rng(i)
            top = rng.integers(low.shape[1] - side + 1)
            left = rng.integers(low.shape[2] - side + 1)
            way = int(rng.integers(8))
            lr[i] = _turned(_window(low, top, left, side), way)
            hr[i] = _turned(_window(high, top * self.scale, left * self.scale, self.crop), way)
        return {"hr": torch.from_numpy(hr), "lr": torch.from_numpy(lr)}

    def _check(self, photo: Photo) -> None:
        if min(photo.height, photo.width) < self.crop:
            raise DataError(
                f"{photo.path}: {photo.height}x{photo.width} pixels, smaller than the crop of {self.crop}x{self.crop}; "
                "choose a smaller --crop, or go on without it: --skip-bad"
            )

    def _decode(self, photo: Photo) -> tuple[np.ndarray, np.ndarray]:
        """High and low resolution of a whole photograph, uint8 (3, H, W) and (3, H / scale, W / scale)."""
        high = read_image(photo.path)
        height, width = (side - side % self.scale for side in high.shape[1:])
        high = high[:, :height, :width].contiguous()
        low = imresize(high, (height // self.scale, width // self.scale))
        return high.numpy(), low.numpy()


def _window(picture: np.ndarray, top: int, left: int, side: int) -> np.ndarray:
    return picture[:, top : top + side, left : left + side]


def _turned(crop: np.ndarray, way: int) -> np.ndarray:
    """One of the eight symmetries of a square, `way` 0..7: two mirrorings and a transposition, each a bit."""
    crop = crop[:, ::-1] if way & 1 else crop
    crop = crop[:, :, ::-1] if way & 2 else crop
    return crop.swapaxes(1, 2) if way & 4 else crop
