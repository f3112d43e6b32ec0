"""The training plan of a method: updates (one optimiser step on named networks) in stages (updates
repeated for some steps).

A step is one pass over a stage's list of updates, never an optimiser step.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor

from multigen.engine.batches import Batch, Source
from multigen.engine.optimisers import Optimiser
from multigen.engine.randomness import key
from multigen.errors import ConfigError

__all__ = ["Best", "Control", "Copy", "Decision", "EarlyStop", "Pool", "Stage", "Step", "Terms", "Update"]

DrawKey = tuple[int, int, str, str, int, int]
"""(seed, attempt, stage, update, index, repeat): what a draw depends on besides its stream."""
Terms = Mapping[str, Tensor | tuple[Tensor, Tensor | int]]


class Step:
    """The current position of training and its random numbers, as passed to a loss.

    A draw is made for the global batch and cut to `rows`, so neither ranks nor micro-batches change
    it; it depends on (seed, attempt, stage, update, index, repeat, stream) and on nothing drawn
    before.

    `stage` and `update` are names, `index` is the step within the stage, from 0, `progress` the
    fraction of its steps that is done (0..1), `repeat` which of `Update.repeat` firings this is,
    `batch` the rows of the global batch.
    """

    def __init__(self, draw_key: DrawKey, progress: float, rows: slice, batch: int, device, dtype, signals):
        self.draw_key, self.progress, self.rows, self.batch = draw_key, progress, rows, batch
        self.device, self.dtype, self._signals = device, dtype, signals
        self.stage, self.update, self.index, self.repeat = draw_key[2:]

    def rng(self, stream: str) -> torch.Generator:
        """A fresh CPU generator for `stream`; the same on all ranks and micro-batches."""
        return torch.Generator().manual_seed(key(*self.draw_key, stream))

    def rand(self, stream: str, *shape: int) -> Tensor:
        """Uniform numbers in [0, 1), (rows, *shape)."""
        return self._cut(torch.rand(self.batch, *shape, generator=self.rng(stream)))

    def randn(self, stream: str, *shape: int) -> Tensor:
        """Standard normal numbers, (rows, *shape)."""
        return self._cut(torch.randn(self.batch, *shape, generator=self.rng(stream)))

    def _cut(self, draw: Tensor) -> Tensor:
        return draw[self.rows].to(self.device, self.dtype, non_blocking=True)

    def log(self, name: str, value: Tensor) -> None:
        """Logs the mean of `value` over the batch without adding it to the loss. Controls may read
        it as a signal."""
        self._signals(name, value.detach().double().mean(), self.rows.stop - self.rows.start)


@dataclass(frozen=True)
class Update:
    """One optimiser step on the networks named in `trains`, from one loss that may have several
    terms."""

    name: str
    trains: Sequence[str]
    loss: Callable[[Batch, Step], Terms]
    """Named terms, already weighted. A term is a mean over the batch's rows, or (sum, count), which
    is divided by the total count."""
    repeat: int = 1
    """Firings per step, each with its own batch and draws (critic steps)."""
    every: int = 1
    """Fires at steps 0, every, 2 every, ..."""
    lazy: bool = False
    """Multiplies the loss by `every` and corrects the optimiser: lr c, betas ** c with c = every /
    (every + 1)."""
    data: "Source | Pool | None" = None
    """Source of this update's batches; None: the method's `open_data`."""
    couples: bool = False
    """The terms couple the rows of a batch (batch averages): micro-batches are refused."""
    clip_norm: float = 0.0
    """Maximum norm of the total gradient; 0: no limit."""
    after: Callable[[], None] | None = None
    """Called after the optimiser's step, to project weights (clipping)."""


@dataclass(frozen=True)
class Pool:
    """Data that the model generates: `fill(step)` returns named tensors (N, ...), every `every`
    firings of its update. Saved in checkpoints."""

    fill: Callable[[Step], Batch]
    every: int


