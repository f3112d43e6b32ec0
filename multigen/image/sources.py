"""An image file with all that its enlarged copy keeps: frames, metadata, timing of an animation."""

from dataclasses import dataclass
from pathlib import Path

from multigen.errors import DataError
from multigen.image.decoding import Raster, frame_numbers, open_picture, raster_in, say_first
from multigen.image.metadata import Metadata, read_metadata
from multigen.image.writing import Motion

__all__ = ["Source", "moving_suffix", "read_source"]

STILL = 100  # ms: what a frame without a duration is shown for
SUFFIXES = {"GIF": ".gif", "WEBP": ".webp", "TIFF": ".tif"}
"""Format of an animation -> suffix of its enlarged copy; of others PNG."""


@dataclass(frozen=True)
class Source:
    """Its `frames`, one for a still."""

    frames: list[Raster]
    metadata: Metadata
    motion: Motion | None = None
    animated: bool = False
    """Whether its frames follow each other in time; pages of a TIFF do not."""


def read_source(path: str | Path, all_frames: bool = False) -> Source:
    """An image file. `all_frames`: of an animation or a TIFF of many pages all are read, else the
    first. Raises DataError."""
    with open_picture(path) as file:
        # Pillow forgets tags of a TIFF once it is decoded, and reads those of a PNG behind the pixels only then.
        first = read_metadata(file, path) if file.format == "TIFF" else None
        if not all_frames or len(numbers := frame_numbers(file)) == 1:
            if not all_frames:
                say_first(file, path)
            raster = raster_in(file, path)
            return Source([raster], first or read_metadata(file, path))
        frames, durations = [], []
        for number in numbers:
            file.seek(number)
            frames.append(raster_in(file, path, number))
            durations.append(float(file.info.get("duration") or STILL))
        loop = file.info.get("loop")
        motion = Motion(tuple(durations), loop if isinstance(loop, int) else None)
        return Source(frames, first or read_metadata(file, path), motion, file.format != "TIFF")


def moving_suffix(path: Path) -> str:
    """The suffix of the enlarged copy with all frames. A file that cannot be read counts as a
    still: it is refused later."""
    try:
        with open_picture(path) as file:
            return SUFFIXES.get(file.format or "", ".png") if len(frame_numbers(file)) > 1 else ".png"
    except DataError:
        return ".png"
