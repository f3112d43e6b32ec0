"""Ctrl-C and SIGTERM, heard without breaking off what is being done."""

import contextlib
import signal
from collections.abc import Iterator

__all__ = ["heard"]


@contextlib.contextmanager
def heard() -> Iterator[list[int]]:
    """A list that is empty until SIGINT or SIGTERM comes and then holds its number. The second one acts as if not heard.

    Off the main thread, where signals do not arrive, nothing is changed; nor of a signal that a library in C has taken, whose
    handler Python could not put back.
    """
    numbers: list[int] = []
    old = {}

    def put_back() -> None:
        for number, handler in old.items():
            signal.signal(number, handler)

    def hear(number: int, _frame: object) -> None:
        numbers.append(number)
        put_back()

    with contextlib.suppress(ValueError):
        for number in (signal.SIGINT, signal.SIGTERM):
            if signal.getsignal(number) is not None:
                old[number] = signal.signal(number, hear)
    try:
        yield numbers
    finally:
        put_back()
