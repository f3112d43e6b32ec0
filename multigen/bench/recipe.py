"""Benchmark recipes: the content of their TOML files, and checks of a result against it.

method = "srgan"                # python -m multigen.recipes.srgan
preset = "default"
seeds = 1
needs = "gpu"                   # optional: without one the result states "not run" and why
[config]                        # fields of the method's configuration
data = "photos/bsds500"         # a relative path is looked up here and in MULTIGEN_DATA
[variants.clip]                 # optional: trained once for each variant, whose fields differ;
constraint = "clip"             # rows are clip/ROW
[start]                         # optional: variant = the one whose model it starts from, which is
small = "clip"                  # trained before it; with several seeds from that of the same seed
[run]                           # options of the run
seed = 0
[[reach]]                       # a metric that must reach a target
row = "pretrain/best"
metric = "Set5/psnr_y"
at_least = 31.3                 # or at_most
[[expect]]                      # a metric that must be reproduced
row = "bicubic"
metric = "Set5/psnr_y"
value = 28.429
tolerance = 0.001               # absolute
[budget]
minutes = 40                    # maximum training time on the intended machine
"""

import dataclasses
import math
import os
from collections.abc import Sequence
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any

from multigen.config import from_table, read_toml
from multigen.console import did_you_mean
from multigen.errors import ConfigError, DataError
from multigen.storage.files import read_json
from multigen.storage.older import recipe_table

__all__ = [
    "Budget",
    "Expect",
    "Figure",
    "Reach",
    "Recipe",
    "figures",
    "find_recipe",
    "minutes",
    "read_recipe",
    "read_result",
    "results_folder",
    "summary",
]


@dataclasses.dataclass(frozen=True)
class Reach:
    """One metric that must reach a target."""

    row: str = ""
    metric: str = ""
    over: str = ""
    """Another row, whose value is subtracted: the target is of the difference."""
    at_least: float = float("-inf")
    at_most: float = float("inf")


@dataclasses.dataclass(frozen=True)
class Expect:
    """One metric that must be reproduced."""

    row: str = ""
    metric: str = ""
    value: float = float("nan")
    tolerance: float = 0.0
    """Largest difference from `value`."""


@dataclasses.dataclass(frozen=True)
class Budget:
    minutes: float = 0.0
    """Training time of one variant and one seed; 0: not limited."""


@dataclasses.dataclass(frozen=True)
class Recipe:
    """The content of a benchmark recipe."""

    method: str = ""
    preset: str = "default"
    seeds: int = 1
    needs: str = ""
    config: dict[str, Any] = dataclasses.field(default_factory=dict)
    variants: dict[str, Any] = dataclasses.field(default_factory=dict)
    start: dict[str, str] = dataclasses.field(default_factory=dict)
    run: dict[str, Any] = dataclasses.field(default_factory=dict)
    reach: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    expect: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    budget: Budget = Budget()

    def targets(self, where: str) -> list[Reach]:
        return [from_table(Reach(), entry, f"{where}, reach") for entry in self.reach]

    def in_order(self, where: str) -> list[str]:
        """The variants, each after the one that it starts from. Raises ConfigError where there is
        no such variant, or where they start from each other."""
        for name in [*self.start, *map(str, self.start.values())]:
            if name not in self.variants:
                there = f"one of {', '.join(self.variants)}" if self.variants else "a recipe with variants"
                raise ConfigError(
                    f"{where}, start: no variant {name!r}; expected {there}{did_you_mean(name, self.variants)}"
                )
        before = {name: [self.start[name]] if name in self.start else [] for name in self.variants}
        try:
            return [*TopologicalSorter(before).static_order()]
        except CycleError as error:
            names = ", ".join(sorted({*error.args[1]}))
            raise ConfigError(
                f"{where}, start: {names} start from each other; expected one that starts from none"
            ) from error

    def expected(self, where: str) -> list[Expect]:
        return [from_table(Expect(), entry, f"{where}, expect") for entry in self.expect]


@dataclasses.dataclass(frozen=True)
class Figure:
    """One checked value of a result."""

    kind: str
    """expect, reach or budget."""
    name: str
    """ROW METRIC, or the name of the budget's limit."""
    value: float
    bound: str
    """The recipe's bound, as text."""
    met: bool

    def __str__(self) -> str:
        return f"{'ok    ' if self.met else 'MISSED'}  {self.name} {self.value:.4f}, {self.bound}"


RESULT = 1 << 23  # maximum bytes of a result


def find_recipe(named: Path) -> Path:
    """The file of a recipe: this path, or one of the package's recipes by name, such as
    digits-dcgan or digits-dcgan.toml.

    Raises ConfigError where there is none.
    """
    from multigen.catalogue import BENCHMARKS

    own = named.parent in (Path(), Path("recipes")) and named.suffix in ("", ".toml")
    if named.is_file() or not own or not (result := BENCHMARKS / f"{named.stem}.toml").is_file():
        if os.path.lexists(named):
            return named
        expected = did_you_mean(named.stem, [path.stem for path in BENCHMARKS.glob("*.toml")])
        raise ConfigError(f"{named}: no such recipe; expected a TOML file, or a name that multigen ls shows{expected}")
    return result


