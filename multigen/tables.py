"""Tables for the terminal and as Markdown. Columns of numbers stand right, all others left."""

import re
from collections.abc import Sequence

__all__ = ["markdown", "plain"]

Line = Sequence[str]
NUMBER = re.compile(r"[-+]?(\d[\d,.]*(e[-+]?\d+)?|nan|inf)( (of|±) \d[\d,.]*)?|-?")
"""A number, perhaps with its deviation or out of how many; - or nothing where there is none."""


def plain(lines: Sequence[Line], head: Line = ()) -> str:
    """Lines of equally many cells in columns two spaces apart, under a head if one is given."""
    right = _numbers(lines, head)
    cells = [head, *lines] if head else lines
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return "\n".join(
        "  ".join(f"{c:>{w}}" if r else f"{c:<{w}}" for c, w, r in zip(line, widths, right, strict=True)).rstrip()
        for line in cells
    )


def markdown(lines: Sequence[Line], head: Line) -> str:
    """Lines of equally many cells under a head. What stands in a cell is Markdown; a | in it would end it."""
    rule = ["---:" if right else "---" for right in _numbers(lines, head)]
    return "\n".join(f"| {' | '.join(line)} |" for line in (head, rule, *lines))


def _numbers(lines: Sequence[Line], head: Line) -> list[bool]:
    """Of each column whether nothing but numbers stands in it."""
    columns = [all(map(NUMBER.fullmatch, column)) for column in zip(*lines, strict=True)]
    return columns or [False for _ in head]
