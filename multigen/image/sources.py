"""An image file with all that its enlarged copy is to have: its frames, what it says of itself, how it moves."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from multigen.errors import DataError
from multigen.image.decoding import Raster, frame_numbers, open_picture, raster_in
from multigen.image.metadata import Metadata, read_metadata
from multigen.image.writing import Motion

if TYPE_CHECKING:
    from PIL.ImageFile import ImageFile

__all__ = ["Source", "moving_suffix", "read_source"]

STILL = 100  # ms: what a frame without a duration is shown for
SUFFIXES = {"GIF": ".gif", "WEBP": ".webp", "TIFF": ".tif"}
"""Format of an animation -> suffix of its enlarged copy; of others PNG."""


@dataclass(frozen=True)
class Source:
    """Its `frames`, one for a still; `more`: whether there are others, which were not read."""

    frames: list[Raster]
    metadata: Metadata
    motion: Motion | None = None
    more: bool = False


def read_source(path: str | Path, all_frames: bool = False) -> Source:
    """An image file. `all_frames`: of an animation or a TIFF of many pages all are read, else the first. Raises DataError."""
    with open_picture(path) as file:
        if not all_frames or len(numbers := frame_numbers(file)) == 1:
            more = not all_frames and _moves(file)
            return Source([raster_in(file, path)], read_metadata(file, path), more=more)
        frames, durations = [], []
        for number in numbers:
            file.seek(number)
            frames.append(raster_in(file, path, number))
            durations.append(float(file.info.get("duration") or STILL))
        loop = file.info.get("loop")
        motion = Motion(tuple(durations), loop if isinstance(loop, int) else None)
        return Source(frames, read_metadata(file, path), motion)


def _moves(file: "ImageFile") -> bool:
    return bool(getattr(file, "is_animated", False)) and len(frame_numbers(file)) > 1


def moving_suffix(path: Path) -> str:
    """The suffix of the enlarged copy with all frames. A file that cannot be read has that of a still: it is refused later."""
    try:
        with open_picture(path) as file:
            return SUFFIXES.get(file.format or "", ".png") if _moves(file) else ".png"
    except DataError:
        return ".png"
