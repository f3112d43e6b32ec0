"""Messages for the user, on standard error and in logs, and results on standard output."""

import contextlib
import errno
import os
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TextIO

from multigen.console.notebook import in_notebook
from multigen.console.words import printable, shortened

__all__ = [
    "discard_output",
    "if_slow",
    "note",
    "output",
    "quiet",
    "say",
    "say_once",
    "show",
    "show_text",
    "sinks",
    "unless_closed",
    "write_line",
]


@dataclass
class Output:
    """How the running command prints."""

    quiet: bool = False
    """Only results and errors are printed."""
    traced: bool = False
    """Errors are printed with their tracebacks."""
    log: TextIO | None = None
    """The file of --log-file."""
    once: set[str] = field(default_factory=set)
    """Messages, or their kinds, that `say_once` has printed."""


output = Output()


def show(text: str = "", lines: bool = False) -> None:
    """Prints a result on standard output: one line, or with `lines` several. Nothing else in the
    package prints there."""
    print(printable(text, lines))


def show_text(text: str) -> None:
    """Prints generated text: unchanged to a file or a pipe, with the escapes of `printable` on a
    terminal."""
    print(printable(text, lines=True) if sys.stdout.isatty() else text)


sinks: list[Callable[[str], object]] = []
"""Additional sinks of messages, such as a run's log."""


def say(text: str) -> None:
    """Prints a message for the user, on rank 0 only; on standard error, so that standard output has
    only results."""
    text = shortened(text)
    write_line(text)
    for sink in sinks:
        sink(text)


def quiet() -> bool:
    """Whether the command was given --quiet."""
    return output.quiet


def note(text: str) -> None:
    """A line for the logs alone: the run's, and that of --log-file."""
    if output.log is not None and os.environ.get("RANK", "0") == "0":
        print(printable(text), file=output.log, flush=True)
    for sink in sinks:
        sink(text)


def say_once(text: str, kind: str = "") -> None:
    """As `say`, but the same message, or with `kind` one message of this kind, only once per
    command."""
    if (kind or text) not in output.once:
        output.once.add(kind or text)  # first: a sink may fail and print the same message
        say(text)


SILENCE = 2.0  # seconds after which `if_slow` says what is going on
_timers: list[threading.Timer] = []


@contextlib.contextmanager
def if_slow(text: str) -> Iterator[None]:
    """Within it, says `text` on the terminal, or in a notebook, once `SILENCE` seconds have passed:
    for work that is short in most cases, so that nobody takes a long one for a program that hangs.
    Of nested ones the innermost speaks."""
    if not (sys.stderr.isatty() or in_notebook()):
        yield
        return
    for outer in _timers:
        outer.cancel()
    timer = threading.Timer(SILENCE, write_line, (f"{shortened(text)} ...",))
    timer.daemon = True
    timer.start()
    _timers.append(timer)
    try:
        yield
    finally:
        timer.cancel()
        _timers.remove(timer)


def write_line(text: str) -> None:
    """A line on standard error and in the file of --log-file, on rank 0 only."""
    if os.environ.get("RANK", "0") == "0":
        if not output.quiet:
            with unless_closed():
                print(printable(text), file=sys.stderr, flush=True)
        if output.log is not None:
            print(printable(text), file=output.log, flush=True)


@contextlib.contextmanager
def unless_closed() -> Iterator[None]:
    """Around writing to the terminal: once its window is closed, all output is dropped, and
    training continues."""
    try:
        yield
    except OSError as error:
        if error.errno != errno.EIO:
            raise
        for stream in (sys.stdout, sys.stderr):
            discard_output(stream)


def discard_output(stream: TextIO) -> None:
    """Discards a stream's unwritten content, so that Python does not retry the flush at exit."""
    try:
        stream.flush()
    except OSError:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