def results_folder(named: Path) -> Path:
    """Default folder of a recipe's results: `results` beside its file, or `results` here for a
    recipe of the package."""
    from multigen.catalogue import PACKAGE

    ours = not named.is_file() or PACKAGE in named.resolve().parents
    return Path("results") if ours else named.parent / "results"


def read_recipe(path: Path) -> Recipe:
    """Reads a recipe. Raises ConfigError for an invalid one."""
    from multigen.catalogue import METHODS

    recipe = from_table(Recipe(), recipe_table(read_toml(path)), str(path))
    if recipe.method not in METHODS:
        raise ConfigError(f"{path}: method {recipe.method!r}; expected one of {', '.join(METHODS)}")
    if recipe.needs not in ("", "gpu"):
        raise ConfigError(f"{path}: needs {recipe.needs!r}; expected gpu, or nothing")
    recipe.in_order(str(path))
    recipe.targets(str(path))  # so that mistakes are found before hours of training
    for expect in recipe.expected(str(path)):
        if not (math.isfinite(expect.value) and expect.tolerance >= 0):
            raise ConfigError(
                f"{path}, expect: value {expect.value}, tolerance {expect.tolerance}; expected a "
                "number, and the largest difference from it, 0 or more"
            )
    return recipe


def read_result(path: Path) -> dict[str, Any]:
    """Reads a result. Raises DataError for a missing or invalid one."""
    try:
        content = read_json(path, RESULT)
        if not isinstance(content, dict):
            raise ValueError("no table")
        return content | {
            "status": str(content["status"]),
            "rows": {row: {m: float(v) for m, v in result.items()} for row, result in content["rows"].items()},
            "seeds": list(content["seeds"]),
            "seconds": float(content["seconds"]),
            **({"curves": [_curve(each) for each in content["curves"]]} if "curves" in content else {}),
        }
    except (OSError, ValueError, LookupError, TypeError, AttributeError, ArithmeticError) as error:
        raise DataError(
            f"{path} cannot be read as a result ({error!r}); write it with: multigen bench RECIPE"
        ) from error


def _curve(content: dict[str, Any]) -> dict[str, Any]:
    """A checked curve of a result: as many values as seconds."""
    numbers = {name: [float(x) for x in content[name]] for name in ("seconds", "values")}
    if len(numbers["seconds"]) != len(numbers["values"]):
        raise ValueError("a curve has other numbers of seconds and of values")
    return {
        **content,
        **numbers,
        "row": str(content["row"]),
        "metric": str(content["metric"]),
        "seed": int(content["seed"]),
    }


def minutes(recipe: Recipe, content: dict[str, Any]) -> float:
    """Training time of one variant and one seed."""
    return content["seconds"] / 60 / max(1, len(content["seeds"])) / max(1, len(recipe.variants))


def figures(recipe: Recipe, content: dict[str, Any], where: str) -> list[Figure]:
    """Checks the result `content` against the recipe; [] for a result that was not run.

    Raises ConfigError for a metric that the result does not have.
    """
    if content["status"] != "ok":
        return []
    result = []
    for target in recipe.targets(where):
        value, name = _value(target, content["rows"], where), f"{target.row} {target.metric}"
        if target.over:
            value -= _value(dataclasses.replace(target, row=target.over), content["rows"], where)
            name += f" over {target.over}"
        bounds = [f"at least {target.at_least:g}"] if target.at_least > float("-inf") else []
        bounds += [f"at most {target.at_most:g}"] if target.at_most < float("inf") else []
        met = target.at_least <= value <= target.at_most
        result.append(Figure("reach", name, value, ", ".join(bounds), met))
    for expect in recipe.expected(where):
        value = _value(expect, content["rows"], where)
        bound = f"expected {expect.value:.7g} ± {expect.tolerance:g}"
        met = abs(value - expect.value) <= expect.tolerance
        result.append(Figure("expect", f"{expect.row} {expect.metric}", value, bound, met))
    if most := recipe.budget.minutes:
        taken = minutes(recipe, content)
        result.append(Figure("budget", "minutes of training", taken, f"at most {most:g}", taken <= most))
    return result


def _value(target: Reach | Expect, rows: dict[str, dict[str, float]], where: str) -> float:
    if target.metric not in rows.get(target.row, {}):
        raise ConfigError(f"{where}: no metric {target.metric!r} in row {target.row!r}; the rows are {', '.join(rows)}")
    return rows[target.row][target.metric]


def summary(name: str, status: str, seconds: float = 0.0, checks: Sequence[Figure] = ()) -> dict[str, Any]:
    """A recipe's outcome as one table: training time of all variants and seeds, numbers of checks
    met and missed."""
    counts = {
        kind: {"met": sum(f.met for f in of_kind), "missed": sum(not f.met for f in of_kind)}
        for kind in ("expect", "reach", "budget")
        for of_kind in [[f for f in checks if f.kind == kind]]
    }
    return {"recipe": name, "status": status, "minutes": round(seconds / 60, 1), **counts}
