"""Layers of a discriminator that keep what they have learnt (FreezeD: Mo et al. 2020,
arXiv:2002.10964)."""

from collections.abc import Iterator
from typing import TypeVar

from torch import nn

from multigen.errors import ConfigError

__all__ = ["frozen"]

N = TypeVar("N", bound=nn.Module)


def frozen(network: N, freeze: int) -> N:
    """The network, whose first `freeze` layers or blocks will not be trained. Raises ConfigError
    where none would be left to train."""
    layers = [*_layers(network)]
    if freeze and freeze >= len(layers):
        raise ConfigError(f"freeze {freeze}: D has {len(layers)} layers and blocks; expected at most {len(layers) - 1}")
    for layer in layers[:freeze]:
        layer.requires_grad_(False)
    return network


def _layers(network: nn.Module) -> Iterator[nn.Module]:
    """Layers and blocks that are trained, in the order in which they were built."""
    for child in network.children():
        if isinstance(child, nn.Sequential | nn.ModuleList | nn.ModuleDict):
            yield from _layers(child)
        elif any(weight.requires_grad for weight in child.parameters()):
            yield child
