"""How training shows itself in the terminal: a live line, or plain lines where the output is no terminal."""

import datetime
import io
import os
import re
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from typing import TextIO

from multigen.errors import Interrupted, MultigenError

__all__ = ["Progress", "exit_code", "listeners", "markdown", "report_error", "say", "text_table"]

listeners: list[Callable[[str], object]] = []
"""Who else gets what is said, such as a run's log."""


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
                progress.TextColumn("{task.fields[left]}  {task.fields[text]}"),
                console=Console(stderr=True),
            )
            self.task = self.live.add_task(stage, total=steps, completed=done, left="", text="")
            self.live.start()

    def show(self, index: int, text: str, left: float | None = None) -> None:
        """`index` steps are done; `text` says how it goes. `left`: seconds until the run is over, of which this is a part."""
        if left is None:
            seconds = (time.monotonic() - self.began) / max(index - self.done, 1) * (self.steps - index)
            remains = f"{datetime.timedelta(seconds=round(seconds))} left"
        else:
            remains = f"about {datetime.timedelta(seconds=round(left))} left, evaluation included"
        if self.live is not None:
            self.live.update(self.task, completed=index, left=remains, text=text)
        else:
            _print(f"{self.stage} {index}/{self.steps}  {text}  {remains}")

    def close(self) -> None:
        """Gives the terminal back."""
        if self.live is not None:
            self.live.stop()


Line = Sequence[str]


UNLIMITED = 1 << 20  # columns
NUMBER = re.compile(r"[-+]?(\d[\d,.]*(e[-+]?\d+)?|nan|inf)( (of|±) \d[\d,.]*)?|-?")
"""A number, perhaps with its deviation or out of how many; - or nothing where there is none."""


def text_table(lines: Sequence[Line], head: Line = ()) -> str:
    """Lines of equally many cells in columns two spaces apart, under a head if one is given; numbers stand to the right.

    On a terminal, texts are wrapped to its width. Elsewhere, and where the table does not fit even so, lines are as long as they
    must be. Cells are plain text: rich's markup and emoji codes are not interpreted, and no colours are set.
    """
    from rich.console import Console
    from rich.measure import Measurement
    from rich.table import Table
    from rich.text import Text

    cells = [[Text(cell) for cell in line] for line in ([head, *lines] if head else lines)]
    table = Table.grid(padding=(0, 2, 0, 0))
    for number, column in zip(_numbers(lines, head), zip(*cells, strict=True), strict=True):
        widest = max(cell.cell_len for cell in column)
        table.add_column(justify="right" if number else "left", min_width=widest if number else None)
    for line in cells:
        table.add_row(*line)
    terminal = Console().width if sys.stdout.isatty() else 0
    console = Console(file=(written := io.StringIO()), width=UNLIMITED, force_jupyter=False)
    if Measurement.get(console, console.options, table).minimum <= terminal:
        console.width = terminal
    console.print(table)
    return "\n".join(line.rstrip() for line in written.getvalue().splitlines())


def markdown(lines: Sequence[Line], head: Line) -> str:
    """Lines of equally many cells under a head. What stands in a cell is Markdown; a | in it would end it."""
    rule = ["---:" if right else "---" for right in _numbers(lines, head)]
    return "\n".join(f"| {' | '.join(line)} |" for line in (head, rule, *lines))


def _numbers(lines: Sequence[Line], head: Line) -> list[bool]:
    """Of each column whether nothing but numbers stands in it."""
    columns = [all(map(NUMBER.fullmatch, column)) for column in zip(*lines, strict=True)]
    return columns or [False for _ in head]


TRACEBACK = "--traceback"


_traced = False  # whether the command that runs was given it


def exit_code(action: Callable[[], object]) -> int:
    """Runs a command. An error that the user can fix becomes one line on standard error and exit code 2 (128 + signal for
    an interrupt or a reader that has gone, such as `head`, as shells have it); any other error is ours and keeps its
    traceback. With --traceback anywhere among the command's words, which is taken out of them, the others show theirs too."""
    global _traced
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # as standard error has it: a file's name may be no text
    _traced = TRACEBACK in sys.argv
    sys.argv[:] = [word for word in sys.argv if word != TRACEBACK]
    try:
        return _finished(action)
    except BrokenPipeError:
        for stream in (sys.stdout, sys.stderr):
            _give_up(stream)
        return 128 + 13  # SIGPIPE, in whose place Python raises the exception


def report_error(error: BaseException, line: str) -> None:
    """Prints the line that says what an error is, and if --traceback was given where it came from; on standard error."""
    print(line, file=sys.stderr)
    if _traced:
        traceback.print_exception(error)


def _finished(action: Callable[[], object]) -> int:
    try:
        try:
            action()
        finally:
            sys.stdout.flush()
    except Interrupted as error:
        report_error(error, str(error))
        return 128 + error.signal
    except MultigenError as error:
        report_error(error, f"error: {error}")
        return 2
    except KeyboardInterrupt as error:
        report_error(error, "stopped")
        return 130
    return 0


def _give_up(stream: TextIO) -> None:
    """Throws away what a stream still holds that nobody reads, so that Python does not try to write it again as it ends."""
    try:
        stream.flush()
    except BrokenPipeError:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
