"""Films to measure on: whole frames and their inputs."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from multigen.data.locate import locate
from multigen.errors import ConfigError, DataError
from multigen.image.files import EMBEDDED_NAMES, Photo, read_image
from multigen.image.restoration.corruption import draws_of
from multigen.image.restoration.test_sets import open_test_photos
from multigen.video.restoration.clips import Degrade, moving, walk
from multigen.video.restoration.footage import Footage, find_footage, frames_of, holds_films

__all__ = ["BORDER", "FilmSet", "items_of", "open_test_films"]

BORDER = 8  # pixels at each side that metrics leave out, as RRN's do
FRAMES = 8  # of a photograph that moves
SPEED = 2.0  # of its window, pixels a frame, at most
SIDE = 128  # of its window, at most


@dataclass(frozen=True)
class FilmSet:
    """Films to measure on: of each uint8 (T, 3, H, W), cut to a multiple of the scale, and its
    input, uint8 (T, 3, H / scale, W / scale)."""

    name: str
    targets: tuple[Tensor, ...]
    inputs: tuple[Tensor, ...]

    @classmethod
    def of(
        cls,
        name: str,
        items: Sequence[Photo | Footage],
        scale: int,
        degrade: Degrade,
        frames: int,
        skipped: list[tuple[Path, str]] | None = None,
    ) -> "FilmSet | None":
        """Of the first `frames` of films, and of photographs that move; the same each time; None
        where there are none.
        Raises DataError for one that cannot be read or is too small; where a list `skipped` is
        given, it is noted there and left out."""
        targets, inputs = [], []
        for item in items:
            try:
                targets.append(_target(item, scale, frames))
            except DataError as error:
                if skipped is None:
                    raise
                skipped.append((item.path, str(error)))
                continue
            inputs.append(degrade(targets[-1], draws_of(item.name)))
        return cls(name, tuple(targets), tuple(inputs)) if targets else None


def open_test_films(data: Sequence[str], scale: int, degrade: Degrade, frames: int) -> list[FilmSet]:
    """A set for each film of the data, named after its file or folder: films, folders of films, of
    numbered frames, of each the first `frames`, or, where there are no such, photographs, which
    move. Raises DataError;
    ConfigError where two have the same name."""
    items = [item for name in data for item in items_of(name)]
    names = [Path(item.name).stem for item in items]
    if twice := [name for name in names if names.count(name) > 1]:
        raise ConfigError(f"test {' '.join(data)}: two films are called {twice[0]!r}; rename one of them")
    sets = [FilmSet.of(name, [item], scale, degrade, frames) for name, item in zip(names, items, strict=True)]
    return [each for each in sets if each is not None]


def items_of(data: str) -> Sequence[Photo | Footage]:
    """The films, or the photographs, of a test set. Raises DataError."""
    if data in EMBEDDED_NAMES:
        return open_test_photos(data)
    place = locate(data, "a film, a folder of films or of numbered frames, or a folder of photographs")
    return find_footage(data) if holds_films(place) else open_test_photos(data)


def _target(item: Photo | Footage, scale: int, frames: int) -> Tensor:
    clip = frames_of(item, frames) if isinstance(item, Footage) else _moving(item)[:frames]
    height, width = (side - side % scale for side in clip.shape[-2:])
    least = max(16, 11 + 2 * BORDER)
    if min(height, width) < least or len(clip) < 2:
        raise DataError(
            f"{item.path}: {len(clip)} frames of {height}x{width} pixels are too few to be measured, expected 2 of "
            f"{least}x{least}; leave it out"
        )
    return clip[..., :height, :width].contiguous()


def _moving(photo: Photo) -> Tensor:
    """A window of at most `SIDE` pixels that walks over a photograph, `FRAMES` frames."""
    image = read_image(photo.path, photo.frame)
    room = FRAMES * int(SPEED)
    height, width = (max(min(SIDE, length - room), length // 2) for length in image.shape[-2:])
    limits = image.shape[-2] - height, image.shape[-1] - width
    return moving(image, (height, width), walk(FRAMES, SPEED, limits, draws_of(photo.name)))
