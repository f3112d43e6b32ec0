"""Samples of several runs side by side, with the same seed, one row per run."""

import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from multigen.catalogue import TASKS
from multigen.console import printable
from multigen.errors import ConfigError, MultigenError
from multigen.runs.comparison import Runs
from multigen.storage.files import write_whole
from multigen.storage.output import check_folder, check_targets, is_own, json_table, replacing
from multigen.storage.provenance import ENLARGED, SAMPLE, merge, png
from multigen.tasks.loading import Model, load
from multigen.tasks.synthesis.sampler import Sampler

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

__all__ = ["check_out", "checksums", "write_samples"]

LEAST = 64  # minimum height, pixels, to which small images are enlarged
HEAD, GAP = 18, 6  # pixels above each row, for its name, and below it


def check_out(out: Path, overwrite: bool) -> None:
    """Raises DataError where a comparison in OUT would replace files that are not from an earlier
    comparison."""
    other = "another folder for --out"
    check_folder(out, other)
    table = out / "compare.json"
    table_content = json_table(table)
    files = table_content.get("files") if {"runs", "figures"} <= table_content.keys() else None
    sums = files if isinstance(files, dict) else {}

    def own(path: Path) -> bool:
        return (path == table and files is not None) or sums.get(_name(path, out)) == _checksum(path) or is_own(path)

    check_targets([table, *_files(out)], overwrite, other, own)


def checksums(out: Path) -> dict[str, int]:
    """Checksums of the files of a comparison in OUT, except compare.json, by which a later
    comparison recognises them."""
    return {_name(path, out): _checksum(path) for path in _files(out) if path.is_file()}


def _files(out: Path) -> list[Path]:
    """Files that a comparison may write into OUT: images and texts, and existing sounds."""
    names = [f"{name}{suffix}" for name in ("compare", *TASKS) for suffix in (".png", ".txt")]
    return [*(out / name for name in names), *(path for task in TASKS for path in sorted(out.glob(f"{task}/*/*.wav")))]


def _name(path: Path, out: Path) -> str:
    return path.relative_to(out).as_posix()


def _checksum(path: Path) -> int:
    return zlib.crc32(path.read_bytes())


def write_samples(
    runs: Runs, n: int, seed: int, out: Path, code: Sequence[str], provenance: bool = True, device: str = "auto"
) -> list[str]:
    """Writes samples of the runs' models, those of one task together. Returns messages: the files
    written, generated texts, and what is missing.

    Args:
        code: users' own files that trained models (`multigen cp`), each for the runs of its name.
        provenance: write the models' names into images and sounds; text files have none.
        device: device of the models.

    Raises ConfigError for a file that made none of the runs.
    """
    files = {Path(file).stem: file for file in code}
    if strangers := files.keys() - {run.method for run in runs.values()}:
        raise ConfigError(f"--code {files[min(strangers)]}: none of the runs was made by it; leave it out")
    models, messages = _models(runs, files, device)
    tasks: dict[str, dict[str, Model]] = {}
    for name, model in models.items():
        tasks.setdefault(model.task, {})[name] = model
    for task, group in tasks.items():
        try:
            messages += _sheets(group, n, seed, out / task, provenance)
        except MultigenError as error:
            messages.append(f"{', '.join(group)}: no results: {error}")
    if len(tasks) > 1:
        messages.append(f"{', '.join(tasks)}: results of different tasks are not compared with each other")
    return messages


def _models(runs: Runs, files: Mapping[str, str], device: str) -> tuple[dict[str, Model], list[str]]:
    """The models by the names of their runs, and messages about missing ones."""
    models: dict[str, Model] = {}
    messages: list[str] = []
    for name, run in runs.items():
        if not run.has_model:
            previews = sorted((run.folder / "previews").glob("*"))
            last = f"; its last preview is {previews[-1]}" if previews else ""
            messages.append(f"{name}: not finished, so no model and no samples{last}")
            continue
        try:
            models[name] = load(str(run.folder), files.get(run.method, ""), device)
        except MultigenError as error:
            messages.append(f"{name}: no samples: {error}")
    return models, messages


def _sheets(models: Mapping[str, Model], n: int, seed: int, path: Path, provenance: bool) -> list[str]:
    """Writes the sheets of models of one task below each other, as PATH.png, or as PATH.txt for
    texts. Returns messages about it."""
    sheets = {row: each.sheet(n, seed) for name, model in models.items() for row, each in _rows(name, model)}
    what = f"{n} each of {', '.join(models)} under seed {seed}"
    if texts := {name: sheet for name, sheet in sheets.items() if isinstance(sheet, list)}:
        page = _in_turn(texts)
        write_whole(path.with_suffix(".txt"), page + "\n")
        return [f"{what}: {path}.txt", "", *page.split("\n")]
    about = merge([model.origin for model in models.values()] if provenance else [], seed=seed)
    images = {name: sheet for name, sheet in sheets.items() if not isinstance(sheet, list)}
    kinds = {TASKS[model.task].kind for model in models.values() if TASKS[model.task].modality == "image"}
    source = SAMPLE if kinds == {"synthesis"} else ENLARGED if kinds else ""
    with replacing(path.with_suffix(".png")) as file:
        stacked(images).save(file, **png(about, source))
    for name, model in models.items():
        if isinstance(model, Sampler) and model.suffix != ".png":  # their sheet is only a plot
            _write_each(model, n, seed, path / name.replace("/", "-"), provenance)
    return [f"{what}: {path}.png"]


def _rows(name: str, model: Any) -> list[tuple[str, Model]]:
    """A model by its name; one that learnt two directions by each."""
    ways = getattr(model, "directions", ())
    return [(f"{name} {way}", model.turned(way)) for way in sorted(ways)] if len(ways) > 1 else [(name, model)]


def _write_each(sampler: Sampler, n: int, seed: int, folder: Path, provenance: bool) -> None:
    """Writes the samples of a sheet as files."""
    folder.mkdir(parents=True, exist_ok=True)
    for i, sample in enumerate(sampler.sample(n, seed)):
        about = {**sampler.origin, "seed": seed, "index": i} if provenance else {}
        sampler.write(sample, folder / f"{i:04d}{sampler.suffix}", about)


def _in_turn(texts: Mapping[str, Sequence[str]]) -> str:
    """The first text of each run, then the second of each, and so on, each with its run's name."""
    texts = {printable(name): sheet for name, sheet in texts.items()}
    width = max(map(len, texts))
    return "\n\n".join(
        "\n".join(f"{name:<{width}}  {text}" for name, text in zip(texts, row, strict=True))
        for row in zip(*texts.values(), strict=True)
    )


def stacked(rows: "Mapping[str, Picture]") -> "Picture":
    """Stacks images of any mode, each under its name; small ones are enlarged by a whole number."""
    from PIL import Image, ImageDraw

    large = {}
    for name, row in rows.items():
        zoom = max(1, -(-LEAST // row.height))
        large[name] = row.convert("RGB").resize((row.width * zoom, row.height * zoom), Image.Resampling.NEAREST)
    height = sum(row.height + HEAD + GAP for row in large.values())
    sheet = Image.new("RGB", (max(row.width for row in large.values()), height), "white")
    top = 0
    for name, row in large.items():
        ImageDraw.Draw(sheet).text((2, top + 3), printable(name), fill="black")
        sheet.paste(row, (0, top + HEAD))
        top += row.height + HEAD + GAP
    return sheet
