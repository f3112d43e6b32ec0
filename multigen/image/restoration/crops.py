"""Crops of photographs with their inputs: training data of image restoration."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from multigen.engine.batches import Rows
from multigen.errors import ConfigError, DataError
from multigen.image.degrade import Degrade
from multigen.image.files import Photo, read_image

__all__ = ["Corrupt", "CropSource"]

Corrupt = Callable[[Tensor, np.random.Generator], dict[str, Tensor]]
"""(target, uint8 (3, crop, crop); its random generator) -> additional batch entries by name:
"input" and others."""


class CropSource:
    """Random crops of photographs, the targets of restoration, with their inputs.

    A photograph is cut to a multiple of the scale, and `degrade` is applied to the whole of it, so
    an input and its target are aligned windows of whole images, without borders that the photograph
    does not have.

    Items: a photograph counts as many items as crops fit into its area (at least one), so an epoch
    covers about every pixel once, and pixels of small and large photographs equally often.

    Decoding: files are decoded at construction as long as they fit into `cache_bytes`; the others
    on each use, and a damaged one among them raises then. With `skip_bad` every file is decoded at
    construction, so that damaged ones are left out (and listed in `skipped`) before training.

    Args:
        photos: as from `open_photos`.
        crop: side of the targets, pixels; a multiple of the scale.
        scale: factor between the sides of a target and its input.
        degrade: makes the input of a whole photograph, once.
        corrupt: makes the input of each crop, again each time. Without either, batches have no
            inputs.
        skip_bad: leave out photographs that are damaged or smaller than the crop.
        cache_bytes: memory for decoded photographs, bytes (one takes 3 * H * W * (1 + 1 / scale^2),
            without inputs 3 * H * W).

    Raises:
        ConfigError: crop is no multiple of scale.
        DataError: a photograph is damaged or smaller than the crop (without skip_bad), or none is
            left.
    """

    def __init__(
        self,
        photos: Sequence[Photo],
        crop: int,
        scale: int = 1,
        degrade: Degrade | None = None,
        *,
        corrupt: Corrupt | None = None,
        skip_bad: bool = False,
        cache_bytes: int = 2 << 30,
    ):
        if scale < 1 or crop < scale or crop % scale:
            raise ConfigError(f"crop {crop} with scale {scale}: expected a multiple of the scale, at least {scale}")
        self.crop, self.scale, self.degrade, self.corrupt = crop, scale, degrade, corrupt
        self.photos: list[Photo] = []
        self.skipped: list[tuple[Path, str]] = []
        self._cache: dict[str, tuple[np.ndarray, np.ndarray | None]] = {}
        free = cache_bytes
        for photo in photos:
            try:
                self._check(photo)
                size = 3 * photo.height * photo.width * (1 + (1 / scale**2 if degrade else 0))
                if size <= free:
                    self._cache[photo.name] = self._decode(photo)
                    free -= size
                elif skip_bad:
                    read_image(photo.path, photo.frame)
            except DataError as error:
                if not skip_bad:
                    raise
                self.skipped.append((photo.path, str(error)))
            else:
                self.photos.append(photo)
        if not self.photos:
            first = "".join(reason for _, reason in self.skipped[:1])
            raise DataError(f"no image is left of {len(photos)} to crop from; expected at least one. {first}")
        crops = [max(1, round(photo.height * photo.width / crop**2)) for photo in self.photos]
        self._photo_of_item = np.repeat(np.arange(len(crops)), crops)

    def __len__(self) -> int:
        """Number of items: about how many crops cover all photographs once."""
        return len(self._photo_of_item)

    def batch(self, rows: Rows) -> dict[str, Tensor]:
        """Random crops, each in one of the eight orientations (flips and rotations).

        Returns:
            uint8 "target" (B, 3, crop, crop) and, with `degrade`, "input" (B, C, crop / scale,
            crop / scale), RGB; with `corrupt` its entries.
        """
        side, crops = self.crop // self.scale, []
        for i, item in enumerate(rows.indices):
            photo = self.photos[self._photo_of_item[item]]
            target, source = self._cache.get(photo.name) or self._decode(photo)
            rng = rows.rng(i)
            top = rng.integers(target.shape[1] // self.scale - side + 1)
            left = rng.integers(target.shape[2] // self.scale - side + 1)
            way = int(rng.integers(8))
            crop = {"target": _turned(_window(target, top * self.scale, left * self.scale, self.crop), way)}
            if source is not None:
                crop["input"] = _turned(_window(source, top, left, side), way)
            if self.corrupt:
                crop |= self.corrupt(crop["target"], rng)
            crops.append(crop)
        return {name: torch.stack([crop[name] for crop in crops]) for name in crops[0]}

    def _check(self, photo: Photo) -> None:
        if min(photo.height, photo.width) < self.crop:
            raise DataError(
                f"{photo.path}: {photo.height}x{photo.width} pixels, smaller than the crop of {self.crop}x{self.crop}; "
                "choose a smaller --crop, or skip it: --skip-bad"
            )

    def _decode(self, photo: Photo) -> tuple[np.ndarray, np.ndarray | None]:
        """A whole photograph, uint8 (3, H, W), and its input, uint8 (C, H / scale, W / scale)."""
        image = read_image(photo.path, photo.frame)
        height, width = (side - side % self.scale for side in image.shape[1:])
        target = image[:, :height, :width].contiguous()
        return target.numpy(), self.degrade(target, photo.name).numpy() if self.degrade else None


def _window(image: np.ndarray, top: int, left: int, side: int) -> np.ndarray:
    return image[:, top : top + side, left : left + side]


def _turned(crop: np.ndarray, way: int) -> Tensor:
    """One of the eight symmetries of a square; the bits of `way` (0..7) are two flips and a
    transposition."""
    crop = crop[:, ::-1] if way & 1 else crop
    crop = crop[:, :, ::-1] if way & 2 else crop
    return torch.from_numpy(np.ascontiguousarray(crop.swapaxes(1, 2) if way & 4 else crop))