@dataclass(frozen=True)
class Best:
    """The validation metric that selects the best checkpoint of a stage."""

    metric: str
    mode: Literal["min", "max"] = "min"

    def of(self, metrics: Mapping[str, float], stage: str) -> float:
        """The metric's value in a validation. Raises ConfigError where it is not among the
        metrics."""
        if self.metric not in metrics:
            available, remedy = (
                ", ".join(sorted(metrics)) or "no metric",
                "return it, or name another in Best or EarlyStop",
            )
            raise ConfigError(f"stage {stage!r} selects by {self.metric!r}, but validate returns {available}; {remedy}")
        return metrics[self.metric]

    def better(self, new: float, old: float | None) -> bool:
        """Whether `new` is an improvement; NaN never is."""
        return not math.isnan(new) and (old is None or (new > old if self.mode == "max" else new < old))


@dataclass(frozen=True)
class EarlyStop(Best):
    """Ends a stage when the metric has not improved for `patience` validations."""

    patience: int = 5
    restore: bool = True
    """Continue from the best checkpoint rather than the last."""


@dataclass(frozen=True)
class Copy:
    """A saved copy of network `source` that no update trains; each step it moves by the share
    `follow` towards its source."""

    source: str
    follow: float = 0.0


@dataclass(frozen=True)
class Decision:
    """What a control's rule changes from now on. Whatever it does not name stays as it is."""

    value: float
    """New value of its control."""
    reason: str
    """Why; logged when anything changes. Empty: not logged, for a value that moves all the time."""
    rates: Mapping[str, float] = field(default_factory=dict)
    """Network -> factor of its learning rate, beside its schedule; 1 when a stage begins."""
    rollback: bool = False
    """Return to the best checkpoint of the stage, or to the newest where the stage selects no best,
    and continue from there with other draws and the rest of the decision. A run may be rolled back
    three times, by rules and non-finite gradients together; then it ends with an error."""
    repeats: Mapping[str, int] = field(default_factory=dict)
    """Update -> its firings in each step in which it is due, in place of `Update.repeat`; 0 skips
    it. Its batches stay consecutive: a skipped update continues with the next one."""


@dataclass(frozen=True)
class Control:
    """A number that training itself adjusts, e.g. an augmentation probability; read by
    `trainer.control(name)`.

    Every `every` steps `rule(value, signals)` decides, on every rank from the same signals. Where a
    rule measures something itself, the first rank's decision counts. The rules of a stage decide in
    the order of its controls.
    """

    name: str
    start: float
    every: int
    rule: Callable[[float, Mapping[str, float]], Decision]
    reads: Sequence[str] = ()
    """Signals that the rule reads, as means over all rows and ranks since its last decision: loss
    terms "UPDATE/TERM", "UPDATE/gradient_norm" (before clipping), and what losses log by
    `step.log`. Values that are not finite do not count, and a signal without any value is missing.
    "validation/METRIC" of the stage's last validation is always available."""

    def __post_init__(self):
        if "/" in self.name:
            raise ConfigError(
                f"control {self.name!r}: expected a name without /, which separates parts of names in checkpoints; rename it"
            )


@dataclass(frozen=True)
class Stage:
    """Updates run in turn, `steps` times."""

    name: str
    steps: int
    updates: Sequence[Update]
    optim: Optimiser | Mapping[str, Optimiser] | None = None
    """Fresh optimisers for this stage; None continues with those of the stage before."""
    starts: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    """Networks that begin as they were at the "best" or the "last" step of an earlier stage:
    network -> (stage, which). The others continue as they are."""
    copies: Mapping[str, Copy] = field(default_factory=dict)
    """Copies of networks taken when the stage begins."""
    best: Best | None = None
    """Keeps the best checkpoint of the stage by a metric of `Trainer.validate`."""
    until: EarlyStop | None = None
    controls: Sequence[Control] = ()
