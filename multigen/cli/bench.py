"""`multigen bench RECIPE.toml ...`: runs benchmark recipes, writes their results, and checks them
against targets.

    multigen bench digits-dcgan                            # one of those that multigen ls shows
    multigen bench recipes/*.toml --runs runs/all --resume # those that an interrupted command left
    multigen bench recipes/*.toml --quick                  # about a minute each: a smoke test
    multigen bench recipes/*.toml --check                  # no training: do the results pass?
    multigen bench recipes/*.toml --page docs/results.md   # no training: the results as pages

`multigen.bench.recipe` defines a recipe's content. Exit code 1: a check failed; 2: a recipe could
not be run.
"""

import contextlib
import dataclasses
import sys
import warnings
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import tyro

from multigen.bench.quick import quick_config
from multigen.bench.recipe import Recipe, figures, find_recipe, read_recipe, read_result, results_folder, summary
from multigen.catalogue import METHODS
from multigen.cli.output import print_json
from multigen.config import from_table
from multigen.console import report_error, shell_word, show, show_traceback, text_table
from multigen.errors import ConfigError, Interrupted, MultigenError
from multigen.metrics.names import real
from multigen.runs.options import Device, Overwrite, cli
from multigen.storage.files import writing
from multigen.storage.output import check_targets, json_table

__all__ = ["merged", "run"]

KEYS = {"status", "rows"}
"""Some of every result's keys."""


def run(args: list[str]) -> None:
    """Runs recipe files; exit code 1 where a check failed, 2 where a recipe could not be run."""

    def bench(
        recipes: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="RECIPE.toml ...")],
        out: Path | None = None,
        device: Device = "auto",
        runs: str = "",
        resume: bool = False,
        quick: bool = False,
        check: bool = False,
        page: Annotated[Path | None, tyro.conf.arg(metavar="FILE.md")] = None,
        overwrite: Overwrite = False,
        json: bool = False,
    ) -> None:
        """Runs benchmark recipes, writes results/NAME.json, and checks their metrics.

        Args:
            recipes: The recipes: TOML files, or names that multigen ls shows.
            out: Folder of the results; default: `results` beside each recipe, or here for a recipe
                given by name.
            runs: Folder of the runs, RUNS/NAME for each recipe; default: a new one for each under
                runs.
            resume: Resume what an interrupted command with the same --runs left there, and begin
                the rest.
            quick: A smoke test of about a minute each, with few samples and no checks; results go
                to the folder `quick` under --out, by default under runs.
            check: No training; check existing results against the recipes.
            page: No training; write existing results as a Markdown page to this file, and one page
                per benchmark beside it.
            json: Print the outcomes as JSON, one object each; all other output goes to standard
                error.
        """
        if not recipes:
            raise ConfigError(
                "no recipe given; expected TOML files, or names that multigen ls shows, such as digits-dcgan"
            )
        given = {"--quick": quick, "--check": check, "--page": page is not None}
        if sum(given.values()) > 1 or (json and page is not None):
            message = " ".join([*(flag for flag, on in given.items() if on), *(["--json"] if json else [])])
            raise ConfigError(
                f"{message}: these do not go together; give one of {', '.join(given)}, --page without --json"
            )
        if resume and not runs:
            raise ConfigError(
                "--resume: which runs? give the folder that the interrupted command had as well: --runs FOLDER"
            )
        if page is not None:
            from multigen.bench.results import write_pages

            write_pages(page, [find_recipe(recipe) for recipe in recipes], out, overwrite)
            return

        def outcome(named: Path) -> dict[str, Any]:
            path = find_recipe(named)
            results = out or (Path("runs") if quick else results_folder(named))
            results = results / "quick" if quick else results
            if check:
                return _check(path, results)
            command = f"multigen bench {shell_word(str(named))}" + (" --quick" if quick else "")
            folder = f"{runs}/{path.stem}" if runs else ""
            return _bench(path, results, command, device, folder, resume, quick, overwrite)

        with contextlib.redirect_stdout(sys.stderr) if json else contextlib.nullcontext():
            outcomes = [_attempt(path, outcome) for path in recipes]
        if json:
            print_json(outcomes)
        else:
            show(f"\n{table(outcomes)}", lines=True)
        if code := exit_code(outcomes):
            raise SystemExit(code)

    cli(bench, "multigen bench", args)


