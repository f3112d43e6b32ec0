"""The modality of data arguments, by the suffixes of files."""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from multigen.catalogue import MODALITIES

__all__ = ["kind_of", "kinds_of", "meant_by"]


def kind_of(path: Path) -> str:
    """The modality that reads a file, or "other"."""
    suffix = path.suffix.lower()
    for modality in MODALITIES.values():
        if suffix in (*modality.readable, *modality.archives) or (modality.names and modality.names in path.name):
            return modality.name
    return "other"


def kinds_of(paths: Iterable[Path]) -> Counter[str]:
    """How many files there are that each modality reads, and of "other". Tables, and files of
    formats that several modalities know, such as videos, are counted where there is nothing
    else."""
    paths = [*paths]
    counts = Counter("other" if _is_shared(path) else kind_of(path) for path in paths)
    if counts.keys() <= {"other"}:
        counts = Counter(map(kind_of, paths))
    tables = [path for path in paths if path.suffix.lower() in MODALITIES["text"].tables]
    if tables and counts.keys() <= {"other"}:
        return Counter({"text": len(tables), "other": counts["other"] - len(tables)})
    return counts


def _is_shared(path: Path) -> bool:
    """Whether several modalities know the format of a file."""
    suffix = path.suffix.lower()
    return sum(suffix in each.suffixes for modality in MODALITIES.values() for each in modality.others) > 1


def meant_by(paths: Iterable[Path]) -> Counter[str]:
    """Number of files of each modality, including formats that it knows but cannot read here;
    without other files, and formats common to several modalities, such as videos and archives."""
    paths = list(paths)
    counts = kinds_of(paths)
    del counts["other"]
    for path in paths:
        known = [modality.name for modality in MODALITIES.values() if modality.unread(path.suffix.lower())]
        counts.update([] if _is_shared(path) else known)
    return counts
