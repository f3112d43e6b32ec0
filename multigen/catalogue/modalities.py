"""Modalities: which files are theirs, and the functions that read them."""

import re
from dataclasses import dataclass, replace
from pathlib import Path

from multigen.catalogue.formats import AUDIO, FILM, IMAGE, TEXT, Format

__all__ = ["CONTAINERS", "MODALITIES", "Container", "Modality", "container_of", "with_containers"]

PATTERN = re.compile(r"%\d*d")  # also those which are refused, such as %5d, so that none becomes a name


@dataclass(frozen=True)
class Modality:
    """A modality. Functions are named as "module:function" and imported on use."""

    name: str
    items: str
    """Noun for its items, in the plural."""
    title: str
    suffixes: tuple[str, ...]
    """Suffixes of the files that are always readable, in lower case."""
    others: tuple[Format, ...]
    """Other formats of its files: readable with an extra, or not at all."""
    inspect: str
    """(data, **options of `reading`) -> `multigen.data.inspection.Inspection`."""
    compare: str = ""
    """(real, fake, features, device, skip_bad, **options) ->
    `multigen.engine.evaluation.Evaluation`; "": not compared."""
    features: tuple[str, ...] = ()
    """Feature extractors of `compare`, the default first."""
    options: tuple[str, ...] = ()
    """Options of `compare`."""
    archives: tuple[str, ...] = ()
    """Suffixes of files that contain many items."""
    names: str = ""
    """Part of the names of files without a suffix, such as MNIST's."""
    tables: tuple[str, ...] = ()
    """Suffixes of tables with a column of items. Beside other files they are taken for lists of
    these."""
    reading: tuple[str, ...] = ()
    """Options of `inspect` that say how files are read."""
    restore: str = ""
    """(verb, inputs, out, model, options) -> None: takes files through a restoration model; see
    `multigen.cli.restoring:restore_images`; "": there is none."""
    pairs: str = ""
    """((data, data), device, skip_bad, **options of `pair_options`) ->
    (`multigen.engine.evaluation.Evaluation`, values by pair), of items matched by name; "": not
    compared."""
    pair_options: tuple[str, ...] = ()
    """Options of `pairs`."""
    degradations: str = ""
    """(data, degradation, seed) -> (PIL image, names): a sheet of items beside degraded versions of
    them; "": there is none."""
    made: str = ""
    """(data, task, seed) -> (PIL image, names): a sheet of items beside those of another domain
    that translation makes of them; "": there is none."""

    @property
    def readable(self) -> tuple[str, ...]:
        """Suffixes of the files that are readable on this machine."""
        return (*self.suffixes, *(suffix for each in self.others if each.readable for suffix in each.suffixes))

    def unread(self, suffix: str) -> Format | None:
        """The format of a suffix, in lower case, whose files are known but not readable on this
        machine; None for any other."""
        return next((each for each in self.others if suffix in each.suffixes and not each.readable), None)


MODALITIES = {
    modality.name: modality
    for modality in (
        Modality(
            "image",
            items="images",
            title="Images",
            suffixes=(
                *(".apng", ".avif", ".bmp", ".gif", ".jfif", ".jp2", ".jpe", ".jpeg", ".jpg", ".pbm", ".pgm", ".png"),
                *(".ppm", ".psd", ".tif", ".tiff", ".webp"),
            ),
            others=IMAGE,
            inspect="multigen.image.inspection:inspect_images",
            compare="multigen.image.synthesis.evaluator:compare_data",
            features=("efficientnet_lite0", "classifier", "inception", "squeezenet1_1", "vgg34"),
            options=("size", "frames", "perceptual_weights", "squeezenet_weights"),
            archives=(".npz",),
            names="-ubyte",
            restore="multigen.cli.restoring:restore_images",
            pairs="multigen.image.restoration.pairs:compare_pairs",
            pair_options=("frames", "border", "perceptual_weights", "squeezenet_weights"),
            degradations="multigen.image.restoration.degradations:degradation_sheet",
            made="multigen.image.translation.sheets:made_sheet",
        ),
        Modality(
            "text",
            items="texts",
            title="Texts",
            suffixes=(".txt",),
            others=TEXT,
            inspect="multigen.text.inspection:inspect_texts",
            compare="multigen.text.comparing:compare_data",
            features=("words",),
            options=("encoding", "column"),
            tables=(".csv", ".tsv", ".tab", ".jsonl", ".ndjson"),
            reading=("encoding", "column", "label_column"),
        ),
        Modality(
            "audio",
            items="sounds",
            title="Sounds",
            suffixes=(
                *(".aif", ".aifc", ".aiff", ".au", ".bw64", ".caf", ".flac", ".mp3", ".oga", ".ogg", ".opus", ".rf64"),
                *(".snd", ".w64", ".wav"),
            ),
            others=AUDIO,
            inspect="multigen.audio.inspection:inspect_sounds",
            compare="multigen.audio.synthesis.evaluator:compare_data",
            features=("logmel", "drums", "classifier"),
            options=("rate", "length"),
            restore="multigen.cli.restoring_sounds:restore_sounds",
        ),
    )
}
"""By name, in order of display."""


@dataclass(frozen=True)
class Container:
    """Files that hold many items of a modality in a row, which its restoration models take one by
    one: films hold images."""

    items: str
    """Noun for such files, in the plural."""
    modality: str
    """A name of `MODALITIES`."""
    formats: tuple[Format, ...]
    """Of the files that are read."""
    written: tuple[str, ...]
    """Suffixes of the files that are written; the first for a source of another suffix."""
    restore: str
    """(restorer, source, target, options) -> None; see `multigen.video.films:restore_file`."""
    check: str
    """(source, target, options) -> None; raises for what `restore` would refuse, before a model is
    loaded."""
    existing: str
    """(target) -> the files of a finished result that are there: one, or numbered ones."""

    @property
    def suffixes(self) -> tuple[str, ...]:
        """Suffixes of the files that are read."""
        return tuple(suffix for each in self.formats for suffix in each.suffixes)


CONTAINERS = (
    Container(
        "films",
        modality="image",
        formats=FILM,
        written=(".mkv", ".mp4", ".m4v", ".mov", ".webm"),
        restore="multigen.video.films:restore_file",
        check="multigen.video.films:check_file",
        existing="multigen.video.films:existing_files",
    ),
)


def container_of(source: Path, target: Path) -> Container | None:
    """The kind of container by which a file is restored, where it is one, or its result is to be
    one, or numbered items such as %05d.png: also an animation, or a folder of numbered items. None
    for a single item."""
    suffix, named = target.suffix.lower(), target.name.removeprefix(source.stem)  # a result may be called as its source
    for each in CONTAINERS:
        pattern = suffix in MODALITIES[each.modality].suffixes and PATTERN.search(named)
        if source.suffix.lower() in each.suffixes or suffix in each.written or pattern:
            return each
    return None


def with_containers(modality: Modality) -> Modality:
    """A modality whose files are also those of its containers."""
    formats = tuple(entry for each in CONTAINERS if each.modality == modality.name for entry in each.formats)
    taken = {suffix for each in formats for suffix in each.suffixes}
    return replace(modality, others=(*formats, *(each for each in modality.others if not taken & {*each.suffixes})))
