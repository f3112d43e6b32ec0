"""Run folders: finding existing ones and creating new ones."""

import contextlib
import itertools
import json
import re
import time
from collections.abc import Sequence
from pathlib import Path

from multigen.console import resume_option, say
from multigen.errors import CheckpointError, ConfigError
from multigen.storage.files import existing_or_backup, expanded
from multigen.storage.reading import CONFIG, read_bounded

__all__ = ["find_run", "is_run", "method_of", "new_folder", "newest_runs", "remove_if_empty"]


SYSTEM = {".DS_Store", ".localized", ".directory", "Thumbs.db", "desktop.ini"}
"""Files that operating systems create in folders."""


def find_run(path: str | Path) -> Path:
    """The run at `path`, or in a folder of runs the newest with a checkpoint, which is printed."""
    return find_newest(expanded(path), ["config.toml"], "checkpoints")


def find_newest(path: Path, marks: Sequence[str], what: str) -> Path:
    """The run at `path`, or the newest one below it, that has one of the files `marks` (all at one
    depth) and the folder `what`."""
    if not path.is_dir():
        raise CheckpointError(f"{path} is not a folder; give a run's folder, or a folder of runs")
    if any((path / mark).exists() for mark in marks):
        return path
    depth = marks[0].count("/")
    matches = [
        f
        for pattern in ("*", "*/*")
        for mark in marks
        for f in path.glob(f"{pattern}/{mark}")
        if existing_or_backup(f.parents[depth] / what).exists()
    ]
    if not matches:
        raise CheckpointError(f"{path} holds no run with {what}; give a run's folder, or a folder of runs")
    newest = max(matches, key=lambda f: f.stat().st_mtime).parents[depth]
    say(f"using the newest run: {newest}")
    return newest


def is_run(folder: Path) -> bool:
    """Whether a folder is a run: its config.toml names a method, as those of all versions do, and
    its settings."""
    try:
        text = read_bounded(folder / "config.toml", CONFIG).decode()
    except (OSError, ValueError):
        return False
    return all(re.search(line, text, re.MULTILINE) for line in (r'^(method|recipe) = "', r"^\[config[].]"))


def method_of(folder: Path) -> str:
    """The method of a run, as its config.toml names it."""
    matches = re.search(
        r'^(?:method|recipe) = "(\w+)"', read_bounded(folder / "config.toml", CONFIG).decode(), re.MULTILINE
    )
    return matches[1] if matches else "METHOD"


def newest_runs(path: Path) -> list[Path]:
    """The runs in a folder of runs, newest first."""
    matches = [file for pattern in ("*", "*/*") for file in path.glob(f"{pattern}/config.toml")]
    return [file.parent for file in sorted(matches, key=lambda file: file.stat().st_mtime, reverse=True)]


def new_folder(out: str, name: str, moment: float) -> Path:
    """Makes the folder of a new run: `out`, which may exist if it is empty, or a new
    runs/NAME/DATE-TIME.

    Raises ConfigError where it is not empty, and changes nothing then.
    """
    if not out:
        return _new_by_date(Path("runs") / name, time.strftime("%Y-%m-%d-%H%M%S", time.localtime(moment)))
    folder = expanded(out)
    try:
        folder.mkdir(parents=True)
    except FileExistsError as error:
        if not folder.is_dir():
            raise _cannot_be_made(folder, error) from error
        _check_empty(folder)
    except OSError as error:
        raise _cannot_be_made(folder, error) from error
    return folder


def remove_if_empty(folder: Path) -> None:
    """Removes a folder in which nothing is."""
    with contextlib.suppress(OSError):
        folder.rmdir()


def _new_by_date(runs: Path, date: str) -> Path:
    """A unique folder: runs that begin in the same second get DATE, DATE-2, ..."""
    for i in itertools.count(1):
        folder = runs / (f"{date}-{i}" if i > 1 else date)
        try:
            folder.mkdir(parents=True)
        except FileExistsError as error:
            if not runs.is_dir():
                raise _cannot_be_made(folder, error) from error
        except OSError as error:
            raise _cannot_be_made(folder, error) from error
        else:
            return folder
    raise AssertionError


def _is_lock(path: Path) -> bool:
    """Whether a file is the lock of a run that has not begun yet, or was killed before: see
    `multigen.storage.lock`."""
    try:
        content = read_bounded(path, 1000) if path.name == ".lock" else b"-"
        return not content or {"pid", "host", "since"} == json.loads(content).keys()
    except (OSError, ValueError, AttributeError):
        return False


def _cannot_be_made(folder: Path, error: OSError) -> ConfigError:
    return ConfigError(f"{folder} cannot be made ({error.strerror}); give a folder elsewhere with another --out")


def _check_empty(folder: Path) -> None:
    """Raises ConfigError for a folder that contains anything but files of the operating system."""
    try:
        inside = sorted(path.name for path in folder.iterdir() if path.name not in SYSTEM and not _is_lock(path))
    except OSError as error:
        raise ConfigError(f"{folder} cannot be read ({error.strerror}); choose another --out") from error
    if is_run(folder):
        raise ConfigError(
            f"{folder} holds a run already; resume it with {resume_option(folder)}, or choose another --out"
        )
    if any(is_run(folder / name) for name in inside if name.startswith("seed-")):
        raise ConfigError(
            f"{folder} holds runs already; resume them with --seeds and --resume {folder}, or choose another --out"
        )
    if inside:
        examples = ", ".join(inside[:3]) + (f" and {len(inside) - 3} more" if len(inside) > 3 else "")
        raise ConfigError(
            f"{folder} is not empty ({examples}); expected a new or an empty folder; choose another --out"
        )
