"""How to use a run's model: command lines and lines of Python, for its report and its model
card."""

import json

from multigen.catalogue import METHODS, TASKS, Task
from multigen.console import printable, resume_option, shell_word
from multigen.runs.facts import Facts

__all__ = ["own_file", "python_lines", "python_of", "resume_command", "shell_line", "shell_of", "tune_command"]


def shell_of(task: Task, model: str, code: str = "") -> str:
    """The command line that uses a model of a task. `code` is the user's own file that trained it
    (`multigen cp`), if one did."""
    place = shell_word(model) + (f" --code {shell_word(code)}" if code else "")
    return f"multigen {task.verb} {task.arguments.format(model=place)}"


def python_of(task: Task | None, model: str, code: str = "") -> str:
    """The lines of Python that use a model of a task; for an unknown task those that load it."""
    words = [_literal(model), *([f"code={_literal(code)}"] if code else [])]
    loading = f"model = multigen.load({', '.join(words)})"
    if task is None:
        return f"import multigen\n\n{loading}"
    return f"{task.imports}\n\n{loading}\n{task.python}  # {task.gives}"


def _literal(text: str) -> str:
    """A Python string literal, with the escapes of JSON and of `printable`."""
    return printable(json.dumps(text, ensure_ascii=False))


def shell_line(facts: Facts, model: str, code: str | None = None) -> str:
    """The command that uses the model; "" for an unknown task.

    Args:
        model: the model's name in the command.
        code: the user's own file that trained the model; default: as in the run's command.
    """
    task = TASKS.get(facts.task)
    return shell_of(task, model, own_file(facts) if code is None else code) if task else ""


def python_lines(facts: Facts, model: str, code: str | None = None) -> str:
    """The same in Python."""
    return python_of(TASKS.get(facts.task), model, own_file(facts) if code is None else code)


def tune_command(facts: Facts) -> str:
    """The command that fine-tunes the model, with the run's settings, since other networks would
    not fit."""
    one = facts.seeds[0] if facts.seeds else facts
    settings = shell_word(str(one.folder.resolve() / "config.toml"))
    return f"{_program(facts)} --config {settings} --from {shell_word(str(facts.folder.resolve()))} --data ..."


def resume_command(facts: Facts) -> str:
    """The command that resumes a run that has not ended."""
    return f"{_program(facts)} {resume_option(facts.folder.resolve())}"


def own_file(facts: Facts) -> str:
    """The user's own file that trained the model (`multigen cp`), which loading needs; "" for a
    method of multigen."""
    if facts.method in METHODS:
        return ""
    words = str(facts.starts[0]["began"].get("command", "")).split() if facts.starts else []
    return next((word for word in words[1:2] if word.endswith(".py")), f"{facts.method}.py")


def _program(facts: Facts) -> str:
    """The command that trains: the recipe, or the user's own file."""
    own = own_file(facts)
    return f"python {shell_word(own)}" if own else f"python -m multigen.recipes.{facts.method}"
