"""JSON output of verbs."""

from typing import Any

from multigen.console import show
from multigen.storage.files import to_json

__all__ = ["print_json"]


def print_json(value: Any) -> None:
    """Prints a value as JSON in ASCII, which is safe for every terminal and pipe."""
    show(to_json(value, indent=1), lines=True)
