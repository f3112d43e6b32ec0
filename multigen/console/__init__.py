"""What a command prints, and how it exits. All of it passes through `printable`, so that no name or text of other people sends
control characters to a terminal."""

import contextlib
import datetime
import errno
import io
import logging
import os
import re
import signal
import sys
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TextIO

from multigen.console.notebook import LiveLine, in_notebook
from multigen.console.words import counted, did_you_mean, printable, resume_option, shell_word, shortened
from multigen.errors import ConfigError, Interrupted, MultigenError
from multigen.memory import limited, memory_errors

__all__ = [
    "STOPPING",
    "Progress",
    "Stopped",
    "counted",
    "did_you_mean",
    "exit_code",
    "if_slow",
    "listeners",
    "markdown",
    "note",
    "printable",
    "report_error",
    "resume_option",
    "say",
    "say_once",
    "shell_word",
    "shortened",
    "show",
    "show_text",
    "show_traceback",
    "stoppable",
    "text_table",
]


def show(text: str = "", lines: bool = False) -> None:
    """Prints a result on standard output: one line, or with `lines` several. Nothing else in the package does."""
    print(printable(text, lines))


def show_text(text: str) -> None:
    """Prints what a model wrote: as it is for a file or a program, with the escapes of `printable` on a terminal."""
    print(printable(text, lines=True) if sys.stdout.isatty() else text)


listeners: list[Callable[[str], object]] = []
"""Who else gets what is said, such as a run's log."""


def say(text: str) -> None:
    """A line for the user, once for all ranks; on standard error, so that results on standard output stay clean."""
    text = shortened(text)
    _print(text)
    for listener in listeners:
        listener(text)


def note(text: str) -> None:
    """A line for the logs alone: the run's, and that of --log-file."""
    if _log_file is not None and os.environ.get("RANK", "0") == "0":
        print(printable(text), file=_log_file, flush=True)
    for listener in listeners:
        listener(text)


def say_once(text: str, kind: str = "") -> None:
    """As `say`, but the same line, or if `kind` is given one line of this kind, only once per command."""
    if (kind or text) not in _once:
        _once.add(kind or text)  # first: a listener may fail at the line, and say the same
        say(text)


_once: set[str] = set()
SILENCE = 2.0  # seconds after which `if_slow` says what is going on


@contextlib.contextmanager
def if_slow(text: str) -> Iterator[None]:
    """Within it, says `text` on the terminal once `SILENCE` seconds have passed: for work that is
    short in most cases, so that nobody takes a long one for a program that hangs."""
    timer = threading.Timer(SILENCE, _print, (f"{shortened(text)} ...",))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _print(text: str) -> None:
    if os.environ.get("RANK", "0") == "0":
        if not _quiet:
            with _unless_closed():
                print(printable(text), file=sys.stderr, flush=True)
        if _log_file is not None:
            print(printable(text), file=_log_file, flush=True)


@contextlib.contextmanager
def _unless_closed() -> Iterator[None]:
    """For writing to the terminal. Once its window is closed, everything written is dropped, and training continues."""
    try:
        yield
    except OSError as error:
        if error.errno != errno.EIO:
            raise
        for stream in (sys.stdout, sys.stderr):
            _give_up(stream)


class Progress:
    """The progress of one stage of `steps` steps, `done` of which were made before."""

    def __init__(self, stage: str, steps: int, done: int):
        self.stage, self.steps, self.done, self.began = stage, steps, done, time.monotonic()
        self.live, self.line = None, None
        shown = not _quiet and os.environ.get("RANK", "0") == "0"
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
        """`index` steps are done; `text` says how it goes. `left`: seconds until the whole run is over; None: unknown."""
        if left is None:
            seconds = (time.monotonic() - self.began) / max(index - self.done, 1) * (self.steps - index)
            remains = f"{datetime.timedelta(seconds=round(seconds))} left"
        else:
            remains = f"about {datetime.timedelta(seconds=round(left))} left, evaluation included"
        if self.live is not None:
            with _unless_closed():
                self.live.update(self.task, completed=index, left=remains, text=printable(text))
        elif self.line is not None:
            self.line.show(f"{self.stage} {index}/{self.steps}  {remains}  {text}")
        else:
            _print(f"{self.stage} {index}/{self.steps}  {text}  {remains}")

    def close(self) -> None:
        """Gives the terminal back."""
        if self.live is not None:
            with _unless_closed():
                self.live.stop()


Line = Sequence[str]


UNLIMITED = 1 << 20  # columns
NUMBER = re.compile(r"[-+]?(\d[\d,.]*(e[-+]?\d+)?|nan|inf)( (of|±) \d[\d,.]*)?|-?")
"""A number, perhaps with its deviation or out of how many; - or nothing where there is none."""


