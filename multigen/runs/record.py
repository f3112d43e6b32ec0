"""`evaluation.json`: what was measured, of which rows, by which definitions, and how it can be had again."""

import datetime
import platform
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from multigen.engine.evaluation import Evaluation

if TYPE_CHECKING:
    from multigen.engine.trainer import Trainer

__all__ = ["machine", "not_run", "program", "record"]


def record(evaluation: Evaluation, trainers: "Sequence[Trainer]") -> dict[str, Any]:
    """The shape of every evaluation and result: what was measured on the runs of one configuration, a trainer a seed."""
    first = trainers[0]
    return {
        "recipe": first.name,
        "status": "ok",
        "command": " ".join([program(), *sys.argv[1:]]),
        "commit": _commit(),
        "seed": first.run.seed,
        "seeds": [t.run.seed for t in trainers],
        "steps": {stage.name: stage.steps for stage in first.plan},
        "date": datetime.date.today().isoformat(),
        "machine": f"{machine()}, {first.precision}",
        "seconds": round(sum(t.state.scalars["seconds"] for t in trainers), 1),
        "definitions": evaluation.definitions,
        "rows": evaluation.rows,
        **({"remarks": evaluation.remarks} if evaluation.remarks else {}),
    }


def not_run(recipe: str, command: str, why: str) -> dict[str, Any]:
    """A result that says that there is none, and why."""
    return {
        "recipe": recipe,
        "status": f"not run: {why}",
        "command": command,
        "commit": _commit(),
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
    """How this process was started, but for the arguments: `python -m multigen.recipes.dcgan`, or `python my_gan.py`."""
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    if spec:
        return f"python -m {spec.name.removesuffix('.__main__')}"
    file = Path(sys.argv[0])
    return f"python {file}" if file.suffix == ".py" else f"python -m {file.name}"


def _commit() -> str:
    """The checkout's commit, marked when files were changed since; the version where there is no checkout."""
    from multigen.version import __version__

    def git(*words: str) -> str:
        done = subprocess.run(["git", *words], cwd=Path(__file__).parent, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    try:
        if Path(git("rev-parse", "--show-toplevel")) != Path(__file__).parents[2]:
            return f"version {__version__}"
        return git("rev-parse", "HEAD") + ("+changes" if git("status", "--porcelain") else "")
    except (OSError, subprocess.CalledProcessError):
        return f"version {__version__}"


def machine() -> str:
    """The processor, threads, GPU, and versions of torch and Python, in a line."""
    gpu = f", {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ""
    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [line.split(":")[1].strip() for line in info.read_text().splitlines() if line.startswith("model name")]
        cpu = names[0] if names else cpu
    return (
        f"{cpu}, {torch.get_num_threads()} threads{gpu}, torch {torch.__version__}, python {platform.python_version()}"
    )
