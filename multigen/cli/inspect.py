"""`multigen inspect DATA`: describes a folder of images, sounds or texts, and suggests how to train
on it."""

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from multigen.catalogue import DATA, MODALITIES, imported
from multigen.cli.kinds import kind_of, kinds_of, meant_by
from multigen.cli.output import print_json
from multigen.console import counted, show, text_table
from multigen.errors import ConfigError, DataError
from multigen.runs.options import Json, Overwrite, cli
from multigen.storage.files import writing
from multigen.storage.output import check_targets, replacing
from multigen.storage.provenance import png
from multigen.version import __version__

if TYPE_CHECKING:
    from multigen.data.inspection import Inspection

__all__ = ["run"]

ITEMS = [modality.items for modality in MODALITIES.values()]
SHOWN = 10  # maximum unreadable files listed without --json


def run(args: list[str]) -> None:
    """Inspects data."""

    def inspect(
        data: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="DATA")] = "",
        degradation: str = "",
        task: str = "",
        out: Annotated[Path, tyro.conf.arg(metavar="FILE.png")] = Path(),
        seed: int | None = None,
        overwrite: Overwrite = False,
        encoding: str = "",
        column: str = "",
        label_column: str = "",
        json: Json = False,
    ) -> None:
        """Describes data: their content, their problems, and how to train on them. Nothing is
        changed or downloaded. With --degradation or --task, writes an image of what a method of
        restoration, or of translation, makes of images.

        Args:
            data: A folder of images, texts or sounds, a file, or a name such as digits, drums,
                voice or fables.
            degradation: Write a sheet of crops of images, each beside degraded versions of it, to
                choose a strength by eye: strong or mild (realesrgan), noise, jpeg or noise-jpeg
                (denoise), noise25, jpeg10 or other numbers. Without DATA, of the embedded
                photographs.
            task: Write a sheet of images, each beside what translation makes of it: colour, edges,
                sketch, blur, segments, swap, night, or all. Without DATA, of the embedded
                photographs.
            out: The sheet; degradation-NAME.png or task-NAME.png if not given.
            seed: Of the sheet: chooses the images and draws the degradations; 0 if not given.
            encoding: Texts: encoding of files that are not UTF-8 and have no mark, such as cp1252.
            column: Texts: column of a table (.csv, .tsv, .jsonl) that holds them.
            label_column: Texts: column of a table that holds their classes.
        """
        if degradation and task:
            raise ConfigError(f"--degradation {degradation}, --task {task}: each is a sheet; give one of them")
        sheet = ("degradation", degradation) if degradation else ("task", task)
        sheets = {"--out": out != Path(), "--seed": seed is not None, "--overwrite": overwrite}
        if not sheet[1] and (given := [flag for flag, value in sheets.items() if value]):
            raise ConfigError(
                f"{given[0]}: for the sheet of --degradation or --task only; leave it out, or give one of them"
            )
        data = data or ("embedded" if sheet[1] else "")
        if not data:
            raise ConfigError(
                f"DATA is missing; expected a folder or file of {', '.join(ITEMS)}, or a name such as digits"
            )
        kind, why = _kind(data)
        options = {"encoding": encoding, "column": column, "label_column": label_column}
        given = {name: value for name, value in options.items() if value}
        if strangers := given.keys() - {*MODALITIES[kind].reading}:
            raise ConfigError(
                f"--{min(strangers).replace('_', '-')}: for texts only, and {data} holds {MODALITIES[kind].items}; leave it out"
            )
        if sheet[1]:
            _write_sheet(data, kind, *sheet, out, seed or 0, overwrite, json)
            return
        result = imported(MODALITIES[kind].inspect)(data, **given)
        result.warnings[:0] = why.get("warnings", [])
        if lines := why.get("ignored"):
            result.add("ignored", lines, "; ".join(lines))
        if json:
            print_json(_as_json(data, kind, why["files"], result))
        else:
            _print(data, kind, why["files"], result)

    cli(inspect, "multigen inspect", args)


