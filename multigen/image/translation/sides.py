"""The images of one domain, in the size that is trained on: of a folder, of arrays, or made of
those of the other domain."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, Protocol, Self, overload

import torch
from torch import Tensor

from multigen.console import counted, if_slow, say_once
from multigen.data.folders import NoTestSplit
from multigen.data.locate import locate
from multigen.engine.distributed import world
from multigen.errors import DataError
from multigen.image.arrays import read_arrays
from multigen.image.datasets import FETCH, open_images
from multigen.image.files import EMBEDDED_NAMES, Photo, fingerprint, open_photos, read_image
from multigen.image.pairs import listed, match_pairs, stem_of
from multigen.image.sizes import Size, resized
from multigen.image.translation.made import Make
from multigen.memory import available

__all__ = [
    "Computed",
    "DataSettings",
    "Opening",
    "Side",
    "brings",
    "halves_of",
    "made_from",
    "matched",
    "read_side",
    "room",
]

KEPT = 8 << 30  # bytes of decoded images that are kept at most
PART = 4  # of the memory that is left, one such part is for them


class DataSettings(Protocol):
    """What says how images are read, as `ImageTranslationConfig` documents it."""

    @property
    def size(self) -> int: ...
    @property
    def crop(self) -> int: ...
    @property
    def frames(self) -> Literal["first", "all"]: ...
    @property
    def skip_bad(self) -> bool: ...


@dataclass
class Opening:
    """What all sides and splits of a data set share while they are opened, and used."""

    free: int
    """Bytes that are left for decoded images; those beyond are decoded each time they are used."""
    skipped: list[tuple[Path, str]] = field(default_factory=list)
    """(path, reason) of files that are left out."""


def room() -> int:
    """Bytes of decoded images that may be kept: a part of what this machine has left, of which each
    rank has its share."""
    left = available()
    return min(KEPT, KEPT if left is None else left // PART) // world()


class Computed(Sequence[Tensor]):
    """Tensors that are computed when they are used, and kept while the `opening` has room for
    them; None: never kept."""

    def __init__(self, length: int, compute: Callable[[int], Tensor], opening: Opening | None):
        self.length, self.compute, self.opening = length, compute, opening
        self.kept: dict[int, Tensor] = {}

    def __len__(self) -> int:
        return self.length

    @overload
    def __getitem__(self, index: int) -> Tensor: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Tensor]: ...
    def __getitem__(self, index: int | slice) -> Tensor | Sequence[Tensor]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(self.length))]
        if index >= self.length:  # ends an iteration
            raise IndexError(index)
        item = self.kept.get(index)
        if item is None:
            item = self.compute(index)
            if self.opening is not None and item.nbytes <= self.opening.free:
                self.opening.free -= item.nbytes
                self.kept[index] = item
        return item


@dataclass(frozen=True, eq=False)
class Side:
    """Images of a domain, uint8 (3, H, W)."""

    names: tuple[str, ...]
    images: Sequence[Tensor]
    fingerprint: str
    """Of the whole side, also of a subset."""
    labels: tuple[str, ...] = ()
    """Class of each, where the data say it."""

    def __len__(self) -> int:
        return len(self.names)

    def subset(self, indices: Iterable[int]) -> Self:
        """The images of these indices, in this order."""
        some = list(indices)
        images = self.images
        return replace(
            self,
            names=tuple(self.names[i] for i in some),
            images=Computed(len(some), lambda i: images[some[i]], None),
            labels=tuple(self.labels[i] for i in some) if self.labels else (),
        )


def read_side(c: DataSettings, data: str, split: str, opening: Opening) -> Side:
    """The images of a data argument: a folder, a file, "embedded", or what `open_images` reads as
    arrays (digits, mnist, cifar10, .npz), which become RGB squares.

    Raises DataError for images that cannot be used, NoTestSplit where there is no such split.
    """
    if _is_arrays(data):
        images = open_images(data, c.size or c.crop, split=split or "train", channels=3, skip_bad=c.skip_bad)
        labels = () if images.labels is None else tuple(images.classes[i] for i in images.labels.tolist())
        names = tuple(name.rpartition("/")[2] for name in images.names)
        return Side(names, list(images.images), images.fingerprint(), labels)
    return _decoded(c, photos_of(c, data, split, opening), data, opening)


def brings(c: DataSettings, data: str, split: str) -> bool:
    """Whether data have a split of their own; "": whether there is such a folder."""
    if not split:
        return Path(data).is_dir()
    try:
        (read_side if _is_arrays(data) else photos_of)(c, data, split, Opening(0))
    except NoTestSplit:
        return False
    return True


def photos_of(c: DataSettings, data: str, split: str, opening: Opening) -> Sequence[Photo]:
    photos = open_photos(data, split=split, skip_bad=c.skip_bad, frames=c.frames)
    opening.skipped += photos.skipped
    return photos


def matched(c: DataSettings, data: str, target: str, split: str, opening: Opening) -> tuple[Side, Side]:
    """The images of two folders under the same names, in the same order; of arrays by their
    numbers. Raises DataError where names or sizes do not match."""
    if _is_arrays(data) or _is_arrays(target):
        a, b = (read_side(c, each, split, opening) for each in (data, target))
        if a.names != b.names:
            raise DataError(
                f"target {target}: {len(b)} images for {len(a)} of {data}; expected one for each, two folders under the same "
                "names, or two arrays of one length"
            )
        return a, b
    photos, others = (photos_of(c, each, split, opening) for each in (data, target))
    remedy = f" in {target}, or leave out those without: --skip-bad"
    pairs = match_pairs(photos, others, skipped=opening.skipped if c.skip_bad else None, remedy=remedy)
    names = {stem_of(photo) for photo in photos}
    if surplus := [photo.name for photo in others if stem_of(photo) not in names]:
        say_once(
            f"target {target}: not used, without an image of its name in {data}: {counted(len(surplus), 'images')} of "
            f"{len(others)}: {listed(surplus)}"
        )
    photos = [photo for photo in photos if photo.name in pairs]
    if not photos:
        raise DataError(f"target {target}: no image has the name and size of one in {data}; give each a pair")
    both = _decoded(c, photos, data, opening, pairs)
    contents = fingerprint([pairs[photo.name] for photo in photos if photo.name in both.names])
    b = Side(both.names, _part(both.images, 3), contents)
    return replace(both, images=_part(both.images, 0)), b


def halves_of(c: DataSettings, data: str, split: str, opening: Opening) -> tuple[Side, Side]:
    """Images of A and of B that are side by side in one picture, A to the left. Raises DataError
    for pictures of odd width."""
    both = _decoded(c, photos_of(c, data, split, opening), data, opening, halves=True)
    return replace(both, images=_part(both.images, 0)), replace(both, images=_part(both.images, 3))


def made_from(side: Side, make: Make, opening: Opening) -> Side:
    """The images that are made of a side's."""
    images, names = side.images, side.names
    return replace(side, images=Computed(len(side), lambda i: make(images[i], names[i]), opening))


