"""Films to train on and to measure on: files, and folders of numbered frames."""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from multigen.catalogue import CONTAINERS, MODALITIES
from multigen.data.folders import files_in
from multigen.data.locate import locate
from multigen.errors import DataError
from multigen.image.files import Photo, size_of
from multigen.image.files import fingerprint as of_files
from multigen.memory import require
from multigen.video.cuts import Cuts
from multigen.video.sources import NUMBER, open_source

__all__ = [
    "Footage",
    "Footages",
    "clips_of",
    "film_files",
    "find_footage",
    "fingerprint",
    "frames_of",
    "holds_films",
    "is_film",
    "opened",
]

RATE = Fraction(25)  # of numbered frames, whose times do not matter here
(FILMS,) = CONTAINERS


@dataclass(frozen=True)
class Footage:
    """A film. `name` stays the same when the folder is moved; the size is in pixels."""

    name: str
    path: Path
    """A file, or a folder of numbered frames."""
    height: int
    width: int


class Footages(list[Footage]):
    """Films, and in `skipped` the (path, reason) of each one left out."""

    skipped: list[tuple[Path, str]]


def find_footage(data: str, skip_bad: bool = False) -> Footages:
    """The films of a data argument: a file, or those in a folder, and the folders of numbered
    frames in it, or itself.

    Raises DataError: nothing there, or (without skip_bad) a film that cannot be opened.
    """
    place = locate(data, "a film, a folder of films, or a folder of numbered frames")
    paths = [*film_files(place), *_folders_of_frames(place)] if place.is_dir() else [place]
    if not paths:
        raise DataError(
            f"{place}: no films in it ({' '.join(FILMS.suffixes[:6])} ..) and no numbered frames; name others"
        )
    return opened(paths, place, skip_bad)


def opened(paths: Sequence[Path], place: Path, skip_bad: bool) -> Footages:
    """The films at paths in the folder `place`. Raises as `find_footage`."""
    films = Footages()
    films.skipped = []
    for path in paths:
        try:
            with open_source(path, RATE if path.is_dir() else None) as film:
                inside = path.relative_to(place).as_posix() if place.is_dir() and path != place else path.name
                films.append(Footage(inside, path, film.looks.height, film.looks.width))
        except DataError as error:
            if not skip_bad:
                raise
            films.skipped.append((path, str(error)))
    return films


def is_film(path: Path) -> bool:
    """Whether a file is a film, by its name."""
    return path.suffix.lower() in FILMS.suffixes


def film_files(folder: Path) -> list[Path]:
    """The files of films in a folder and the folders in it."""
    return [path for path in files_in(folder) if is_film(path)]


def holds_films(place: Path) -> bool:
    """Whether a path is a film, or a folder with films or numbered frames in it."""
    if place.is_dir():
        return bool(film_files(place) or _folders_of_frames(place))
    return is_film(place)


def _folders_of_frames(place: Path) -> list[Path]:
    """The folders without films whose images are numbered without gaps, from any number, and have
    one size."""
    images: dict[Path, list[Path]] = {}
    files = files_in(place)
    films = {path.parent for path in files if is_film(path)}
    for path in files:
        if path.suffix.lower() in MODALITIES["image"].readable:
            images.setdefault(path.parent, []).append(path)
    return [folder for folder, paths in sorted(images.items()) if folder not in films and _are_frames(paths)]


def _are_frames(paths: Sequence[Path]) -> bool:
    numbers = sorted(int(match[1]) if (match := NUMBER.search(path.name)) else -1 for path in paths)
    if len(paths) < 2 or numbers[0] < 0 or numbers != list(range(numbers[0], numbers[0] + len(numbers))):
        return False
    with contextlib.suppress(DataError):  # of a file that is no image: named where it is read
        return len({size_of(path) for path in paths}) == 1
    return False


def frames_of(footage: Footage, most: int) -> Tensor:
    """The first `most` frames of a film, uint8 (T, 3, H, W). Raises DataError; OutOfMemory where
    they would not fit."""
    frames = []
    for pixels in _frames(footage):
        if len(frames) == most:
            break
        frames.append(pixels)
        require(pixels.nbytes, f"{footage.path}: {len(frames)} frames", "cut the film")
    if not frames:
        raise DataError(f"{footage.path}: no frame in it; leave it out")
    return torch.from_numpy(np.stack(frames)).permute(0, 3, 1, 2).contiguous()


def clips_of(footage: Footage, frames: int, most: int) -> list[np.ndarray]:
    """Clips (T, 3, H, W) of a film, spread over it, in at most `most` bytes (one clip at least);
    none across a cut. Raises DataError for a film that is shorter than a clip."""
    size = 3 * frames * footage.height * footage.width
    require(size, f"{footage.path}: a clip of {frames} frames", "choose fewer frames: --length")
    with open_source(footage.path, RATE if footage.path.is_dir() else None) as film:
        apart = max(frames, -(-film.frames // max(1, most // size)))
    clips, window, after, cuts = [], list[np.ndarray](), 0, Cuts()
    for number, pixels in enumerate(_frames(footage)):
        if cuts.begins(pixels):
            window = []
        if number < after:
            continue
        window.append(pixels)
        if len(window) == frames:
            clips.append(np.ascontiguousarray(np.stack(window).transpose(0, 3, 1, 2)))
            window, after = [], number - frames + 1 + apart
    if not clips:
        raise DataError(
            f"{footage.path}: no {frames} frames of one scene in it; choose fewer: --length, or leave it out"
        )
    return clips


def fingerprint(items: Sequence[Photo | Footage], contents: bool = True) -> str:
    """As `multigen.image.files.fingerprint`, of photographs and films, whose numbered frames count
    as files."""
    entries = []
    for item in items:
        paths = sorted(path for path in item.path.iterdir() if path.is_file()) if item.path.is_dir() else [item.path]
        names = [f"{item.name}/{path.name}" for path in paths] if item.path.is_dir() else [item.name]
        entries += [replace(item, name=name, path=path) for name, path in zip(names, paths, strict=True)]
    return of_files(entries, contents)


def _frames(footage: Footage) -> Iterator[np.ndarray]:
    """uint8 (H, W, 3)."""
    with open_source(footage.path, RATE if footage.path.is_dir() else None) as film:
        for frame in film.read():
            pixels = frame.raster.pixels
            yield pixels if pixels.dtype == np.uint8 else (pixels >> 8).astype(np.uint8)