def _attempt(path: Path, outcome) -> dict[str, Any]:
    """The outcome of one recipe; a failure is reported, and the next one can run."""
    try:
        return outcome(path)
    except Interrupted:
        raise
    except MultigenError as error:
        where = "" if str(path) in str(error) else f"{path}: "
        report_error(error, f"error: {where}{error}")
        return summary(path.stem, f"error: {error}")
    except Exception as error:  # a bug ends this recipe only
        show_traceback(error)
        return summary(path.stem, f"error: {error!r}")


def exit_code(outcomes: Sequence[dict[str, Any]]) -> int:
    """2 where a recipe could not be run, else 1 where a check failed, else 0."""
    if any(outcome["status"].startswith("error") for outcome in outcomes):
        return 2
    return int(any(outcome[kind]["missed"] for outcome in outcomes for kind in ("expect", "reach", "budget")))


def table(outcomes: Sequence[dict[str, Any]]) -> str:
    """Outcomes as plain text, one line each."""
    lines = []
    for o in outcomes:
        met = [o["expect"], {k: o["reach"][k] + o["budget"][k] for k in ("met", "missed")}]
        counts = [f"{c['met']} of {c['met'] + c['missed']}" if sum(c.values()) else "-" for c in met]
        lines.append((o["recipe"], f"{o['minutes']:.1f}", *counts, o["status"]))
    return text_table(lines, ("recipe", "minutes", "expected", "reached", "status"))


def _check(path: Path, out: Path) -> dict[str, Any]:
    """Checks the existing result against the recipe."""
    recipe, content = read_recipe(path), read_result(out / f"{path.stem}.json")
    result = figures(recipe, content, str(path))
    for line in (f"{path.stem}: {content['status']}", *result):
        show(str(line))
    return summary(path.stem, content["status"], content["seconds"], result)


def _bench(
    path: Path, results: Path, command: str, device: str, folder: str, resume: bool, quick: bool, overwrite: bool
) -> dict[str, Any]:
    recipe = read_recipe(path)

    import torch

    from multigen.engine.distributed import rank
    from multigen.runs.record import not_run
    from multigen.storage.files import write_json

    result = results / f"{path.stem}.json"
    check_targets([result], overwrite, "another folder for --out", lambda file: json_table(file).keys() >= KEYS)
    if recipe.needs == "gpu" and not torch.cuda.is_available():
        status = "not run: it needs a GPU, and there is none"
        if result.exists() and read_result(result)["status"] == "ok":
            show(f"{path.stem}: not run, it needs a GPU; {result} is unchanged")
        else:
            with writing(result, "another folder for --out"):
                write_json(result, not_run(recipe.method, command, "it needs a GPU, and there is none"))
            show(f"{path.stem}: not run, it needs a GPU; {result} says so")
        return summary(path.stem, status)
    content = {**_trained(path, recipe, device, folder, resume, quick), "command": command}
    if rank() == 0:
        with writing(result, "another folder for --out; the run's folder has evaluation.json"):
            write_json(result, content | ({"quick": True} if quick else {}))
        show(f"{result} written")
    if quick:
        return summary(path.stem, "ok, quick: nothing was checked", content["seconds"])
    actual = figures(recipe, content, str(path))
    for line in actual:
        show(str(line))
    return summary(path.stem, content["status"], content["seconds"], actual)


