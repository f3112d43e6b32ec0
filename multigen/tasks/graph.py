"""A trained network as a graph with named inputs and outputs: what a ready object gives `multigen export`."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from torch import Tensor, nn

__all__ = ["Graph"]


@dataclass(frozen=True)
class Graph:
    """What is exported."""

    network: nn.Module
    """On the CPU, in float32 and evaluation mode."""
    inputs: Mapping[str, Mapping[int, str]]
    """Name -> those of its dimensions that may have any size, by position, with their names."""
    example: Callable[[int, int], tuple[Tensor, ...]]
    """(n, side) -> inputs: a batch of n, with about `side` pixels or tokens to a side."""
    output: str
    """Its name."""
    shape: tuple[int | str, ...]
    """Of the output: numbers, and names of what may have any size."""
    says: dict[str, str] = field(default_factory=dict)
    """How to use it: for each input and the output its shape and range, and what else must be known."""
