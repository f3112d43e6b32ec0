"""How long a run still takes: the rest of its stage, the later stages, and its evaluation."""

import time
from collections.abc import Sequence

__all__ = ["TimeLeft"]

UNKNOWN = 0.05  # of the time of all steps, for an evaluation while there was no validation to go by


class TimeLeft:
    """Estimates it from the steps that were made, and of later stages from those of a trial.

    Args:
        steps: of each stage.
        paces: seconds of a step of each stage, as a trial measured them; empty: all steps are taken to be like the present ones.
        validations: that an evaluation takes as long as.
    """

    def __init__(self, steps: Sequence[int], paces: Sequence[float] = (), validations: float = 5.0):
        self.steps, self.paces, self.validations = steps, paces, validations
        self.validation: float | None = None
        """Seconds of the last validation that measured something."""

    def begin(self, number: int, index: int) -> None:
        """Stage `number` is trained from now on; `index` of its steps are done."""
        self.number, self.first, self.began = number, index, time.monotonic()

    def after(self, index: int) -> float:
        """Seconds that are left when `index` steps of the stage are done, at least one of them since it began."""
        pace = (time.monotonic() - self.began) / max(index - self.first, 1)
        # What else the machine does, and validations, slow later steps as they slow these.
        paces = [pace * p / self.paces[self.number] for p in self.paces] or [pace for _ in self.steps]
        training = pace * (self.steps[self.number] - index)
        training += sum(p * n for p, n in list(zip(paces, self.steps, strict=True))[self.number + 1 :])
        whole = sum(p * n for p, n in zip(paces, self.steps, strict=True))
        return training + (UNKNOWN * whole if self.validation is None else self.validations * self.validation)