def _part(images: Sequence[Tensor], first: int) -> Computed:
    """Three channels of images."""
    return Computed(len(images), lambda i: images[i][first : first + 3], None)


def _is_arrays(data: str) -> bool:
    if data == "digits" or data in FETCH:
        return True
    if data in EMBEDDED_NAMES:
        return False
    place = locate(data, "a folder of images, an image, an .npz file, embedded, digits, mnist or cifar10")
    return (place.is_dir() or place.suffix == ".npz") and read_arrays(place, "train", (0, 0)) is not None


def _decoded(
    c: DataSettings,
    photos: Sequence[Photo],
    data: str,
    opening: Opening,
    pairs: dict[str, Photo] | None = None,
    halves: bool = False,
) -> Side:
    """The images of photographs in the configured size, all decoded once. With `pairs`, or
    `halves`, of 6 channels: A, then B."""

    def read(photo: Photo) -> Tensor:
        image = read_image(photo.path, photo.frame)
        if halves:
            image = _stacked(image, photo)
        if pairs:
            other = pairs[photo.name]
            image = torch.cat([image, read_image(other.path, other.frame)])
        return _fitted(c, image, photo)

    good, images = [], Computed(len(photos), lambda i: read(photos[i]), opening)
    with if_slow(f"decoding {counted(len(photos), 'images')} of {data}"):
        for i, photo in enumerate(photos):
            try:
                images[i]
            except DataError as error:
                if not c.skip_bad:
                    raise
                opening.skipped.append((photo.path, str(error)))
            else:
                good.append(i)
    if not good:
        raise DataError(f"{data}: none of {len(photos)} images can be used; {opening.skipped[-1][1]}")
    contents = fingerprint([photos[i] for i in good], contents=data not in EMBEDDED_NAMES)
    side = Side(tuple(photo.name for photo in photos), images, contents)
    return side if len(good) == len(photos) else side.subset(good)


def _stacked(image: Tensor, photo: Photo) -> Tensor:
    """Two images side by side, (3, H, 2 W) -> (6, H, W)."""
    width = image.shape[2]
    if width % 2:
        raise DataError(
            f"{photo.path}: {width}x{image.shape[1]} pixels, expected an even width: two images of one size side by side; "
            "correct it, or skip it: --skip-bad"
        )
    return torch.cat([image[:, :, : width // 2], image[:, :, width // 2 :]])


def _fitted(c: DataSettings, image: Tensor, photo: Photo) -> Tensor:
    """uint8 (C, H, W), in the configured size."""
    if c.size and min(image.shape[1:]) != c.size:
        target = Size(short=c.size).of(image.shape[1], image.shape[2], 1)
        image = torch.from_numpy(resized(image.permute(1, 2, 0).numpy(), target)).permute(2, 0, 1).contiguous()
    if min(image.shape[1:]) < c.crop:
        height, width = image.shape[1:]
        raise DataError(
            f"{photo.path}: {width}x{height} pixels, smaller than the crop of {c.crop}x{c.crop}; choose a smaller --crop, or a "
            "--size, or skip it: --skip-bad"
        )
    return image
