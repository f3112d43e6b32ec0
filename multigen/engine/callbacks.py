"""Callbacks: six hooks into a run, each called on every rank."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from multigen.engine.evaluation import Evaluation

__all__ = ["Callback"]


class Callback:
    """Does nothing; override what is needed. `trainer` is the running `Trainer`."""

    def on_step(self, trainer: Any) -> None:
        """After each step."""

    def on_evaluate(self, trainer: Any, metrics: Mapping[str, float]) -> None:
        """After each validation."""

    def on_checkpoint(self, trainer: Any, folder: Path) -> None:
        """After each checkpoint, which was saved to `folder`."""

    def on_error(self, trainer: Any, error: BaseException) -> None:
        """When training ends with an error or an interrupt, before it is raised."""

    def on_end(self, trainer: Any) -> None:
        """When training has ended as planned and the model folder is written."""

    def on_evaluation(self, trainer: Any, evaluation: Evaluation) -> None:
        """After the evaluation on test data."""
