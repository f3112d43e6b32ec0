"""Errors that a user can mend. Each message names the value, what was expected, and what to do.

MultigenError
├── ConfigError       a setting, flag or configuration file
├── DataError         a file or folder of the user's that cannot be used as it is
├── CheckpointError   a run, checkpoint or weights file that cannot be loaded or saved
├── TrainingError     training cannot go on (non-finite gradients, a lost rank)
└── Interrupted       Ctrl-C or SIGTERM; what was trained is saved
"""

import io
import os
import sys
import traceback
from collections.abc import Callable
from typing import TextIO

__all__ = [
    "CheckpointError",
    "ConfigError",
    "DataError",
    "Interrupted",
    "MultigenError",
    "TrainingError",
    "exit_code",
    "tell",
]

TRACEBACK = "--traceback"
_traced = False  # whether the command that runs was given it


class MultigenError(Exception):
    """Base of all errors that the commands print as one line, without a traceback."""


class ConfigError(MultigenError):
    """A setting has a value that cannot be used."""


class DataError(MultigenError):
    """A file or folder cannot be read as what it was given for."""


class CheckpointError(MultigenError):
    """A run or a weights file is missing, damaged, foreign, or cannot be written."""


class TrainingError(MultigenError):
    """Training stopped because it cannot give a useful result."""


class Interrupted(MultigenError):
    """Training was asked to stop by a signal, has saved a checkpoint, and can be resumed."""

    def __init__(self, message: str, signal: int = 15):
        super().__init__(message)
        self.signal = signal


def exit_code(action: Callable[[], object]) -> int:
    """Runs a command. An error that the user can mend becomes one line on standard error and exit code 2 (128 + signal for
    an interrupt or a reader that has gone, such as `head`, as shells have it); any other error is ours and keeps its
    traceback. With --traceback anywhere among the command's words, which is taken out of them, the others show theirs too."""
    global _traced
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # as standard error has it: a file's name may be no text
    _traced = TRACEBACK in sys.argv
    sys.argv[:] = [word for word in sys.argv if word != TRACEBACK]
    try:
        return _told(action)
    except BrokenPipeError:
        for stream in (sys.stdout, sys.stderr):
            _give_up(stream)
        return 128 + 13  # SIGPIPE, in whose place Python raises the exception


def tell(error: BaseException, line: str) -> None:
    """Prints the line that says what an error is, and if --traceback was given where it came from; on standard error."""
    print(line, file=sys.stderr)
    if _traced:
        traceback.print_exception(error)


def _told(action: Callable[[], object]) -> int:
    try:
        try:
            action()
        finally:
            sys.stdout.flush()
    except Interrupted as error:
        tell(error, str(error))
        return 128 + error.signal
    except MultigenError as error:
        tell(error, f"error: {error}")
        return 2
    except KeyboardInterrupt as error:
        tell(error, "stopped")
        return 130
    return 0


def _give_up(stream: TextIO) -> None:
    """Throws away what a stream still holds that nobody reads, lest Python try to write it again as it ends."""
    try:
        stream.flush()
    except BrokenPipeError:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
