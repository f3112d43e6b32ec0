"""Networks for use, from the settings and weights of a model folder, which may be damaged or somebody else's."""

import warnings
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from multigen.device import choose_device
from multigen.engine.checkpoint import load_strict
from multigen.errors import CheckpointError, MultigenError

__all__ = ["load_network"]

N = TypeVar("N", bound=nn.Module)


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
