"""Runs a method from the command line: parses flags, trains, evaluates, writes the report."""

import contextlib
import dataclasses
import sys
import time
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from multigen.catalogue import METHODS
from multigen.config import differing, from_table, read_config, to_table
from multigen.console import counted, did_you_mean, exit_code, if_slow, resume_option, say, shell_word, show
from multigen.engine import Run, Trainer
from multigen.engine.device import choose_device
from multigen.engine.distributed import barrier, decided_by_first, join, lost_ranks, rank
from multigen.engine.evaluation import Evaluation, mean_and_std
from multigen.engine.interrupts import interruptible
from multigen.engine.saving import find_resumable
from multigen.engine.trial import MIN_STEPS
from multigen.errors import ConfigError
from multigen.metrics.names import headlines
from multigen.runs.card import Card, writing_evaluation
from multigen.runs.facts import seed_folders, seed_of
from multigen.runs.log import History
from multigen.runs.record import program, record
from multigen.runs.report import write_report
from multigen.storage.files import expanded, from_json, write_json
from multigen.storage.lock import locked
from multigen.storage.run_folder import new_folder
from multigen.tasks.loading import trainer_in

__all__ = ["PRESET_OPTIONS", "main", "parse", "report_on", "train", "train_by"]

PRESET_OPTIONS: dict[str, dict[str, Any]] = {"laptop": {"most_minutes": 4.0}}
"""Preset -> options of a run that it sets, for every method."""
CONFIG_FILE = {
    "version",
    "method",
    "title",
    "task",
    "items",
    "held_out",
    "files",
    "parameters",
    "config",
    "data",
    "run",
}
"""Top-level keys of a run's config.toml, and so of a configuration file."""
RECIPE = {"preset", "seeds", "needs", "variants", "start", "reach", "expect", "budget"}
"""Top-level keys of benchmark recipes only."""
MEASURED = ("precision", "layout", "most_minutes")
"""Options that a measurement may decide: a command that repeats a run has the measured result in
place of the user's option."""


def main(trainer: type[Trainer], presets: Mapping[str, Any]) -> None:
    """Entry point of a recipe: exits with 0, or after a one-line error with 2."""
    command = f"python -m multigen.recipes.{trainer.name}" if trainer.name in METHODS else program()
    raise SystemExit(exit_code(lambda: train_by(sys.argv[1:], trainer, presets, command)))


def train_by(args: Sequence[str], trainer: type[Trainer], presets: Mapping[str, Any], command: str) -> None:
    """Trains as specified by the arguments after `command`."""
    config, run, seeds = parse(args, trainer.name, presets, command, trainer.budget)
    repeated = _without(args, ("out", *MEASURED))  # in another folder: that of --out is in use
    train(trainer, config, run, seeds, " ".join([command, *map(shell_word, repeated)]))


def parse(
    args: Sequence[str],
    name: str,
    presets: Mapping[str, Any],
    command: str = "python -m multigen.recipes",
    budget: Sequence[str] | None = None,
) -> tuple[Any, Run, int]:
    """Configuration, options and number of seeds from command-line arguments.

    The base is the preset named first, else `default` with --data and `laptop` without; the file of
    --config overrides it, and flags override that. With --resume the base is the run's
    configuration; a preset named as well must agree with it. The usage text names `command`. Only a
    preset's own steps are shortened (`Run.most_minutes`): not those of a file, nor where a flag
    sets one of `budget`, the fields that are steps (None: those of the method `name`).
    """
    from multigen.runs.flags import read_flags

    if budget is None:
        method: type[Trainer] = trainer_in(import_module(METHODS[name].module)) if name in METHODS else Trainer
        budget = method.budget
    args = list(args)
    preset = args.pop(0) if args and not args[0].startswith("-") else ""
    if preset and preset not in presets:
        raise ConfigError(f"preset {preset!r}: expected one of {', '.join(presets)}{did_you_mean(preset, presets)}")
    base = preset or ("default" if _value(args, "--data") else "laptop")
    config, run = presets[base], Run(**PRESET_OPTIONS.get(base, {}))
    file = config_file = _value(args, "--config")
    resume = _value(args, "--resume")
    if (not resume or resume.startswith("--")) and _sets(args, ["resume"]):
        raise ConfigError(
            f"--resume: expected a run's folder, or a folder of runs such as runs/{name}, whose newest run is used"
        )
    folder = resume  # of one run, or of those of several seeds
    if resume:
        resume = str(find_resumable(resume))
        file = file or str(Path(resume) / "config.toml")
    table: dict[str, Any] = {}
    if file:
        table = read_config(expanded(file))
        if file == config_file:
            _check_tables(file, table, config)
        if table.get("method", name) != name:
            raise ConfigError(f"{file} is a configuration of {table['method']!r}, this is {name!r}; give another file")
        config = config if preset and resume else from_table(config, table.get("config", {}), file)
        run = from_table(Run(), table.get("run", {}), file)
    config, run, seeds = read_flags(config, run, command, args, list(presets))
    run = dataclasses.replace(run, resume=folder if seeds > 1 else resume)
    if seeds > 1 and folder and not _sets(args, ["seed"]):
        run = dataclasses.replace(run, seed=min(map(seed_of, seed_folders(expanded(folder))), default=run.seed))
    if preset and resume and (other := _differing(file, table, presets[preset], config, budget)):
        raise ConfigError(
            f"preset {preset!r} with --resume: {resume} has other settings ({other}); leave the preset out: a run is "
            "resumed with its own settings"
        )
    if file or run.minutes or _sets(args, budget):
        if _sets(args, ["most_minutes"]):
            say("--most-minutes is not used: it shortens a preset's own steps, and here the steps are given")
        run = dataclasses.replace(run, most_minutes=0.0)
    return config, run, seeds


