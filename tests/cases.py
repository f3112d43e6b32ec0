"""Cases of parametrised tests."""

from collections.abc import Iterable
from typing import Any, TypeVar

import pytest

__all__ = ["few"]

T = TypeVar("T")


def few(cases: Iterable[T], *kept: T) -> list[Any]:
    """Parameters for the default suite, `kept`, one of each kind; the other cases are for `pytest
    -m slow`."""
    cases = [*cases]
    assert all(case in cases for case in kept), f"{kept}: expected cases among {cases}"
    return [
        pytest.param(*(case if isinstance(case, tuple) else (case,)), marks=[] if case in kept else [pytest.mark.slow])
        for case in cases
    ]
