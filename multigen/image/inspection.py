"""Inspection of a folder or file of images, with suggestions how to train on it."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from multigen.console import counted
from multigen.data.inspection import (
    Inspection,
    Labels,
    Suggestion,
    batch_for,
    describe_classes,
    describe_files,
    describe_parts,
    find_labels,
    listed,
    spread,
    watched,
)
from multigen.data.locate import locate
from multigen.data.parts import Parts, find_parts
from multigen.errors import DataError
from multigen.image.arrays import digits, read_arrays
from multigen.image.decoding import decode, frame_numbers, open_picture, read_picture, visible
from multigen.image.depth import is_deep
from multigen.image.files import LONGEST, embedded_photos, find_images, open_photos

__all__ = ["inspect_images"]

EMBEDDED = {"embedded": "train", "embedded-held-out": "held_out"}
SMALL = 16  # pixels: side of the thumbnails that are compared
ALIKE = 3.0  # of 255: root mean square difference of two thumbnails
MOST_COMPARED = 20_000  # images, above which near duplicates are not searched for
GREY = 2  # of 255: largest difference of a thumbnail's channels in a colourless image

SIZES = (16, 32, 64)  # pixels; larger ones are trained on request
ENOUGH = 10_000  # images to train on: DCGAN then learns more than R3GAN in the same time (docs/results)
FEW = 1_000  # photographs: fewer are too few to train synthesis on
CROP = 96  # pixels: SRGAN's


@dataclass(frozen=True)
class _Look:
    """An image file. `grey` is the file's mode, as `open_images` takes it; `colourless` whether its
    pixels are all grey."""

    path: Path
    height: int
    width: int
    grey: bool
    colourless: bool
    alpha: bool
    deep: bool
    profile: bool
    frames: int
    thumbnail: np.ndarray  # float32 (SMALL * SMALL,), luma

    @property
    def short(self) -> int:
        return min(self.height, self.width)


def inspect_images(data: str) -> Inspection:
    """Sizes, colours, classes, duplicates and damage of what `open_images` and `open_photos` take;
    nothing is downloaded.

    Every file is decoded once, JPEGs at an eighth of their size, since only that shows damage.

    Raises DataError where there is nothing, or no image that can be read.
    """
    if data == "digits":
        return _arrays(data, digits().pixels, digits().labels)
    if data in EMBEDDED:
        paths = [photo.path for photo in embedded_photos(EMBEDDED[data])]
        inspection = _files(data, Parts(Path(), paths), Labels({}))
        inspection.suggestions = [Suggestion("srgan", "laptop", (), "the preset laptop was made for them")]
        return inspection
    place = locate(data, "a folder of images, an image, an .npz file, digits or embedded (inspect downloads nothing)")
    if place.is_dir() or place.suffix == ".npz":
        arrays = read_arrays(place, "train", (0, 0))  # in their own size
        if arrays is not None:
            return _arrays(data, arrays.pixels, arrays.labels)
    paths = find_images(place) if place.is_dir() else [place]
    parts = find_parts(place, paths)
    return _files(data, parts, find_labels(parts))


# ---------------------------------------------------------------------------------------------------- image files


def _files(data: str, parts: Parts, labels: Labels) -> Inspection:
    inspection = Inspection()
    photos = open_photos(data, skip_bad=True)
    inspection.too_large = photos.too_large
    inspection.unreadable = [each for each in photos.skipped if each[0] not in inspection.too_large]
    if inspection.too_large:
        of = counted(len(inspection.too_large), "images")
        inspection.warnings.append(
            f"{of} with a side above {LONGEST:,} pixels, such as {inspection.too_large[0]}: too large to learn restoration "
            "from, which leaves them out with --skip-bad; cut them into parts. multigen upscale and restore take them whole"
        )
    looks = []
    for photo in watched(photos, "images"):
        try:
            looks.append(_look(photo.path, photo.height, photo.width))
        except DataError as error:
            inspection.unreadable.append((photo.path, str(error)))
    if not looks:
        count = len(inspection.too_large) + len(inspection.unreadable)
        first = [*inspection.unreadable, *photos.skipped][0][1]
        raise DataError(f"{data}: none of {count} images can be used; {first}")
    describe_parts(inspection, parts, labels, "images")
    sides = [look.short for look in looks]
    _describe_sizes(inspection, Counter((look.width, look.height) for look in looks), sides)
    if min(sides) == max(sides) <= max(SIZES):
        inspection.warnings.append(
            f"all have {sides[0]} pixels on the shorter side, as thumbnails have: a larger --size shows nothing more, and srgan "
            "needs larger ones"
        )
    grey, colourless = sum(x.grey for x in looks), sum(x.colourless for x in looks)
    hidden = f"; {colourless - grey:,} of those in colour show grey alone" if colourless > grey else ""
    inspection.add(
        "colour",
        {"grey": grey, "colour": len(looks) - grey, "colourless": colourless},
        f"{grey:,} grey, {len(looks) - grey:,} in colour{hidden}",
    )
    inspection.add(
        "transparent", alpha := sum(x.alpha for x in looks), f"{alpha:,}, laid on white" if alpha else "none"
    )
    _describe_kinds(inspection, looks)
    repeated = describe_files(inspection, parts, [photo.path for photo in photos])
    _describe_near(inspection, parts, [look for look in looks if look.path not in repeated])
    _suggest(inspection, parts, labels, looks)
    return inspection


def _look(path: Path, height: int, width: int) -> _Look:
    from PIL import Image

    with open_picture(path) as file:
        grey = Image.getmodebase(file.mode) == "L"
        # JPEGs are then decoded at down to an eighth of their size; others whole.
        file.draft(None, (8 * SMALL, 8 * SMALL))
        deep, frames = is_deep(file, path), len(frame_numbers(file))
        if not deep:
            decode(file, path)
        alpha = file.has_transparency_data
        profile = bool(file.info.get("icc_profile"))
        picture = read_picture(path, 0) if deep else visible(file, path)
        small = picture.resize((SMALL, SMALL), Image.Resampling.BOX).convert("RGB")
    pixels = np.asarray(small, np.float32)  # (SMALL, SMALL, 3)
    colourless = grey or float(np.ptp(pixels, axis=2).max()) <= GREY
    luma = pixels @ np.array([0.299, 0.587, 0.114], np.float32)
    return _Look(path, height, width, grey, colourless, alpha, deep, profile, frames, luma.reshape(-1))


def _describe_sizes(inspection: Inspection, sizes: Counter[tuple[int, int]], sides: Sequence[int]) -> None:
    named = {f"{width}x{height}": count for (width, height), count in sizes.most_common()}
    short = spread(sides)
    text = f"all {next(iter(named))}" if len(named) == 1 else listed(named)
    if short["least"] < short["most"]:
        text += f"; shorter sides {short['least']} to {short['most']}, half of them up to {short['median']:g}"
    inspection.add("sizes", {"widths_x_heights": named, "shorter_side": short}, f"{text} pixels (width x height)")


def _describe_kinds(inspection: Inspection, looks: Sequence[_Look]) -> None:
    """Adds less common properties: more than 8 bits, a colour profile, several frames."""
    if deep := sum(x.deep for x in looks):
        inspection.add("deep", deep, f"{deep:,} of more than 8 bits a channel, which are trained on with 8")
    if profiles := sum(x.profile for x in looks):
        inspection.add(
            "profiles", profiles, f"{profiles:,} with a colour profile, converted to sRGB where it is another"
        )
    if moving := [x for x in looks if x.frames > 1]:
        frames = sum(x.frames for x in moving)
        inspection.add(
            "frames",
            {"files": len(moving), "frames": frames},
            f"{counted(len(moving), 'files')} of several, {frames:,} in all: the first is taken, or with --frames all each",
        )


def _describe_near(inspection: Inspection, parts: Parts, looks: Sequence[_Look]) -> None:
    """Adds pairs that differ in encoding, size or little else; files of equal content are left out
    before."""
    how = f"thumbnails of {SMALL}x{SMALL} grey pixels that differ by {ALIKE:g} of 255 levels or less"
    if len(looks) > MOST_COMPARED:
        inspection.add("near_duplicates", None, f"not sought among more than {MOST_COMPARED:,} images")
        return
    pairs = _alike(np.stack([look.thumbnail for look in looks]))
    value = [[parts.name(looks[i].path), parts.name(looks[j].path)] for i, j in pairs]
    text = f"{len(value):,} images resemble another, such as {' and '.join(value[0])}" if value else "none"
    inspection.add("near_duplicates", value, f"{text} ({how})")
    test = {*parts.test}
    if leaked := [value[k] for k, (i, j) in enumerate(pairs) if (looks[i].path in test) != (looks[j].path in test)]:
        inspection.warnings.append(
            f"{len(leaked)} test images resemble training images ({' and '.join(leaked[0])}): look whether they are the same"
        )


def _alike(thumbnails: np.ndarray) -> list[tuple[int, int]]:
    """(i, j), i < j, for each row j (N, D) that lies near an earlier one: the nearest of these."""
    rows = torch.from_numpy(thumbnails).double()  # (N, D)
    limit = ALIKE * math.sqrt(rows.shape[1])
    pairs = []
    for start in range(0, len(rows), 512):
        distance = torch.cdist(rows[start : start + 512], rows[: start + 512])  # (512, start + 512)
        earlier = torch.arange(distance.shape[1]) < torch.arange(start, start + len(distance))[:, None]
        nearest, index = distance.masked_fill(~earlier, math.inf).min(1)
        pairs += [(int(index[k]), start + k) for k in (nearest <= limit).nonzero()[:, 0].tolist()]
    return pairs


# ---------------------------------------------------------------------------------------------------- arrays


def _arrays(data: str, pixels: np.ndarray, labels: np.ndarray | None) -> Inspection:
    """Images uint8 (N, H, W) or (N, H, W, 3); those of the training part."""
    inspection = Inspection()
    count, (height, width) = len(pixels), pixels.shape[1:3]
    inspection.add("items", {"train": count}, f"{count:,} to train")
    counts = {} if labels is None else {str(name): n for name, n in sorted(Counter(labels.tolist()).items())}
    describe_classes(inspection, counts)
    _describe_sizes(inspection, Counter({(width, height): count}), [min(height, width)])
    inspection.add("colour", kind := "grey" if pixels.ndim == 3 else "colour", kind)
    repeated = count - len({picture.tobytes() for picture in pixels})
    inspection.add("duplicates", repeated, f"{repeated:,} images equal an earlier one" if repeated else "none")
    inspection.add("bytes", pixels.nbytes, f"{pixels.nbytes / 1e6:,.1f} MB in memory")
    if data == "digits":
        inspection.suggestions = [
            Suggestion("dcgan", "laptop", ("--conditional",), "the preset laptop was made for them")
        ]
    else:
        inspection.suggestions = [_from_noise(count, min(height, width), Labels(counts).learnable, ())]
    return inspection


# ---------------------------------------------------------------------------------------------------- what to train


def _suggest(inspection: Inspection, parts: Parts, labels: Labels, looks: Sequence[_Look]) -> None:
    short = sorted(look.short for look in looks)[len(looks) // 2]
    bad = {path for path, _ in inspection.unreadable} | {*inspection.too_large}
    usable = len([path for path in parts.train if path not in bad])
    flags = ("--skip-bad",) if inspection.unreadable else ()
    colours = ()
    if 0 < sum(look.grey for look in looks) < len(looks):
        colours = ("--channels", "3")
        inspection.warnings.append(
            "grey images among coloured ones, which training refuses without --channels 3 (or 1)"
        )
    elif all(look.colourless for look in looks) and not looks[0].grey:
        colours = ("--channels", "1")
    choices = []
    if usable >= (2 if parts.test else 4):
        choices.append(_from_noise(usable, short, labels.learnable, (*labels.options, *colours, *flags)))
    if short >= 2 * CROP:
        small = sum(look.short < CROP for look in looks)
        skip = ("--skip-bad",) if bad or small else ()
        reason = (
            f"half of them have {short} pixels or more on the shorter side: learns to enlarge such photographs 4 times"
        )
        reason += f"; {small} smaller than the crop of {CROP} are left out" if small else ""
        upscaling = Suggestion("srgan", "default", skip, reason)
        choices = [upscaling, *choices] if len(looks) < FEW else [*choices, upscaling]
    if labels.guess and usable >= 4:
        way, number = labels.guess
        named = _from_noise(usable, short, True, ("--labels", way, *colours, *flags))
        choices.append(replace(named, reason=f"the same with {number} classes by the names of the files"))
    inspection.suggestions = choices
    if not choices:
        inspection.warnings.append(
            f"{counted(usable, 'images')}, the half of them up to {short} pixels: too few to make others from noise (4), too "
            f"small to learn enlarging ({2 * CROP} pixels); add images"
        )


def _from_noise(count: int, short: int, conditional: bool, options: tuple[str, ...]) -> Suggestion:
    size = min(SIZES, key=lambda s: abs(math.log(s / short)))
    words = ("--size", str(size), *options, *(("--conditional",) if conditional else ()), *batch_for(count * 4 // 5))
    sizes = f"{size} pixels are nearest to shorter sides of {short}"
    if short > size == SIZES[-1]:
        sizes = f"{size} pixels to begin with, 128 take four times as long"
    if count >= ENOUGH:
        return Suggestion(
            "dcgan", "default", words, f"{count:,} images are many, of which DCGAN learns fastest; {sizes}"
        )
    reason = f"{count:,} images are few: DiffAugment (--augment) keeps R3GAN's D from memorising them; {sizes}"
    return Suggestion("r3gan", "default", (*words, "--augment", "color,translation,cutout"), reason)
