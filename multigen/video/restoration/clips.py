"""Clips with their inputs: training data of restoring films, from films and from photographs that
are made to move."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from multigen.engine.batches import Rows
from multigen.errors import DataError
from multigen.image.files import Photo, read_image
from multigen.video.restoration.degradations import along, cubic, to_bytes
from multigen.video.restoration.footage import Footage, clips_of

__all__ = ["ClipSource", "Degrade", "moving", "walk"]

Degrade = Callable[[Tensor, np.random.Generator], Tensor]
"""(a clip, uint8 (T, 3, H, W); its draws) -> its input, uint8 (T, 3, H / scale, W / scale)."""
TAPS = 3  # pixels that cubic interpolation needs beside those that it gives
JITTER = 0.1  # standard deviation of the change of speed from frame to frame, of the largest speed
MEMORY = 1 << 30  # bytes for decoded photographs, and for decoded clips


class ClipSource:
    """Clips at random places of films and of photographs, the targets of restoration, with their
    inputs.

    A photograph becomes a clip by a window that walks over it, by fractions of a pixel: only so do
    small frames, which are made of the window afterwards, each hold something that the others do
    not. A film gives windows that stand still.

    Clips are degraded with `scale` pixels of their input around them, which are cut off then, so
    that inputs have no borders that the photograph does not have. A photograph, or a clip of a
    film, stands for as many items as windows fit into its area.

    Args:
        crop: side of the targets, pixels; a multiple of the scale.
        frames: of a clip.
        speed: of a window, pixels of the target a frame, at most.
        degrade: makes the input of a clip, again each time it is drawn.
        skip_bad: leave out files that are damaged or too small, which `skipped` lists.

    Raises DataError for a file that is damaged or too small (without skip_bad), or where none is
    left."""

    def __init__(
        self,
        items: Sequence[Photo | Footage],
        crop: int,
        scale: int,
        frames: int,
        speed: float,
        degrade: Degrade,
        *,
        skip_bad: bool = False,
    ):
        self.crop, self.scale, self.frames, self.speed, self.degrade = crop, scale, frames, speed, degrade
        self.border = 2 * scale
        self.side = crop + 2 * self.border
        self.skipped: list[tuple[Path, str]] = []
        self.items: list[Photo | Footage] = []
        self.pieces: list[Photo | np.ndarray] = []
        """Photographs to decode when they are used, or pixels (3, H, W), or of films (T, 3, H,
        W)."""
        free, films = MEMORY, [item for item in items if isinstance(item, Footage)]
        areas = []
        for item in items:
            try:
                self._check(item)
                if isinstance(item, Footage):
                    pieces = clips_of(item, frames, MEMORY // len(films))
                elif 3 * item.height * item.width <= free:
                    free -= 3 * item.height * item.width
                    pieces = [read_image(item.path, item.frame).numpy()]
                else:
                    if skip_bad:
                        read_image(item.path, item.frame)
                    pieces = [item]
            except DataError as error:
                if not skip_bad:
                    raise
                self.skipped.append((item.path, str(error)))
                continue
            self.items.append(item)
            self.pieces += pieces
            areas += [item.height * item.width] * len(pieces)
        if not self.pieces:
            first = "".join(reason for _, reason in self.skipped[:1])
            raise DataError(f"no clip is left of {len(items)} files; expected at least one. {first}")
        self._piece_of_item = np.repeat(np.arange(len(areas)), [max(1, round(area / crop**2)) for area in areas])

    def __len__(self) -> int:
        """Number of items: about how many windows cover everything once."""
        return len(self._piece_of_item)

    def batch(self, rows: Rows) -> dict[str, Tensor]:
        """Clips, each turned, mirrored and played backwards at random: uint8 "target" (B, T, 3,
        crop, crop) and "input" (B, T, 3, crop / scale, crop / scale), RGB."""
        pairs = [self._pair(self.pieces[self._piece_of_item[item]], rows.rng(i)) for i, item in enumerate(rows.indices)]
        targets, inputs = zip(*pairs, strict=True)
        return {"target": torch.stack(targets), "input": torch.stack(inputs)}

    def _pair(self, piece: Photo | np.ndarray, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        pixels = read_image(piece.path, piece.frame) if isinstance(piece, Photo) else torch.from_numpy(piece)
        if pixels.dim() == 3:
            room = pixels.shape[-2] - self.side - TAPS, pixels.shape[-1] - self.side - TAPS
            clip = moving(pixels, self.side, walk(self.frames, self.speed, room, rng))
        else:
            top, left = (int(rng.integers(length - self.side + 1)) for length in pixels.shape[-2:])
            clip = pixels[..., top : top + self.side, left : left + self.side]
        clip = _turned(clip, int(rng.integers(16)))
        return _inner(clip, self.border), _inner(self.degrade(clip, rng), self.border // self.scale)

    def _check(self, item: Photo | Footage) -> None:
        least = self.side + TAPS
        if min(item.height, item.width) < least:
            raise DataError(
                f"{item.path}: {item.height}x{item.width} pixels, expected {least}x{least} for clips of {self.crop}x{self.crop} "
                "with their surroundings; choose a smaller --crop, or skip it: --skip-bad"
            )


def walk(frames: int, speed: float, room: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Places (T, 2), rows and columns, of a window that moves in 0 .. room: in one direction at a
    speed of up to `speed` pixels a frame, which both change a little from frame to frame."""
    angle, pace = rng.uniform(0, 2 * np.pi), rng.uniform(0, speed)
    changes = rng.normal(0, JITTER * speed, (frames, 2)).cumsum(0)
    path = (pace * np.array([np.cos(angle), np.sin(angle)]) + changes).cumsum(0)
    path -= path.min(0)
    limits = np.maximum(room, 0)
    path *= np.minimum(1, limits / np.maximum(path.max(0), 1e-9))
    return path + rng.uniform(0, 1, 2) * (limits - path.max(0))


def moving(image: Tensor, side: int | tuple[int, int], places: np.ndarray) -> Tensor:
    """The clip uint8 (T, 3, side, side) of a window over a photograph, uint8 (3, H, W), at places
    (T, 2) between whole pixels: cubic interpolation, exact at whole ones."""
    height, width = side if isinstance(side, tuple) else (side, side)
    whole = np.floor(places).astype(int)
    down, right = torch.from_numpy(places - whole).T[..., None, None, None]  # (T, 1, 1, 1) each
    bottom, end = (length - 1 for length in image.shape[-2:])
    windows = []
    for top, left in whole.tolist():
        rows = torch.arange(top - 1, top + height + 2).clamp(0, bottom)
        columns = torch.arange(left - 1, left + width + 2).clamp(0, end)
        windows.append(image[:, rows[:, None], columns])
    across = along(torch.stack(windows).float(), cubic(right), -1)
    return to_bytes(along(across, cubic(down), -2))


def _inner(clip: Tensor, border: int) -> Tensor:
    return clip[..., border:-border, border:-border].contiguous()


def _turned(clip: Tensor, way: int) -> Tensor:
    """One of the eight symmetries of a square, and the order of the frames, each a bit of `way`."""
    dims = [dim for bit, dim in ((1, -2), (2, -1), (4, 0)) if way & bit]
    clip = clip.flip(dims) if dims else clip
    return clip.mT if way & 8 else clip
