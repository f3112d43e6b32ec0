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
    """How many files there are of each modality. Tables are counted where there is nothing else."""
    paths = [*paths]
    counts = Counter(kind_of(path) for path in paths)
    tables = [path for path in paths if path.suffix.lower() in MODALITIES["text"].tables]
    if tables and counts.keys() <= {"other"}:
        return Counter({"text": len(tables), "other": counts["other"] - len(tables)})
    return counts
