"""How training shows itself in the terminal: a live line, or plain lines where the output is no terminal."""

import os
import sys
import time
from collections.abc import Callable

__all__ = ["Progress", "listeners", "say"]

listeners: list[Callable[[str], object]] = []
"""Who else is told what is said, such as a run's log."""


def say(text: str) -> None:
    """A line for the user, once for all ranks; on standard error, so that results on standard output stay clean."""
    _print(text)
    for listener in listeners:
        listener(text)


def _print(text: str) -> None:
    if os.environ.get("RANK", "0") == "0":
        print(text, file=sys.stderr, flush=True)


class Progress:
    """The progress of one stage of `steps` steps, `done` of which were made before."""

    def __init__(self, stage: str, steps: int, done: int):
        self.stage, self.steps, self.done, self.began = stage, steps, done, time.monotonic()
        self.live = None
        if sys.stderr.isatty() and os.environ.get("RANK", "0") == "0":
            from rich import progress
            from rich.console import Console

            self.live = progress.Progress(
                progress.TextColumn("{task.description}"),
                progress.BarColumn(),
                progress.MofNCompleteColumn(),
                progress.TimeRemainingColumn(),
                progress.TextColumn("{task.fields[text]}"),
                console=Console(stderr=True),
            )
            self.task = self.live.add_task(stage, total=steps, completed=done, text="")
            self.live.start()

    def show(self, index: int, text: str) -> None:
        """`index` steps are done; `text` says how it goes."""
        if self.live is not None:
            self.live.update(self.task, completed=index, text=text)
            return
        left = (time.monotonic() - self.began) / max(index - self.done, 1) * (self.steps - index)
        _print(f"{self.stage} {index}/{self.steps}  {text}  {left // 60:.0f}:{left % 60:02.0f} left")

    def close(self) -> None:
        """Gives the terminal back."""
        if self.live is not None:
            self.live.stop()
