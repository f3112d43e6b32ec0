"""Results of several runs beside each other, under one seed, one row per run."""

import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from multigen.catalogue import TASKS
from multigen.console import printable
from multigen.errors import ConfigError, MultigenError
from multigen.runs.comparison import Runs
from multigen.storage.files import write_whole
from multigen.storage.output import check_folder, check_targets, is_own, json_table, replacing
from multigen.storage.provenance import merge, png
from multigen.tasks.loading import Model, load
from multigen.tasks.synthesis.sampler import Sampler

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

__all__ = ["check_out", "checksums", "write_samples"]

LEAST = 64  # pixels of height that small images are enlarged to, at least
HEAD, GAP = 18, 6  # pixels above each row, for its name, and below it


def check_out(out: Path, overwrite: bool) -> None:
    """Raises DataError where a comparison in OUT would replace files that no earlier comparison wrote."""
    other = "another folder for --out"
    check_folder(out, other)
    table = out / "compare.json"
    known = json_table(table)
    listed = known.get("files") if {"runs", "figures"} <= known.keys() else None
    sums = listed if isinstance(listed, dict) else {}

    def own(path: Path) -> bool:
        return (path == table and listed is not None) or sums.get(_name(path, out)) == _checksum(path) or is_own(path)

    check_targets([table, *_files(out)], overwrite, other, own)


def checksums(out: Path) -> dict[str, int]:
    """Checksums of the files of a comparison in OUT, without compare.json, by which a later comparison recognises them."""
    return {_name(path, out): _checksum(path) for path in _files(out) if path.is_file()}


def _files(out: Path) -> list[Path]:
    """Files that a comparison may write into OUT: images and texts, and the sounds that are there."""
    names = [f"{name}{suffix}" for name in ("compare", *TASKS) for suffix in (".png", ".txt")]
    return [*(out / name for name in names), *(path for task in TASKS for path in sorted(out.glob(f"{task}/*/*.wav")))]


def _name(path: Path, out: Path) -> str:
    return path.relative_to(out).as_posix()


def _checksum(path: Path) -> int:
    return zlib.crc32(path.read_bytes())


def write_samples(runs: Runs, n: int, seed: int, out: Path, code: Sequence[str], provenance: bool = True) -> list[str]:
    """Writes what the models of the runs make, those of one task together. Returns lines: what is where, texts themselves,
    what is missing.

    Args:
        code: files that trained models of their own (`multigen cp`), each for the runs of its name.
        provenance: images and sounds say which models made them; a text file cannot.

    Raises ConfigError for a file that is of none of the runs.
    """
    files = {Path(file).stem: file for file in code}
    if strangers := files.keys() - {run.method for run in runs.values()}:
        raise ConfigError(f"--code {files[min(strangers)]}: none of the runs was made by it; leave it out")
    models, said = _models(runs, files)
    tasks: dict[str, dict[str, Model]] = {}
    for name, model in models.items():
        tasks.setdefault(model.task, {})[name] = model
    for task, group in tasks.items():
        try:
            said += _sheets(group, n, seed, out / task, provenance)
        except MultigenError as error:
            said.append(f"{', '.join(group)}: no results: {error}")
    if len(tasks) > 1:
        said.append(f"{', '.join(tasks)}: results of different tasks are not laid beside each other")
    return said


def _models(runs: Runs, files: Mapping[str, str]) -> tuple[dict[str, Model], list[str]]:
    """The models by the names of their runs, and sentences on those that are not there."""
    models: dict[str, Model] = {}
    said: list[str] = []
    for name, run in runs.items():
        if not run.has_model:
            previews = sorted((run.folder / "previews").glob("*"))
            last = f"; its last preview is {previews[-1]}" if previews else ""
            said.append(f"{name}: not finished, so no model and no samples{last}")
            continue
        try:
            models[name] = load(str(run.folder), files.get(run.method, ""))
        except MultigenError as error:
            said.append(f"{name}: no samples: {error}")
    return models, said


def _sheets(models: Mapping[str, Model], n: int, seed: int, path: Path, provenance: bool) -> list[str]:
    """The sheets of models of one task below each other, as PATH.png, or PATH.txt of texts. Returns lines that say so."""
    sheets = {name: model.sheet(n, seed) for name, model in models.items()}
    what = f"{n} each of {', '.join(models)} under seed {seed}"
    if texts := {name: sheet for name, sheet in sheets.items() if isinstance(sheet, list)}:
        page = _in_turn(texts)
        write_whole(path.with_suffix(".txt"), page + "\n")
        return [f"{what}: {path}.txt", "", *page.split("\n")]
    about = merge([model.origin for model in models.values()] if provenance else [], seed=seed)
    images = {name: sheet for name, sheet in sheets.items() if not isinstance(sheet, list)}
    with replacing(path.with_suffix(".png")) as file:
        stacked(images).save(file, **png(about))
    for name, model in models.items():
        if isinstance(model, Sampler) and model.suffix != ".png":  # a sheet only draws them
            _write_each(model, n, seed, path / name.replace("/", "-"), provenance)
    return [f"{what}: {path}.png"]


def _write_each(sampler: Sampler, n: int, seed: int, folder: Path, provenance: bool) -> None:
    """The samples of a sheet as files."""
    folder.mkdir(parents=True, exist_ok=True)
    for i, sample in enumerate(sampler.sample(n, seed)):
        about = {**sampler.origin, "seed": seed, "index": i} if provenance else {}
        sampler.write(sample, folder / f"{i:04d}{sampler.suffix}", about)


def _in_turn(texts: Mapping[str, Sequence[str]]) -> str:
    """The first text of each run, then the second of each, and so on, under the names of the runs."""
    texts = {printable(name): sheet for name, sheet in texts.items()}
    width = max(map(len, texts))
    return "\n\n".join(
        "\n".join(f"{name:<{width}}  {text}" for name, text in zip(texts, row, strict=True))
        for row in zip(*texts.values(), strict=True)
    )


def stacked(rows: "Mapping[str, Picture]") -> "Picture":
    """Images of any mode below each other, each under its name; small ones enlarged by a whole number."""
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
