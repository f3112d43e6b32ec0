"""Modalities: which files are theirs, and the functions that read them."""

from dataclasses import dataclass

from multigen.catalogue.formats import AUDIO, IMAGE, TEXT, Format

__all__ = ["MODALITIES", "Modality"]


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
    """(real, fake, features, device, skip_bad, **options) -> `multigen.engine.evaluation.Evaluation`; "": not compared."""
    features: tuple[str, ...] = ()
    """Feature extractors of `compare`, the default first."""
    options: tuple[str, ...] = ()
    """Options of `compare`."""
    archives: tuple[str, ...] = ()
    """Suffixes of files that contain many items."""
    names: str = ""
    """Part of the names of files without a suffix, such as MNIST's."""
    tables: tuple[str, ...] = ()
    """Suffixes of tables with a column of items. Beside other files they are taken for lists of these."""
    reading: tuple[str, ...] = ()
    """Options of `inspect` that say how files are read."""
    pairs: str = ""
    """((data, data), device, skip_bad, **options of `pair_options`) -> (`multigen.engine.evaluation.Evaluation`, values by pair),
    of items matched by name; "": not compared."""
    pair_options: tuple[str, ...] = ()
    """Options of `pairs`."""
    degradations: str = ""
    """(data, degradation, seed) -> (PIL image, names): a sheet of items beside degraded versions of them; "": there is none."""

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
            features=("efficientnet_lite0", "classifier", "inception"),
            options=("size", "frames"),
            archives=(".npz",),
            names="-ubyte",
            pairs="multigen.image.restoration.pairs:compare_pairs",
            pair_options=("frames", "border", "perceptual_weights"),
            degradations="multigen.image.restoration.degradations:degradation_sheet",
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
        ),
    )
}
"""By name, in order of display."""
