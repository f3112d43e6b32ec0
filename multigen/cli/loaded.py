"""Trained models for the verbs that each use one kind of them."""

from typing import TypeVar

from multigen.catalogue import USES
from multigen.errors import ConfigError

__all__ = ["load_as"]

M = TypeVar("M")


def load_as(kind: type[M], does: str, model: str, code: str) -> M:
    """The model of a run; `does` says what one of this kind does. Raises ConfigError for another, and says how that is used."""
    from multigen import load

    found = load(model, code)
    if isinstance(found, kind):
        return found
    use = USES.get(getattr(found, "noun", ""))
    other = f"it {use.does}: {use.shell(model, code)}" if use else f"it is a {type(found).__name__}; give another run"
    raise ConfigError(f"--model {model}: expected a model that {does}, but {other}")
