"""Loads models for verbs, each of which supports some tasks."""

import contextlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from multigen.catalogue import CONTAINERS, LIBRARIES, METHODS, TASKS, imported
from multigen.cli.kinds import meant_by
from multigen.errors import ConfigError, MultigenError

__all__ = ["check_verb", "load_for", "modality_of", "task_of"]


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


def task_of(model: str, code: str = "") -> tuple[str, str]:
    """The task of a model, by the configuration in its folder, before it is loaded: what decides
    how its inputs are looked for; and the model, of a folder of runs the one that is taken. ""
    where the configuration does not say it.

    Raises CheckpointError where there is no such model.
    """
    from multigen.storage.files import expanded
    from multigen.storage.hub import PREFIX
    from multigen.storage.model_folder import find_model, read_model

    for task in TASKS.values():
        if model in task.published or Path(model).suffix.lower() in task.weights:
            return task.name, model
    folder = find_model(model)
    if not model.startswith(PREFIX) and expanded(model) not in (folder, folder.parent):
        model = str(folder.parent)
    if code:
        from multigen.tasks.loading import find

        return find(model, code)[0].task, model
    method = read_model(folder, ()).method
    if method in LIBRARIES:
        return imported(LIBRARIES[method]).task, model  # pyright: ignore[reportFunctionMemberAccess]
    return METHODS[method].task if method in METHODS else "", model


def modality_of(inputs: Iterable[Path], model: str, code: str = "") -> tuple[str, str]:
    """The modality of a model's items, and the model as `task_of` gives it. Of a model that cannot
    be found, or without one, the modality that the names of the inputs mean: what is wrong is said
    when it is loaded."""
    with contextlib.suppress(MultigenError):
        task, model = task_of(model, code) if model else ("", "")
        if task:
            return TASKS[task].modality, model
    inputs = [*inputs]
    whole = [each.modality for path in inputs for each in CONTAINERS if path.suffix.lower() in each.suffixes]
    counts = meant_by(inputs)
    return (whole or [name for name, _ in counts.most_common(1)] or ["image"])[0], model
