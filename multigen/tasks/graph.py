"""A trained network with named inputs and outputs, for `multigen export`."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from torch import Tensor, nn

__all__ = ["Graph"]


@dataclass(frozen=True)
class Graph:
    """A network to export, and the description of its inputs and output."""

    network: nn.Module
    """On the CPU, in float32 and evaluation mode."""
    inputs: Mapping[str, Mapping[int, str]]
    """Input -> its dynamic dimensions: position -> name."""
    example: Callable[[int, int], tuple[Tensor, ...]]
    """(n, side) -> example inputs: a batch of n, about `side` pixels or tokens long per
    dimension."""
    output: str
    """Name of the output."""
    shape: tuple[int | str, ...]
    """Shape of the output: sizes, and names of dynamic dimensions."""
    says: dict[str, str] = field(default_factory=dict)
    """Metadata: for each input and the output its shape and range, and other facts needed to use
    it."""
