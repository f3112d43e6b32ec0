"""Reads the facts about a run from its folder. Missing or damaged parts, as in a killed run, are
ignored."""

import datetime
import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from multigen.catalogue import METHODS, TASKS, Task
from multigen.config import read_config
from multigen.console import say
from multigen.errors import ConfigError
from multigen.storage.files import existing_or_backup, log_records, read_json, verify_checksum
from multigen.storage.older import evaluation_table
from multigen.storage.reading import is_inside, read_bounded

__all__ = ["Curve", "Facts", "Stage", "gather", "seed_folders", "seed_of", "when"]

Curve = list[tuple[float, float]]
"""(step, value), by step; non-finite values are NaN."""


T = TypeVar("T")
LARGEST_STEP = 1 << 52
"""More steps or seconds than a run can have; smaller integers are exact as floats."""
RECORD = 1 << 23
"""Maximum bytes of an evaluation.json and of a checkpoint's run.json."""
ENTRIES = 2_000_000
"""Maximum entries read from a log; while there are more, every second line of means or rates is
dropped."""
STAGES, CURVES = 16, 100
"""Maximum stages of a run, and curves of a stage: methods have far fewer."""


@dataclass
class Stage:
    """A stage's part of metrics.jsonl. Steps count from the beginning of the run."""

    name: str
    first: int
    last: int
    curves: dict[str, Curve] = field(default_factory=dict)
    """UPDATE/TERM, or a signal's name -> means since the previous line."""
    validation: dict[str, Curve] = field(default_factory=dict)
    best: tuple[int, float] | None = None
    """Step and metric of the selected checkpoint."""
    stopped: bool = False
    """Whether early stopping ended it."""


@dataclass
class Facts:
    """Facts about a run, or with `seeds` about the folder of several runs."""

    folder: Path
    method: str
    title: str
    """The method's title with its paper, from its file."""
    task: str
    """A name of `multigen.catalogue.TASKS`; "" for a method without one."""
    version: str
    """Version of multigen; "" for an old run that does not state it."""
    items: int | None
    """Number of training items."""
    parameters: int | None
    """Number of parameters of the networks that inference needs."""
    config: dict[str, Any]
    data: dict[str, Any]
    """Facts about the training data."""
    run: dict[str, Any]
    evaluation: dict[str, Any]
    """Content of evaluation.json; {} without it."""
    starts: list[dict[str, Any]]
    """Each start and resume: time, step, and `began` with command, commit, machine, steps by
    stage."""
    messages: list[dict[str, Any]]
    """Messages: time, step, and `said` or `error`."""
    state: str
    """finished, error, or unfinished: killed, or still running."""
    stages: list[Stage]
    rates: dict[str, Curve]
    controls: list[dict[str, Any]]
    """step, control, value, reason."""
    dropped: int
    """Number of gradients dropped since they were not finite."""
    rollbacks: int
    """Number of rollbacks to an earlier checkpoint, up to the newest one."""
    collapsed: bool
    """Whether the generator had collapsed at the end of the last stage."""
    step: int
    """The last known step."""
    saved: int | None
    """Step of the newest checkpoint."""
    seconds: float
    written: float
    """Time of the run's last write, in seconds since 1970."""
    seeds: list["Facts"] = field(default_factory=list)

    @property
    def planned(self) -> dict[str, int]:
        """Stage -> steps."""
        began = self.starts[-1]["began"] if self.starts else {}
        return self.evaluation.get("steps") or _counts(began.get("steps"))

    @property
    def origin(self) -> dict[str, Any]:
        """Command, commit, machine, date: from evaluation.json, else from the run's last start."""
        return {**(self.starts[-1]["began"] if self.starts else {}), **self.evaluation}

    @property
    def heading(self) -> str:
        """The title; for a user's own method, which may be a changed copy of one of ours, after its
        name."""
        ours = self.title and self.method in METHODS
        return self.title if ours else f"{self.method}: {self.title}".removesuffix(": ")

    @property
    def use(self) -> Task | None:
        """The model's task; None for an unknown one."""
        return TASKS.get(self.task)

    @property
    def items_name(self) -> str:
        """Noun for the training items, in the plural."""
        return self.use.items if self.use else "items"

    @property
    def settings(self) -> dict[str, Any]:
        """The configuration, and facts about the training data."""
        return {**self.config, **self.data}

    def setting(self, name: str, default: T) -> T:
        """One of the settings; `default` where it is missing, or of another type."""
        value = self.settings.get(name, default)
        return value if isinstance(value, type(default)) else default

    @property
    def has_model(self) -> bool:
        folders = [self.folder, *(seed.folder for seed in self.seeds)]
        return any((existing_or_backup(folder / "model") / "config.json").exists() for folder in folders)


