"""Loads trained models from model folders, which may be damaged or from others, as ready
objects."""

import contextlib
import importlib.util
import re
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from multigen.catalogue import LIBRARIES, METHODS, imported
from multigen.engine import Trainer
from multigen.engine.checkpoint import check_fit, load_strict
from multigen.engine.device import choose_device
from multigen.errors import CheckpointError, ConfigError, MultigenError, one_line
from multigen.storage.files import expanded
from multigen.storage.model_folder import ModelFolder, find_model, read_model
from multigen.storage.provenance import Provenance, origin
from multigen.storage.tensors import Stored, TensorFile
from multigen.tasks.graph import Graph
from multigen.tasks.ready import Loaded
from multigen.version import __version__

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

__all__ = ["Model", "find", "import_code", "load", "load_network", "plan_network", "trainer_in"]

N = TypeVar("N", bound=nn.Module)
LEAST = 64 << 20
"""Bytes that building a network may always take, however small its weights."""


class Model(Protocol):
    """A ready object, which `load` returns for a trained model. Other methods depend on the
    task."""

    @property
    def task(self) -> str:
        """A name of `multigen.catalogue.TASKS`."""
        ...

    origin: Provenance
    """Provenance metadata for the files that it makes; set by `load`."""

    def sheet(self, n: int, seed: int = 0) -> "Picture | list[str]":
        """n results to inspect: side by side in one image, or as texts; deterministic for a
        seed."""
        ...

    def graph(self) -> Graph:
        """Its network, for `multigen export`."""
        ...


def load(run: str | Path, code: str | Path = "", device: str = "auto") -> Loaded:
    """A trained model, ready to use: `.upscale(image)` for super-resolution, `.sample(n, seed)` for
    images or sounds from noise, `.generate(prompt)` for texts.

    `run` is a run's folder, its `model` folder, a folder of runs (the newest complete one is used,
    and printed), or a model on the Hugging Face hub, "hf:owner/name" or "hf:owner/name@revision".
    Neither the data nor the trainer is needed. `code` is your own file that trained it (`multigen
    cp`), which is then executed; a model folder never causes code to run. `device`: auto (a GPU if
    there is one), cpu, cuda, cuda:1, mps.

    Raises CheckpointError where there is no model, ConfigError for an unusable file, or a device
    that is not available.
    """
    run, code, device = str(run), str(code), str(device)
    choose_device(device)  # before anything is read
    trainer, folder, made_by = find(run, code)
    model = trainer.load(replace(folder, device=device))
    model.origin = made_by
    return model


def find(run: str, code: str = "") -> tuple[Any, ModelFolder, Provenance]:
    """The trainer class of a model, its folder, and what files made by it say. Raises as `load`."""
    folder = read_model(find_model(run), ())
    if code:
        trainer = trainer_in(import_code(code), code)
        if trainer.name != folder.method:
            raise CheckpointError(
                f"{code} trains {trainer.name!r}, but the model was made by {folder.method!r}; give that method's file"
            )
    elif folder.method in METHODS:
        trainer = trainer_in(import_module(METHODS[folder.method].module))
    elif folder.method in LIBRARIES:
        trainer: Any = imported(LIBRARIES[folder.method])
    else:
        raise CheckpointError(
            f"{folder.path} was made by {folder.method!r}; expected one of {', '.join(METHODS)}: get a newer multigen, or if a "
            f'file of your own trained it, name it: --code {folder.method}.py, in Python load(..., code="{folder.method}.py")'
        )
    return (
        trainer,
        read_model(folder.path, trainer.exports, trainer.optional),
        origin(run, folder.path, folder.method),
    )


def trainer_in(module: ModuleType, called: str = "") -> Any:
    """The trainer class of a method's module: defined there, or imported from another of the user's
    files.

    Raises ConfigError where there is none.
    """
    kinds = [v for v in vars(module).values() if isinstance(v, type) and issubclass(v, Trainer) and "name" in vars(v)]
    kinds = [v for v in kinds if v.__module__ == module.__name__ or not v.__module__.startswith("multigen.")]
    if not kinds:
        if module.__file__:
            _check_version(Path(module.__file__), called, "it has no trainer")
        raise ConfigError(f"{called or module.__name__} has no trainer; give the file that trained the model")
    return kinds[-1]


