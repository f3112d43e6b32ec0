"""`multigen evaluate --real DIR --fake DIR`: compares two sets of pictures, or two of sounds, whoever made them."""

import statistics
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from multigen.catalogue import DATA
from multigen.cli.output import print_json
from multigen.errors import ConfigError, DataError
from multigen.runs.options import cli
from multigen.storage.files import writing

if TYPE_CHECKING:
    from multigen.audio.files import Info
    from multigen.engine.evaluation import Evaluation

__all__ = ["kind", "run"]

FEATURES = {"pictures": ("efficientnet_lite0", "classifier", "inception"), "sounds": ("logmel", "drums", "classifier")}
NAMES = {data.name: data.noun for data in DATA if data.noun in FEATURES}
SIZE = 64  # pixels
RATE, LENGTH = 8000, 4096  # of sounds where no file says more: the drum machine beside itself
SHORTEST = 0.032  # seconds: the window of the spectra


def run(args: list[str]) -> None:
    """Compares two sets of pictures or of sounds."""

    def evaluate(
        real: Annotated[str, tyro.conf.arg(metavar="DATA")],
        fake: Annotated[str, tyro.conf.arg(metavar="DATA")],
        features: Literal["", "efficientnet_lite0", "classifier", "inception", "logmel", "drums"] = "",
        size: int | None = None,
        rate: int | None = None,
        length: int | None = None,
        out: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None,
        device: str = "auto",
        skip_bad: bool = False,
        json: bool = False,
    ) -> None:
        """Prints how far generated pictures or sounds are from real ones, beside one half of the real ones against the other.

        Args:
            real: Real pictures or sounds: a folder, a file that holds many pictures (.npz), or a name.
            fake: Generated ones, likewise.
            features: What is compared. Of pictures: efficientnet_lite0 (if none is named) needs nothing; inception gives the FID
                of the literature (extra fid). Of sounds: logmel (if none is named) needs nothing; drums is a classifier trained
                on the embedded drum machine. Of both: classifier is trained on the real ones and needs their labels, a folder
                a class.
            size: Pictures: side that all are cut and resized to first, pixels; if none is given 64.
            rate: Sounds: samples a second that all are brought to first; 0 or none: the lower of the two sets' commonest.
            length: Sounds: samples of each that are compared, from its beginning; 0 or none: the longest power of two not above
                either set's median, but 32 ms at least.
            out: JSON file for the figures and their definitions.
            device: auto, cpu, cuda, cuda:N, mps.
            skip_bad: Go on without files that cannot be used, and say how many.
            json: Print the figures and their definitions as JSON, in place of the table.
        """
        kinds = {"--real": kind(real), "--fake": kind(fake)}
        if kinds["--real"] != kinds["--fake"]:
            raise DataError(
                f"--real {real} holds {kinds['--real']}, --fake {fake} {kinds['--fake']}; expected two sets of one kind; give "
                "another folder for one of them"
            )
        what = kinds["--real"]
        name = features or FEATURES[what][0]
        given = {"--size": size, "--rate": rate, "--length": length}
        strangers = [
            flag for flag, value in given.items() if value is not None and (flag == "--size") != (what == "pictures")
        ]
        if strangers or name not in FEATURES[what]:
            raise ConfigError(
                f"{' '.join(strangers) or f'--features {features}'}: not for {what}, which {real} and {fake} hold; expected "
                f"{'--size' if what == 'pictures' else '--rate and --length'}, and --features {' or '.join(FEATURES[what])}; "
                "leave out what is not for them"
            )
        if what == "pictures":
            found = _pictures(real, fake, SIZE if size is None else size, name, device, skip_bad)
        else:
            found = _sounds(real, fake, rate or 0, length or 0, name, device, skip_bad)
        _report(found, out, json)

    cli(evaluate, "multigen evaluate", args)


