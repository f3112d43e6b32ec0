"""Images of two domains, A and B: to train on, and to measure on."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
import torch
from torch import Tensor

from multigen.data.datasets import hash_of
from multigen.data.folders import NoTestSplit
from multigen.engine.batches import Rows
from multigen.errors import ConfigError, DataError
from multigen.image.files import EMBEDDED_NAMES, Photo, Photos, fingerprint, open_photos, read_image
from multigen.image.sizes import Size, resized
from multigen.image.translation.made import Make, made_of

__all__ = ["DomainSet", "DomainSource", "Domains", "Settings", "open_domains"]

HELD_OUT = "embedded-held-out"
TESTED = 64  # images of the data that are measured on at most, where they bring no test split


class Settings(Protocol):
    """Settings of the data, as `ImageTranslationConfig` documents them."""

    @property
    def data(self) -> str: ...
    @property
    def target(self) -> str: ...
    @property
    def task(self) -> str: ...
    @property
    def test(self) -> str: ...
    @property
    def test_target(self) -> str: ...
    @property
    def size(self) -> int: ...
    @property
    def crop(self) -> int: ...
    @property
    def mirror(self) -> bool: ...
    @property
    def frames(self) -> Literal["first", "all"]: ...
    @property
    def validation_size(self) -> int: ...
    @property
    def skip_bad(self) -> bool: ...


@dataclass(frozen=True)
class DomainSet:
    """Images to measure on, uint8 (3, H, W): `inputs` are translated; where `paired`, the target at
    an index is the truth for the input at it, of its size, else the targets are images of the other
    domain."""

    name: str
    names: tuple[str, ...]
    inputs: Sequence[Tensor]
    targets: Sequence[Tensor]
    paired: bool = True

    def turned(self) -> "DomainSet":
        """With inputs and targets exchanged."""
        return replace(self, inputs=self.targets, targets=self.inputs)

    def named(self, name: str) -> "DomainSet":
        return replace(self, name=name)


class DomainSource:
    """Batches of "A" and "B", uint8 (B, 3, crop, crop): windows of the same place of a pair, or
    where not `paired`, of images drawn each for itself, mirrored left to right or not."""

    def __init__(self, a: Sequence[Tensor], b: Sequence[Tensor], crop: int, mirror: bool, paired: bool):
        self.a, self.b, self.crop, self.mirror, self.paired = a, b, crop, mirror, paired

    def __len__(self) -> int:
        return len(self.a)

    def batch(self, rows: Rows) -> dict[str, Tensor]:
        pairs = [self._pair(int(item), rows.rng(i)) for i, item in enumerate(rows.indices)]
        return {name: torch.stack([pair[i] for pair in pairs]) for i, name in enumerate("AB")}

    def _pair(self, item: int, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        if self.paired:
            both = self._window(torch.cat([self.a[item], self.b[item]]), rng)
            return both[:3], both[3:]
        return self._window(self.a[item], rng), self._window(self.b[int(rng.integers(len(self.b)))], rng)

    def _window(self, image: Tensor, rng: np.random.Generator) -> Tensor:
        top, left = (int(rng.integers(side - self.crop + 1)) for side in image.shape[1:])
        window = image[:, top : top + self.crop, left : left + self.crop]
        return window.flip(2) if self.mirror and rng.random() < 0.5 else window


@dataclass(frozen=True)
class Domains:
    """What the data of a configuration are."""

    train: DomainSource
    validation: DomainSet | None
    tests: tuple[DomainSet, ...]
    fingerprint: str
    """Of the training images."""
    held_out: str = ""
    """Of the images of `validation` and `tests`."""
    skipped: tuple[tuple[Path, str], ...] = ()
    """(path, reason) of files that were left out."""


def open_domains(c: Settings, paired: bool) -> Domains:
    """Opens the data of a configuration. `paired`: batches hold pairs; else images of A and B drawn
    each for itself.

    Raises ConfigError for settings that contradict each other, DataError for images that cannot be
    used."""
    if (c.task == "none") == (not c.target):
        given = f"task {c.task}, target {c.target}" if c.target else "task none, no target"
        raise ConfigError(
            f"{given}: expected one of them, a second folder or how pairs are made, such as --task colour"
        )
    photos = _photos(c, c.data, "train")
    targets = _photos(c, c.target, "train") if c.target else photos
    tests = _tests(c, photos)
    held = sorted(photos, key=lambda photo: hash_of(photo.name, 0))
    own = c.test or c.data in EMBEDDED_NAMES or tests
    count = 0 if own else max(1, min(TESTED, len(photos) // 10))
    checked = min(c.validation_size, len(photos) // 10)
    if len(photos) - count - checked < 1:
        raise DataError(f"{c.data}: {len(photos)} image, expected at least 2, one of them for testing; add images")
    parts = {"test": held[:count], "validation": held[count : count + checked]}
    out = {photo.name for part in parts.values() for photo in part}
    train = [photo for photo in photos if photo.name not in out]
    sets = {name: _set(c, name, part, targets) for name, part in parts.items() if part}
    if tests:
        sets["test"] = tests
    elif own:
        name = c.test or HELD_OUT
        sets["test"] = _set(
            c, Path(name).name, _photos(c, name, ""), _photos(c, c.test_target, "") if c.test_target else []
        )
    a, b = _images(c, train, targets)
    source = DomainSource(a, b, c.crop, c.mirror, paired)
    contents = c.data not in EMBEDDED_NAMES
    return Domains(source, sets.get("validation"), (sets["test"],), fingerprint(train, contents))


def _tests(c: Settings, photos: Photos) -> DomainSet | None:
    """The test split that the data bring; None where there is none, or another set is named."""
    if c.test or c.data in EMBEDDED_NAMES:
        return None
    try:
        return _set(c, "test", _photos(c, c.data, "test"), _photos(c, c.target, "test") if c.target else [])
    except NoTestSplit:
        return None


def _photos(c: Settings, data: str, split: str) -> Photos:
    return open_photos(data, split=split, skip_bad=c.skip_bad, frames=c.frames)


def _set(c: Settings, name: str, photos: Sequence[Photo], targets: Sequence[Photo]) -> DomainSet:
    a, b = _images(c, photos, targets)
    return DomainSet(name, tuple(photo.name for photo in photos), a, b)


def _images(c: Settings, photos: Sequence[Photo], targets: Sequence[Photo]) -> tuple[list[Tensor], list[Tensor]]:
    """Images of A and of B, pairs by index."""
    if c.target:
        by_name = {Path(photo.name).with_suffix(""): photo for photo in targets}
        wrong = [photo.name for photo in photos if Path(photo.name).with_suffix("") not in by_name]
        if wrong:
            raise DataError(
                f"{c.target}: no image of the name of {wrong[0]} in {c.data}; add it, or leave that one out"
            )
        pairs = [(_read(c, photo), _read(c, by_name[Path(photo.name).with_suffix("")])) for photo in photos]
        return [a for a, _ in pairs], [b for _, b in pairs]
    make: Make = made_of(c.task)
    originals = [_read(c, photo) for photo in photos]
    return [make(image, photo.name) for image, photo in zip(originals, photos, strict=True)], originals


def _read(c: Settings, photo: Photo) -> Tensor:
    """uint8 (3, H, W), in the configured size."""
    image = read_image(photo.path, photo.frame)
    if c.size and min(image.shape[1:]) != c.size:
        target = Size(short=c.size).of(image.shape[1], image.shape[2], 1)
        image = torch.from_numpy(resized(image.permute(1, 2, 0).numpy(), target)).permute(2, 0, 1).contiguous()
    if min(image.shape[1:]) < c.crop:
        height, width = image.shape[1:]
        raise DataError(
            f"{photo.path}: {height}x{width} pixels, smaller than the crop of {c.crop}x{c.crop}; choose a smaller --crop, or a "
            "--size"
        )
    return image