def load_network(build: Callable[[], N], weights: Mapping[str, Tensor], where: str, device: str = "auto") -> N:
    """Builds a network and loads its weights; in evaluation mode, on a device (see
    `choose_device`).

    Only the header of a file is read until the weights are known to fit. Raises CheckpointError
    where no network can be built, where it needs far more memory than its weights, or where the
    weights do not fit.
    """
    plan_network(build, weights, where)
    with _building(where):
        network = build()
    load_strict(network.state_dict(), weights, where)
    return network.to(choose_device(device), memory_format=torch.channels_last).eval()  # pyright: ignore[reportCallIssue]


def plan_network(build: Callable[[], N], weights: Mapping[str, Tensor] | Mapping[str, Stored], where: str) -> N:
    """The network on the meta device, without its weights, which fit. Raises CheckpointError as
    `load_network`."""
    with _building(where):
        planned, plan = Plan.of(build, len(weights))
        check_fit(planned.state_dict(), weights.stored if isinstance(weights, TensorFile) else weights, where)
        own = {**dict(planned.named_parameters()), **planned.state_dict()}  # with those that a package brings
        plan.check(sum(t.nbytes for t in own.values()))
    return planned


@contextlib.contextmanager
def _building(where: str) -> Iterator[None]:
    """Whatever layers raise within it becomes a CheckpointError."""
    try:
        yield
    except MultigenError:
        raise
    except Exception as error:  # layers raise errors of many kinds
        raise CheckpointError(
            f"{where}: no network can be built from its settings ({one_line(error)}); copy the model folder again"
        ) from error


class Plan(TorchFunctionMode):
    """Counts calls and bytes while a network is built on the meta device: damaged settings may
    require any amount of memory.

    `torch.nn.init` is skipped: without memory there is nothing to fill, and torch would import
    sympy (1.2 s).

    Args:
        calls: maximum number of calls of torch functions.
        most: maximum number of bytes, for a network that cannot be built on the meta device first;
            None: any.
    """

    def __init__(self, calls: int, most: int | None = None):
        super().__init__()
        self.calls, self.bytes, self.most = calls, 0, most

    @classmethod
    def of(cls, build: Callable[[], N], tensors: int) -> "tuple[N, Plan]":
        """The network on the meta device, and its plan. Raises ValueError where it has far more
        layers than the weights have `tensors`."""
        with torch.device("meta"), cls(5_000 + 100 * tensors) as plan, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return build(), plan

    def check(self, nbytes: int) -> None:
        """Raises ValueError where building the network needs far more memory than its weights of
        `nbytes` bytes, such as for computed buffers."""
        self.most = LEAST + 8 * nbytes
        self._check()

    def _check(self) -> None:
        if self.most is not None and self.bytes > self.most:
            raise ValueError(
                f"{self.bytes >> 20:,} MiB to build it, expected at most {self.most >> 20:,} for its weights"
            )

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        self.calls -= 1
        if self.calls < 0:
            raise ValueError("it has more layers than there are weights for")
        if getattr(func, "__module__", "") == "torch.nn.init":
            return kwargs["tensor"] if "tensor" in kwargs else args[0]
        result = func(*args, **kwargs)
        if isinstance(result, Tensor) and not any(result is each for each in args):
            self.bytes += result.nbytes
            self._check()
        return result


def import_code(path: str) -> ModuleType:
    """Imports a file that trained a model. This executes the file: only for files that the user
    names, never for names in a model folder. The file's folder is on `sys.path` meanwhile, as when
    it is run.

    Raises ConfigError for a file that cannot be imported.
    """
    file = expanded(path).resolve()
    if not file.is_file() or file.suffix != ".py":
        raise ConfigError(f"{path}: no such Python file; expected the one that trained the model, e.g. my_gan.py")
    spec = importlib.util.spec_from_file_location(f"multigen_code_{file.stem}", file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look up annotations there
    sys.path.insert(0, str(file.parent))
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[spec.name]
        reason = f"{type(error).__name__}: {one_line(error)}"
        _check_version(file, path, reason)
        raise ConfigError(f"{path} cannot be imported ({reason}); fix the error") from error
    finally:
        sys.path.remove(str(file.parent))
    return module


def _check_version(path: Path, called: str, reason: str) -> None:
    """Raises ConfigError for a file that another version of multigen copied (`multigen cp`), by its
    first line."""
    with path.open("rb") as opened:
        first = opened.readline(1000).decode(errors="replace")
    copied = re.match(r"# Copied from (\w+) of multigen (\d+(?:\.\w+)*)", first)
    if copied and copied[2] != __version__:
        raise ConfigError(
            f"{called} was copied by multigen {copied[2]} and does not work with {__version__} ({reason}); copy the method again "
            f"to a new file, multigen cp {copied[1]} FILE.py, and make your changes there"
        )
