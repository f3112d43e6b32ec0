"""Masks beside the images of a command: one for all, or a folder that has one for each, by name."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from multigen.catalogue import TASKS
from multigen.errors import ConfigError, DataError

__all__ = ["NO_HOLES", "Holes", "holes_of"]


@dataclass(frozen=True)
class Holes:
    """Masks, and how a model is to fill what they mark; without `mask` nothing."""

    mask: Path | None = None
    """An image, or a folder of images."""
    dilate: int | None = None
    feather: int | None = None

    def check(self, task: str, model: str) -> None:
        """Raises ConfigError where a model needs a mask and has none, or takes none and has one."""
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
        if self.mask is not None and not self.mask.exists():
            raise DataError(f"--mask {self.mask}: no such file or folder; check the path")

    def of(self, source: Path) -> Path:
        """The mask of an image: that of its name, whatever the suffix, in the same folder below `mask`. Raises DataError."""
        assert self.mask is not None
        if not self.mask.is_dir():
            return self.mask
        from multigen.image.files import find_images

        masks = {path.relative_to(self.mask).with_suffix("").as_posix(): path for path in find_images(self.mask)}
        parts = source.with_suffix("").parts
        names = ["/".join(parts[i:]) for i in range(len(parts))]
        if found := [masks[name] for name in names if name in masks]:
            return found[0]
        raise DataError(f"{source}: {self.mask} has no mask of this name; add {names[-1]}.png, or leave the image out")


NO_HOLES = Holes()


def holes_of(restorer: Any, holes: Holes, source: Path, sizes: Sequence[tuple[int, int]]) -> dict[str, Any]:
    """Further arguments of a restorer's `restore_raster` for the frames of an image, of these sizes (height, width): of a model
    without masks none. Raises DataError, which names the mask, where that does not fit."""
    if not TASKS[restorer.task].masked:
        return {}
    from multigen.image.decoding import read_raster
    from multigen.image.restoration.user_masks import check_hole, hole_of

    path = holes.of(source)
    hole = hole_of(read_raster(path))
    for height, width in sizes:
        try:
            check_hole(hole, height, width)
        except DataError as error:
            raise DataError(f"{path}: {error}") from error
    return {"hole": hole, "dilate": holes.dilate, "feather": holes.feather}
