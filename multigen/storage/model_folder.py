"""`model/` of a run: what inference needs and nothing else: weights as safetensors, configuration, model card."""

import json
import os
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from multigen.console import resume_option
from multigen.errors import CheckpointError
from multigen.storage import hub
from multigen.storage.files import aside, expanded, read_json, remedy, standing, write_flushed, writing_whole
from multigen.storage.older import model_table
from multigen.storage.reading import CONFIG
from multigen.storage.run_folder import find_newest, is_run, method_of, newest_runs
from multigen.storage.tensors import TensorFile, to_bytes
from multigen.version import __version__

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["ModelFolder", "find_model", "read_model", "write_model"]


MODELS = [f"{folder}/config.json" for folder in ("model", aside(Path("model")))]
"""A run with a model has one of these."""


def find_model(path: str | Path) -> Path:
    """The `model` folder at `path`: the folder itself, a run's, the newest complete one in a folder of runs, of the hub
    ("hf:owner/name"), or one that is made of published weights or of another project's file of weights."""
    if str(path).startswith(hub.PREFIX):
        return hub.fetch(str(path))
    from multigen.catalogue import TASKS, imported

    for task in TASKS.values():
        if str(path) in task.published or (Path(path).suffix.lower() in task.weights and not expanded(path).is_dir()):
            return imported(task.foreign)(str(path))
    path = standing(expanded(path))
    if (path / "config.json").exists():
        return path
    try:
        return standing(find_newest(path, MODELS, "model") / "model")
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
    """Writes a model folder, whole or not at all, in place of the one that is there: NAME.safetensors for each network,
    config.json, which lists the files, and text files, such as a vocabulary. Files of others in the folder stay.

    Args:
        data: what the training data were found to be.

    Raises CheckpointError for a full disk, or where a file of somebody else has the name of one of these.
    """
    files = sorted([*(f"{name}.safetensors" for name in weights), *texts, "config.json"])
    about = {"version": __version__, "method": method, "config": config, "data": data or {}, "files": files}
    try:
        with writing_whole(folder, _written(standing(folder), files)) as new:
            for name, tensors in weights.items():
                write_flushed(new / f"{name}.safetensors", to_bytes(tensors))
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


def _written(folder: Path, files: Collection[str]) -> Collection[str]:
    """Names of the files in a model folder that this package wrote: those that it lists, of an earlier version those among
    `files`; none in another folder."""
    try:
        about = read_json(folder / "config.json", CONFIG)
        if not isinstance(about, dict) or not {"config"} < about.keys() & {"config", "method", "recipe"}:
            return ()
    except (OSError, ValueError):
        return ()
    listed = about.get("files", files)
    return [name for name in listed if isinstance(name, str)] if isinstance(listed, list) else files


@dataclass(frozen=True)
class ModelFolder:
    """What a model folder holds."""

    path: Path
    method: str
    config: dict[str, Any]
    data: dict[str, Any]
    """What the training data were found to be."""
    weights: Mapping[str, Mapping[str, "Tensor"]]
    """By network; a tensor is read when it is asked for."""
    device: str = "auto"
    """Where its networks are to compute, as `multigen.engine.device.choose_device` takes it."""


def read_model(folder: Path, networks: Iterable[str] | None = None) -> ModelFolder:
    """What a folder says of its model, and the weights of `networks`, as far as there are any; other files are not looked at.
    None: of all files.

    Raises CheckpointError for files that cannot be read.
    """
    inside = hub.files_folder(folder)
    try:
        about = read_json(folder / "config.json", CONFIG, inside)
        if not isinstance(about["method"], str) or not isinstance(about["config"], dict):
            raise TypeError("expected a method's name and a table of its settings")
        about = model_table(about)
        if not isinstance(about["data"], dict):
            raise TypeError("expected a table of what the data are")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(
            f"{folder}/config.json cannot be read ({error}); give the model folder of a finished run"
        ) from error
    named = [path.stem for path in folder.glob("*.safetensors")] if networks is None else networks
    files = {name: folder / f"{name}.safetensors" for name in named}
    weights = {name: TensorFile.open(file, inside) for name, file in files.items() if os.path.lexists(file)}
    return ModelFolder(folder, about["method"], about["config"], about["data"], weights)
