"""`multigen evaluate --real DATA --fake DATA`: compares two sets of images, of sounds or of texts,
whoever made them; with `--model RUN --texts FILE` it says how likely texts are under a trained
model."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from multigen.catalogue import DATA, MODALITIES, Modality, imported
from multigen.cli.loaded import load_for
from multigen.cli.output import print_json
from multigen.console import counted, show
from multigen.errors import ConfigError, DataError
from multigen.runs.options import Code, Device, Json, Model, Overwrite, SkipBad, cli
from multigen.storage.files import writing
from multigen.storage.output import check_targets, json_table

if TYPE_CHECKING:
    from multigen.engine.evaluation import Evaluation

__all__ = ["kind", "run"]

NAMES = {d.name: d.modality for d in DATA if MODALITIES[d.modality].compare and d.classes}
"""Images and sounds that can be compared by name."""
KEYS = {"rows", "definitions", "remarks"}
"""Keys of the JSON file."""

if TYPE_CHECKING:
    Features = str
else:
    Features = tyro.extras.literal_type_from_choices(
        ["", *sorted({f for m in MODALITIES.values() for f in m.features})]
    )


def run(args: list[str]) -> None:
    """Compares two sets of images, of sounds or of texts."""

    def evaluate(
        real: Annotated[str, tyro.conf.arg(metavar="DATA")] = "",
        fake: Annotated[str, tyro.conf.arg(metavar="DATA")] = "",
        model: Model = "",
        texts: Annotated[str, tyro.conf.arg(metavar="DATA")] = "",
        pairs: Annotated[tuple[str, str] | None, tyro.conf.arg(metavar="DATA DATA")] = None,
        features: Features = "",
        size: int | None = None,
        frames: Literal["first", "all"] | None = None,
        rate: int | None = None,
        length: int | None = None,
        encoding: str | None = None,
        column: str | None = None,
        border: int | None = None,
        perceptual_weights: str | None = None,
        squeezenet_weights: str | None = None,
        out: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None,
        overwrite: Overwrite = False,
        device: Device = "auto",
        skip_bad: SkipBad = False,
        json: Json = False,
        code: Code = "",
    ) -> None:
        """Prints how far generated images, sounds or texts are from real ones, beside one half of
        the real ones against the other; or, with --pairs, how far images are from those of the same
        names; or, with --model and --texts, the perplexity of texts under a trained model.

        Args:
            real: Real images, sounds or texts: a folder, a file (.txt, .csv, .jsonl; of many images
                .npz), or a name.
            fake: Generated ones, likewise.
            texts: Texts whose likelihood under --model is wanted: a file or folder, or a name.
            pairs: Two folders of images, matched by name: PSNR, SSIM and perceptual distances;
                those of each pair with --json.
            features: Feature extractor. Images: efficientnet_lite0 (default) needs nothing;
                inception gives the FID of the literature (extra fid); squeezenet1_1 and vgg34 need
                a file of weights. Sounds: logmel (default) needs nothing; drums is a classifier
                trained on the embedded drum machine. Both: classifier is trained on the real ones
                and needs their labels, one folder per class. Of texts: words.
            size: Images: side to which all are cropped and resized first, pixels; default 64.
            frames: Images: of animations and of TIFF files with many pages the first frame, which
                is usual, or all.
            rate: Sounds: sample rate to which all are resampled first, Hz; 0 or none: the lower of
                the two sets' most common rates.
            length: Sounds: samples of each to compare, from its beginning; 0 or none: the largest
                power of two not above either set's median, at least 32 ms.
            encoding: Texts: encoding of files that are not UTF-8 and have no mark, such as cp1252.
            column: Texts: column of a table (.csv, .tsv, .jsonl) that holds them.
            border: Pairs: pixels left out at each side by the metrics of luma; default 0, usual is
                the scale.
            perceptual_weights: Images: safetensors file of VGG19 (torchvision's keys), for
                --features vgg34; of pairs its distances are measured too.
            squeezenet_weights: Images: likewise of SqueezeNet 1.1, for --features squeezenet1_1.
            out: JSON file for the metrics and their definitions.
        """
        if out is not None:
            check_targets(
                [out], overwrite, "another file for --out", lambda path: json_table(path).keys() - {"pairs"} == KEYS
            )
        options = {
            "size": size,
            "frames": frames,
            "rate": rate,
            "length": length,
            "encoding": encoding,
            "column": column,
            "border": border,
            "perceptual_weights": perceptual_weights,
            "squeezenet_weights": squeezenet_weights,
        }
        given = {option: value for option, value in options.items() if value is not None}
        _check_sets(real, fake, model, texts, pairs)
        if pairs:
            _report(*_of_pairs(pairs, features, device, skip_bad, given), out, json)
            return
        if model:
            _report(_likelihood(model, code, texts, device, skip_bad, given), {}, out, json)
            return
        modality = _same_modality({"--real": real, "--fake": fake})
        name = features or modality.features[0]
        if (strangers := given.keys() - set(modality.options)) or name not in modality.features:
            flags = " ".join(_flag(option) for option in given if option in strangers) or f"--features {name}"
            options = " and ".join(map(_flag, modality.options))
            raise ConfigError(
                f"{flags}: not for {modality.items}, which {real} and {fake} hold; expected {options}, and --features "
                f"{' or '.join(modality.features)}; leave out what is not for them"
            )
        evaluation = imported(modality.compare)(real, fake, name, device, skip_bad, **given)
        _report(evaluation, {}, out, json)

    cli(evaluate, "multigen evaluate", args)


def _check_sets(real: str, fake: str, model: str, texts: str, pairs: tuple[str, str] | None) -> None:
    """Raises ConfigError where neither two sets are given nor a model and texts."""
    given = {"--real": real, "--fake": fake, "--model": model, "--texts": texts, "--pairs": pairs}
    names = [flag for flag, value in given.items() if value]
    if names not in (["--real", "--fake"], ["--model", "--texts"], ["--pairs"]):
        raise ConfigError(
            f"{' '.join(names) or 'nothing'} given: expected --real DATA and --fake DATA, to compare two sets, --pairs DATA "
            "DATA, to compare items of the same names, or --model RUN and --texts DATA, for the likelihood of texts; give one"
        )


def _of_pairs(
    pairs: tuple[str, str], features: str, device: str, skip_bad: bool, given: dict[str, Any]
) -> "tuple[Evaluation, dict[str, Any]]":
    """Means over pairs, and what each pair has. `given`: options of this comparison."""
    modality = _same_modality({"--pairs": pairs[0], "and": pairs[1]})
    if not modality.pairs:
        named = " and ".join(m.items for m in MODALITIES.values() if m.pairs)
        raise ConfigError(f"--pairs: for {named} only, and {pairs[0]} holds {modality.items}; give --real and --fake")
    strangers = [
        *(["--features"] if features else []),
        *(_flag(each) for each in given.keys() - {*modality.pair_options}),
    ]
    if strangers:
        raise ConfigError(f"{min(strangers)}: not for --pairs of {modality.items}; leave it out")
    evaluation, values = imported(modality.pairs)(pairs, device, skip_bad, **given)
    return evaluation, {"pairs": values}


def _flag(option: str) -> str:
    return f"--{option.replace('_', '-')}"


def _likelihood(model: str, code: str, texts: str, device: str, skip_bad: bool, given: dict[str, Any]) -> "Evaluation":
    """How likely texts are under a model. `given`: options that say how they are read."""
    if strangers := given.keys() - {*MODALITIES["text"].options}:
        raise ConfigError(f"--{min(strangers)}: not for texts, which --model and --texts are about; leave it out")
    from multigen.text.files import read_texts
    from multigen.text.synthesis.likelihood import evaluate_texts
    from multigen.text.units import Reading

    writer = load_for("evaluate", model, code, device)
    return evaluate_texts(writer, read_texts(texts, Reading("auto", skip_bad, **given)).texts)


def _same_modality(sets: dict[str, str]) -> Modality:
    """The modality of two sets, by the flag of each."""
    kinds = [kind(data) for data in sets.values()]
    if kinds[0] != kinds[1]:
        (first, one), (second, other) = sets.items()
        items = [MODALITIES[name].items for name in kinds]
        raise DataError(
            f"{first} {one} holds {items[0]}, {second} {other} {items[1]}; expected two sets of one kind; give another folder "
            "for one of them"
        )
    return MODALITIES[kinds[0]]


def kind(data: str) -> str:
    """The modality of a data argument, one that can be compared: by its name, else by the files'
    suffixes.

    Raises DataError for missing data, or data of no or several modalities.
    """
    from multigen.cli.kinds import kinds_of
    from multigen.data.folders import files_in
    from multigen.data.locate import locate
    from multigen.data.unread import known

    if data.partition(":")[0] in ("fables", "dialogues", "hf"):
        return "text"
    if data in NAMES:
        return NAMES[data]
    compared = [modality for modality in MODALITIES.values() if modality.compare]
    place = locate(
        data, f"a folder of {' or of '.join(m.items for m in compared)}, a file, or one of the names {', '.join(NAMES)}"
    )
    paths = files_in(place) if place.is_dir() else [place]
    counts = kinds_of(paths)
    here = [modality for modality in compared if counts[modality.name]]
    if len(here) > 1:  # a text among them says something of the others
        here = [modality for modality in here if modality.name != "text"]
    if not here:
        suffixes = " ".join(suffix for modality in compared for suffix in (*modality.readable, *modality.archives))
        lines = [f"neither {' nor '.join(modality.items for modality in compared)} in it"]
        lines += dict.fromkeys(line for modality in compared for line in known(paths, modality))
        raise DataError(f"{place}: {'; '.join(lines)}; expected files ending in {suffixes}")
    if len(here) > 1:
        numbers = " and ".join(counted(counts[modality.name], modality.items) for modality in here)
        raise DataError(f"{place}: {numbers}; expected files of one kind; give a folder that holds one")
    return here[0].name


def _report(evaluation: "Evaluation", more: dict[str, Any], out: Path | None, as_json: bool) -> None:
    """Prints an evaluation, and writes it; `more` is in the JSON only."""
    import dataclasses

    from multigen.storage.files import write_json

    table = dataclasses.asdict(evaluation) | more
    if as_json:
        print_json(table)
    else:
        show(evaluation.table(), lines=True)
        for metric, text in evaluation.definitions.items():
            show(f"  {metric}: {text}")
    if out is not None:
        with writing(out):
            write_json(out, table)
