"""The results of benchmark recipes as Markdown: `multigen bench recipes/*.toml --page
docs/results.md`.

The page has about a screen per modality: the headline metrics of each model next to real data and
to published values. One page per benchmark, docs/results/NAME.md, has all metrics. Metrics are
defined in docs/metrics.md only.
"""

import itertools
import math
import os
import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from multigen.bench.curves import SHARES, Curves, curves_of, drawing, reached
from multigen.bench.recipe import Figure, Recipe, figures, read_recipe, read_result
from multigen.catalogue import METHODS, MODALITIES, heading
from multigen.console import markdown, show
from multigen.engine.evaluation import metric_label
from multigen.metrics.names import features_of, headlines, other_setting, real, trained
from multigen.runs.card import code, escaped
from multigen.storage.files import write_whole, writing
from multigen.storage.output import check_targets

__all__ = ["pages", "write_pages"]

WIDE = 8  # maximum metrics side by side
PUBLISHED: Mapping[str, Mapping[str, Mapping[str, float]]] = {
    "srgan-bsds500": {
        "SRResNet, Ledig et al. 2017": {"Set5/psnr_y": 32.05, "BSD100/psnr_y": 27.58},
        "SRGAN, Ledig et al. 2017": {"Set5/psnr_y": 29.40, "BSD100/psnr_y": 25.16},
    },
    "seqgan-oracle": {
        "maximum likelihood, Yu et al. 2017": {"nll_oracle": 9.038},
        "SeqGAN, Yu et al. 2017": {"nll_oracle": 8.736},
    },
    "seqgan-captions": {
        "maximum likelihood, samples measured again": {
            "bleu_2": 0.731,
            "bleu_3": 0.497,
            "bleu_4": 0.305,
            "bleu_5": 0.189,
        }
        | {"self_bleu_2": 0.916, "self_bleu_3": 0.769, "self_bleu_4": 0.583, "self_bleu_5": 0.409},
        "SeqGAN, samples measured again": {"bleu_2": 0.746, "bleu_3": 0.498, "bleu_4": 0.295, "bleu_5": 0.180}
        | {"self_bleu_2": 0.951, "self_bleu_3": 0.841, "self_bleu_4": 0.670, "self_bleu_5": 0.490},
    },
}
"""Benchmark -> publication -> comparable values: the same metric, on the same data."""
INTRODUCTION = """\
# Results

What the [benchmark recipes](commands.md#bench) gave, in a few metrics; the page of a benchmark has
all of them. [Metrics](metrics.md) defines metrics and rows. Compare models of one data set, never
of two.

- The first row of a data set is its baseline: real data in place of samples, or bicubic
  interpolation. A range is that of its benchmarks, each of which trains a classifier of its own.
- *Published* values are listed where they are comparable: the same metric on the same data. The
  pages of the methods say why others are not.
- A model is the `best` checkpoint of a stage or its `last`; a stage alone is both, where they are
  the same.
- Values of several seeds are means ± sample deviations. *Minutes* are of training, all variants
  and seeds together. *Checks* are what a recipe demands of its result: values that must be
  reproduced, values that must be good enough, and the training time.

This file is generated: do not edit. `multigen bench recipes/*.toml --page docs/results.md` writes
it from `recipes/results/*.json`; `multigen bench recipes/NAME.toml` measures a benchmark again."""
CURVES = (
    "The metric that selects the best checkpoint, on the validation items, against the training time of the machine that each "
    "benchmark names below; of several seeds their mean, and a thin line for each. The tables have the best value by a tenth, "
    "a fifth, half and the whole of it, means over seeds. Metrics of a classifier depend on the size of images, for which one "
    "is trained."
)


@dataclass(frozen=True)
class Benchmark:
    """A recipe and its result."""

    path: Path
    recipe: Recipe
    content: Mapping[str, Any]
    checks: Sequence[Figure]

    @property
    def rows(self) -> Mapping[str, Mapping[str, float]]:
        return self.content["rows"]

    @property
    def ran(self) -> bool:
        return self.content["status"] == "ok"


