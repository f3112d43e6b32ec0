"""Cases of parametrised tests."""

import ast
from collections.abc import Iterable
from typing import Any, TypeVar

import pytest

from multigen.catalogue import METHODS, Method

__all__ = ["BASES", "few", "methods"]

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


def _base(method: Method) -> str:
    """The name of the class that its trainer derives from, such as ImageSynthesisTrainer."""
    for node in method.source.body:
        match node:
            case ast.ClassDef(name=name, bases=[ast.Subscript(value=ast.Name(id=base)) | ast.Name(id=base), *_]):
                if name.endswith("Trainer"):
                    return base
    raise AssertionError(f"{method.file}: no class ...Trainer with a base")


BASES = {base: name for name, base in reversed([(name, _base(method)) for name, method in METHODS.items()])}
"""Base of trainers -> its first method in the catalogue, which stands for the others by default."""


LONG = ("maskcyclegan",)
"""Methods whose embedded data take seconds to make."""


def methods(task: str = "", *more: str) -> list[Any]:
    """The methods, of a task where one is named, as parameters. By default one of each base runs,
    and `more`; the others are for `pytest -m slow`."""
    names = [name for name, method in METHODS.items() if task in ("", method.task)]
    first = [name for name in names if name in BASES.values() and name not in LONG] or names[:1]
    return few(names, *first, *more)
