"""What a method tells the engine: updates (one optimiser step on named networks) in stages (updates repeated for some steps).

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
    """Where training stands, and the random numbers of this place, as a loss sees them.

    A draw is made for the global batch and cut to `rows`, so neither ranks nor micro-batches change it; it depends on (seed,
    attempt, stage, update, index, repeat, stream) and on nothing drawn before.

    `stage` is the stage's name, `index` the number of its steps before this one, `progress` their share of all (0..1), `repeat`
    which of `Update.repeat` firings this is, `batch` the rows of the global batch.
    """

    def __init__(self, draw_key: DrawKey, progress: float, rows: slice, batch: int, device, dtype, signals):
        self.draw_key, self.progress, self.rows, self.batch = draw_key, progress, rows, batch
        self.device, self.dtype, self._signals = device, dtype, signals
        self.stage, self.index, self.repeat = draw_key[2], draw_key[4], draw_key[5]

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
        """Logs the mean of `value` over the batch without adding it to the loss. Controls may read it as a signal."""
        self._signals(name, value.detach().double().mean(), self.rows.stop - self.rows.start)


@dataclass(frozen=True)
class Update:
    """One optimiser step on the networks named in `trains`, from one loss that may have several terms."""

    name: str
    trains: Sequence[str]
    loss: Callable[[Batch, Step], Terms]
    """Named terms, already weighted. A term is a mean over the rows given, or (sum, count): divided by the whole count."""
    repeat: int = 1
    """Firings a step, each with its own batch and draws (critic steps)."""
    every: int = 1
    """Fires at steps 0, every, 2 every, ..."""
    lazy: bool = False
    """Multiplies the loss by `every` and corrects the optimiser: lr c, betas ** c with c = every / (every + 1)."""
    data: "Source | Pool | None" = None
    """Where this update's batches come from, when not from the method's `open_data`."""
    couples: bool = False
    """The terms couple the rows of a batch (batch averages): micro-batches are refused."""
    clip_norm: float = 0.0
    """Largest norm of the whole gradient; 0: no limit."""
    after: Callable[[], None] | None = None
    """Called after the optimiser's step, to project weights (clipping)."""


@dataclass(frozen=True)
class Pool:
    """Data that the model makes: `fill(step)` returns named tensors (N, ...), every `every` firings of its update. Saved."""

    fill: Callable[[Step], Batch]
    every: int


@dataclass(frozen=True)
class Best:
    """Which validation metric says that a checkpoint is the best of its stage."""

    metric: str
    mode: Literal["min", "max"] = "min"

    def of(self, metrics: Mapping[str, float], stage: str) -> float:
        """The metric among those of a validation. Raises ConfigError where it is none of them."""
        if self.metric not in metrics:
            there, remedy = ", ".join(sorted(metrics)) or "no figure", "return it, or name another in Best or EarlyStop"
            raise ConfigError(f"stage {stage!r} goes by {self.metric!r}, but validate gives {there}; {remedy}")
        return metrics[self.metric]

    def better(self, new: float, old: float | None) -> bool:
        """Whether `new` is an improvement; what is not a number never is."""
        return not math.isnan(new) and (old is None or (new > old if self.mode == "max" else new < old))


@dataclass(frozen=True)
class EarlyStop(Best):
    """Ends a stage when the metric has not improved for `patience` validations."""

    patience: int = 5
    restore: bool = True
    """Go on from the best checkpoint rather than the last."""


@dataclass(frozen=True)
class Copy:
    """A saved copy of network `source` that no update trains; each step it moves by the share `follow` towards its source."""

    source: str
    follow: float = 0.0


@dataclass(frozen=True)
class Decision:
    """What a rule wants from now on. What it does not name stays as it is."""

    value: float
    """New value of its control."""
    reason: str
    """Why; logged when anything changes."""
    rates: Mapping[str, float] = field(default_factory=dict)
    """Network -> factor of its learning rate, beside its schedule; 1 when a stage begins."""
    rollback: bool = False
    """Return to the best checkpoint of the stage, or to the newest where no best is chosen, and continue from there with other
    draws; the rest of the decision applies there. Rules and non-finite gradients together may send a run back three times; then
    it ends with an error."""
    repeats: Mapping[str, int] = field(default_factory=dict)
    """Update -> its firings in each step in which it is due, in place of `Update.repeat`; 0 skips it. Its batches follow each
    other all the same: after having been skipped it continues with the next one."""


@dataclass(frozen=True)
class Control:
    """A number that training itself adjusts, e.g. an augmentation probability; read by `trainer.control(name)`.

    Every `every` steps `rule(value, signals)` decides, on every rank from the same signals. Where a rule measures something
    itself, the first rank's decision counts. The rules of a stage decide in the order of its controls.
    """

    name: str
    start: float
    every: int
    rule: Callable[[float, Mapping[str, float]], Decision]
    reads: Sequence[str] = ()
    """Signals that are kept for the rule, as means since its last look over all rows and ranks: loss terms "UPDATE/TERM",
    "UPDATE/gradient_norm" (before clipping), and what losses log by `step.log`. Values that are not finite do not count, and a
    signal without any value is missing. "validation/METRIC" of the stage's last validation is there in any case."""

    def __post_init__(self):
        if "/" in self.name:
            raise ConfigError(
                f"control {self.name!r}: expected a name without /, which checkpoints put behind it; rename it"
            )


@dataclass(frozen=True)
class Stage:
    """Updates run in turn, `steps` times."""

    name: str
    steps: int
    updates: Sequence[Update]
    optim: Optimiser | Mapping[str, Optimiser] | None = None
    """Fresh optimisers for this stage; None goes on with those of the stage before."""
    starts: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    """Networks that begin as they were at the "best" or the "last" step of an earlier stage: network -> (stage, which). The
    others go on from where they are."""
    copies: Mapping[str, Copy] = field(default_factory=dict)
    """Copies of networks taken when the stage begins."""
    best: Best | None = None
    """Keeps the best checkpoint of the stage by a metric of `Trainer.validate`."""
    until: EarlyStop | None = None
    controls: Sequence[Control] = ()
