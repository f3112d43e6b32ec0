"""Masks for the images of a command: one for all, or a folder with one for each, by name."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from multigen.catalogue import TASKS
from multigen.cli.targets import place_of
from multigen.errors import ConfigError, DataError

__all__ = ["NO_HOLES", "Holes", "holes_of"]


@dataclass(frozen=True)
class Holes:
    """Masks and how their holes are filled; no masks if `mask` is None."""

    mask: Path | None = None
    """An image, or a folder of images."""
    dilate: int | None = None
    feather: int | None = None
    found: Mapping[Path, Path] = field(default_factory=dict)
    """Image -> its mask."""

    def check(self, task: str, model: str) -> None:
        """Raises ConfigError if a mask is missing for a model that needs one, or given for
        another."""
        if TASKS[task].masked and self.mask is None:
            raise ConfigError(
                f"--model {model} {TASKS[task].does}: say which, --mask MASK, an image of the same size that is white where it "
                "is to be filled, or a folder of such"
            )
        given = {"--mask": self.mask, "--dilate": self.dilate, "--feather": self.feather}
        if not TASKS[task].masked and (flags := [name for name, value in given.items() if value is not None]):
            raise ConfigError(
                f"{' '.join(flags)}: only for models that fill holes, but --model {model} {TASKS[task].does}; leave it out"
            )

    def of(self, sources: Iterable[Path], inputs: Sequence[Path]) -> "Holes":
        """These with the masks of images that are there: in a folder those of the same path,
        whatever the suffix, below the one of `inputs` that holds the image, or of the same name,
        where the image was given by itself. Raises DataError for a folder in which an image may
        have two."""
        if self.mask is None:
            return self
        if not self.mask.exists():
            raise DataError(f"--mask {self.mask}: no such file or folder; check the path")
        if not self.mask.is_dir():
            return replace(self, found=dict.fromkeys(sources, self.mask))
        from multigen.image.files import find_images

        masks: dict[Path, Path] = {}
        for path in find_images(self.mask):
            if (other := masks.setdefault(path.relative_to(self.mask).with_suffix(""), path)) != path:
                raise DataError(f"--mask {self.mask}: {other} and {path} are masks of one name; remove one of them")
        names = {source: place_of(source, inputs).with_suffix("") for source in sources}
        return replace(self, found={source: masks[name] for source, name in names.items() if name in masks})

    def missing(self, sources: Iterable[Path], inputs: Sequence[Path]) -> dict[Path, str]:
        """Images without a mask though masks are given, and the reasons."""
        if self.mask is None:
            return {}
        names = {source: place_of(source, inputs).with_suffix(".png") for source in sources if source not in self.found}
        return {
            source: f"{source}: {self.mask} has no mask of this name; add {name.as_posix()}, or leave the image out"
            for source, name in names.items()
        }


NO_HOLES = Holes()


def holes_of(restorer: Any, holes: Holes, source: Path, sizes: Sequence[tuple[int, int]]) -> dict[str, Any]:
    """Further arguments of a restorer's `restore_raster` for the frames of an image, of these sizes
    (height, width): of a model without masks none. Raises DataError, which names the mask, where
    that does not fit."""
    if not TASKS[restorer.task].masked:
        return {}
    from multigen.image.decoding import read_raster
    from multigen.image.restoration.user_masks import check_hole, hole_of

    path = holes.found[source]
    hole = hole_of(read_raster(path))
    for height, width in sizes:
        try:
            check_hole(hole, height, width)
        except DataError as error:
            raise DataError(f"{path}: {error}") from error
    return {"hole": hole, "dilate": holes.dilate, "feather": holes.feather}