def _differing(file: str, table: Mapping[str, Any], preset: Any, config: Any, budget: Sequence[str]) -> str:
    """Settings except steps in which the run of a configuration file differs from `config`."""
    saved, current = to_table(from_table(preset, table.get("config", {}), file)), to_table(config)
    return ", ".join(name for name in differing(saved, current) if name not in budget)


def _check_tables(file: str, table: Mapping[str, Any], config: Any) -> None:
    """Raises ConfigError for a configuration file with settings outside its tables, or with unknown
    keys."""
    for key, value in table.items():
        flat = not isinstance(value, dict)
        if flat and key in vars(config):
            raise ConfigError(
                f"{file}: {key!r} is outside the tables; write a line [config] above the method's settings"
            )
        if flat and key in vars(Run()):
            raise ConfigError(f"{file}: {key!r} is outside the tables; write a line [run] above the options of the run")
        if key in RECIPE:
            raise ConfigError(f"{file} is a benchmark recipe; run it with: multigen bench {shell_word(file)}")
        if key not in CONFIG_FILE:
            raise ConfigError(
                f"{file}: unknown {'setting' if flat else 'table'} {key!r}; expected the tables [config], of the method's "
                "settings, and [run], of the options of the run"
            )


def _sets(args: Sequence[str], names: Sequence[str]) -> bool:
    """Whether command-line arguments set one of the options `names`."""
    return _without(args, names) != list(args)


def _without(args: Sequence[str], names: Sequence[str]) -> list[str]:
    """Command-line arguments without those that set one of the options `names`."""
    flags = {f"--{name.replace('_', '-')}" for name in names}
    rest: list[str] = []
    is_value = False  # the value of such an option, named by the word before
    for word in args:
        flag, equals, _ = word.partition("=")
        is_flag = flag.replace("_", "-") in flags
        if not (is_flag or is_value):
            rest.append(word)
        is_value = is_flag and not equals
    return rest


def _value(args: Sequence[str], flag: str) -> str:
    """Value of a flag that is needed before the others are parsed."""
    for i, word in enumerate(args):
        if word == flag and i + 1 < len(args):
            return args[i + 1]
        if word.startswith(f"{flag}="):
            return word.partition("=")[2]
    return ""


def train(
    trainer: type[Trainer], config: Any, run: Run, seeds: int = 1, command: str = ""
) -> tuple[Evaluation, Path, dict[str, Any]]:
    """Trains and evaluates with `seeds` seeds, and prints the table. Returns the evaluation, the
    run's folder, and the content of evaluation.json.

    With several seeds `run.resume` is their folder: runs in it are resumed, those that it does not
    hold are begun.

    Args:
        command: the command that started the run, without measured options; with these added it
            repeats the run.
    """
    if seeds < 1:
        raise ConfigError(f"seeds {seeds}: expected 1 or more")
    with contextlib.ExitStack() as stack:
        out = run.out if seeds == 1 else _folder_of_seeds(run, seeds, trainer.name, stack)
        return _train_seeds(trainer, config, run, seeds, command, out)


def _train_seeds(
    trainer: type[Trainer], config: Any, run: Run, seeds: int, command: str, out: str | Path
) -> tuple[Evaluation, Path, dict[str, Any]]:
    """`train` in the folder `out`, which for several seeds exists, and is empty unless they are
    resumed."""
    trainers: list[Trainer] = []
    for seed in range(run.seed, run.seed + seeds):
        each = run if seeds == 1 else _of_seed(run, seed, Path(out))
        trainers.append(_trained(trainer, config, each, command))
        first = trainers[0]  # Its measured options hold for all seeds.
        measured: dict[str, Any] = {"precision": first.precision, "layout": first.layout}
        config, run = first.config, dataclasses.replace(run, minutes=0.0, most_minutes=0.0, **measured)
    folder, evaluation = trainers[0].folder, trainers[0].evaluation
    if seeds > 1:  # for a single run its callback has written evaluation.json
        folder, evaluation = folder.parent, mean_and_std([t.evaluation for t in trainers])
        if rank() == 0:
            with writing_evaluation(folder) as path:
                write_json(path, record(evaluation, [t.run_info() for t in trainers], [t.folder for t in trainers]))
            _report(folder)
    with lost_ranks(lambda: f"its results are in {folder}"):
        barrier()
    content = from_json((folder / "evaluation.json").read_bytes())
    if rank() == 0:
        _show_table(evaluation, content["steps"])
        for what, text in evaluation.remarks.items():
            show()
            show(f"{what}: {text}")
        show()
        show(f"{folder}: report.html, evaluation.json, model/; trained for {content['seconds']:.0f} s")
    return evaluation, folder, content


