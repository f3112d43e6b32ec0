"""The `repr` of ready objects."""

from typing import Any

from multigen.catalogue import TASKS
from multigen.console import printable

__all__ = ["described"]


def described(model: Any) -> str:
    """The `repr` of a ready object: <ImageSampler: dcgan of RUN, generates images from noise; a
    line of Python>."""
    task, origin = TASKS[model.task], model.origin
    made = f"{origin['method']} of {origin['model']}, " if origin else ""
    return printable(f"<{type(model).__name__}: {made}{task.does}; {task.python}>")
