"""`multigen evaluate --real DATA --fake DATA`: compares two sets of images, or two of sounds, whoever made them."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from multigen.catalogue import DATA, MODALITIES, TASKS, Modality, imported
from multigen.cli.output import print_json
from multigen.console import counted, show
from multigen.errors import ConfigError, DataError
from multigen.runs.options import Device, Json, Overwrite, SkipBad, cli
from multigen.storage.files import writing
from multigen.storage.output import check_targets, json_table

if TYPE_CHECKING:
    from multigen.engine.evaluation import Evaluation

__all__ = ["kind", "run"]

NAMES = {d.name: d.modality for d in DATA if MODALITIES[d.modality].compare and TASKS[d.task].kind == "synthesis"}
"""Data sets that can be compared by name."""
KEYS = {"rows", "definitions", "remarks"}
"""Of the JSON file."""

if TYPE_CHECKING:
    Features = str
else:
    Features = tyro.extras.literal_type_from_choices(
        ["", *sorted({f for m in MODALITIES.values() for f in m.features})]
    )


def run(args: list[str]) -> None:
    """Compares two sets of images or of sounds."""

    def evaluate(
        real: Annotated[str, tyro.conf.arg(metavar="DATA")],
        fake: Annotated[str, tyro.conf.arg(metavar="DATA")],
        features: Features = "",
        size: int | None = None,
        rate: int | None = None,
        length: int | None = None,
        out: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None,
        overwrite: Overwrite = False,
        device: Device = "auto",
        skip_bad: SkipBad = False,
        json: Json = False,
    ) -> None:
        """Prints how far generated images or sounds are from real ones, beside one half of the real ones against the other.

        Args:
            real: Real images or sounds: a folder, a file that holds many images (.npz), or a name.
            fake: Generated ones, likewise.
            features: What is compared. Of images: efficientnet_lite0 (if none is named) needs nothing; inception gives the FID
                of the literature (extra fid). Of sounds: logmel (if none is named) needs nothing; drums is a classifier trained
                on the embedded drum machine. Of both: classifier is trained on the real ones and needs their labels, one
                folder per class.
            size: Images: side that all are cut and resized to first, pixels; if none is given 64.
            rate: Sounds: samples a second that all are brought to first; 0 or none: the lower of the two sets' commonest.
            length: Sounds: samples of each that are compared, from its beginning; 0 or none: the longest power of two not above
                either set's median, but 32 ms at least.
            out: JSON file for the figures and their definitions.
        """
        if out is not None:
            check_targets([out], overwrite, "another file for --out", lambda path: json_table(path).keys() == KEYS)
        modality = _same_modality(real, fake)
        name = features or modality.features[0]
        given = {
            option: value for option, value in (("size", size), ("rate", rate), ("length", length)) if value is not None
        }
        if (strangers := given.keys() - set(modality.options)) or name not in modality.features:
            flags = " ".join(f"--{option}" for option in given if option in strangers) or f"--features {name}"
            options = " and ".join(f"--{option}" for option in modality.options)
            raise ConfigError(
                f"{flags}: not for {modality.items}, which {real} and {fake} hold; expected {options}, and --features "
                f"{' or '.join(modality.features)}; leave out what is not for them"
            )
        evaluation = imported(modality.compare)(real, fake, name, device, skip_bad, **given)
        _report(evaluation, out, json)

    cli(evaluate, "multigen evaluate", args)


def _same_modality(real: str, fake: str) -> Modality:
    kinds = kind(real), kind(fake)
    if kinds[0] != kinds[1]:
        items = [MODALITIES[name].items for name in kinds]
        raise DataError(
            f"--real {real} holds {items[0]}, --fake {fake} {items[1]}; expected two sets of one kind; give another folder for "
            "one of them"
        )
    return MODALITIES[kinds[0]]


def kind(data: str) -> str:
    """The modality that a data argument means, one that can be compared: by its name, else by the suffixes of the files.

    Raises DataError for what is not there, holds none, or holds several.
    """
    from multigen.cli.kinds import kinds_of
    from multigen.data.folders import files_in
    from multigen.data.locate import locate
    from multigen.data.unread import known

    if data in NAMES:
        return NAMES[data]
    compared = [modality for modality in MODALITIES.values() if modality.compare]
    place = locate(
        data, f"a folder of {' or of '.join(m.items for m in compared)}, a file, or one of the names {', '.join(NAMES)}"
    )
    paths = files_in(place) if place.is_dir() else [place]
    counts = kinds_of(paths)
    here = [modality for modality in compared if counts[modality.name]]
    if not here:
        suffixes = " ".join(suffix for modality in compared for suffix in (*modality.readable, *modality.archives))
        lines = [f"neither {' nor '.join(modality.items for modality in compared)} in it"]
        lines += dict.fromkeys(line for modality in compared for line in known(paths, modality))
        raise DataError(f"{place}: {'; '.join(lines)}; expected files ending in {suffixes}")
    if len(here) > 1:
        numbers = " and ".join(counted(counts[modality.name], modality.items) for modality in here)
        raise DataError(f"{place}: {numbers}; expected files of one kind; give a folder that holds one")
    return here[0].name


def _report(evaluation: "Evaluation", out: Path | None, as_json: bool) -> None:
    import dataclasses

    from multigen.storage.files import write_json

    if as_json:
        print_json(dataclasses.asdict(evaluation))
    else:
        show(evaluation.table(), lines=True)
        for metric, text in evaluation.definitions.items():
            show(f"  {metric}: {text}")
    if out is not None:
        with writing(out):
            write_json(out, dataclasses.asdict(evaluation))
