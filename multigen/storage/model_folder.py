"""Model folders, `model/` of a run: only what inference needs: safetensors weights, configuration,
model card."""

import json
import os
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from multigen.console import resume_option
from multigen.errors import CheckpointError
from multigen.storage import hub
from multigen.storage.files import (
    backup_path,
    existing_or_backup,
    expanded,
    read_json,
    remedy,
    write_flushed,
    writing_whole,
)
from multigen.storage.older import model_table
from multigen.storage.reading import CONFIG
from multigen.storage.run_folder import find_newest, is_run, method_of, newest_runs
from multigen.storage.tensors import TensorFile, to_parts
from multigen.version import __version__

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["ModelFolder", "find_model", "read_model", "write_model"]


MODELS = [f"{folder}/config.json" for folder in ("model", backup_path(Path("model")))]
"""Paths of which a run with a model has one."""


def find_model(path: str | Path) -> Path:
    """The model folder at `path`: the folder itself, a run's, that of the newest complete run in a
    folder of runs, one on the hub ("hf:owner/name"), or one converted from published weights or
    another project's weights file."""
    if str(path).startswith(hub.PREFIX):
        return hub.fetch(str(path))
    from multigen.catalogue import TASKS, imported

    for task in TASKS.values():
        if str(path) in task.published or (Path(path).suffix.lower() in task.weights and not expanded(path).is_dir()):
            return imported(task.foreign)(str(path))
    if expanded(path).is_file():
        suffixes = dict.fromkeys(suffix for task in TASKS.values() for suffix in task.weights)
        raise CheckpointError(
            f"{path} is a file and no model; expected a run's folder, a folder of runs, or weights of another project: "
            f"{', '.join(suffixes)}; convert it to one of these"
        )
    path = existing_or_backup(expanded(path))
    if (path / "config.json").exists():
        return path
    try:
        return existing_or_backup(find_newest(path, MODELS, "model") / "model")
    except CheckpointError as error:
        if run := next((folder for folder in (path, *newest_runs(path)) if is_run(folder)), None):
            resume = f"multigen train {method_of(run)} {resume_option(run)}"
            raise CheckpointError(
                f"{run} has no model yet: it was stopped before its training ended; first resume it, with: {resume}"
            ) from error
        raise


def write_model(
    folder: Path,
    method: str,
    config: Mapping[str, Any],
    weights: Mapping[str, Mapping[str, "Tensor"]],
    texts: Mapping[str, str],
    data: Mapping[str, Any] | None = None,
) -> None:
    """Writes a model folder atomically, replacing an existing one: NAME.safetensors for each
    network, config.json, which lists the files, and text files, such as a vocabulary. A user's
    files in the folder stay.

    Args:
        data: facts about the training data.

    Raises CheckpointError for a full disk, or where a user's file has the name of one of these.
    """
    files = sorted([*(f"{name}.safetensors" for name in weights), *texts, "config.json"])
    about = {"version": __version__, "method": method, "config": config, "data": data or {}, "files": files}
    try:
        with writing_whole(folder, _own_files(existing_or_backup(folder), files)) as new:
            for name, tensors in weights.items():
                write_flushed(new / f"{name}.safetensors", to_parts(tensors))
            for name, text in {**texts, "config.json": json.dumps(about, indent=1) + "\n"}.items():
                write_flushed(new / name, text.encode())
    except FileExistsError as error:
        raise CheckpointError(
            f"{folder}: {error.strerror}, then resume with: {resume_option(folder.parent)}"
        ) from error
    except OSError as error:
        raise CheckpointError(
            f"{folder} cannot be written ({error.strerror}); {remedy(error)}, then resume with: {resume_option(folder.parent)}"
        ) from error


def _own_files(folder: Path, files: Collection[str]) -> Collection[str]:
    """Names of the files in a model folder that this package wrote: those that it lists, or for an
    earlier version those among `files`; none in any other folder."""
    try:
        about = read_json(folder / "config.json", CONFIG)
        if not isinstance(about, dict) or not {"config"} < about.keys() & {"config", "method", "recipe"}:
            return ()
    except (OSError, ValueError):
        return ()
    names = about.get("files", files)
    return [name for name in names if isinstance(name, str)] if isinstance(names, list) else files


@dataclass(frozen=True)
class ModelFolder:
    """The content of a model folder."""

    path: Path
    method: str
    config: dict[str, Any]
    data: dict[str, Any]
    """Facts about the training data: classes, channels, vocabulary, ..."""
    weights: Mapping[str, Mapping[str, "Tensor"]]
    """By network; a tensor is read on access."""
    device: str = "auto"
    """Device of its networks, as for `multigen.engine.device.choose_device`."""


def read_model(folder: Path, networks: Iterable[str] | None = None, optional: Iterable[str] = ()) -> ModelFolder:
    """Reads a model folder: its configuration, and the weights of `networks` that it has. None: all
    weights. Of `optional` ones those that it lists: others are no part of the model.

    Raises CheckpointError for files that cannot be read.
    """
    inside = hub.files_folder(folder)
    try:
        about = read_json(folder / "config.json", CONFIG, inside)
        if not isinstance(about["method"], str) or not isinstance(about["config"], dict):
            raise TypeError("expected a method's name and a table of its settings")
        about = model_table(about)
        if not isinstance(about["data"], dict):
            raise TypeError("expected a table of facts about the data")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(
            f"{folder}/config.json cannot be read ({error}); give the model folder of a finished run"
        ) from error
    listed = about.get("files", ())
    chosen = [name for name in optional if isinstance(listed, list) and f"{name}.safetensors" in listed]
    names = [path.stem for path in folder.glob("*.safetensors")] if networks is None else [*networks, *chosen]
    files = {name: folder / f"{name}.safetensors" for name in names}
    weights = {name: TensorFile.open(file, inside) for name, file in files.items() if os.path.lexists(file)}
    return ModelFolder(folder, about["method"], about["config"], about["data"], weights)
