"""Video sources: video files, animations (GIF, WebP, PNG), and folders of numbered frames."""

import contextlib
import re
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any

import numpy as np

from multigen.catalogue import MODALITIES
from multigen.errors import ConfigError, DataError
from multigen.image.decoding import Raster, frame_numbers, open_picture, read_picture, read_pictures, read_raster
from multigen.image.metadata import read_metadata
from multigen.image.writing import SIDES
from multigen.video.files import BT709, LIMITED, Film, Frame, Looks, open_film

__all__ = ["ANIMATIONS", "existing", "is_pattern", "is_video_file", "numbered", "open_source"]

ANIMATIONS = (".gif", ".webp", ".png", ".apng")
STILL = 100  # ms: what a frame without a duration is shown for
PATTERN = re.compile(r"%(0\d{1,2})?d")
NUMBER = re.compile(r"(\d+)\.\w+$")


def is_video_file(path: Path) -> bool:
    """Whether a source is a video file, which may have other streams; by its name."""
    return path.is_file() and path.suffix.lower() not in MODALITIES["image"].suffixes


@contextlib.contextmanager
def open_source(path: Path, fps: Fraction | None = None) -> Iterator[Film]:
    """Opens a video source of any kind. `fps`: frames per second of numbered frames. Raises
    DataError and ConfigError."""
    if path.is_dir():
        yield _numbered_frames(path, fps)
    elif path.exists() and not is_video_file(path):
        yield _animation(path)
    else:
        with open_film(path) as film:
            yield film


def is_pattern(path: Path) -> bool:
    """Whether a path names numbered frames, such as %05d.png."""
    return path.suffix.lower() in SIDES and "%" in path.name


def numbered(pattern: Path, number: int) -> Path:
    """The path of a numbered frame, such as frames/00001.png of frames/%05d.png. Raises ConfigError
    for another pattern."""
    if len(PATTERN.findall(pattern.name)) != 1 or pattern.name.count("%") != 1:
        raise ConfigError(f"--out {pattern}: expected a name such as %05d.png for numbered frames")
    return pattern.with_name(PATTERN.sub(lambda match: f"%{match[1] or ''}d" % number, pattern.name))


def existing(pattern: Path) -> list[Path]:
    """The existing numbered frames of a pattern. Raises ConfigError for another pattern."""
    numbered(pattern, 1)
    before, digits, after = re.split(r"%(?:0(\d{1,2}))?d", pattern.name)
    name = re.compile(rf"{re.escape(before)}\d{{{int(digits or 1)},}}{re.escape(after)}")
    folder = pattern.parent
    return sorted(path for path in folder.iterdir() if name.fullmatch(path.name)) if folder.is_dir() else []


def _looks(raster: Raster, rate: Fraction, base: Fraction) -> Looks:
    """Properties of RGB frames, which are written in BT.709 as usual for video."""
    height, width = raster.pixels.shape[:2]
    deep = raster.pixels.dtype == np.uint16
    looks = Looks(width, height, "rgb48le" if deep else "rgb24", 10 if deep else 8, rate, base)
    return replace(looks, primaries=BT709, transfer=BT709, matrix=BT709, range=LIMITED)


def _same_size(raster: Raster, looks: Looks, path: Path) -> Raster:
    height, width = raster.pixels.shape[:2]
    if (height, width) != (looks.height, looks.width):
        raise DataError(
            f"{path}: {width} x {height} pixels, but the frames before have {looks.width} x {looks.height}; a film needs one size"
        )
    return raster


class _Animation(Film):
    """An animated GIF, WebP or PNG. Transparent pixels are laid on white."""

    def read(self, start: Fraction = Fraction(0), end: Fraction | None = None, skip: int = 0) -> Iterator[Frame]:
        for picture, (pts, duration) in zip(read_pictures(self.path), self.times, strict=True):
            if end is not None and pts * self.looks.time_base >= end:
                return
            if pts * self.looks.time_base < start:
                continue
            skip -= 1
            if skip < 0:
                yield Frame(_same_size(_raster_of(picture), self.looks, self.path), pts, duration)

    times: list[tuple[int, int]]


def _still(path: Path, number: int | None = None) -> Raster:
    return _raster_of(read_picture(path, number))


def _raster_of(picture: Any) -> Raster:
    return Raster(np.asarray(picture.convert("RGB")))


def _animation(path: Path) -> Film:
    durations = []
    with open_picture(path) as file:
        xmp = read_metadata(file, path).xmp
        for number in frame_numbers(file):
            file.seek(number)
            file.load()
            durations.append(max(1, round(float(file.info.get("duration") or STILL))))
    begins = accumulate(durations[:-1], initial=0)
    base, whole = Fraction(1, 1000), sum(durations)
    looks = _looks(_still(path, 0), Fraction(1000 * len(durations), whole), base)
    film = _Animation(path, looks, len(durations), Fraction(0), whole * base)
    film.times, film.xmp = list(zip(begins, durations, strict=True)), xmp
    return film


class _Numbered(Film):
    """Numbered frames in a folder."""

    files: list[Path]

    def read(self, start: Fraction = Fraction(0), end: Fraction | None = None, skip: int = 0) -> Iterator[Frame]:
        for number, path in enumerate(self.files):
            if number * self.looks.time_base < start or (end is not None and number * self.looks.time_base >= end):
                continue
            skip -= 1
            if skip < 0:
                yield Frame(_same_size(_frame_of(path), self.looks, path), number, 1)


def _frame_of(path: Path) -> Raster:
    raster = read_raster(path)
    if raster.pixels.dtype == np.uint16:
        return Raster(
            np.ascontiguousarray(raster.colour.repeat(3, -1) if raster.colour.shape[-1] == 1 else raster.colour)
        )
    return _still(path)


def _numbered_frames(folder: Path, fps: Fraction | None) -> Film:
    if fps is None:
        raise ConfigError(f"{folder}: for a film of the frames in a folder give their rate, such as --fps 25")
    suffixes = MODALITIES["image"].readable
    result = [path for path in folder.iterdir() if path.suffix.lower() in suffixes and not path.name.startswith(".")]
    numbers = {path: int(match[1]) for path in result if (match := NUMBER.search(path.name))}
    files = sorted(numbers, key=lambda path: numbers[path])
    if not files:
        raise DataError(f"{folder}: no numbered frames, such as 00001.png, in it")
    for before, after in pairwise(files):
        if numbers[before] == numbers[after]:
            raise DataError(f"{folder}: {before.name} and {after.name} have one number; keep one of them")
        if numbers[after] != numbers[before] + 1:
            raise DataError(f"{folder}: no frame between {before.name} and {after.name}; number them without gaps")
    film = _Numbered(folder, _looks(_frame_of(files[0]), fps, 1 / fps), len(files), Fraction(0), len(files) / fps)
    film.files = files
    return film
