"""What data arguments of the commands mean: pictures, sounds or texts, by the suffixes of files."""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

__all__ = ["kind_of", "kinds_of"]


def kind_of(path: Path) -> str:
    """ "pictures", "sounds", "texts", or "other"."""
    from multigen.audio.files import SUFFIXES as SOUNDS
    from multigen.image.files import SUFFIXES as PICTURES

    suffix = path.suffix.lower()
    if suffix in (*PICTURES, ".npz") or "-ubyte" in path.name:
        return "pictures"
    return "sounds" if suffix in SOUNDS else "texts" if suffix == ".txt" else "other"


def kinds_of(paths: Iterable[Path]) -> Counter[str]:
    """How many files there are of each kind."""
    return Counter(kind_of(path) for path in paths)
