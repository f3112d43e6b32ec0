"""Test sets of image restoration: photographs and degraded inputs."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import overload

from torch import Tensor

from multigen.data.folders import NoTestSplit
from multigen.errors import ConfigError, DataError
from multigen.image.degrade import Degrade
from multigen.image.files import Photo, Photos, open_photos, read_image, set_name

__all__ = ["MadeInputs", "TestSet", "open_test_photos", "open_test_set", "open_test_sets"]


@dataclass(frozen=True)
class TestSet:
    """A test set: photographs, uint8 (3, H, W), cut to a multiple of the scale, and the
    input for each, uint8 (C, H / scale, W / scale), or float32, beyond 0..1 where noise is not
    clipped."""

    __test__ = False  # the name makes pytest take it for a test

    name: str
    scale: int
    names: tuple[str, ...]
    targets: tuple[Tensor, ...]
    inputs: Sequence[Tensor]

    @classmethod
    def of(
        cls,
        name: str,
        photos: Sequence[Photo],
        scale: int,
        degrade: Degrade,
        skipped: list[tuple[Path, str]] | None = None,
    ) -> "TestSet | None":
        """The set of these photographs; None where there are none. Raises DataError for one that
        cannot be read or is too small to be measured; with a list `skipped` it is appended there
        instead."""
        targets: dict[str, Tensor] = {}
        for photo in photos:
            try:
                targets[photo.name] = _measurable(photo, scale)
            except DataError as error:
                if skipped is None:
                    raise
                skipped.append((photo.path, str(error)))
        inputs = tuple(degrade(target, photo) for photo, target in targets.items())
        return cls(name, scale, tuple(targets), tuple(targets.values()), inputs) if targets else None

    def only(self, i: int) -> "TestSet":
        """The set of its image `i` alone."""
        part = slice(i, i + 1)
        return replace(self, names=self.names[part], targets=self.targets[part], inputs=self.inputs[part])


class MadeInputs(Sequence[Tensor]):
    """Inputs made from targets on access, so that they take no memory."""

    def __init__(self, names: Sequence[str], targets: Sequence[Tensor], degrade: Degrade):
        self.names, self.targets, self.degrade = names, targets, degrade

    def __len__(self) -> int:
        return len(self.targets)

    @overload
    def __getitem__(self, index: int) -> Tensor: ...
    @overload
    def __getitem__(self, index: slice) -> "MadeInputs": ...
    def __getitem__(self, index: int | slice) -> "Tensor | MadeInputs":
        if isinstance(index, slice):
            return MadeInputs(self.names[index], self.targets[index], self.degrade)
        return self.degrade(self.targets[index], self.names[index])


def _measurable(photo: Photo, scale: int) -> Tensor:
    """A photograph cropped to a multiple of the scale, and large enough for SSIM without borders
    and for perceptual distances."""
    image = read_image(photo.path, photo.frame)
    height, width = image.shape[1:]
    least = max(16, 11 + 2 * scale) + scale - 1
    if min(height, width) < least:
        raise DataError(
            f"{photo.path}: {height}x{width} pixels are too few to be measured at x{scale}, expected {least}x{least}; leave it "
            "out, or skip it: --skip-bad"
        )
    return image[:, : height - height % scale, : width - width % scale]


def open_test_photos(data: str) -> Photos:
    """The photographs of a test set: the split "test" of a folder that has one, else all. Errors as
    of `open_photos`."""
    try:
        return open_photos(data, split="test")
    except NoTestSplit:
        return open_photos(data)


def open_test_set(data: str, scale: int, degrade: Degrade) -> TestSet:
    """A set named after its folder ("photos/Set5/HR" is Set5). Raises DataError as `open_photos`
    does."""
    test_set = TestSet.of(set_name(data), open_test_photos(data), scale, degrade)
    assert test_set is not None  # open_photos raises where there is no image
    return test_set


def open_test_sets(data: Sequence[str], scale: int, degrade: Degrade) -> list[TestSet]:
    """The sets of `open_test_set`. Raises ConfigError where two have the same name, since their
    metrics would be ambiguous."""
    sets = [open_test_set(each, scale, degrade) for each in data]
    names = [test.name for test in sets]
    if twice := [name for name in names if names.count(name) > 1]:
        raise ConfigError(
            f"test {' '.join(data)}: two sets are called {twice[0]!r}, as their folders are; rename one of the folders"
        )
    return sets