def _trained(path: Path, recipe: Recipe, device: str, folder: str, resume: bool, quick: bool) -> dict[str, Any]:
    """Trains all variants and seeds of a recipe; returns their merged result."""
    from multigen.engine import Run
    from multigen.runs.facts import seed_folders
    from multigen.runs.runner import train
    from multigen.tasks.loading import trainer_in

    module = import_module(METHODS[recipe.method].module)
    if recipe.preset not in module.PRESETS:
        raise ConfigError(f"{path}: preset {recipe.preset!r}; expected one of {', '.join(module.PRESETS)}")
    base = from_table(module.PRESETS[recipe.preset], recipe.config, f"{path}, config")
    options = from_table(Run(), recipe.run, f"{path}, run")
    device = options.device if device == "auto" else device
    options = dataclasses.replace(options, device=device, out=folder or options.out, most_minutes=0.0)
    configs = {name: from_table(base, v, f"{path}, variants.{name}") for name, v in recipe.variants.items()}
    configs = configs or {"": base}
    trainer, seeds = trainer_in(module), recipe.seeds
    if quick:
        configs = {name: quick_config(config, module.PRESETS["tiny"]) for name, config in configs.items()}
        seeds = 1
    for name, start in recipe.start.items():
        check_start(trainer, configs[start], configs[name], f"{path}, variant {name} starts from {start}")
    contents, folders = {}, {}
    for name in recipe.in_order(str(path)) or configs:
        out = f"{options.out}/{name}" if options.out and name else options.out
        begun = bool(out) and ((Path(out) / "config.toml").exists() or bool(seed_folders(Path(out))))
        if begun and not resume:
            raise ConfigError(
                f"{out} holds runs already; resume them with --resume, or choose another folder for --runs"
            )
        places = {"out": "", "resume": out} if begun else {"out": out}
        if name in recipe.start:
            places["start"] = str(folders[recipe.start[name]])
        show(f"variant {name}" if name else path.stem)
        _, folders[name], contents[name] = train(trainer, configs[name], dataclasses.replace(options, **places), seeds)
    return merged({name: contents[name] for name in configs})


def check_start(trainer: type[Any], start: Any, config: Any, where: str) -> None:
    """Raises CheckpointError where networks of one configuration do not take the weights of another,
    so that it is found before training; not for networks that are built by what is in the data."""
    from multigen.engine.checkpoint import check_fit

    with contextlib.suppress(AttributeError), warnings.catch_warnings(action="ignore"):
        before, after = trainer(start).networks(), trainer(config).networks()
        for name in before.keys() & after.keys():
            check_fit(after[name].state_dict(), before[name].state_dict(), f"{where}: {name}")


def merged(contents: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Merges the results of several variants: rows and curves as NAME/ROW; rows of real data, and
    steps, once where all variants have the same."""
    first = next(iter(contents.values()))
    definitions = {metric: text for content in contents.values() for metric, text in content["definitions"].items()}
    seconds = round(sum(content["seconds"] for content in contents.values()), 1)
    rows = _together({name: content["rows"] for name, content in contents.items()}, real)
    steps = _together({name: content.get("steps", {}) for name, content in contents.items()}, lambda stage: True)
    result = {**first, "steps": steps, "seconds": seconds, "definitions": definitions, "rows": rows}
    curves = [
        curve | {"row": f"{name}/{curve['row']}" if name else curve["row"]}
        for name, content in contents.items()
        for curve in content.get("curves", [])
    ]
    return result | ({"curves": curves} if curves else {})


def _together(tables: dict[str, dict[str, Any]], shared: Callable[[str], bool]) -> dict[str, Any]:
    """The entries of all variants' tables as NAME/KEY, those that may be shared as KEY where they
    are equal."""
    found: dict[str, list[Any]] = {}
    for table in tables.values():
        for key, value in table.items():
            found.setdefault(key, []).append(value)
    once = {key for key, values in found.items() if shared(key) and all(value == values[0] for value in values)}
    return {
        f"{name}/{key}" if name and key not in once else key: value
        for name, table in tables.items()
        for key, value in table.items()
    }
