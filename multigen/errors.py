"""Errors that a user can fix. Each message names the value, what was expected, and what to do.

MultigenError
├── ConfigError       a setting, flag or configuration file
├── DataError         a file or folder of the user's that cannot be used as it is
├── CheckpointError   a run, checkpoint or weights file that cannot be loaded or saved
├── OutOfMemory       more memory is needed than there is
├── TrainingError     training cannot continue (non-finite gradients, a lost rank)
└── Interrupted       Ctrl-C or SIGTERM; what was trained is saved
"""

__all__ = [
    "CheckpointError",
    "ConfigError",
    "DataError",
    "Interrupted",
    "MultigenError",
    "OutOfMemory",
    "TrainingError",
    "one_line",
]


class MultigenError(Exception):
    """Base of all errors that the commands print as one line, without a traceback."""


class ConfigError(MultigenError):
    """A setting has a value that cannot be used."""


class DataError(MultigenError):
    """A file or folder cannot be used for the purpose it was passed for."""


class CheckpointError(MultigenError):
    """A run or a weights file is missing, damaged, foreign, or cannot be written."""


class OutOfMemory(MultigenError):
    """More memory is needed than there is; the message says what to lower."""


class TrainingError(MultigenError):
    """Training stopped because it cannot give a useful result."""


class Interrupted(MultigenError):
    """Training was asked to stop by a signal, has saved a checkpoint, and can be resumed."""

    def __init__(self, message: str, signal: int = 15):
        super().__init__(message)
        self.signal = signal


def one_line(error: BaseException) -> str:
    """A library's error message for use in one of ours: one line of at most 200 characters."""
    return " ".join(str(error).split())[:200]
