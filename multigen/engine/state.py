"""The state of a training run: everything that its future depends on, in one record that is saved and restored as a whole."""

from dataclasses import dataclass, field
from typing import Any

from torch import nn

from multigen.engine.updater import Updater

__all__ = ["TrainingState"]


@dataclass
class TrainingState:
    """What changes while a run trains. A checkpoint holds all of it, by name."""

    nets: dict[str, nn.Module]
    """Networks by name, as they are trained."""
    averages: dict[str, nn.Module]
    """Running averages, by the names of their networks."""
    updater: Updater
    """Holds the optimisers, and the means that controls wait for."""
    scalars: dict[str, Any]
    """Everything else, by name: numbers, texts, tensors. Controls, counters and pools are in it, and what a method puts there."""
    copies: dict[str, nn.Module] = field(default_factory=dict)
    """Copies of networks that the present stage has taken."""
    number: int = 0
    """Of the present stage, counted from 0."""
    index: int = 0
    """Steps of the present stage that are done."""
    step: int = 0
    """Steps of all stages that are done."""
    ended: bool = False
    """Whether the present stage is over."""