def gather(folder: Path, measured: bool = True) -> Facts:
    """The facts about the run in `folder`, or about its runs seed-*. Raises ConfigError without a
    run.

    Args:
        measured: whether evaluation.json belongs to the current model, not to one before training
            was resumed.
    """
    if (folder / "config.toml").exists():
        return _one(folder, _evaluation(folder) if measured else {})
    if seeds := seed_folders(folder):
        return _several(folder, [_one(each, _evaluation(each)) for each in seeds])
    raise ConfigError(f"{folder} holds no run: there is no config.toml; give a run's folder")


def seed_folders(folder: Path) -> list[Path]:
    """The runs seed-0, seed-1, ... in a folder, by number; links that lead out of it are
    ignored."""
    runs = [path.parent for path in folder.glob("seed-*/config.toml") if is_inside(path.parent, folder)]
    return sorted((run for run in runs if re.fullmatch(r"seed-\d{1,18}", run.name, re.ASCII)), key=seed_of)


def seed_of(folder: Path) -> int:
    """The seed of a run in a folder of several."""
    return int(folder.name.removeprefix("seed-"))


def _several(folder: Path, runs: list[Facts]) -> Facts:
    """The facts about a folder of runs of several seeds: common values, and sums."""
    return replace(
        runs[0],
        folder=folder,
        evaluation=_evaluation(folder),
        messages=[line for run in runs for line in run.messages],
        state=next((run.state for run in runs if run.state != "finished"), "finished"),
        stages=[],
        rates={},
        controls=[],
        dropped=0,
        seconds=sum(run.seconds for run in runs),
        seeds=runs,
    )


def _one(folder: Path, evaluation: dict[str, Any]) -> Facts:
    table = read_config(folder / "config.toml", inside=folder)
    log = _lines(folder, "log.jsonl")
    starts = [line for line in log if isinstance(line.get("began"), dict)]
    checkpoints = sorted((folder / "checkpoints").glob("step-*/run.json"))
    checkpoint = _checkpoint(checkpoints[-1], folder) if checkpoints else {}
    state_scalars = _table(checkpoint.get("state"))
    metrics = _lines(folder, "metrics.jsonl")
    ends = [line for line in log if not {"began", "finished", "error"}.isdisjoint(line)]
    state = "finished" if evaluation else "unfinished"
    if ends:
        state = next(s for s in ("finished", "error", "began") if s in ends[-1]).replace("began", "unfinished")
    method = str(table.get("method", ""))
    return Facts(
        folder=folder,
        method=method,
        title=str(table.get("title", "")),
        task=str(table.get("task") or (METHODS[method].task if method in METHODS else "")),
        version=str(table.get("version", "")),
        items=_whole(table.get("items")),
        parameters=_whole(table.get("parameters")),
        config=_table(table.get("config")),
        data=_table(table.get("data")),
        run=_table(table.get("run")),
        evaluation=evaluation,
        starts=starts,
        messages=[line for line in log if "said" in line or "error" in line],
        state=state,
        stages=_stages(metrics, state_scalars),
        rates=_rates(log),
        controls=[line for line in metrics if "control" in line],
        dropped=int(max(_amount(line.get("dropped")) for line in (state_scalars, *metrics))),
        rollbacks=int(_amount(state_scalars.get("attempt"))),
        collapsed=dict(_numbers(state_scalars)).get("control/collapse", 0.0) < 0,
        step=max([int(_amount(checkpoint.get("step"))), *(line["step"] for line in metrics)]),
        saved=int(_amount(checkpoint["step"])) if "step" in checkpoint else None,
        seconds=evaluation.get("seconds") or _amount(state_scalars.get("seconds")),
        written=max(
            p.stat().st_mtime for n in ("config.toml", "metrics.jsonl", "log.jsonl") if (p := folder / n).exists()
        ),
    )


def _checkpoint(path: Path, folder: Path) -> dict[str, Any]:
    """The run.json of a checkpoint of the run in `folder`; {} for a damaged one."""
    try:
        return verify_checksum(read_bounded(path, RECORD, inside=folder))
    except (OSError, ValueError):
        return {}


def _evaluation(folder: Path) -> dict[str, Any]:
    """Content of `evaluation.json`, without values of unexpected types."""
    kinds = {"rows": dict, "definitions": dict, "remarks": dict, "seeds": list}
    content = evaluation_table(_json(folder, "evaluation.json"))
    valid = {k: v for k, v in content.items() if isinstance(v, kinds.get(k, object))}
    for key in {"definitions", "remarks"} & valid.keys():
        valid[key] = {name: text for name, text in valid[key].items() if isinstance(text, str)}
    valid |= {"steps": _counts(valid.get("steps")), "seconds": _amount(valid.get("seconds"))} if valid else {}
    if "rows" in valid:
        valid["rows"] = {row: dict(_numbers(v)) for row, v in valid["rows"].items() if isinstance(v, dict)}
    return valid


