"""Ctrl-C, SIGTERM and SIGHUP (the window is closed), deferred until the current step has finished."""

import contextlib
import signal
from collections.abc import Callable, Iterator

from multigen.errors import Interrupted

__all__ = ["deferred_interrupts", "interruptible"]

STOPPING = [signal.SIGINT, signal.SIGTERM, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else [])]  # Windows has none


@contextlib.contextmanager
def deferred_interrupts() -> Iterator[list[int]]:
    """A list that is empty until SIGINT, SIGTERM or SIGHUP arrives, and then holds its number. A second signal acts at once.

    Nothing changes outside the main thread, where signals do not arrive, nor for a signal that a library in C handles, whose
    handler Python could not restore. A SIGHUP that is ignored, as under nohup, stays ignored.
    """
    numbers: list[int] = []
    old = {}

    def restore() -> None:
        for number, handler in old.items():
            signal.signal(number, handler)

    def defer(number: int, _frame: object) -> None:
        numbers.append(number)
        restore()

    with contextlib.suppress(ValueError):
        for number in STOPPING:
            if signal.getsignal(number) is not None and not _ignored_hangup(number):
                old[number] = signal.signal(number, defer)
    try:
        yield numbers
    finally:
        restore()


class _Signal(KeyboardInterrupt):
    """Has the number of the signal that it stands for. Not an Exception: code that continues after a failure would catch that."""


@contextlib.contextmanager
def interruptible(line: Callable[[], str]) -> Iterator[None]:
    """Within it, SIGINT, SIGTERM and SIGHUP raise Interrupted at once. `line` is called then, and returns the message: how far
    the work is, and how to resume it. Signals that are ignored, or have a handler of another origin, stay as they are."""

    def stop(number: int, _frame: object) -> None:
        raise _Signal(number)

    old = {}
    try:
        with contextlib.suppress(ValueError):
            for number in STOPPING:
                if signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler):
                    old[number] = signal.signal(number, stop)
        yield
    except KeyboardInterrupt as error:
        number = error.args[0] if isinstance(error, _Signal) else signal.SIGINT
        raise Interrupted(line(), number) from error
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)


def _ignored_hangup(number: int) -> bool:
    return number not in (signal.SIGINT, signal.SIGTERM) and signal.getsignal(number) == signal.SIG_IGN
