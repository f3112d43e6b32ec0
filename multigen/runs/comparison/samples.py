"""Samples of several runs beside each other, under one seed: a row of pictures or sounds a run, texts, crops."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from multigen import load
from multigen.errors import ConfigError, MultigenError
from multigen.runs.comparison import Runs
from multigen.storage.provenance import png, together

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

__all__ = ["write_samples"]

LEAST = 64  # pixels of height that small pictures are enlarged to, at least
HEAD, GAP = 18, 6  # pixels above each row, for its name, and below it


def write_samples(runs: Runs, n: int, seed: int, out: Path, code: Sequence[str], provenance: bool = True) -> list[str]:
    """Writes what the models of the runs make, those of one kind together. Says in sentences what is where, and what is missing.

    Args:
        code: files that trained models of their own (`multigen cp`), each for the runs of its name.
        provenance: pictures and sounds say which models made them; a text file cannot.

    Raises ConfigError for a file that is of none of the runs.
    """
    files = {Path(file).stem: file for file in code}
    if strangers := files.keys() - {run.recipe for run in runs.values()}:
        raise ConfigError(f"--code {files[min(strangers)]}: none of the runs was made by it; leave it out")
    models, said = _models(runs, files)
    kinds: dict[str, dict[str, Any]] = {}
    for name, model in models.items():
        kinds.setdefault(model.noun, {})[name] = model
    for kind, group in kinds.items():
        if kind == "texts":
            said.append(_texts(group, n, seed, out / "samples.txt"))
        elif kind == "photographs":
            said.append(_crops(group, runs, out / "upscaled.png", provenance))
        else:
            said.append(_strips(group, n, seed, out / f"{kind}.png", provenance))
    if len(kinds) > 1:
        said.append(f"{', '.join(kinds)}: samples of different kinds are not laid beside each other")
    return said


def _models(runs: Runs, files: Mapping[str, str]) -> tuple[dict[str, Any], list[str]]:
    """The models by the names of their runs, and sentences on those that are not there."""
    models, said = {}, []
    for name, run in runs.items():
        if not run.has_model:
            previews = sorted((run.folder / "previews").glob("*"))
            last = f"; its last preview is {previews[-1]}" if previews else ""
            said.append(f"{name}: not finished, so no model and no samples{last}")
            continue
        try:
            models[name] = load(str(run.folder), files.get(run.recipe, ""))
        except MultigenError as error:
            said.append(f"{name}: no samples: {error}")
    return models, said


def _strips(samplers: Mapping[str, Any], n: int, seed: int, path: Path, provenance: bool) -> str:
    """Pictures or sounds; of sounds, which are to be heard, also files."""
    rows = {}
    for name, sampler in samplers.items():
        samples = sampler.sample(n, seed)
        rows[name] = sampler.strip(samples)
        if sampler.suffix != ".png":
            folder = path.with_suffix("") / name.replace("/", "-")
            folder.mkdir(parents=True, exist_ok=True)
            for i, sample in enumerate(samples):
                about = {**sampler.origin, "seed": seed, "index": i} if provenance else {}
                sampler.write(sample, folder / f"{i:04d}{sampler.suffix}", about)
    about = together([sampler.origin for sampler in samplers.values()] if provenance else [], seed=seed)
    stacked(rows).save(path, **png(about))
    return f"{n} samples of {', '.join(samplers)} under seed {seed}: {path}"


def stacked(rows: "Mapping[str, Picture]") -> "Picture":
    """Pictures of any mode below each other, each under its name; small ones enlarged by a whole number."""
    from PIL import Image, ImageDraw

    large = {}
    for name, row in rows.items():
        zoom = max(1, -(-LEAST // row.height))
        large[name] = row.convert("RGB").resize((row.width * zoom, row.height * zoom), Image.Resampling.NEAREST)
    height = sum(row.height + HEAD + GAP for row in large.values())
    sheet = Image.new("RGB", (max(row.width for row in large.values()), height), "white")
    top = 0
    for name, row in large.items():
        ImageDraw.Draw(sheet).text((2, top + 3), name, fill="black")
        sheet.paste(row, (0, top + HEAD))
        top += row.height + HEAD + GAP
    return sheet


def _texts(writers: Mapping[str, Any], n: int, seed: int, path: Path) -> str:
    texts = {name: writer.generate(n=n, seed=seed) for name, writer in writers.items()}
    width = max(map(len, texts))
    parts = ["\n".join(f"{name:<{width}}  {texts[name][i]}" for name in texts) for i in range(n)]
    path.write_text("\n\n".join(parts) + "\n", encoding="utf-8")
    return f"{n} texts of {', '.join(writers)} under seed {seed}, in {path}:\n\n" + "\n\n".join(parts)


def _crops(upscalers: Mapping[str, Any], runs: Runs, path: Path, provenance: bool) -> str:
    """Crops of the first run's test pictures, for all upscalers of its scale."""
    first, *_ = upscalers
    scale = upscalers[first].scale
    alike = {name: upscaler for name, upscaler in upscalers.items() if upscaler.scale == scale}
    apart = "".join(f"; {name} enlarges x{upscalers[name].scale}" for name in upscalers.keys() - alike.keys())
    try:
        sheet = upscalers[first].beside(alike, runs[first].config["test"])
    except MultigenError as error:
        return f"no crops of enlarged pictures: {error}"
    about = together([upscaler.origin for upscaler in alike.values()] if provenance else [])
    sheet.save(path, **png(about))
    return f"crops of the test pictures of {first}, enlarged x{scale} by {', '.join(alike)}: {path}{apart}"
