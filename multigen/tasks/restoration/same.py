"""Whether two networks are one function: beside their weights' shapes, what their layers are set
to."""

from dataclasses import is_dataclass
from typing import Any

from torch import nn

from multigen.catalogue import METHODS
from multigen.config import from_table
from multigen.errors import CheckpointError
from multigen.storage.model_folder import ModelFolder, find_model, read_model
from multigen.tasks.loading import find, plan_network

__all__ = ["check_start", "difference_of_settings", "network_of"]


def check_start(start: str, network: nn.Module, kind: type) -> None:
    """Raises CheckpointError where the network of a trained model, whose weights fit `network`, is
    another function: its weights mean something else. Other trainers than of `kind` are not
    compared."""
    if read_model(find_model(start), ()).method not in METHODS:  # of a user's own file, which is not executed
        return
    trainer, folder, _ = find(start)
    if not issubclass(trainer, kind) or "G" not in folder.weights:
        return
    if difference := difference_of_settings(network_of(trainer, folder), network):
        raise CheckpointError(
            f"{start}: its weights fit, but are of another function: {difference}; give a run of the same method and settings"
        )


def network_of(trainer: type[Any], folder: ModelFolder) -> nn.Module:
    """A model's network without its weights, which are known to fit. Raises CheckpointError where
    they do not."""
    where, weights = f"{folder.path}, config.json", folder.weights.get("G", {})
    made = trainer(from_table(trainer.config_type(), folder.config, where))
    made.data_info = from_table(trainer.data_info, folder.data, where)
    return plan_network(made.generator, weights, f"{folder.path}, G")


def difference_of_settings(one: nn.Module, other: nn.Module) -> str:
    """The first difference of what layers of one name are set to, which is no weight; "" for
    none."""
    others = dict(other.named_modules())
    for name, module in one.named_modules():
        a, b = (_settings(each) for each in (module, others.get(name, module)))
        for key in sorted(a.keys() & b.keys()):
            if a[key] != b[key]:
                return f"{f'{name}.' if name else ''}{key} is {a[key]} in the first, {b[key]} in the second"
    return ""


def _settings(module: nn.Module) -> dict[str, Any]:
    """What a module was set to: its public numbers, names, and definitions."""
    return {
        key: value
        for key, value in vars(module).items()
        if not key.startswith("_")
        and key != "training"
        and (isinstance(value, bool | int | float | str | tuple) or is_dataclass(value))
    }
