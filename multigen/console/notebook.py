"""What a notebook shows: objects as tables of HTML, and the progress of training as one line that changes."""

import builtins
import uuid
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


def _shell() -> Any:
    """The shell of IPython, in which code of a notebook or of its terminal runs; None elsewhere."""
    return getattr(builtins, "get_ipython", lambda: None)()


def in_notebook() -> bool:
    """Whether this runs in a notebook's kernel, whose output is no terminal, but can be changed
    after it was written."""
    return type(_shell()).__name__ == "ZMQInteractiveShell"


class LiveLine:
    """A line of a notebook's output that changes in place, without ipywidgets, which rich needs."""

    def __init__(self):
        self.name, self.shown = uuid.uuid4().hex, False

    def show(self, text: str) -> None:
        """Puts `text` in place of the line's."""
        text = printable(text)
        data = {"text/plain": text, "text/html": f'<pre style="margin: 0">{escape(text)}</pre>'}
        _shell().display_pub.publish(data=data, transient={"display_id": self.name}, update=self.shown)
        self.shown = True
