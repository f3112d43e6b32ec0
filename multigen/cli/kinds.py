"""What data arguments of the commands mean: images, sounds or texts, by the suffixes of files."""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from multigen.catalogue import MODALITIES

__all__ = ["kind_of", "kinds_of"]


def kind_of(path: Path) -> str:
    """The modality of a file, or "other"."""
    suffix = path.suffix.lower()
    for modality in MODALITIES.values():
        if suffix in (*modality.suffixes, *modality.archives) or (modality.names and modality.names in path.name):
            return modality.name
    return "other"


def kinds_of(paths: Iterable[Path]) -> Counter[str]:
    """How many files there are of each modality."""
    return Counter(kind_of(path) for path in paths)
