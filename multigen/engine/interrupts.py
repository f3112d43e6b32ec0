"""Ctrl-C, SIGTERM and SIGHUP (the window is closed), deferred until the current step has
finished."""

import contextlib
import signal
from collections.abc import Callable, Iterator

from multigen.console import STOPPING, Stopped, stoppable
from multigen.errors import Interrupted

__all__ = ["deferred_interrupts", "interruptible"]


@contextlib.contextmanager
def deferred_interrupts() -> Iterator[list[int]]:
    """A list that is empty until SIGINT, SIGTERM or SIGHUP arrives, and then holds its number. A
    second signal acts at once.

    Nothing changes outside the main thread, where signals do not arrive, nor for a signal that a
    library in C handles, whose handler Python could not restore. A SIGHUP that is ignored, as under
    nohup, stays ignored.
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


@contextlib.contextmanager
def interruptible(line: Callable[[], str]) -> Iterator[None]:
    """Within it, SIGINT, SIGTERM and SIGHUP raise Interrupted at once. `line` is then called and
    returns the message: the progress, and how to resume. Signals that are ignored, or have another
    library's handler, are unchanged."""

    with stoppable():
        try:
            yield
        except KeyboardInterrupt as error:
            raise Interrupted(line(), error.number if isinstance(error, Stopped) else signal.SIGINT) from error


def _ignored_hangup(number: int) -> bool:
    return number not in (signal.SIGINT, signal.SIGTERM) and signal.getsignal(number) == signal.SIG_IGN
