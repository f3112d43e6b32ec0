"""Folders of runs: finding and claiming them, and `model/`, which holds what inference needs and nothing else."""

import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from multigen import hub
from multigen.errors import CheckpointError, ConfigError
from multigen.files import aside, standing, write_flushed, writing_whole
from multigen.progress import say

if TYPE_CHECKING:
    from torch import Tensor, nn

__all__ = [
    "find_model",
    "find_run",
    "load_tensors",
    "new_folder",
    "read_model",
    "start_from",
    "to_bytes",
    "write_model",
]

MODELS = [f"{folder}/config.json" for folder in ("model", aside(Path("model")))]
"""A run with a model has one of these."""


def find_run(path: str | Path) -> Path:
    """The run at `path`; in a folder of runs the newest one that has a checkpoint, which is named aloud."""
    return _find(Path(path), ["config.toml"], "checkpoints")


def find_model(path: str | Path) -> Path:
    """The `model` folder at `path`: the folder itself, a run's, the newest complete one in a folder of runs, or of the hub
    ("hf:owner/name")."""
    if str(path).startswith(hub.PREFIX):
        return hub.fetch(str(path))
    path = standing(Path(path))
    if (path / "config.json").exists():
        return path
    return standing(_find(path, MODELS, "model") / "model")


def _find(path: Path, marks: Sequence[str], what: str) -> Path:
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
        raise ConfigError(f"{folder} holds a run already; go on with it by --resume {folder}, or give another --out")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f"{folder} cannot be made ({error.strerror}); give a folder elsewhere with another --out"
        ) from error
    return folder


def write_model(
    folder: Path,
    method: str,
    config: Mapping[str, Any],
    weights: Mapping[str, Mapping[str, "Tensor"]],
    texts: Mapping[str, str],
):
    """Writes a model folder, whole or not at all, in place of the one that is there: NAME.safetensors for each network,
    config.json, and text files, such as the model card."""
    about = json.dumps({"method": method, "config": config}, indent=1) + "\n"
    try:
        with writing_whole(folder) as new:
            for name, tensors in weights.items():
                write_flushed(new / f"{name}.safetensors", to_bytes(tensors))
            for name, text in {**texts, "config.json": about}.items():
                write_flushed(new / name, text.encode())
    except OSError as error:
        raise CheckpointError(
            f"{folder} cannot be written: {error.strerror}; make room, then go on with --resume"
        ) from error


def read_model(folder: Path) -> tuple[str, dict[str, Any], dict[str, dict[str, "Tensor"]]]:
    """Method, configuration and weights by network of a model folder. Raises CheckpointError where they cannot be read."""
    try:
        about = json.loads((folder / "config.json").read_bytes())
        method, config = about["method"], about["config"]
        if not isinstance(method, str) or not isinstance(config, dict):
            raise TypeError("expected a method's name and a table of its settings")
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise CheckpointError(
            f"{folder}/config.json cannot be read ({error}); give the model folder of a finished run"
        ) from error
    return method, config, {p.stem: load_tensors(p) for p in folder.glob("*.safetensors")}


def start_from(path: str, nets: "Mapping[str, nn.Module]") -> None:
    """Loads trained weights to start from: the model's, and other networks' from its run's newest checkpoint.

    Says which networks have none. Raises CheckpointError where weights do not fit.
    """
    from multigen.engine import checkpoint

    model = find_model(path)
    found = read_model(model)[2]
    for folder in checkpoint.saved(model.parent / "checkpoints")[-1:]:
        found = checkpoint.read(folder)[0] | found
    for name in nets.keys() & found.keys():
        try:
            checkpoint.load_strict(nets[name].state_dict(), found[name], f"{model}, {name}")
        except CheckpointError as error:
            raise CheckpointError(f"{error}; train with the settings of its run: --config RUN/config.toml") from error
    new = sorted(nets.keys() - found.keys())
    say(f"starting from {model}" + (f"; untrained: {', '.join(new)}" if new else ""))


def to_bytes(tensors: "Mapping[str, Tensor]") -> bytes:
    """A safetensors file. Weights that two layers share are in it twice."""
    import torch
    from safetensors.torch import save

    return save({k: t.detach().cpu().clone(memory_format=torch.contiguous_format) for k, t in tensors.items()})


def load_tensors(path: Path) -> dict[str, "Tensor"]:
    """Tensors of a safetensors file. A pickle is refused whatever its name."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if path.suffix in {".pt", ".pth", ".pkl", ".ckpt", ".bin"}:
        raise CheckpointError(f"{path} is a pickle, which can run code; convert it to .safetensors where you trust it")
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{path} is no whole safetensors file ({error}); copy or convert it anew") from error
