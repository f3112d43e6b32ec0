"""`multigen bench RECIPE.toml`: runs a benchmark recipe, writes its result, and checks what it must reach.

A recipe names a method and a preset, and what differs from it:

    recipe = "srgan"                # python -m multigen.recipes.srgan
    preset = "default"
    seeds = 1
    needs = "gpu"                   # optional: without one the result says "not run" and why
    [config]                        # fields of the method's configuration
    data = "photos/bsds500"         # a relative path is sought here and in MULTIGEN_DATA
    [variants.clip]                 # optional: trained once for each variant, whose fields differ; rows are clip/ROW
    constraint = "clip"
    [run]                           # options of the run
    seed = 0
    [[reach]]                       # figures that the result must have, or the command ends with 1
    row = "pretrain/best"
    metric = "Set5/psnr_y"
    at_least = 31.3                 # or at_most
    [budget]
    minutes = 40                    # training time that must not be exceeded on the machine it is meant for
"""

import dataclasses
import json
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import tyro

from multigen.config import from_table, read_toml
from multigen.errors import ConfigError

__all__ = ["Recipe", "merged", "read_recipe", "run"]


@dataclasses.dataclass(frozen=True)
class Reach:
    """One figure that must be reached."""

    row: str = ""
    metric: str = ""
    at_least: float = float("-inf")
    at_most: float = float("inf")


@dataclasses.dataclass(frozen=True)
class Budget:
    minutes: float = 0.0
    """Training time, of one variant and one seed; 0: not limited."""


@dataclasses.dataclass(frozen=True)
class Recipe:
    """A benchmark recipe as read from its file."""

    recipe: str = ""
    preset: str = "default"
    seeds: int = 1
    needs: str = ""
    config: dict[str, Any] = dataclasses.field(default_factory=dict)
    variants: dict[str, Any] = dataclasses.field(default_factory=dict)
    run: dict[str, Any] = dataclasses.field(default_factory=dict)
    reach: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    budget: Budget = Budget()

    def targets(self, where: str) -> list[Reach]:
        return [from_table(Reach(), entry, f"{where}, reach") for entry in self.reach]


def read_recipe(path: Path) -> Recipe:
    """Raises ConfigError for a file that is no recipe, naming what is wrong."""
    from multigen.recipes import RECIPES

    recipe = from_table(Recipe(), read_toml(path), str(path))
    if recipe.recipe not in RECIPES:
        raise ConfigError(f"{path}: recipe {recipe.recipe!r}; expected one of {', '.join(RECIPES)}")
    if recipe.needs not in ("", "gpu"):
        raise ConfigError(f"{path}: needs {recipe.needs!r}; expected gpu, or nothing")
    return recipe


def run(args: list[str]) -> None:
    """Runs one recipe file; ends with 1 where a figure is missed."""

    def bench(
        recipe: Annotated[Path, tyro.conf.Positional], out: Path | None = None, device: str = "auto", folder: str = ""
    ) -> None:
        """Runs a benchmark recipe, writes results/NAME.json, and checks its figures.

        Args:
            recipe: The recipe, a TOML file.
            out: Folder of the result; by default `results` beside the recipe.
            device: Where to train: auto, cpu, cuda, cuda:N.
            folder: Folder of the run; by default a new one under runs.
        """
        if not _bench(recipe, out or recipe.parent / "results", device, folder):
            raise SystemExit(1)

    tyro.cli(bench, prog="multigen bench", args=args)


def _bench(path: Path, out: Path, device: str, folder: str) -> bool:
    recipe = read_recipe(path)
    targets = recipe.targets(str(path))

    import torch

    from multigen.engine import Run
    from multigen.engine.distributed import rank
    from multigen.evaluation import not_run, write_json
    from multigen.recipes.runner import train

    result = out / f"{path.stem}.json"
    if recipe.needs == "gpu" and not torch.cuda.is_available():
        if result.exists() and json.loads(result.read_bytes())["status"] == "ok":
            print(f"{path.stem}: not run, it needs a GPU; {result} is left as it was measured")
            return True
        write_json(result, not_run(recipe.recipe, f"multigen bench {path}", "it needs a GPU, and there is none"))
        print(f"{path.stem}: not run, it needs a GPU; {result} says so")
        return True
    module = import_module(f"multigen.recipes.{recipe.recipe}")
    if recipe.preset not in module.PRESETS:
        raise ConfigError(f"{path}: preset {recipe.preset!r}; expected one of {', '.join(module.PRESETS)}")
    base = from_table(module.PRESETS[recipe.preset], recipe.config, f"{path}, config")
    options = from_table(Run(), recipe.run, f"{path}, run")
    options = dataclasses.replace(
        options, device=options.device if device == "auto" else device, out=folder or options.out
    )
    configs = {name: from_table(base, v, f"{path}, variants.{name}") for name, v in recipe.variants.items()}
    contents = {}
    for name, config in (configs or {"": base}).items():
        variant = dataclasses.replace(options, out=f"{options.out}/{name}" if options.out and name else options.out)
        print(f"variant {name}" if name else path.stem)
        contents[name] = train(module.TRAINER, config, variant, recipe.seeds)[2]
    content = merged(contents)
    if rank() == 0:
        write_json(result, {**content, "command": f"multigen bench {path}"})
        print(f"{result} written")
    met = [_check(target, content["rows"]) for target in targets]
    minutes = content["seconds"] / 60 / recipe.seeds / len(contents)
    if recipe.budget.minutes:
        met.append(minutes <= recipe.budget.minutes)
        print(f"{'ok    ' if met[-1] else 'MISSED'}  trained {minutes:.1f} minutes, at most {recipe.budget.minutes:g}")
    return all(met)


def merged(contents: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """One result of those of several variants: their rows under NAME/ROW, but those of real data once."""
    rows: dict[str, dict[str, float]] = {}
    for name, content in contents.items():
        rows |= {f"{name}/{row}" if name and row != "real" else row: v for row, v in content["rows"].items()}
    first = next(iter(contents.values()))
    definitions = {metric: text for content in contents.values() for metric, text in content["definitions"].items()}
    seconds = round(sum(content["seconds"] for content in contents.values()), 1)
    return {**first, "seconds": seconds, "definitions": definitions, "rows": rows}


def _check(target: Reach, rows: dict[str, dict[str, float]]) -> bool:
    if target.metric not in rows.get(target.row, {}):
        raise ConfigError(f"no figure {target.metric!r} in row {target.row!r}; the rows are {', '.join(rows)}")
    value = rows[target.row][target.metric]
    met = target.at_least <= value <= target.at_most
    bound = f"at least {target.at_least:g}" if target.at_least > float("-inf") else f"at most {target.at_most:g}"
    print(f"{'ok    ' if met else 'MISSED'}  {target.row} {target.metric} {value:.4f}, {bound}")
    return met