def write_pages(file: Path, recipes: Sequence[Path], out: Path | None = None, overwrite: bool = False) -> None:
    """Writes the page of these recipes to `file`, and one page per recipe into the folder beside it
    that has its name, with the images of curves.

    Args:
        recipes: TOML files.
        out: folder of their results; default: `results` beside each.
        overwrite: allow replacing any existing files.
    """
    texts = pages(recipes, out, file.stem)
    files = {file.parent / name if name else file: text for name, text in texts.items()}
    check_targets(files, overwrite, "another file for --page")
    with writing(file, "another file for --page"):
        for path, text in files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(path, text)
    images = sum(name.endswith(".svg") for name in texts)
    drawn = f" and {images} images" if images else ""
    show(f"{file} and {len(texts) - 1 - images} pages{drawn} in {file.with_suffix('')} written")


def pages(recipes: Sequence[Path], out: Path | None = None, folder: str = "results") -> dict[str, str]:
    """The overview page, named "", the pages of single benchmarks, FOLDER/NAME.md, to which it
    links, and the images of their curves, FOLDER/GROUP-METRIC.svg.

    Raises ConfigError and DataError for recipes and results that cannot be read.
    """
    result = [_read(path, out) for path in sorted(recipes, key=lambda path: path.stem)]
    images: dict[str, str] = {}
    parts = [INTRODUCTION, *_curves([b for b in result if b.ran], folder, images)]
    for modality in MODALITIES.values():
        ours = [b for b in result if METHODS[b.recipe.method].modality == modality.name]
        parts += [f"## {modality.title}", *_modality(ours, folder)] if ours else []
    return {"": "\n\n".join(parts) + "\n", **{f"{folder}/{b.path.stem}.md": _page(b) for b in result}, **images}


def _read(path: Path, out: Path | None) -> Benchmark:
    recipe, content = read_recipe(path), read_result((out or path.parent / "results") / f"{path.stem}.json")
    return Benchmark(path, recipe, content, figures(recipe, content, str(path)))


# ---------------------------------------------------------------------------------------------------- the page


def _curves(benchmarks: Sequence[Benchmark], folder: str, images: dict[str, str]) -> Iterator[str]:
    """An image and a table for each group of recipes, GROUP-METHOD, and metric that selects their
    checkpoints, of two or more curves; adds the images to `images`."""
    groups: dict[tuple[str, str], Curves] = {}
    for b in benchmarks:
        group = b.path.stem.removesuffix(f"-{b.recipe.method}")
        for metric, curves in curves_of(b.content, b.recipe.method).items() if group != b.path.stem else ():
            groups.setdefault((group, metric), {}).update(curves)
    groups = {key: curves for key, curves in groups.items() if len(curves) > 1}
    if groups:
        yield f"## Distance against minutes\n\n{_wrapped(CURVES)}"
    for (group, metric), curves in groups.items():
        name = f"{folder}/{group}-{metric.replace('/', '-')}.svg"
        images[name] = drawing(curves, metric)
        yield f"![{escaped(group)}: {code(metric)} against minutes]({quote(name)})"
        lines = [
            (escaped(label), *(_reached(seeds, metric, share) for share in SHARES)) for label, seeds in curves.items()
        ]
        yield markdown(lines, (escaped(group), *(f"{share:.0%}" for share in SHARES)))


def _reached(curves: Mapping[int, list[tuple[float, float]]], metric: str, share: float) -> str:
    value = reached(curves, metric, share)
    return "-" if value is None else number(value)


def _modality(benchmarks: Sequence[Benchmark], folder: str) -> Iterator[str]:
    """One table for data sets and tasks with the same headline metrics, the machines, and the
    benchmarks that were not run."""
    tables: dict[tuple[str, ...], list[Sequence[str]]] = {}
    ran = [b for b in benchmarks if b.ran]
    for (data, _), some in itertools.groupby(sorted(ran, key=_data_and_task), _data_and_task):
        ours = [*some]
        metrics = headlines(dict.fromkeys(m for b in ours for row in b.rows.values() for m in row))
        tables.setdefault(tuple(metrics), []).extend(_data_set(data or "default data", ours, metrics, folder))
    for metrics, lines in tables.items():
        yield markdown(lines, ("benchmark", "row", *map(code, metrics), "minutes", "checks"))
    machines = itertools.groupby(sorted(ran, key=_machine), _machine)
    on = [f"- {', '.join(escaped(b.path.stem) for b in some)}: {machine}" for machine, some in machines]
    if on:
        yield "\n".join(["Measured on:\n", *map(_wrapped, on)])
    for status, some in itertools.groupby(sorted((b for b in benchmarks if not b.ran), key=_status), _status):
        yield _wrapped(f"{', '.join(_link(b, folder) for b in some)}: {status}.")


