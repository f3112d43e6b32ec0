"""User-provided inpainting masks: conversion, checks, dilation, feathering and splitting."""

from collections.abc import Iterator
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import max_pool2d

from multigen.errors import DataError
from multigen.image.decoding import Raster, raster_of

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

__all__ = ["Window", "check_hole", "dilated", "feathered", "hole_of", "pieces", "rings", "thickness", "whole_holes"]

Window = tuple[slice, slice]
"""Rows and columns of a window."""


def hole_of(mask: "Tensor | np.ndarray | Raster | Picture") -> np.ndarray:
    """A mask as bool (H, W), true in the hole: where it is white (at least half brightness), or, in
    an image with transparency, transparent. Raises DataError for anything else."""
    if isinstance(mask, Tensor):
        mask = mask.cpu().numpy()
    if isinstance(mask, np.ndarray):
        if mask.ndim == 3 and 1 in (mask.shape[0], mask.shape[2]):
            mask = mask.squeeze(0 if mask.shape[0] == 1 else 2)
        if mask.ndim != 2 or mask.dtype not in (np.bool_, np.uint8):
            raise DataError(f"mask: bool or uint8 (H, W) expected, got {mask.dtype} {mask.shape}; convert it")
        return mask if mask.dtype == np.bool_ else mask >= 128
    raster = mask if isinstance(mask, Raster) else raster_of(mask)
    half = np.iinfo(raster.pixels.dtype).max / 2
    if raster.alpha is not None and raster.alpha.min() < half:
        return raster.alpha[..., 0] < half
    return raster.colour.mean(-1) > half


def check_hole(hole: np.ndarray, height: int, width: int) -> None:
    """Raises DataError for a mask that does not fit an image of this size, is empty, or leaves
    nothing."""
    if hole.shape != (height, width):
        raise DataError(
            f"mask of {hole.shape[1]}x{hole.shape[0]} pixels, the image has {width}x{height}; give a mask of the image's size"
        )
    if not hole.any():
        raise DataError("the mask is empty: nothing to fill; paint white what is to be filled")
    if hole.all():
        raise DataError("the mask covers the whole image: nothing is known; paint white only what is to be filled")


def dilated(hole: np.ndarray, pixels: int) -> np.ndarray:
    """Dilates bool (H, W) by a number of pixels in all directions."""
    if not pixels:
        return hole
    return _largest(torch.from_numpy(hole)[None].float(), pixels)[0].numpy() > 0


def feathered(hole: np.ndarray, pixels: int) -> np.ndarray:
    """float32 (H, W): 0 outside the hole, rising linearly from its edge to 1 at a depth of
    `pixels`."""
    share = torch.from_numpy(hole).float()[None]
    if pixels:
        smaller, total = share, share.clone()
        for _ in range(pixels):
            smaller = 1 - _largest(1 - smaller, 1)
            total += smaller
        share = total / (pixels + 1)
    return share[0].numpy()


def _largest(x: Tensor, pixels: int) -> Tensor:
    """Maximum filter with a radius in pixels, (1, H, W) -> (1, H, W), one axis at a time."""
    size = 2 * pixels + 1
    x = max_pool2d(x, (size, 1), stride=1, padding=(pixels, 0))
    return max_pool2d(x, (1, size), stride=1, padding=(0, pixels))


def thickness(hole: np.ndarray) -> int:
    """Side of the largest odd square that fits into a hole, bool (h, w), pixels."""
    known = torch.from_numpy(np.pad(~hole, 1, constant_values=True))[None].float()
    low, high = 0, max(hole.shape) // 2
    while low < high:  # half the side of the square, by bisection
        middle = (low + high + 1) // 2
        low, high = (middle, high) if (_largest(known, middle) == 0).any() else (low, middle - 1)
    return 2 * low + 1


def pieces(hole: np.ndarray, side: int) -> Iterator[Window]:
    """Bounding boxes of the holes, split where longer than `side`."""
    from skimage.measure import label, regionprops

    for region in regionprops(np.asarray(label(hole))):
        top, left, bottom, right = region.bbox
        rows, columns = (_parts(a, b, side) for a, b in ((top, bottom), (left, right)))
        yield from ((row, column) for row in rows for column in columns)


def rings(hole: np.ndarray, side: int) -> np.ndarray:
    """float32 (H, W): distance of a pixel's square of `side` pixels to the nearest square with
    known pixels, in squares.

    Raises ValueError where no pixel is known.
    """
    if hole.all():
        raise ValueError("a hole that covers everything: expected known pixels")
    known = max_pool2d(torch.from_numpy(~hole)[None, None].float(), side, ceil_mode=True)  # (1, 1, h, w)
    ring = torch.zeros_like(known)
    while not known.all():
        ring += known == 0
        known = max_pool2d(known, 3, stride=1, padding=1)
    rows, columns = (np.arange(length) // side for length in hole.shape)
    return ring[0, 0].numpy()[rows[:, None], columns]


def _parts(begin: int, end: int, most: int) -> list[slice]:
    """Splits begin..end into equal parts of at most `most`."""
    count = -(-(end - begin) // most)
    at = [begin + (end - begin) * i // count for i in range(count + 1)]
    return [slice(a, b) for a, b in pairwise(at)]


def whole_holes(hole: np.ndarray, window: Window) -> np.ndarray:
    """bool (h, w): the holes that lie fully in a window (they may touch the border of the
    image)."""
    from skimage.measure import label

    labels = np.asarray(label(hole[window]))
    cut = [
        labels[edge]
        for edge, at_border in (
            (np.s_[0], window[0].start == 0),
            (np.s_[-1], window[0].stop >= hole.shape[0]),
            (np.s_[:, 0], window[1].start == 0),
            (np.s_[:, -1], window[1].stop >= hole.shape[1]),
        )
        if not at_border
    ]
    touching = np.unique(np.concatenate(cut)) if cut else []
    return ~np.isin(labels, touching) & (labels > 0)
