"""Loads models for verbs, each of which supports some tasks."""

from typing import Any

from multigen.catalogue import TASKS
from multigen.errors import ConfigError

__all__ = ["check_verb", "load_for"]


def load_for(verb: str, model: str, code: str, device: str = "auto") -> Any:
    """The model of a run, for a verb. Raises ConfigError for a model whose task the verb does not
    support, with the command that uses it."""
    from multigen.tasks.loading import load

    return check_verb(verb, load(model, code, device), model, code)


def check_verb(verb: str, ready: Any, model: str, code: str) -> Any:
    """The model `ready`, which was loaded as `model`. Raises ConfigError as `load_for`."""
    from multigen.runs.usage import shell_of

    task = TASKS.get(ready.task)
    if task is None:
        raise ConfigError(f"--model {model}: its task is {ready.task!r}; expected one of {', '.join(TASKS)}")
    if verb not in (task.verb, *task.more_verbs):
        raise ConfigError(
            f"--model {model}: expected a model for `multigen {verb}`, but it {task.does}: {shell_of(task, model, code)}"
        )
    return ready
