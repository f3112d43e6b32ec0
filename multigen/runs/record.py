"""`evaluation.json`: metrics by row, their definitions, and how to reproduce them.

Its schema, also of every result of a benchmark recipe, is `evaluation.schema.json` beside this
file.
"""

import datetime
import functools
import platform
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from multigen.console import counted, shell_word
from multigen.engine.evaluation import Evaluation, RunInfo
from multigen.runs.plots import thinned
from multigen.storage.files import read_log
from multigen.version import __version__

__all__ = ["beginning", "not_run", "program", "record", "validation_curves"]

POINTS = 100  # maximum of a curve, about


def record(evaluation: Evaluation, runs: Sequence[RunInfo], folders: Sequence[Path] = ()) -> dict[str, Any]:
    """The content of evaluation.json for the runs of one configuration, one run per seed, in these
    folders."""
    first = runs[0]
    began = beginning(first)
    curves = [curve for run, folder in zip(runs, folders, strict=False) for curve in validation_curves(run, folder)]
    return {
        "method": first.method,
        "status": "ok",
        "command": began["command"],
        "commit": began["commit"],
        "seed": first.seed,
        "seeds": [run.seed for run in runs],
        "steps": began["steps"],
        "date": datetime.date.today().isoformat(),
        "machine": began["machine"],
        "seconds": round(sum(run.seconds for run in runs), 1),
        "definitions": evaluation.definitions,
        "rows": evaluation.rows,
        **({"remarks": evaluation.remarks} if evaluation.remarks else {}),
        **({"curves": curves} if curves else {}),
    }


def validation_curves(run: RunInfo, folder: Path) -> list[dict[str, Any]]:
    """Of each stage whose best checkpoint a metric selects: that metric on the validation items
    against training time, from metrics.jsonl; at most about `POINTS` points."""
    stage, curves = next(iter(run.steps), ""), dict[str, list[tuple[float, float]]]()
    for line in read_log(folder / "metrics.jsonl")[0]:
        stage, values = line.get("stage", stage), line.get("validation", {})
        if (metric := run.selected.get(stage)) in values and "seconds" in line:
            curves.setdefault(stage, []).append((line["seconds"], values[metric]))
    return [
        {
            "row": stage,
            "seed": run.seed,
            "metric": run.selected[stage],
            "seconds": [seconds for seconds, _ in thinned(points, POINTS)],
            "values": [value for _, value in thinned(points, POINTS)],
        }
        for stage, points in curves.items()
    ]


def beginning(run: RunInfo) -> dict[str, Any]:
    """Facts about a run at its start: command, commit, machine, and steps by stage."""
    return {
        "command": " ".join([program(), *map(shell_word, sys.argv[1:])]),
        "commit": commit(),
        "machine": f"{machine()}, {run.precision}",
        "steps": dict(run.steps),
    }


def not_run(method: str, command: str, why: str) -> dict[str, Any]:
    """The result of a benchmark that could not be run, and why."""
    return {
        "method": method,
        "status": f"not run: {why}",
        "command": command,
        "commit": commit(),
        "seed": 0,
        "seeds": [],
        "steps": {},
        "date": datetime.date.today().isoformat(),
        "machine": machine(),
        "seconds": 0.0,
        "definitions": {},
        "rows": {},
    }


def program() -> str:
    """The command that started this process, without arguments: `python -m multigen.recipes.dcgan`,
    or `python my_gan.py`."""
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    if spec:
        return f"python -m {spec.name.removesuffix('.__main__')}"
    file = Path(sys.argv[0])
    return f"python {shell_word(str(file))}" if file.suffix == ".py" else f"python -m {file.name}"


@functools.cache
def commit() -> str:
    """The checkout's commit, marked if files have changed since; without a checkout, the
    version."""

    def git(*words: str) -> str:
        result = subprocess.run(["git", *words], cwd=Path(__file__).parent, capture_output=True, text=True, check=True)
        return result.stdout.strip()

    try:
        if Path(git("rev-parse", "--show-toplevel")) != Path(__file__).parents[2]:
            return f"version {__version__}"
        return git("rev-parse", "HEAD") + ("+changes" if git("status", "--porcelain") else "")
    except (OSError, subprocess.CalledProcessError):
        return f"version {__version__}"


@functools.cache
def machine() -> str:
    """Processor, threads, GPU, and versions of torch and Python, in one line."""
    gpu = f", {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ""
    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [line.split(":")[1].strip() for line in info.read_text().splitlines() if line.startswith("model name")]
        cpu = names[0] if names else cpu
    threads = counted(torch.get_num_threads(), "threads")
    return f"{cpu}, {threads}{gpu}, torch {torch.__version__}, python {platform.python_version()}"
