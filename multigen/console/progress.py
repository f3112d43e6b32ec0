"""The progress of training and of long commands."""

import datetime
import os
import sys
import time

from multigen.console.messages import quiet, unless_closed, write_line
from multigen.console.notebook import LiveLine, in_notebook
from multigen.console.words import printable

__all__ = ["Progress"]


class Progress:
    """The progress display of one stage of `steps` steps, `done` of which were made before."""

    def __init__(self, stage: str, steps: int, done: int):
        self.stage, self.steps, self.done, self.began = stage, steps, done, time.monotonic()
        self.live, self.line = None, None
        shown = not quiet() and os.environ.get("RANK", "0") == "0"
        if shown and in_notebook():
            self.line = LiveLine()
        elif shown and sys.stderr.isatty():
            from rich import progress
            from rich.console import Console

            self.live = progress.Progress(
                progress.TextColumn("{task.description}", markup=False),
                progress.BarColumn(),
                progress.MofNCompleteColumn(),
                progress.TextColumn("{task.fields[left]}  {task.fields[text]}", markup=False),
                console=Console(stderr=True),
            )
            self.task = self.live.add_task(printable(stage), total=steps, completed=done, left="", text="")
            self.live.start()

    def show(self, index: int, text: str, left: float | None = None) -> None:
        """Shows that `index` steps are done, with the metrics in `text`. `left`: seconds until the
        run ends; None: unknown."""
        if left is None:
            seconds = (time.monotonic() - self.began) / max(index - self.done, 1) * (self.steps - index)
            remains = f"{datetime.timedelta(seconds=round(seconds))} left"
        else:
            remains = f"about {datetime.timedelta(seconds=round(left))} left, evaluation included"
        if self.live is not None:
            with unless_closed():
                self.live.update(self.task, completed=index, left=remains, text=printable(text))
        elif self.line is not None:
            self.line.show(f"{self.stage} {index}/{self.steps}  {remains}  {text}")
        else:
            write_line(f"{self.stage} {index}/{self.steps}  {text}  {remains}")

    def close(self) -> None:
        """Releases the terminal."""
        if self.live is not None:
            with unless_closed():
                self.live.stop()
