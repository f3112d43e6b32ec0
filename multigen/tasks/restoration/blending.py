"""Network interpolation (Wang et al. 2018, arXiv:1809.00219, section 3.4): between two models that
share a network."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from torch import Tensor, nn

from multigen.catalogue import TASKS
from multigen.engine.device import choose_device
from multigen.errors import ConfigError
from multigen.storage.provenance import merge
from multigen.tasks.loading import find
from multigen.tasks.ready import Loaded
from multigen.tasks.restoration.base import RestorationTrainer
from multigen.tasks.restoration.same import difference_of_settings, network_of

__all__ = ["blend", "interpolated"]

SETTINGS = ("generator", "scale", "blocks", "width", "growth", "unshuffle")
"""Of networks: named where they differ."""


def blend(first: str | Path, second: str | Path, share: float, code: str | Path = "", device: str = "auto") -> Loaded:
    """A model between two of one network: `share` of the weights of the first and the rest of the
    second, BatchNorm's statistics too. One trained for the least pixel error and one trained from
    it against a discriminator give all in between.

    `first`, `second`, `code`, `device`: as for `multigen.load`. Raises ConfigError for a share that
    is not in 0..1, and for models that are not of one network, with the first difference.
    """
    choose_device(device)  # before anything is read
    if not 0 <= share <= 1:
        raise ConfigError(f"share {share:g}: expected 0 to 1, the part of {first} in the mixture")
    trainers, folders, origins = zip(*(find(str(run), str(code)) for run in (first, second)), strict=True)
    for run, trainer in zip((first, second), trainers, strict=True):
        if not issubclass(trainer, RestorationTrainer):
            raise ConfigError(f"{run}: expected a model that restores, but it {TASKS[trainer.task].does}")
    one, other = (network_of(*pair) for pair in zip(trainers, folders, strict=True))
    if difference := _difference(one, other):
        a, b = (folder.config for folder in folders)
        differ = [
            f"{name} {a[name]}, {b[name]}" for name in SETTINGS if name in a.keys() & b.keys() and a[name] != b[name]
        ]
        reasons = "; ".join([*differ, difference])
        raise ConfigError(f"{first} and {second} are not of one network: {reasons}; give two of one network")
    # Before `load` makes one layer of several: convolutions that are merged are not linear in those they are made of.
    mixed = replace(
        folders[0], weights={"G": interpolated(folders[0].weights["G"], folders[1].weights["G"], share)}, device=device
    )
    model = trainers[0].load(mixed)
    model.origin = merge(origins, share=share)
    return model


def interpolated(first: Mapping[str, Tensor], second: Mapping[str, Tensor], share: float) -> dict[str, Tensor]:
    """share * first + (1 - share) * second, by name; what counts, such as BatchNorm's batches, is
    the first's."""
    mixed = {}
    for name in first:
        a, b = first[name], second[name]
        mixed[name] = share * a + (1 - share) * b if a.is_floating_point() else a
    return mixed


def _difference(one: nn.Module, other: nn.Module) -> str:
    """The first difference of two networks; "" for none."""
    shapes, others = ({name: tuple(t.shape) for name, t in each.state_dict().items()} for each in (one, other))
    for name in [*shapes, *(others.keys() - shapes.keys())]:
        if name not in shapes or name not in others:
            return f"{name} is in the {'first' if name in shapes else 'second'} only"
        if shapes[name] != others[name]:
            return f"{name} has the shape {shapes[name]} in the first, {others[name]} in the second"
    a, b = (getattr(each, "scale", None) for each in (one, other))
    if a != b:  # of which no tensor need have another shape
        return f"its images are {a} times as large in the first, {b} times in the second"
    if difference := difference_of_settings(one, other):
        return difference
    layers, other_layers = str(one).splitlines(), str(other).splitlines()
    a, b = next(((a, b) for a, b in zip(layers, other_layers, strict=False) if a != b), ("", ""))
    return f"{a.strip()} in the first, {b.strip()} in the second" if a != b else ""
