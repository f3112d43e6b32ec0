"""The results of benchmark recipes as Markdown: `multigen bench recipes/*.toml --page docs/results.md`.

The page has one table per data set, with a few metrics of each method; a page per benchmark, docs/results/NAME.md, has them all.
"""

import itertools
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from multigen.bench.recipe import Figure, Recipe, figures, read_recipe, read_result
from multigen.catalogue import METHODS, MODALITIES, heading
from multigen.console import markdown, show
from multigen.metrics.names import features_of, headlines, real, swept, trained
from multigen.runs.card import code, escaped
from multigen.storage.files import write_whole, writing

__all__ = ["pages", "write_pages"]

WIDE = 8  # metrics beside each other at most
INTRODUCTION = """\
# Results

What the [benchmark recipes](commands.md) gave: per data set the methods beside real data, by a few metrics each; the page of a
benchmark has all of them. [Metrics](metrics.md) says what they and the rows are. Compare within a table, not between tables.
*Checks* are what a recipe demands of its result: values that must come out again, values that must be good enough, and the
training time. Values of several seeds are means ± sample deviations; minutes are of training, all variants and seeds together.

This file is generated: do not edit. `multigen bench recipes/*.toml --page docs/results.md` writes it from
`recipes/results/*.json`; `multigen bench recipes/NAME.toml` measures a benchmark again."""


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


def write_pages(file: Path, recipes: Sequence[Path], out: Path | None = None) -> None:
    """Writes the page of these recipes to `file`, and one page per recipe into the folder beside it that has its name.

    Args:
        recipes: TOML files.
        out: folder of their results; `results` beside each if not given.
    """
    texts = pages(recipes, out, file.stem)
    with writing(file, "another file for --page"):
        for name, text in texts.items():
            path = file.parent / name if name else file
            path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(path, text)
    show(f"{file} and {len(texts) - 1} pages in {file.with_suffix('')} written")


def pages(recipes: Sequence[Path], out: Path | None = None, folder: str = "results") -> dict[str, str]:
    """The page under the name "", and the pages of single benchmarks under FOLDER/NAME.md, as the page links to them.

    Raises ConfigError and DataError for recipes and results that cannot be read.
    """
    found = [_read(path, out) for path in sorted(recipes, key=lambda path: path.stem)]
    parts = [INTRODUCTION]
    for modality in MODALITIES.values():
        ours = [b for b in found if METHODS[b.recipe.method].modality == modality.name]
        parts += [f"## {modality.title}"] if ours else []
        for data in sorted({str(b.recipe.config.get("data", "")) for b in ours}):
            parts += _data_set(data, [b for b in ours if b.recipe.config.get("data", "") == data], folder)
    return {"": "\n\n".join(parts) + "\n", **{f"{folder}/{b.path.stem}.md": _page(b) for b in found}}


def _read(path: Path, out: Path | None) -> Benchmark:
    recipe, content = read_recipe(path), read_result((out or path.parent / "results") / f"{path.stem}.json")
    return Benchmark(path, recipe, content, figures(recipe, content, str(path)))


# ---------------------------------------------------------------------------------------------------- the page


def _data_set(data: str, benchmarks: Sequence[Benchmark], folder: str) -> Iterator[str]:
    """One data set: a table of the benchmarks that were run, the machines, and those that were not run."""
    yield f"### {escaped(data) or 'default data'}"
    ran = [b for b in benchmarks if b.ran]
    metrics = headlines(dict.fromkeys(m for b in ran for row in b.rows.values() for m in row))
    lines: list[tuple[str, ...]] = []
    baselines: list[tuple[str, ...]] = []
    for b in ran:
        rows = [(code(name), *(_figure(b.rows[name], metric) for metric in metrics)) for name in _shown(b.rows)]
        models = [row for row, name in zip(rows, _shown(b.rows), strict=True) if trained(name)]
        above, baselines = baselines, [row for row in rows if row not in models and set(row[1:]) != {"-"}]
        lines += [("", *row, "", "") for row in baselines if row not in above]  # those above are the same
        first = _link(b, folder), f"{b.content['seconds'] / 60:.1f}", _count(b.checks)
        for row in models:
            lines.append((first[0], *row, *first[1:]))
            first = "", "", ""
    if lines:
        yield markdown(lines, ("benchmark", "row", *map(code, metrics), "minutes", "checks"))
    for machine, some in itertools.groupby(sorted(ran, key=_machine), _machine):
        names = "" if len({_machine(b) for b in ran}) == 1 else f" ({', '.join(escaped(b.path.stem) for b in some)})"
        yield f"Measured on {machine}{names}."
    for b in benchmarks:
        if not b.ran:
            yield f"{_link(b, folder)}: {escaped(b.content['status'])}."


