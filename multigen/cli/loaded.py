"""Trained models for the verbs that each use one kind of them."""

from typing import TypeVar

from multigen.catalogue import TASKS
from multigen.errors import ConfigError

__all__ = ["load_as"]

M = TypeVar("M")


def load_as(kind: type[M], does: str, model: str, code: str) -> M:
    """The model of a run; `does` says what one of this kind does. Raises ConfigError for another, and says how that is used."""
    from multigen.tasks.loading import load

    ready = load(model, code)
    if isinstance(ready, kind):
        return ready
    task = TASKS[ready.task]
    raise ConfigError(f"--model {model}: expected a model that {does}, but it {task.does}: {task.shell(model, code)}")
