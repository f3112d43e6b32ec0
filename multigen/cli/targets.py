"""Output paths of commands that make one file per image or video: distinct and reproducible
names."""

import os
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from multigen.catalogue import CONTAINERS, MODALITIES, Modality, container_of, with_containers
from multigen.console import counted, say
from multigen.errors import ConfigError, DataError

__all__ = ["Files", "image_files", "is_file_name", "place_of", "targets_of"]


@dataclass(frozen=True)
class Files:
    """The files that a verb takes and writes, of one modality."""

    taken: Modality
    """With the suffixes of all that is taken."""
    written: tuple[tuple[Collection[str], Collection[str]], ...]
    """(suffixes that are read, those of them that are written) of each kind of files."""

    @property
    def one(self) -> str:
        """Noun for a file."""
        return self.taken.items.removesuffix("s")


def image_files() -> Files:
    """Images and films."""
    from multigen.image.writing import SIDES

    images, films = MODALITIES["image"], [each for each in CONTAINERS if each.modality == "image"]
    written = ((images.suffixes, SIDES), *((each.suffixes, each.written) for each in films))
    return Files(with_containers(images), written)


def is_file_name(out: Path, files: Files | None = None) -> bool:
    """Whether --out names a file and not a folder: by its suffix, unless a folder has this name.

    Raises ConfigError for the suffix of an unsupported output format.
    """
    suffix = out.suffix.lower()
    for suffixes, written in (files or image_files()).written:
        if out.is_dir() or suffix in written:
            return not out.is_dir()
        if suffix in suffixes:
            raise ConfigError(
                f"--out {out}: files of {suffix} are read, not written; expected {' '.join(sorted(written))}"
            )
    return False


def targets_of(
    verb: str, inputs: Sequence[Path], out: Path, suffix_of: Callable[[Path], str], files: Files | None = None
) -> dict[Path, Path]:
    """Source -> target, for files and folders. In folders, files in OUT are left out, as they are
    results of an earlier run.

    Args:
        suffix_of: source -> suffix of its result; unused where --out names a file.
        files: what is taken and written; by default images and films.

    Raises DataError if no image is left, a result would overwrite its source, or --out names a
    file for several images.
    """
    files = files or image_files()
    if not inputs:
        raise DataError(f"no {files.one} to {verb}: give files or folders")
    one = is_file_name(out, files)
    # A folder is one film, of numbered frames, where --out is the file of a film.
    whole = one and len(inputs) == 1 and inputs[0].is_dir() and container_of(inputs[0], out) is not None
    places = {inputs[0]: Path(inputs[0].name)} if whole else _places(inputs, out, files.taken)
    if not places:
        raise DataError(
            f"no {files.one} to {verb} but those in {out}, where the results go; give other files or folders"
        )
    if one and len(places) > 1:
        raise DataError(
            f"--out {out} is the name of one file, but there are {len(places)} {files.taken.items}; give a folder"
        )
    targets = {next(iter(places)): out} if one else _distinct(places, out, suffix_of, files.taken.items)
    for source, target in targets.items():
        if _real(target) == _real(source):
            raise DataError(f"{source} would be overwritten by its result; give another folder for --out")
    return targets


def place_of(source: Path, inputs: Sequence[Path]) -> Path:
    """The path of a source of `targets_of` relative to the given folder, or its name if it was
    given itself."""
    for place in inputs:
        if place == source:
            break
        if source.is_relative_to(place) and ".." not in (inside := source.relative_to(place)).parts and place.is_dir():
            return inside
    return Path(source.name)


def _places(inputs: Sequence[Path], out: Path, taken: Modality) -> dict[Path, Path]:
    """Source -> its path relative to the given folder, or its name; each file once."""
    from multigen.data.unread import check_readable, find_files, report_unread

    places: dict[Path, Path] = {}
    results: set[Path] = set()
    seen: set[Path] = set()
    for place in inputs:
        if place.is_dir():
            sources = find_files(place, taken)
            report_unread(place, taken)
        else:
            if "%" in place.name and not place.exists():
                raise DataError(f"{place}: no such file; numbered frames are given by their folder, {place.parent}")
            check_readable(place, taken)
            sources = [place]
        if _holds(place, out) or (len(inputs) > 1 and place.is_dir() and _real(place) == _real(out)):
            results |= {source for source in sources if _real(source).is_relative_to(_real(out))}
        for source in sources:
            if source not in results and _real(source) not in seen:
                seen.add(_real(source))
                places[source] = source.relative_to(place) if place.is_dir() else Path(source.name)
    if results:
        say(f"left out {counted(len(results), taken.items)} in {out}, where the results go")
    return places


def _distinct(places: dict[Path, Path], out: Path, suffix_of: Callable[[Path], str], items: str) -> dict[Path, Path]:
    """Results named after their sources. Equal names are resolved by the suffix of the source, and
    then by a number; case is ignored, as by some file systems."""
    suffixes = {source: suffix_of(source) for source in places}
    short = {source: inside.with_suffix(suffixes[source]) for source, inside in places.items()}
    shared = _repeated(short.values())
    names = {source: name for source, name in short.items() if _key(name) not in shared}
    taken = {_key(name) for name in names.values()}
    for source in (source for source in places if source not in names):
        inside, number = places[source], 1
        name = whole = inside.with_name(f"{inside.name}{suffixes[source]}")
        while _key(name) in taken:
            number += 1
            name = whole.with_name(f"{inside.name}-{number}{suffixes[source]}")
        taken.add(_key(name))
        names[source] = name
    if shared:
        first = next(source for source in places if _key(short[source]) in shared)
        say(
            f"{counted(sum(_key(name) in shared for name in short.values()), items)} share a name up to the suffix: it "
            f"stays in the names of their results, such as {names[first]} of {places[first]}"
        )
    return {source: out / names[source] for source in places}


def _repeated(names: Iterable[Path]) -> set[str]:
    return {key for key, count in Counter(map(_key, names)).items() if count > 1}


def _key(name: Path) -> str:
    return name.as_posix().casefold()


def _holds(folder: Path, out: Path) -> bool:
    """Whether OUT is below a folder, once links are followed."""
    return folder.is_dir() and _real(folder) in _real(out).parents


def _real(path: Path) -> Path:
    """A path without links and `..`, also for missing files and circular links."""
    return Path(os.path.realpath(path))