def _data_set(
    name: str, benchmarks: Sequence[Benchmark], metrics: Sequence[str], folder: str
) -> Iterator[Sequence[str]]:
    """Lines of one data set: its baselines, published values, and the models of each benchmark."""
    first = f"**{escaped(name)}**"
    for row in dict.fromkeys(row for b in benchmarks for row in _baselines(b.rows)):
        cells = [_range([b.rows[row] for b in benchmarks if row in b.rows], metric) for metric in metrics]
        if set(cells) != {"-"}:
            yield first, code(row), *cells, "", ""
            first = ""
    for b in benchmarks:
        for row, values in PUBLISHED.get(b.path.stem, {}).items():
            if values.keys() & {*metrics}:
                yield first, f"published: {row}", *(_figure(values, metric) for metric in metrics), "", ""
                first = ""
    for b in benchmarks:
        ends = f"{b.content['seconds'] / 60:.1f}", _count(b.checks)
        first = _link(b, folder)
        for row in _models(b.rows):
            yield first, _name(b.rows, row), *(_figure(b.rows[row], metric) for metric in metrics), *ends
            first, ends = "", ("", "")


def _link(b: Benchmark, folder: str) -> str:
    return f"[{escaped(b.path.stem)}]({quote(folder)}/{quote(os.fsencode(b.path.stem))}.md)"


def _data_and_task(b: Benchmark) -> tuple[str, str]:
    return str(b.recipe.config.get("data", "")), METHODS[b.recipe.method].task


def _machine(b: Benchmark) -> str:
    return escaped(str(b.content["machine"]))


def _status(b: Benchmark) -> str:
    return escaped(b.content["status"])


def _baselines(rows: Mapping[str, Any]) -> list[str]:
    """Real data, or without it the other baselines."""
    baselines = [name for name in rows if not trained(name)]
    return [name for name in baselines if name == "real"] or [name for name in baselines if real(name)] or baselines


def _models(rows: Mapping[str, Any]) -> list[str]:
    """The best model of each stage, or without one the last."""
    models = [name for name in rows if trained(name) and not other_setting(name)]
    return [name for name in models if name.endswith("/best") or name.removesuffix("last") + "best" not in models]


def _name(rows: Mapping[str, Any], row: str) -> str:
    """The row's name, without /best where the last model of the stage is the same."""
    stage = row.removesuffix("/best")
    return code(stage if stage != row and rows.get(f"{stage}/last") == rows[row] else row)


def _range(rows: Sequence[Mapping[str, float]], metric: str) -> str:
    """The value of a baseline in several benchmarks, or its range."""
    some = sorted((row for row in rows if metric in row), key=lambda row: row[metric])
    if not some:
        return "-"
    ends = dict.fromkeys(_figure(row, metric) for row in (some[0], some[-1]))
    return " to ".join(ends)


def _count(checks: Sequence[Figure]) -> str:
    met = f"{sum(f.met for f in checks)} of {len(checks)}"
    return met if all(f.met for f in checks) else f"**{met}**"


# ---------------------------------------------------------------------------------------------------- one benchmark


