"""Trained models for the verbs, each of which some tasks can do."""

from typing import Any

from multigen.catalogue import TASKS
from multigen.errors import ConfigError

__all__ = ["load_for"]


def load_for(verb: str, model: str, code: str, device: str = "auto") -> Any:
    """The model of a run, for a verb of the command line. Raises ConfigError for a model of a task that the verb does not do, and
    says how that one is used."""
    from multigen.runs.usage import shell_of
    from multigen.tasks.loading import load

    ready = load(model, code, device)
    task = TASKS.get(ready.task)
    if task is None:
        raise ConfigError(f"--model {model}: its task is {ready.task!r}; expected one of {', '.join(TASKS)}")
    if verb not in (task.verb, *task.more_verbs):
        raise ConfigError(
            f"--model {model}: expected a model for `multigen {verb}`, but it {task.does}: {shell_of(task, model, code)}"
        )
    return ready