def text_table(lines: Sequence[Line], head: Line = ()) -> str:
    """Lines of equally many cells in columns two spaces apart, under a head if one is given; numbers stand to the right.

    On a terminal, texts are wrapped to its width. Elsewhere, and where the table does not fit even so, lines are as long as they
    must be. Cells are plain text, one line each, as `printable` makes it: rich's markup and emoji codes are not interpreted, no
    colours are set.
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


STOPPING = [signal.SIGINT, signal.SIGTERM, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else [])]  # Windows has none


class Stopped(KeyboardInterrupt):
    """Carries the number of a signal; no Exception, which code that makes do with a failure would catch."""

    def __init__(self, number: int = signal.SIGINT):
        super().__init__(number)
        self.number = number


@contextlib.contextmanager
def stoppable() -> Iterator[None]:
    """Within it, SIGINT, SIGTERM and SIGHUP (the window is closed) raise Stopped, so that what is half written is removed.

    Signals with a handler of somebody else's, and ignored ones, stay as they are; off the main thread nothing changes.
    """
    old = {}
    try:
        with contextlib.suppress(ValueError):
            for number in STOPPING:
                if signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler):
                    old[number] = signal.signal(number, _stop)
        yield
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)


def _stop(number: int, _frame: object) -> None:
    raise Stopped(number)


TRACEBACK = "--traceback"


_traced = False  # whether the command that runs was given it
QUIET, LOG_FILE = "--quiet", "--log-file"
_quiet = False
_log_file: TextIO | None = None


def exit_code(action: Callable[[], object], less: str = "") -> int:
    """Runs a command. An error that the user can fix becomes one line on standard error and exit code 2 (128 + signal for
    an interrupt or a reader that has gone, such as `head`, as shells have it); any other error is ours and keeps its
    traceback. With --traceback anywhere among the command's words, which is taken out of them, the others show theirs too.

    Likewise taken out are --quiet, by which nothing is said but results and errors, and --log-file FILE, to which what is said is
    added.

    `less`: what to do where memory is short; if empty, to free some, or to use a machine with more.
    """
    global _traced, _quiet, _log_file
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # as standard error has it: it may lack some letters
    warnings.formatwarning = _warning
    logging.setLogRecordFactory(_Record)
    sys.excepthook = lambda _kind, error, _trace: show_traceback(error)
    _traced = TRACEBACK in sys.argv
    _once.clear()
    _quiet = QUIET in sys.argv
    sys.argv[:] = [word for word in sys.argv if word not in (TRACEBACK, QUIET)]
    try:
        _log_file = _opened_log()
    except MultigenError as error:
        report_error(error, f"error: {error}")
        return 2
    terminal = sys.stdout.isatty()
    try:
        with limited(), stoppable(), _log_file or contextlib.nullcontext():
            return _finished(action, less)
    except OSError as error:
        closed = terminal and not sys.stdout.isatty()  # a disk may say EIO too
        if not isinstance(error, BrokenPipeError) and not (closed and error.errno == errno.EIO):
            raise
        for stream in (sys.stdout, sys.stderr):
            _give_up(stream)
        # SIGPIPE, in whose place Python raises the exception; SIGHUP of a terminal whose window was closed
        return 128 + (13 if isinstance(error, BrokenPipeError) else 1)
    finally:
        _log_file = None


def _opened_log() -> TextIO | None:
    """The file of --log-file, which is taken out of the command's words; None without."""
    for i, word in enumerate(sys.argv):
        if word.partition("=")[0] == LOG_FILE:
            given = [word.partition("=")[2]] if "=" in word else sys.argv[i + 1 : i + 2]
            sys.argv[i : i + 1 + ("=" not in word)] = []
            if not given or not given[0] or given[0].startswith("--"):
                raise ConfigError(f"{LOG_FILE}: expected a file, such as {LOG_FILE} training.log")
            try:
                return open(os.path.expanduser(given[0]), "a", encoding="utf-8", errors="backslashreplace")
            except OSError as error:
                raise ConfigError(
                    f"{LOG_FILE} {given[0]} cannot be written ({error.strerror}); give another file"
                ) from error
    return None


def report_error(error: BaseException, line: str) -> None:
    """Prints the line that says what an error is, and if --traceback was given where it came from; on standard error."""
    if _log_file is not None and not _log_file.closed:
        print(printable(line), file=_log_file, flush=True)
    with _unless_closed():
        print(printable(shortened(line)), file=sys.stderr, flush=True)
        if _traced:
            show_traceback(error)


def show_traceback(error: BaseException) -> None:
    """Prints where an error came from, on standard error."""
    print(printable("".join(traceback.format_exception(error)), lines=True), file=sys.stderr, end="")


class _Record(logging.LogRecord):
    """What a library logs, which may quote names and texts of files."""

    def getMessage(self) -> str:
        return printable(shortened(super().getMessage()))


def _warning(message: Warning | str, *where: Any) -> str:
    """What a library warns of, likewise."""
    return _format(printable(shortened(str(message))), *where)


_format = warnings.formatwarning


def _finished(action: Callable[[], object], less: str) -> int:
    try:
        try:
            with memory_errors(less or "free some, or use a machine with more"):
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
        return 128 + (error.number if isinstance(error, Stopped) else signal.SIGINT)
    return 0


def _give_up(stream: TextIO) -> None:
    """Throws away what a stream still holds that nobody reads, so that Python does not try to write it again as it ends."""
    try:
        stream.flush()
    except OSError:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
