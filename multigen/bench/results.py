"""The results of benchmark recipes as one Markdown page: `multigen bench recipes/*.toml --page docs/results.md`."""

import html
import itertools
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from multigen.bench.recipe import Figure, Recipe, figures, read_recipe, read_result
from multigen.catalogue import METHODS, heading
from multigen.console import markdown
from multigen.metrics.names import trained
from multigen.storage.files import write_whole, writing

__all__ = ["page", "write_page"]

OVERVIEW = ("recipe", "status", "minutes", "expected", "reached")
MODALITIES = {"image": "Pictures", "text": "Texts", "audio": "Sounds"}
WIDE = 8  # figures beside each other at most
INTRODUCTION = """\
# Results

What the benchmark recipes gave: every figure that was measured, beside its floors, and whether it keeps to its recipe. Written
from `recipes/results/*.json` by

    multigen bench recipes/*.toml --page docs/results.md

so change nothing here by hand. `multigen bench recipes/NAME.toml` measures one again. *Expected* figures are those that must
come out again, within a tolerance that the recipe gives; *reached* ones must be good enough, and the training time must keep
to the recipe's budget (of one variant and one seed, on the machine it is meant for). What was missed says so. Figures of
several seeds are means ± sample deviations. What figures and rows are: [metrics](metrics.md), and below each table."""


def write_page(file: Path, recipes: Sequence[Path], out: Path | None = None) -> None:
    """Writes the page of these recipes, whole or not at all.

    Args:
        recipes: TOML files.
        out: folder of their results; `results` beside each if not given.
    """
    text = page(recipes, out)
    with writing(file, "another file for --page"):
        file.parent.mkdir(parents=True, exist_ok=True)
        write_whole(file, text)
    print(f"{file} written")


def page(recipes: Sequence[Path], out: Path | None = None) -> str:
    """The page as text. Raises ConfigError and DataError for recipes and results that cannot be read."""
    parts: dict[str, list[str]] = {title: [] for title in MODALITIES.values()}
    overview = []
    read = [(p, read_recipe(p), read_result((out or p.parent / "results") / f"{p.stem}.json")) for p in recipes]
    for title, (path, recipe, content) in itertools.product(parts, sorted(read, key=lambda each: each[0].stem)):
        if MODALITIES[METHODS[recipe.recipe].modality] != title:
            continue
        found = figures(recipe, content, str(path))
        expected = _count([f for f in found if f.kind == "expect"])
        reached = _count([f for f in found if f.kind != "expect"])
        taken = f"{content['seconds'] / 60:.1f}" if found else "-"
        overview.append((f"[{path.stem}](#{path.stem})", content["status"], taken, expected, reached))
        parts[title].append(_section(path, recipe, content, found))
    sections = [text for title, some in parts.items() if some for text in (f"## {title}", *some)]
    return "\n\n".join([INTRODUCTION, markdown(overview, OVERVIEW), *sections]) + "\n"


def _count(found: Sequence[Figure]) -> str:
    missed = sum(not f.met for f in found)
    return f"**{missed} of {len(found)} missed**" if missed else f"all {len(found)}" if found else "-"


def _section(path: Path, recipe: Recipe, content: Mapping[str, Any], found: Sequence[Figure]) -> str:
    """One recipe: what it is, how it was run, its figures, and what the recipe says of them."""
    steps = ", ".join(f"{stage} {n:,}" for stage, n in content["steps"].items())
    seeds = ", ".join(map(str, content["seeds"]))
    facts = [f"status: {content['status']}", f"command: `{content['command']}`"]
    if content["status"] == "ok":
        asked = "" if len(content["seeds"]) == recipe.seeds else f" (the recipe asks for {recipe.seeds} seeds)"
        facts += [
            f"measured: {content['date']}, at commit `{_short(content['commit'])}`, on {content['machine']}",
            f"steps: {steps}; seeds: {seeds}{asked}; trained for {content['seconds'] / 60:.1f} minutes in all",
        ]
    files = f"recipe: `recipes/{path.name}`; result: `recipes/results/{path.stem}.json`"
    facts.append(f"{files}; method: [{recipe.recipe}]({METHODS[recipe.recipe].page})")
    about = heading(path.read_text(encoding="utf-8"))
    parts = [f"### {path.stem}", about, "\n".join(f"- {fact}" for fact in facts), *_tables(content["rows"])]
    if found:
        said = [(f"`{f.name}`", f"{f.value:.5g}", f.bound, "met" if f.met else "**missed**") for f in found]
        parts.append(markdown(said, ("held against the recipe", "measured", "the recipe says", "outcome")))
    parts += [f"*{what}*: {text}" for what, text in content.get("remarks", {}).items()]
    return "\n\n".join([*parts, *_definitions(content["definitions"])])


def _short(commit: str) -> str:
    """A commit by its first ten digits; what else is said of it stays."""
    digits, plus, more = commit.partition("+")
    return (digits if digits.startswith("version") else digits[:10]) + plus + more


def _tables(rows: Mapping[str, Mapping[str, float]]) -> list[str]:
    """Rows by metrics, floors first, in as many tables as it takes; rows with the same figures are one."""
    same: dict[tuple[tuple[str, float], ...], list[str]] = {}
    for name in sorted(rows, key=trained):
        same.setdefault(tuple(rows[name].items()), []).append(f"`{name}`")
    metrics = [m for m in dict.fromkeys(m for row in rows.values() for m in row) if not m.endswith("_std")]
    each = math.ceil(len(metrics) / max(1, math.ceil(len(metrics) / WIDE)))
    tables = []
    for some in [metrics[i : i + each] for i in range(0, len(metrics), each)] if metrics else ():
        lines = [
            (", ".join(names), *(_figure(dict(row), metric) for metric in some))
            for row, names in same.items()
            if any(metric in dict(row) for metric in some)
        ]
        tables.append(markdown(lines, ("row", *(f"`{metric}`" for metric in some))))
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


def _definitions(definitions: Mapping[str, str]) -> list[str]:
    """What the figures are, folded; in HTML, which is not taken for Markdown there."""
    if not definitions:
        return []
    items = [f"<li><code>{html.escape(m)}</code>: {html.escape(text)}</li>" for m, text in definitions.items()]
    return ["\n".join(["<details>", "<summary>What the figures are</summary>", "<ul>", *items, "</ul>", "</details>"])]
