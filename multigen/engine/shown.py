"""Display of trainers: `repr`, a table in notebooks, and the usage in `help`."""

import inspect
from collections.abc import Callable
from typing import Any

from multigen.console import printable
from multigen.console.notebook import html_table

__all__ = ["USAGE", "described", "html_of", "signature_for"]

USAGE = """

    trainer = {0}({1}(), multigen.Run(out="runs/mine"))
    trainer.fit()  # trains, and writes the run's folder
    print(trainer.evaluate())  # the metrics as a table
    model = multigen.load("runs/mine")
    """
"""Usage in the docstring of each method's trainer, below its description."""


def signature_for(init: Callable[..., None], config: type) -> inspect.Signature:
    """The signature of a trainer's `__init__`, with `config` as the type of its configuration, for
    `help`, which would show the type variable."""
    signature = inspect.signature(init)
    parameters = [p.replace(annotation=config) if p.name == "config" else p for p in signature.parameters.values()]
    return signature.replace(parameters=parameters)


def described(trainer: Any) -> str:
    """<DCGANTrainer: step 100 of 500, runs/mine>"""
    if not hasattr(trainer, "folder"):
        return f"<{type(trainer).__name__}: not trained yet, which fit() does>"
    return printable(f"<{type(trainer).__name__}: {_progress(trainer)}, {trainer.folder}>")


def html_of(trainer: Any) -> str:
    """The state of a trainer as an HTML table, followed by its evaluation, if any."""
    lines = [("training", "not yet, which fit() does")]
    if hasattr(trainer, "folder"):
        lines = [
            ("training", _progress(trainer)),
            ("stages", ", ".join(f"{stage.name} ({stage.steps})" for stage in trainer.plan)),
            ("device", f"{trainer.device}, {trainer.precision}"),
            ("folder", str(trainer.folder)),
        ]
    evaluation = trainer.evaluation._repr_html_() if hasattr(trainer, "evaluation") else ""
    return html_table(lines, title=type(trainer).__name__) + evaluation


def _progress(trainer: Any) -> str:
    return f"step {trainer.step} of {sum(stage.steps for stage in trainer.plan)}"