def _write_sheet(
    data: str, kind: str, flag: str, name: str, out: Path, seed: int, overwrite: bool, as_json: bool
) -> None:
    """Writes items beside what a degradation, or a task of translation, makes of them."""
    if seed < 0:
        raise ConfigError(f"--seed {seed}: expected 0 or more")
    out = Path(f"{flag}-{name}.png") if out == Path() else out
    if out.suffix.lower() != ".png":
        raise ConfigError(f"--out {out}: expected a file ending in .png")
    check_targets([out], overwrite, "another file for --out")
    modality = MODALITIES[kind]
    make = modality.degradations if flag == "degradation" else modality.made
    if not make:
        raise ConfigError(f"--{flag}: for images only, and {data} holds {modality.items}; leave it out")
    sheet, names = imported(make)(data, name, seed)
    with writing(out, "another file for --out"), replacing(out) as file:
        out.parent.mkdir(parents=True, exist_ok=True)
        sheet.save(file, **png({"software": f"multigen {__version__}", flag: name, "seed": seed}))
    if as_json:
        print_json({"data": data, flag: name, "seed": seed, "files": [str(out)], "images": names})
    else:
        show(f"{out}: {counted(len(names), 'images')} of {data} beside {name} versions of them, seed {seed}")


def _kind(data: str) -> tuple[str, dict[str, Any]]:
    """The modality of the data, and the evidence: files by suffix, and a warning where there are
    several modalities."""
    from multigen.data.folders import files_in
    from multigen.data.locate import NotFound, locate
    from multigen.data.unread import known, unread

    named = next((d for d in DATA if d.name.split(":")[0] == data.split(":")[0]), None)  # also fables:N and hf:NAME
    kind = named.modality if named else ""
    if named and data == named.name and not named.downloaded:
        return kind, {"files": {}}
    try:
        names = ", ".join(d.name for d in DATA)
        place = locate(data, f"a folder or file of {' or '.join(ITEMS)}, or one of the names {names}")
    except NotFound:
        if named is None:
            raise
        return kind, {"files": {}}
    paths = files_in(place) if place.is_dir() else [place]
    suffixes = dict(Counter(path.suffix.lower() or "none" for path in paths).most_common())
    counts = meant_by(paths)
    if not counts:
        lines = dict.fromkeys(line for modality in MODALITIES.values() for line in known(paths, modality))
        none = f"{counted(len(paths), 'files')}, none of {' or '.join(ITEMS)} among them"
        raise DataError(f"{place}: {'; '.join([none, *lines])}; expected some; check the path")
    kind = max(MODALITIES, key=lambda kind: counts[kind])  # the first in a tie
    readable = kinds_of(paths)
    rest = [f"{MODALITIES[name].items} {readable[name]:,}" for name in counts if name != kind and readable[name]]
    warnings = (
        [f"mixed files; training on {MODALITIES[kind].items} skips the others: {', '.join(rest)}"] if rest else []
    )
    tables = () if any(kind_of(path) == kind for path in paths) else MODALITIES[kind].tables
    ignored = [path for path in paths if path.suffix.lower() not in tables]
    lines = unread(ignored, MODALITIES[kind]) if place.is_dir() else []
    return kind, {"files": suffixes, "ignored": lines, "warnings": warnings}


def _as_json(data: str, kind: str, files: dict[str, int], found: "Inspection") -> dict[str, Any]:
    return {
        "data": data,
        "kind": kind,
        "files": files,
        **{fact.name: fact.value for fact in found.facts},
        "too_large": list(map(str, found.too_large)),
        "unreadable": [{"path": str(path), "reason": reason} for path, reason in found.unreadable],
        "warnings": found.warnings,
        "suggestions": [
            {
                "command": choice.command(data),
                "method": choice.method,
                "preset": choice.preset,
                "options": list(choice.options),
                "reason": choice.reason,
            }
            for choice in found.suggestions
        ],
    }


def _print(data: str, kind: str, files: dict[str, int], found: "Inspection") -> None:
    from multigen.data.inspection import listed

    show(f"{data}: {MODALITIES[kind].items}" + (f", by its files: {listed(files)}" if files else ""))
    facts = [("", fact.name.replace("_", " "), fact.text) for fact in found.facts]
    show(text_table([*facts, ("", "unreadable", str(len(found.unreadable) or "none"))]), lines=True)
    for path, reason in found.unreadable[:SHOWN]:
        show(f"    {reason if str(path) in reason else f'{path}: {reason}'}")
    if len(found.unreadable) > SHOWN:
        show(f"    and {len(found.unreadable) - SHOWN} more: --json lists all")
    for warning in found.warnings:
        show(f"warning: {warning}")
    for i, choice in enumerate(found.suggestions):
        show()
        show(f"{'or' if i else 'train'}: {choice.reason}")
        show(f"  {choice.command(data)}")
    if any(choice.preset == "default" for choice in found.suggestions):
        show()
        show("The preset default is meant for a GPU; --minutes 60 ends after an hour of training on any machine.")
