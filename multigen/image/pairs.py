"""Images matched by name with those of another folder, whatever their suffixes."""

from collections.abc import Sequence
from pathlib import Path

from multigen.console import counted
from multigen.errors import DataError
from multigen.image.files import Photo

__all__ = ["listed", "match_pairs", "stem_of"]

LISTED = 5  # mismatches that an error names


def match_pairs(
    photos: Sequence[Photo],
    others: Sequence[Photo],
    scale: int = 1,
    option: str = "target",
    skipped: list[tuple[Path, str]] | None = None,
    remedy: str = "",
) -> dict[str, Photo]:
    """The image of `others` for each photograph, matched without suffixes.

    Args:
        scale: factor between the sides of a photograph and those of its pair.
        option: that names the folder of `others`, for errors.
        skipped: (path, reason) of photographs without a pair are added to it; None: they are an
            error.
        remedy: words at the end of that error: where to put what is missing, and what else helps.

    Raises DataError where names or sizes do not match.
    """
    by_name: dict[str, list[Photo]] = {}
    for photo in others:
        by_name.setdefault(stem_of(photo), []).append(photo)
    pairs, wrong = {}, []
    for photo in photos:
        candidates = by_name.get(stem_of(photo), [])
        expected = photo.height // scale, photo.width // scale
        if not candidates:
            wrong.append((photo, f"{photo.name} has none"))
        elif len(candidates) > 1:
            wrong.append((photo, f"{photo.name} has {' and '.join(pair.name for pair in candidates[:2])}"))
        elif (candidates[0].height, candidates[0].width) != expected:
            size = f"{candidates[0].width}x{candidates[0].height} pixels, expected {expected[1]}x{expected[0]}"
            wrong.append((photo, f"{photo.name} has one of {size}"))
        else:
            pairs[photo.name] = candidates[0]
    if skipped is not None:
        skipped += [(photo.path, f"{photo.path}: no pair in {option}: {reason}") for photo, reason in wrong]
    elif wrong:
        at = f" at x{scale}" if scale > 1 else ""
        raise DataError(
            f"{option}: {counted(len(wrong), 'images')} of {len(photos)} without a pair{at}: "
            f"{listed([reason for _, reason in wrong])}; give each photograph an image of its name and size{remedy}"
        )
    return pairs


def stem_of(photo: Photo) -> str:
    """The key for matching an image: its relative path without suffix, and the number of its
    frame."""
    return Path(photo.name).with_suffix("").as_posix() + (f"#{photo.frame}" if photo.frame is not None else "")


def listed(lines: Sequence[str]) -> str:
    """The first of some reasons in one line."""
    return "; ".join(lines[:LISTED]) + ("; ..." if len(lines) > LISTED else "")
