"""The lock of a run's folder: only one process at a time trains or evaluates in it."""

import contextlib
import json
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

from multigen.console import say
from multigen.errors import ConfigError
from multigen.storage.files import remedy

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

__all__ = ["locked"]

NAME = ".lock"


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Holds the lock of a run's folder until the block or the process ends. The kernel maintains
    the lock; the file's content only states which process has it.

    Raises ConfigError naming the process that holds the lock. Where files cannot be locked, as on
    some network file systems, a warning is printed.
    """
    path = folder / NAME
    handle = _acquire(path)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            path.unlink()  # while it is held: see `_acquire`
        os.close(handle)


def _acquire(path: Path) -> int:
    """Opens the file and locks it; returns its descriptor."""
    while True:
        try:
            handle = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o644)
        except OSError as error:
            raise ConfigError(f"{path} cannot be written ({error.strerror}); {remedy(error)}") from error
        try:
            if not _lock(handle, path):
                raise ConfigError(f"{path.parent} is in use by {_holder(handle)}; wait until it ends, or stop it")
            if _same(handle, path):
                _sign(handle)
                return handle
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)  # its last holder has removed the file meanwhile; another process may have made a new one


def _lock(handle: int, path: Path) -> bool:
    """Whether the lock was acquired; also True where files cannot be locked."""
    try:
        if fcntl is None:
            raise OSError("not on this system")
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        say(f"{path.parent} cannot be locked ({error.strerror or error}): make sure that no other process trains there")
    return True


def _same(handle: int, path: Path) -> bool:
    """Whether the file of that name is still the one that was opened."""
    try:
        return os.path.samestat(os.fstat(handle), os.stat(path))
    except FileNotFoundError:
        return False


def _sign(handle: int) -> None:
    """Writes which process has the lock. On a full disk the file stays empty; the lock is valid all
    the same."""
    with contextlib.suppress(OSError):
        os.ftruncate(handle, 0)
        os.write(handle, json.dumps({"pid": os.getpid(), "host": socket.gethostname(), "since": time.time()}).encode())


def _holder(handle: int) -> str:
    """Process, host and time that the file names; "another process" where it names none."""
    try:
        owner = json.loads(os.read(handle, 1000))
        since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(owner["since"]))
        return f"process {int(owner['pid'])} on {ascii(owner['host'])[1:-1]} since {since}"
    except (OSError, ValueError, LookupError, TypeError, OverflowError):
        return "another process"