def kind(data: str) -> str:
    """Whether a data argument means "pictures" or "sounds": by its name, else by the suffixes of the files.

    Raises DataError for what is not there, holds neither, or holds both.
    """
    from multigen.audio.files import SUFFIXES as SOUNDS
    from multigen.cli.kinds import kinds_of
    from multigen.data.folders import files_in
    from multigen.data.locate import locate
    from multigen.image.files import SUFFIXES as PICTURES

    if data in NAMES:
        return NAMES[data]
    place = locate(data, f"a folder of pictures or of sounds, a file, or one of the names {', '.join(NAMES)}")
    counts = kinds_of(files_in(place) if place.is_dir() else [place])
    pictures, sounds = counts["pictures"], counts["sounds"]
    if not pictures and not sounds:
        raise DataError(
            f"{place}: neither pictures nor sounds in it; expected files ending in {' '.join((*PICTURES, '.npz', *SOUNDS))}"
        )
    if pictures and sounds:
        raise DataError(
            f"{place}: {pictures} pictures and {sounds} sounds; expected files of one kind; give a folder that holds one"
        )
    return "pictures" if pictures else "sounds"


def _pictures(real: str, fake: str, size: int, name: str, device: str, skip_bad: bool) -> "Evaluation":
    from multigen.engine.device import choose_device
    from multigen.image.datasets import open_images
    from multigen.image.synthesis.evaluator import compare

    asked = ((real, "" if name == "classifier" else "none"), (fake, "none"))
    sets = [open_images(data, size, channels=3, labels=labels, skip_bad=skip_bad) for data, labels in asked]
    _say_skipped((real, fake), sets)
    return compare(name, sets[0], sets[1], choose_device(device))


def _sounds(real: str, fake: str, rate: int, length: int, name: str, device: str, skip_bad: bool) -> "Evaluation":
    from multigen.audio.datasets import open_sounds
    from multigen.audio.synthesis.evaluator import compare
    from multigen.console import say
    from multigen.engine.device import choose_device

    if not rate or not length:
        rate, length = _common(rate, length, [info for data in (real, fake) if (info := _headers(data))])
        say(
            f"compared at {rate:,} Hz by the first {length:,} samples ({length / rate:.2f} s); --rate and --length choose others"
        )
    asked = ((real, "" if name == "classifier" else "none"), (fake, "none"))
    sets = [open_sounds(data, rate, length, labels=labels, skip_bad=skip_bad) for data, labels in asked]
    _say_skipped((real, fake), sets)
    return compare(name, sets[0], sets[1], choose_device(device))


def _headers(data: str) -> "list[Info]":
    """What the headers say of the files that `open_sounds` takes; nothing for the drum machine, or where none can be read."""
    import contextlib

    from multigen.audio.files import SUFFIXES, read_info
    from multigen.data.folders import find_files, split_folder
    from multigen.data.locate import locate

    if data in NAMES:
        return []
    place = locate(data, "a folder of sounds")
    found = []
    for path in find_files(split_folder(place, "train"), SUFFIXES, "sounds") if place.is_dir() else [place]:
        with contextlib.suppress(DataError):  # said when the sounds are read
            found.append(read_info(path))
    return found


def _common(rate: int, length: int, sets: "list[list[Info]]") -> tuple[int, int]:
    """Rate and length that sounds are compared at, where they are 0 chosen by the sets' headers."""
    rate = rate or min((statistics.mode(info.rate for info in headers) for headers in sets), default=RATE)
    if length or not sets:
        return rate, length or LENGTH
    median = min(statistics.median(info.seconds for info in headers) for headers in sets) * rate
    least = round(SHORTEST * rate)
    return rate, max(1 << (max(int(median), 1).bit_length() - 1), 1 << (least - 1).bit_length())


def _say_skipped(places: tuple[str, str], sets: list[Any]) -> None:
    from multigen.console import say

    for data, items in zip(places, sets, strict=True):
        if items.skipped:
            say(f"{data}: {len(items.skipped)} {items.noun} skipped, the first: {items.skipped[0][1]}")


def _report(evaluation: "Evaluation", out: Path | None, as_json: bool) -> None:
    import dataclasses

    from multigen.storage.files import write_json

    if as_json:
        print_json(dataclasses.asdict(evaluation))
    else:
        print(evaluation.table())
        for metric, text in evaluation.definitions.items():
            print(f"  {metric}: {text}")
    if out is not None:
        with writing(out):
            write_json(out, dataclasses.asdict(evaluation))
