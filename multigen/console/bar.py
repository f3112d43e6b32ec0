"""A progress bar with the time left, for commands that work through files."""

import contextlib
import os
import sys
from collections.abc import Iterator

from multigen.console import printable, quiet

__all__ = ["Bar", "bar"]


class Bar:
    """Progress in units of work. Shown on a terminal only: a log gets no line of it."""

    def __init__(self, what: str, total: float):
        from rich import progress
        from rich.console import Console

        self.live = progress.Progress(
            progress.TextColumn("{task.description}", markup=False),
            progress.BarColumn(),
            progress.TaskProgressColumn(),
            progress.TimeRemainingColumn(elapsed_when_finished=True),
            console=Console(stderr=True),
            disable=quiet() or not sys.stderr.isatty() or os.environ.get("RANK", "0") != "0",
        )
        self.task = self.live.add_task(printable(what), total=total)

    def advance(self, work: float) -> None:
        """So much more is done."""
        self.live.advance(self.task, work)

    def reach(self, work: float) -> None:
        """So much is done altogether, whatever was said before."""
        self.live.update(self.task, completed=work)


@contextlib.contextmanager
def bar(what: str, total: float) -> Iterator[Bar]:
    """A bar within it, `total` being all the work."""
    shown = Bar(what, total)
    with shown.live:
        yield shown