def _page(b: Benchmark) -> str:
    """The page of one benchmark: all metrics, how they were measured, and failed checks."""
    recipe, content, name = b.recipe, b.content, b.path.stem
    facts = [f"status: {_status(b)}", f"command: {code(str(content['command']))}"]
    if b.ran:
        steps = ", ".join(f"{escaped(stage)} {n:,}" for stage, n in content["steps"].items())
        seeds, n = ", ".join(map(str, content["seeds"])), recipe.seeds
        other = "" if len(content["seeds"]) == n else f" (the recipe asks for {n} seeds)"
        facts += [
            f"measured: {escaped(str(content['date']))}, at commit {code(_short(str(content['commit'])))}, on {_machine(b)}",
            f"steps: {steps}; seeds: {seeds}{other}; trained for {content['seconds'] / 60:.1f} minutes in all",
            *(f"items: {text}" for text in dict.fromkeys(map(_items, features_of(content["definitions"])))),
            f"checks: {_count(b.checks)}",
        ]
    files = f"recipe: {code(f'recipes/{b.path.name}')}; result: {code(f'recipes/results/{name}.json')}"
    facts.append(f"{files}; method: [{recipe.method}](../{METHODS[recipe.method].page})")
    about = heading(b.path.read_text(encoding="utf-8"))
    parts = [f"# {escaped(name)}", _wrapped(escaped(about)), "\n".join(_wrapped(f"- {fact}") for fact in facts)]
    if missed := [(code(f.name), f"{f.value:.5g}", f.bound) for f in b.checks if not f.met]:
        parts.append(markdown(missed, ("missed check", "measured", "target")))
    if b.ran:
        published = {f"published: {row}": values for row, values in PUBLISHED.get(name, {}).items()}
        parts += [
            "[Metrics](../metrics.md) defines metrics and rows.",
            *_tables(b.rows, published, content["definitions"]),
        ]
    parts += [
        _wrapped(f"*{escaped(what.capitalize())}*: {escaped(text)}")
        for what, text in content.get("remarks", {}).items()
    ]
    return "\n\n".join(parts) + "\n"


def _short(commit: str) -> str:
    """A commit by its first ten digits, with its suffix."""
    digits, plus, more = commit.partition("+")
    return (digits if digits.startswith("version") else digits[:10]) + plus + more


def _wrapped(text: str) -> str:
    """Prose, or a list item, wrapped at 100 columns; no line begins like a list or a heading."""
    indent = "  " if text.startswith("- ") else ""
    text = re.sub(r" (?=(?:[-+=:]+|\d+[.)])(?: |$))", "\0", text)
    lines = textwrap.fill(text, 100, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)
    return lines.replace("\0", " ")


def _items(features: str) -> str:
    """The form and the numbers of items, at the end of a description of features."""
    return escaped("; ".join(features.split("; ")[-2:]))


def _tables(
    rows: Mapping[str, Mapping[str, float]],
    published: Mapping[str, Mapping[str, float]],
    definitions: Mapping[str, str],
) -> list[str]:
    """Tables of rows by metrics, baselines first; rows with the same values are merged."""
    same: dict[tuple[tuple[str, float], ...], list[str]] = {}
    for name in sorted(rows, key=trained):
        same.setdefault(tuple(rows[name].items()), []).append(code(name))
    same |= {tuple(values.items()): [name] for name, values in published.items()}
    metrics = [m for m in dict.fromkeys(m for row in rows.values() for m in row) if not m.endswith("_std")]
    each = math.ceil(len(metrics) / max(1, math.ceil(len(metrics) / WIDE)))
    tables = []
    for some in [metrics[i : i + each] for i in range(0, len(metrics), each)] if metrics else ():
        lines = [
            (", ".join(names), *(_figure(dict(row), metric) for metric in some))
            for row, names in same.items()
            if any(metric in dict(row) for metric in some)
        ]
        tables.append(markdown(lines, ("row", *(code(metric_label(metric, definitions)) for metric in some))))
    return tables


def _figure(row: Mapping[str, float], metric: str) -> str:
    if metric not in row:
        return "-"
    return number(row[metric]) + (f" ± {number(d)}" if (d := row.get(f"{metric}_std")) else "")


def number(value: float) -> str:
    """Four significant digits, integers as such, no exponents; nan and inf by name."""
    if not math.isfinite(value):
        return f"{value}"
    if value == round(value) or abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.{min(4, max(0, 3 - math.floor(math.log10(abs(value)))))}f}"