def _show_table(evaluation: Evaluation, steps: Mapping[str, int]) -> None:
    """The table; after a run of seconds, which shows only that everything works, its headline
    metrics."""
    metrics = list(dict.fromkeys(m for row in evaluation.rows.values() for m in row))
    shown = headlines(metrics) if sum(steps.values()) < MIN_STEPS else metrics
    show(evaluation.table(shown), lines=True)
    if len(shown) < len(metrics):
        show(f"\nevaluation.json has {counted(len(metrics) - len(shown), 'more metrics')}", lines=True)


def _of_seed(run: Run, seed: int, folder: Path) -> Run:
    """The options of one seed, whose run lies in `folder`: a new one, or one to resume. From a
    folder of several seeds it starts from the run of its own."""
    own, start = folder / f"seed-{seed}", expanded(run.start) / f"seed-{seed}"
    run = dataclasses.replace(run, start=str(start)) if run.start and start.is_dir() else run
    begun = bool(run.resume) and (own / "config.toml").exists()
    return dataclasses.replace(run, seed=seed, out="" if begun else str(own), resume=str(own) if begun else "")


def _folder_of_seeds(run: Run, seeds: int, name: str, stack: contextlib.ExitStack) -> Path:
    """The parent folder of the runs of several seeds, the same on every rank, new unless they are
    resumed; locked until `stack` closes."""
    if run.resume:
        _check_seeds(expanded(run.resume), range(run.seed, run.seed + seeds))

    def claim() -> Path:
        folder = expanded(run.resume) if run.resume else new_folder(run.out, name, time.time())
        stack.enter_context(locked(folder))
        return folder

    join(device := choose_device(run.device))
    return decided_by_first(claim, device)


def _check_seeds(folder: Path, seeds: range) -> None:
    """Raises ConfigError where the runs in a folder are not some of these seeds."""
    present = [seed_of(run) for run in seed_folders(folder)]
    if not present:
        raise ConfigError(
            f"{folder} holds no runs of several seeds; resume one run without --seeds, or give the folder of seed-*"
        )
    if other := [seed for seed in present if seed not in seeds]:
        raise ConfigError(
            f"{folder} holds a run of seed {other[0]}, not one of the seeds {seeds[0]} to {seeds[-1]}; give its first seed and "
            "their number: --seed, --seeds"
        )
    for seed in seeds:
        own = folder / f"seed-{seed}"
        if seed not in present and own.is_dir() and any(own.iterdir()):
            raise ConfigError(f"{own} holds no run that can be resumed; remove it, and resume the others again")


def _trained(trainer: type[Trainer], config: Any, run: Run, command: str) -> Trainer:
    """Trains and evaluates one run, with its log and, however it ends, its report."""
    running = trainer(config, run)
    running.command = command
    history = History(running)

    def stopped() -> str:
        if history.folder is None:
            return "stopped before training; nothing was changed"
        where = " before the evaluation was written" if running.state.number == len(running.plan) else ""
        return f"stopped{where}; resume with: {resume_option(history.folder)}"

    running.callbacks.insert(0, history)
    if not any(isinstance(callback, Card) for callback in running.callbacks):  # a trainer outside all tasks
        running.callbacks.append(Card())
    try:
        with running.claimed(), history.recording(), interruptible(stopped):
            running.fit().evaluate()
    finally:
        if (
            history.folder and rank() == 0 and (history.folder / "config.toml").exists()
        ):  # else it is gone, which was reported
            _report(history.folder)
    return running


def _report(folder: Path) -> None:
    try:
        with if_slow("drawing report.html"):
            report_on(folder)
    except Exception as error:  # no error here may lose the trained model, or hide why training ended
        again = f"multigen report {shell_word(str(folder))}"
        say(f"{folder}: report.html could not be written ({type(error).__name__}: {error}); try: {again}")


def report_on(folder: Path, out: Path | None = None, overwrite: bool = False) -> Path:
    """Writes the report of the run in `folder`, or of its seeds, and returns its path."""
    runs = [folder] if (folder / "config.toml").exists() else seed_folders(folder)
    # Without a run, `write_report` raises.
    method = read_config(runs[0] / "config.toml", inside=runs[0]).get("method") if runs else ""
    presets = import_module(METHODS[method].module).PRESETS if method in METHODS else {}
    return write_report(folder, {name: to_table(preset) for name, preset in presets.items()}, out, overwrite)
