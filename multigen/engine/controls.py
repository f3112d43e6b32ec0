"""Applies controls: the signals that a rule reads, checks of its decision, and the scalars that
store it."""

import math
from collections.abc import Collection, Mapping
from typing import Any

from multigen.engine import distributed
from multigen.engine.plan import Control, Decision, Stage
from multigen.engine.state import TrainingState
from multigen.errors import ConfigError

__all__ = ["Signals", "begin", "changes_of", "decide", "settings_of"]

STAGE_SCALARS = ("fired/", "rate/", "repeat/", "validation/")
"""Prefixes of the scalars that last for one stage."""
NEXT_STAGE = "next stage"
"""Scalar that stores the settings that take effect when the next stage begins."""


class Signals(dict[str, float]):
    """Signals by name, as a rule reads them. A missing name raises ConfigError; `get` returns None
    for it."""

    def __init__(self, control: str, signals: Mapping[str, float]):
        super().__init__(signals)
        self.control = control

    def __missing__(self, name: str) -> float:
        available = ", ".join(sorted(self)) or "nothing"
        raise ConfigError(
            f"control {self.control!r}: signal {name!r} is not among those logged since its last decision ({available}); list "
            "it in Control.reads, and use signals.get(name) where it may be missing"
        )


def begin(stage: Stage, scalars: dict[str, Any], networks: Collection[str]) -> None:
    """Resets the scalars that rules may change to their initial values for a stage."""
    for name in [name for name in scalars if name.startswith(STAGE_SCALARS)]:
        del scalars[name]
    scalars |= {f"rate/{network}": 1.0 for network in networks}
    scalars |= {f"control/{control.name}": control.start for control in stage.controls}
    scalars |= scalars.pop(NEXT_STAGE, {})


def decide(control: Control, stage: Stage, state: TrainingState) -> Decision:
    """The decision of a control's rule: the first rank's, on every rank.

    Raises ConfigError for a decision that cannot be carried out.
    """
    validation = {name: figure for name, figure in state.scalars.items() if name.startswith("validation/")}
    signals = Signals(control.name, state.updater.signals[control.name].read() | validation)
    decision = control.rule(state.scalars[f"control/{control.name}"], signals)
    decision = distributed.object_from_first(decision, state.updater.device)
    _check(decision, f"control {control.name!r}", state.nets, [update.name for update in stage.updates])
    return decision


def _check(decision: Any, who: str, networks: Collection[str], updates: Collection[str]) -> None:
    if not isinstance(decision, Decision):
        raise ConfigError(f"{who}: its rule returned {decision!r}; expected a Decision(value, reason)")
    if not math.isfinite(decision.value):
        raise ConfigError(f"{who}: value {decision.value}; expected a finite number, so check what the rule divides by")
    for field, names, expected in (("rates", decision.rates, networks), ("repeats", decision.repeats, updates)):
        for name in names.keys() - set(expected):
            kind = {"rates": "a network", "repeats": "an update of the stage"}[field]
            raise ConfigError(f"{who}: {field} of {name!r}; expected {kind}, which are {', '.join(expected)}")
    for name, factor in decision.rates.items():
        if not (math.isfinite(factor) and factor >= 0):
            raise ConfigError(f"{who}: rate of {name} {factor}; expected a finite factor of 0 or more, 1 for no change")
    for name, times in decision.repeats.items():
        if not isinstance(times, int) or times < 0:
            raise ConfigError(f"{who}: repeats of {name} {times!r}; expected a whole number, 0 to skip the update")


def settings_of(decision: Decision, control: Control) -> dict[str, Any]:
    """The scalars that a decision sets."""
    rates = {f"rate/{network}": factor for network, factor in decision.rates.items()}
    repeats = {f"repeat/{update}": times for update, times in decision.repeats.items()}
    return {f"control/{control.name}": decision.value} | rates | repeats


def changes_of(decision: Decision, control: Control, stage: Stage, scalars: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a decision's line in metrics.jsonl; none where it changes nothing, or says no
    reason."""
    planned = {update.name: update.repeat for update in stage.updates}
    rates = {n: factor for n, factor in decision.rates.items() if factor != scalars[f"rate/{n}"]}
    repeats = {n: k for n, k in decision.repeats.items() if k != scalars.get(f"repeat/{n}", planned[n])}
    if not decision.reason and not decision.rollback:
        return {}
    if not (decision.rollback or rates or repeats or decision.value != scalars[f"control/{control.name}"]):
        return {}
    parts = {"rates": rates, "repeats": repeats}
    line: dict[str, Any] = {"control": control.name, "value": decision.value, "reason": decision.reason}
    return line | {name: part for name, part in parts.items() if part}
