"""What a notebook shows: objects as tables of HTML, and the progress of training as one line that changes."""

import builtins
from collections.abc import Sequence
from html import escape
from typing import Any

from multigen.console.words import printable

__all__ = ["LiveLine", "html_table", "in_notebook"]


def html_table(lines: Sequence[Sequence[str]], head: Sequence[str] = (), title: str = "") -> str:
    """Lines of equally many texts as a table of HTML, the first of each line as its heading; all of it escaped.

    Args:
        head: above the columns.
        title: above the table.
    """
    caption = f'<caption style="text-align: left">{_shown(title)}</caption>' if title else ""
    heads = f"<thead><tr>{''.join(f'<th>{_shown(cell)}</th>' for cell in head)}</tr></thead>" if head else ""
    left = 'style="text-align: left"'
    rows = [
        f'<tr><th scope="row" {left}>{_shown(first)}</th>{"".join(f"<td {left}>{_shown(c)}</td>" for c in rest)}</tr>'
        for first, *rest in lines
    ]
    return f"<table>{caption}{heads}<tbody>{''.join(rows)}</tbody></table>"


def _shown(text: str) -> str:
    return escape(printable(str(text)))


def in_notebook() -> bool:
    """Whether this runs in a notebook's kernel, whose output is no terminal, but can be changed after it was written."""
    shell = getattr(builtins, "get_ipython", lambda: None)()
    return type(shell).__name__ == "ZMQInteractiveShell"


class LiveLine:
    """A line of a notebook's output that changes in place, with IPython alone: rich would need ipywidgets for it."""

    def __init__(self):
        self.text, self.handle = "", None

    def show(self, text: str) -> None:
        """Puts `text` in place of what was there."""
        from IPython.display import display  # pyright: ignore[reportMissingImports]

        self.text = printable(text)
        if self.handle is None:
            self.handle: Any = display(self, display_id=True)
        else:
            self.handle.update(self)

    def __repr__(self) -> str:
        return self.text

    def _repr_html_(self) -> str:
        return f'<pre style="margin: 0">{escape(self.text)}</pre>'
