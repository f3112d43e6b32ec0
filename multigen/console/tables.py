"""Tables for the terminal and in Markdown."""

import io
import re
import sys
from collections.abc import Sequence

from multigen.console.words import printable

__all__ = ["markdown", "text_table"]

Line = Sequence[str]

UNLIMITED = 1 << 20  # columns
NUMBER = re.compile(r"[-+]?(\d[\d,.]*(e[-+]?\d+)?|nan|inf)( (of|to|±) [-+]?\d[\d,.]*)?|-?")
"""A number, optionally with its deviation or total, or a range; - or nothing where it is
missing."""


def text_table(lines: Sequence[Line], head: Line = ()) -> str:
    """Lines of equally many cells as columns two spaces apart, under an optional head; numbers are
    right-aligned.

    On a terminal, texts are wrapped to its width. Elsewhere, and where the table does not fit even
    so, lines are as long as needed. Cells are plain text, one line each, as `printable` makes it:
    rich's markup and emoji codes are not interpreted, no colours are set.
    """
    from rich.console import Console
    from rich.measure import Measurement
    from rich.table import Table
    from rich.text import Text

    cells = [[Text(printable(cell)) for cell in line] for line in ([head, *lines] if head else lines)]
    table = Table.grid(padding=(0, 2, 0, 0))
    for number, column in zip(_numbers(lines, head), zip(*cells, strict=True), strict=True):
        widest = max(cell.cell_len for cell in column)
        table.add_column(justify="right" if number else "left", min_width=widest if number else None)
    for line in cells:
        table.add_row(*line)
    terminal = Console().width if sys.stdout.isatty() else 0
    console = Console(file=(output := io.StringIO()), width=UNLIMITED, force_jupyter=False)
    if Measurement.get(console, console.options, table).minimum <= terminal:
        console.width = terminal
    console.print(table)
    return "\n".join(line.rstrip() for line in output.getvalue().splitlines())


def markdown(lines: Sequence[Line], head: Line) -> str:
    """A Markdown table: lines of equally many cells under a head. Cells are Markdown, without |."""
    rule = ["---:" if right else "---" for right in _numbers(lines, head)]
    return "\n".join(f"| {' | '.join(line)} |" for line in (head, rule, *lines))


def _numbers(lines: Sequence[Line], head: Line) -> list[bool]:
    """For each column, whether all its cells are numbers."""
    columns = [all(map(NUMBER.fullmatch, column)) for column in zip(*lines, strict=True)]
    return columns or [False for _ in head]
