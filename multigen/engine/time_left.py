"""Estimates the remaining time of a run: the rest of its stage, the later stages, and the
evaluation."""

import time
from collections.abc import Sequence

__all__ = ["TimeLeft"]

UNKNOWN = 0.05  # share of the time of all steps that an evaluation takes, while no validation has been timed


class TimeLeft:
    """An estimate from the steps so far; for later stages, from those of a trial.

    Args:
        steps: number of steps of each stage.
        paces: seconds per step in each stage, as a trial measured them; if empty, as in the current
            stage.
        validations: time of the evaluation, in validations.
    """

    def __init__(self, steps: Sequence[int], paces: Sequence[float] = (), validations: float = 5.0):
        self.steps, self.paces, self.validations = steps, paces, validations
        self.validation: float | None = None
        """Seconds of the last validation that measured something."""

    def begin(self, number: int, index: int) -> None:
        """Starts the clock in a stage with `index` steps done."""
        self.number, self.first, self.began = number, index, time.monotonic()

    def after(self, index: int) -> float:
        """Seconds left when `index` steps of the stage are done, at least one of them since
        `begin`."""
        pace = (time.monotonic() - self.began) / max(index - self.first, 1)
        # Later stages in proportion: other processes and validations slow them as they slow this one.
        paces = [pace * p / self.paces[self.number] for p in self.paces] or [pace for _ in self.steps]
        training = pace * (self.steps[self.number] - index)
        training += sum(p * n for p, n in list(zip(paces, self.steps, strict=True))[self.number + 1 :])
        whole = sum(p * n for p, n in zip(paces, self.steps, strict=True))
        return training + (UNKNOWN * whole if self.validation is None else self.validations * self.validation)
