"""Folders of runs: finding and claiming them, and `model/`, which holds what inference needs and nothing else."""

import time
from collections.abc import Sequence
from pathlib import Path

from multigen.console import say, shell_word
from multigen.errors import CheckpointError, ConfigError
from multigen.storage.files import standing

__all__ = ["find_run", "new_folder"]


def find_run(path: str | Path) -> Path:
    """The run at `path`; in a folder of runs the newest one that has a checkpoint, which is printed."""
    return find_newest(Path(path), ["config.toml"], "checkpoints")


def find_newest(path: Path, marks: Sequence[str], what: str) -> Path:
    """The run at `path`, or the newest in it, that has one of the files `marks`, all as deep in it, and the folder `what`."""
    if not path.is_dir():
        raise CheckpointError(f"{path} is not a folder; give a run's folder, or a folder of runs")
    if any((path / mark).exists() for mark in marks):
        return path
    depth = marks[0].count("/")
    found = [
        f
        for above in ("*", "*/*")
        for mark in marks
        for f in path.glob(f"{above}/{mark}")
        if standing(f.parents[depth] / what).exists()
    ]
    if not found:
        raise CheckpointError(f"{path} holds no run with {what}; give a run's folder, or a folder of runs")
    newest = max(found, key=lambda f: f.stat().st_mtime).parents[depth]
    say(f"taking the newest run there: {newest}")
    return newest


def new_folder(out: str, name: str, moment: float) -> Path:
    """Folder of a new run: `out`, or runs/<name>/<date-time>. Raises ConfigError where a run lies already."""
    folder = Path(out) if out else Path("runs") / name / time.strftime("%Y-%m-%d-%H%M%S", time.localtime(moment))
    if (folder / "config.toml").exists():
        raise ConfigError(
            f"{folder} holds a run already; go on with it by --resume {shell_word(str(folder))}, or give another --out"
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f"{folder} cannot be made ({error.strerror}); give a folder elsewhere with another --out"
        ) from error
    return folder
