"""Ctrl-C and SIGTERM, deferred until the current step has finished."""

import contextlib
import signal
from collections.abc import Iterator

__all__ = ["deferred_interrupts"]


@contextlib.contextmanager
def deferred_interrupts() -> Iterator[list[int]]:
    """A list that is empty until SIGINT or SIGTERM arrives, and then holds its number. A second one acts at once, as usual.

    Nothing changes off the main thread, where signals do not arrive, nor for a signal that a library in C handles, whose handler
    Python could not restore.
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
        for number in (signal.SIGINT, signal.SIGTERM):
            if signal.getsignal(number) is not None:
                old[number] = signal.signal(number, defer)
    try:
        yield numbers
    finally:
        restore()
