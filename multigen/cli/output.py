"""What verbs print for programs."""

import json
from typing import Any

__all__ = ["print_json"]


def print_json(value: Any) -> None:
    """Prints a value as JSON, in ASCII, which every terminal and every pipe can take."""
    print(json.dumps(value, indent=1))
