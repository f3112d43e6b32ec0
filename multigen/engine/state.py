"""The full training state: everything that the future of a run depends on, in one record that is
saved and restored together."""

from dataclasses import dataclass, field
from typing import Any

from torch import nn

from multigen.engine.updater import Updater

__all__ = ["TrainingState"]


@dataclass
class TrainingState:
    """Everything that changes during training. A checkpoint stores all of it, by name."""

    nets: dict[str, nn.Module]
    """Networks by name, as they are trained."""
    averages: dict[str, nn.Module]
    """Running averages, by the names of their networks."""
    updater: Updater
    """Holds the optimisers, and the running means that controls read."""
    scalars: dict[str, Any]
    """Everything else, by name: numbers, texts, tensors. Includes controls, counters, pools, and a
    method's own entries."""
    copies: dict[str, nn.Module] = field(default_factory=dict)
    """Copies of networks that the current stage has taken."""
    number: int = 0
    """Number of the current stage, from 0."""
    index: int = 0
    """Steps done in the current stage."""
    step: int = 0
    """Steps done in all stages."""
    ended: bool = False
    """Whether the current stage has ended."""