def _lines(folder: Path, name: str) -> list[dict[str, Any]]:
    """Lines of a log, without impossible steps; for a very long log, with its curves thinned."""
    records: list[dict[str, Any]] = []
    entries = 0
    try:
        for line in log_records(folder / name, inside=folder):
            if line is None or not 0 <= line["step"] < LARGEST_STEP:
                continue
            records.append(line)
            entries += _entries(line)
            if entries > ENTRIES:
                records = [
                    line for i, line in enumerate(records) if i % 2 or line.keys().isdisjoint(("stage", "rates"))
                ]
                entries = sum(map(_entries, records))
                if entries > 3 * ENTRIES // 4:
                    say(f"{folder / name}: longer than any run writes; lines after step {line['step']} are ignored")
                    break
    except OSError as error:
        say(f"{folder / name}: ignored ({error.strerror or error})")
    return records


def _table(value: Any) -> dict[str, Any]:
    """The value if it is a table, else {}."""
    return value if isinstance(value, dict) else {}


def _counts(value: Any) -> dict[str, int]:
    """Stage -> steps, from a file's content."""
    return {name: int(_amount(steps)) for name, steps in _table(value).items()}


def _amount(value: Any) -> float:
    """A number of steps or seconds; 0 for an impossible one."""
    return value if isinstance(value, int | float) and 0 <= value < LARGEST_STEP else 0


def _whole(value: Any) -> int | None:
    """A count; None for an impossible one."""
    return value if type(value) is int and value >= 0 else None


def _entries(line: dict[str, Any]) -> int:
    """The size of a log's line in entries: its names, those of nested tables, and one per 100
    characters of text."""
    more = [value for value in line.values() if not isinstance(value, int | float)]
    return len(line) + sum(len(value) if isinstance(value, dict | list) else len(str(value)) // 100 for value in more)


def _json(folder: Path, name: str) -> dict[str, Any]:
    try:
        return _table(read_json(folder / name, RECORD, inside=folder))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        say(f"{folder / name}: ignored ({error})")
        return {}


def _stages(metrics: list[dict[str, Any]], state_scalars: dict[str, Any]) -> list[Stage]:
    """The stages in order. A validation belongs to the stage of the line before it."""
    stages: list[Stage] = []
    early: dict[str, Curve] = {}  # validations before the stage's first line
    for line in metrics:
        step = line["step"]
        if isinstance(line.get("validation"), dict):
            into = stages[-1].validation if stages else early
            if stages:
                stages[-1].last = max(stages[-1].last, step)
            for name, value in _numbers(line["validation"]):
                _add(into, name, (step, value))
        elif isinstance(line.get("stage"), str):
            if not stages or stages[-1].name != line["stage"]:
                if len(stages) == STAGES:
                    break
                first = stages[-1].last if stages else 0
                stages.append(Stage(line["stage"], first, step, validation=early))
                early = {}
            stages[-1].last = step
            for name, value in _numbers(line):
                if name not in ("step", "dropped"):
                    _add(stages[-1].curves, name, (step, value))
    for stage in stages:
        stage.stopped = f"stopped/{stage.name}" in state_scalars
        step, value = (dict(_numbers(state_scalars)).get(f"best_{what}/{stage.name}") for what in ("step", "value"))
        if step is not None and value is not None:
            stage.best = int(_amount(step)), value
    return stages


def _add(curves: dict[str, Curve], name: str, point: tuple[float, float]) -> None:
    if name in curves or len(curves) < CURVES:
        curves.setdefault(name, []).append(point)


def _numbers(line: dict[str, Any]) -> list[tuple[str, float]]:
    numbers = [(k, v) for k, v in line.items() if isinstance(v, float) or (type(v) is int and abs(v) < 1 << 63)]
    return [(k, float(v)) for k, v in numbers]


def _rates(log: list[dict[str, Any]]) -> dict[str, Curve]:
    """Learning rates by network; in a resumed run, the newest line of a step counts."""
    rates: dict[str, dict[int, float]] = {}
    for line in log:
        if isinstance(line.get("rates"), dict):
            for name, value in _numbers(line["rates"])[:CURVES]:
                rates.setdefault(name, {})[line["step"]] = value
    return {name: sorted((float(s), v) for s, v in values.items()) for name, values in rates.items()}


def when(moment: str | float) -> str:
    """A time from the log, or in seconds, in human-readable form."""
    try:
        text = isinstance(moment, str)
        value = datetime.datetime.fromisoformat(moment) if text else datetime.datetime.fromtimestamp(float(moment))
    except (ValueError, TypeError, ArithmeticError, OSError):
        return str(moment)
    return value.strftime("%Y-%m-%d %H:%M")
