"""Networks for use, from the settings and weights of a model folder, which may be damaged or somebody else's."""

import importlib.util
import re
import sys
import warnings
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from multigen.catalogue import METHODS
from multigen.engine.checkpoint import load_strict
from multigen.engine.device import choose_device
from multigen.errors import CheckpointError, ConfigError, MultigenError
from multigen.storage.model_folder import find_model, read_model
from multigen.storage.provenance import origin
from multigen.version import __version__

__all__ = ["import_code", "load", "load_network"]

N = TypeVar("N", bound=nn.Module)


def load(run: str, code: str = "") -> Any:
    """A trained model, ready to use: `.upscale(image)` for super-resolution, `.sample(n, seed)` for pictures or sounds from
    noise, `.generate(prompt)` for texts.

    `run` is a run's folder, its `model` folder, a folder of runs (the newest complete one is taken, and named), or a model of
    the Hugging Face hub, "hf:owner/name" or "hf:owner/name@revision". Neither the data nor the trainer is needed. `code` is your
    own file that trained it (`multigen cp`), whose code is then run; a model folder never causes any to be. Raises
    CheckpointError where there is no model, ConfigError for a file that is of no use.
    """
    folder = find_model(run)
    method, config, weights = read_model(folder)
    if code:
        module = import_code(code, method)
    elif method in METHODS:
        module = import_module(METHODS[method].module)
    else:
        raise CheckpointError(
            f"{folder} was made by {method!r}; expected one of {', '.join(METHODS)}: get a newer multigen, or if a file of your "
            f'own trained it, name that: --code {method}.py, in Python load(..., code="{method}.py")'
        )
    model = module.load_model(config, weights, str(folder))
    model.origin = origin(run, folder, method)
    return model


def load_network(build: Callable[[], N], weights: Mapping[str, Tensor], where: str) -> N:
    """The network that `build` makes, with these weights, in evaluation mode, on the GPU if there is one.

    Raises CheckpointError where none can be made, or the weights are not its own.
    """
    try:
        # First without memory: damaged settings may ask for any amount.
        with torch.device("meta"), Uninitialised(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            planned = build().state_dict()
        load_strict(planned, weights, where)
        network = build()
    except MultigenError:
        raise
    except Exception as error:  # as many kinds as there are layers
        reason = " ".join(str(error).split())[:200]
        raise CheckpointError(
            f"{where}: no network can be made of its settings ({reason}); copy the model folder anew"
        ) from error
    load_strict(network.state_dict(), weights, where)
    return network.to(choose_device("auto"), memory_format=torch.channels_last).eval()  # pyright: ignore[reportCallIssue]


class Uninitialised(TorchFunctionMode):
    """Leaves `torch.nn.init` out: without memory there is nothing to fill, and torch imports sympy to find that out (1.2 s)."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if getattr(func, "__module__", "") == "torch.nn.init":
            return kwargs["tensor"] if "tensor" in kwargs else args[0]
        return func(*args, **kwargs)


def import_code(path: str, method: str = "") -> ModuleType:
    """The module of a file that trained a model, and that has its `load_model`. Running the file's code is what this does: it is
    for files that the user names, never for what a model folder names.

    Args:
        method: the name of the trainer that made the model; "": any.

    Raises ConfigError for a file that cannot be imported or lacks `load_model`, CheckpointError for another trainer's.
    """
    module = _imported(Path(path).resolve(), path)
    if not hasattr(module, "load_model"):
        _check_version(Path(path), path, "it has no load_model")
        raise ConfigError(f"{path} has no load_model; give the file that trained the model, made by multigen cp")
    name = getattr(getattr(module, "TRAINER", None), "name", method)
    if method and name != method:
        raise CheckpointError(f"{path} trains {name!r}, but the model was made by {method!r}; give the file of that")
    return module


def _imported(path: Path, called: str) -> ModuleType:
    """Meanwhile the file's folder is searched for other modules, as when it is run."""
    if not path.is_file() or path.suffix != ".py":
        raise ConfigError(f"{called}: no such Python file; expected the one that trained the model, e.g. my_gan.py")
    spec = importlib.util.spec_from_file_location(f"multigen_code_{path.stem}", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where dataclasses look for the names of annotations
    sys.path.insert(0, str(path.parent))
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[spec.name]
        reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
        _check_version(path, called, reason)
        raise ConfigError(f"{called} cannot be imported ({reason}); fix it") from error
    finally:
        sys.path.remove(str(path.parent))
    return module


def _check_version(path: Path, called: str, reason: str) -> None:
    """Raises ConfigError for a file whose first line says that another version of multigen copied it (`multigen cp`)."""
    first = path.read_bytes().partition(b"\n")[0].decode(errors="replace")
    copied = re.match(r"# Copied from (\w+) of multigen (\d+(?:\.\w+)*)", first)
    if copied and copied[2] != __version__:
        raise ConfigError(
            f"{called} was copied by multigen {copied[2]} and does not work with {__version__} ({reason}); copy the method again "
            f"to a new file, multigen cp {copied[1]} FILE.py, and make your changes there"
        )
