"""How a command ends: signals, errors and exit codes."""

import contextlib
import errno
import io
import logging
import os
import signal
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator
from typing import Any, TextIO

from multigen.console.messages import discard_output, output, unless_closed
from multigen.console.words import printable, shortened
from multigen.errors import ConfigError, Interrupted, MultigenError
from multigen.memory import limited, memory_errors

__all__ = ["STOPPING", "Stopped", "exit_code", "report_error", "show_traceback", "stoppable"]

STOPPING = [signal.SIGINT, signal.SIGTERM, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else [])]  # Windows has none


class Stopped(KeyboardInterrupt):
    """Carries the number of a signal. Not an Exception, so that code which tolerates failures does
    not catch it."""

    def __init__(self, number: int = signal.SIGINT):
        super().__init__(number)
        self.number = number


@contextlib.contextmanager
def stoppable() -> Iterator[None]:
    """Within it, SIGINT, SIGTERM and SIGHUP (the window is closed) raise Stopped, so that partial
    output is removed.

    Signals with another library's handler, and ignored ones, are unchanged; so is everything
    outside the main thread.
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


TRACEBACK, QUIET, LOG_FILE = "--traceback", "--quiet", "--log-file"


def exit_code(action: Callable[[], object], less: str = "") -> int:
    """Runs a command and returns its exit code. An error that the user can fix becomes one line on
    standard error and exit code 2 (128 + signal for an interrupt or a broken pipe, as in shells);
    any other error is a bug and keeps its traceback. The flag --traceback, anywhere in the command,
    shows the traceback of all errors.

    --quiet prints only results and errors; --log-file FILE also appends messages to a file. These
    three flags are removed from `sys.argv`.

    `less`: the remedy where memory is short; default: free some, or use a machine with more.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # as on standard error: its encoding may lack some characters
    warnings.formatwarning = _warning
    logging.setLogRecordFactory(_Record)
    sys.excepthook = lambda _kind, error, _trace: show_traceback(error)
    output.traced = TRACEBACK in sys.argv
    output.once.clear()
    output.quiet = QUIET in sys.argv
    sys.argv[:] = [word for word in sys.argv if word not in (TRACEBACK, QUIET)]
    try:
        output.log = _opened_log()
    except MultigenError as error:
        report_error(error, f"error: {error}")
        return 2
    terminal = sys.stdout.isatty()
    try:
        with limited(), stoppable(), output.log or contextlib.nullcontext():
            return _finished(action, less)
    except OSError as error:
        closed = terminal and not sys.stdout.isatty()  # a disk may raise EIO too
        if not isinstance(error, BrokenPipeError) and not (closed and error.errno == errno.EIO):
            raise
        for stream in (sys.stdout, sys.stderr):
            discard_output(stream)
        # SIGPIPE, which Python turns into the exception; SIGHUP for a closed terminal window
        return 128 + (13 if isinstance(error, BrokenPipeError) else 1)
    finally:
        output.log = None


def _opened_log() -> TextIO | None:
    """The file of --log-file, which is removed from `sys.argv`; None without the flag."""
    for i, word in enumerate(sys.argv):
        if word.partition("=")[0] == LOG_FILE:
            value = [word.partition("=")[2]] if "=" in word else sys.argv[i + 1 : i + 2]
            sys.argv[i : i + 1 + ("=" not in word)] = []
            if not value or not value[0] or value[0].startswith("--"):
                raise ConfigError(f"{LOG_FILE}: expected a file, such as {LOG_FILE} training.log")
            try:
                return open(os.path.expanduser(value[0]), "a", encoding="utf-8", errors="backslashreplace")
            except OSError as error:
                raise ConfigError(
                    f"{LOG_FILE} {value[0]} cannot be written ({error.strerror}); give another file"
                ) from error
    return None


def report_error(error: BaseException, line: str) -> None:
    """Prints an error's line on standard error, and with --traceback its traceback."""
    if output.log is not None and not output.log.closed:
        print(printable(line), file=output.log, flush=True)
    with unless_closed():
        print(printable(shortened(line)), file=sys.stderr, flush=True)
        if output.traced:
            show_traceback(error)


def show_traceback(error: BaseException) -> None:
    """Prints an error's traceback on standard error."""
    print(printable("".join(traceback.format_exception(error)), lines=True), file=sys.stderr, end="")


class _Record(logging.LogRecord):
    """A library's log record, which may quote names and texts from files: escaped and shortened."""

    def getMessage(self) -> str:
        return printable(shortened(super().getMessage()))


def _warning(message: Warning | str, *where: Any) -> str:
    """A library's warning, likewise."""
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
