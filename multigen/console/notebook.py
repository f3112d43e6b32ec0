"""Display in notebooks: objects as HTML tables, and training progress as one line that is
updated."""

import builtins
import uuid
from collections.abc import Sequence
from html import escape
from typing import Any

from multigen.console.words import printable

__all__ = ["LiveLine", "html_table", "in_notebook"]


def html_table(lines: Sequence[Sequence[str]], head: Sequence[str] = (), title: str = "") -> str:
    """Lines of equally many texts as an HTML table, the first of each line as its heading;
    everything escaped.

    Args:
        head: column headings.
        title: caption of the table.
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
    """IPython's shell, in which code of a notebook or of IPython's terminal runs; None
    elsewhere."""
    return getattr(builtins, "get_ipython", lambda: None)()


def in_notebook() -> bool:
    """Whether this runs in a notebook's kernel, whose output is no terminal, but can be changed
    after it was written."""
    return type(_shell()).__name__ == "ZMQInteractiveShell"


class LiveLine:
    """A line of a notebook's output that is updated in place, without ipywidgets, which rich
    needs."""

    def __init__(self):
        self.name, self.shown = uuid.uuid4().hex, False

    def show(self, text: str) -> None:
        """Replaces the line's text."""
        text = printable(text)
        data = {"text/plain": text, "text/html": f'<pre style="margin: 0">{escape(text)}</pre>'}
        _shell().display_pub.publish(data=data, transient={"display_id": self.name}, update=self.shown)
        self.shown = True