def _link(b: Benchmark, folder: str) -> str:
    return f"[{escaped(b.path.stem)}]({quote(folder)}/{quote(os.fsencode(b.path.stem))}.md)"


def _machine(b: Benchmark) -> str:
    return escaped(str(b.content["machine"]))


def _shown(rows: Mapping[str, Any]) -> list[str]:
    """Real data, or without it the other baselines; then of each stage the best model, or without one the last."""
    baselines = [name for name in rows if not trained(name)]
    models = [name for name in rows if trained(name) and not swept(name)]
    kept = [name for name in models if name.endswith("/best") or name.removesuffix("last") + "best" not in models]
    return [*([name for name in baselines if real(name)] or baselines), *kept]


def _count(checks: Sequence[Figure]) -> str:
    missed = sum(not f.met for f in checks)
    return f"**{missed} of {len(checks)} missed**" if missed else f"{len(checks)} of {len(checks)} pass"


# ---------------------------------------------------------------------------------------------------- one benchmark


def _page(b: Benchmark) -> str:
    """All that was measured, how, and which checks were missed."""
    recipe, content, name = b.recipe, b.content, b.path.stem
    facts = [f"status: {escaped(content['status'])}", f"command: {code(str(content['command']))}"]
    if b.ran:
        steps = ", ".join(f"{escaped(stage)} {n:,}" for stage, n in content["steps"].items())
        seeds, n = ", ".join(map(str, content["seeds"])), recipe.seeds
        other = "" if len(content["seeds"]) == n else f" (the recipe asks for {n} seeds)"
        facts += [
            f"measured: {escaped(str(content['date']))}, at commit {code(_short(str(content['commit'])))}, on {_machine(b)}",
            f"steps: {steps}; seeds: {seeds}{other}; trained for {content['seconds'] / 60:.1f} minutes in all",
            f"checks: {_count(b.checks)}",
        ]
    files = f"recipe: {code(f'recipes/{b.path.name}')}; result: {code(f'recipes/results/{name}.json')}"
    facts.append(f"{files}; method: [{recipe.method}](../{METHODS[recipe.method].page})")
    about = heading(b.path.read_text(encoding="utf-8"))
    parts = [f"# {escaped(name)}", escaped(about), "\n".join(f"- {fact}" for fact in facts)]
    if missed := [(code(f.name), f"{f.value:.5g}", f.bound) for f in b.checks if not f.met]:
        parts.append(markdown(missed, ("missed check", "measured", "target")))
    if b.ran:
        parts += [
            "[Metrics](../metrics.md) says what they and the rows are. All are in the result, with their definitions."
        ]
        parts += [*_tables(b.rows), *(f"Features: {escaped(text)}." for text in features_of(content["definitions"]))]
    parts += [f"*{escaped(what.capitalize())}*: {escaped(text)}" for what, text in content.get("remarks", {}).items()]
    return "\n\n".join(parts) + "\n"


def _short(commit: str) -> str:
    """A commit by its first ten digits; what else is said of it stays."""
    digits, plus, more = commit.partition("+")
    return (digits if digits.startswith("version") else digits[:10]) + plus + more


def _tables(rows: Mapping[str, Mapping[str, float]]) -> list[str]:
    """Rows by metrics, baselines first, in as many tables as it takes; rows with the same values are one."""
    same: dict[tuple[tuple[str, float], ...], list[str]] = {}
    for name in sorted(rows, key=trained):
        same.setdefault(tuple(rows[name].items()), []).append(code(name))
    metrics = [m for m in dict.fromkeys(m for row in rows.values() for m in row) if not m.endswith("_std")]
    each = math.ceil(len(metrics) / max(1, math.ceil(len(metrics) / WIDE)))
    tables = []
    for some in [metrics[i : i + each] for i in range(0, len(metrics), each)] if metrics else ():
        lines = [
            (", ".join(names), *(_figure(dict(row), metric) for metric in some))
            for row, names in same.items()
            if any(metric in dict(row) for metric in some)
        ]
        tables.append(markdown(lines, ("row", *map(code, some))))
    return tables


def _figure(row: Mapping[str, float], metric: str) -> str:
    if metric not in row:
        return "-"
    return number(row[metric]) + (f" ± {number(d)}" if (d := row.get(f"{metric}_std")) else "")


def number(value: float) -> str:
    """Four digits, whole numbers as such, and no powers of ten; nan and inf by their names."""
    if not math.isfinite(value):
        return f"{value}"
    if value == round(value) or abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.{min(4, max(0, 3 - math.floor(math.log10(abs(value)))))}f}"
