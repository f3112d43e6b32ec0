"""Base trainer for restoration (super-resolution, denoising, ...): settings, data, checkpoint
selection, evaluation.

Each modality derives its own trainer, which defines the items; a method derives from that, and
states only what differs: networks, losses, stages.
"""

import copy
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol, TypeVar, runtime_checkable

from torch import Tensor, nn

from multigen.catalogue import TASKS
from multigen.config import BELOW_ONE, Settings, from_table
from multigen.console import if_slow
from multigen.data.datasets import hash_of, origin_of
from multigen.data.skipped import report_skipped
from multigen.engine import Batch, Best, DataInfo, Step, Trainer
from multigen.engine.batches import Source
from multigen.engine.checkpoint import load_strict
from multigen.engine.distributed import rank
from multigen.engine.evaluation import Evaluation
from multigen.engine.schedules import Schedule
from multigen.errors import ConfigError
from multigen.storage.lines import optional
from multigen.storage.model_folder import ModelFolder
from multigen.tasks.loading import load_network
from multigen.tasks.restoration.same import check_start

__all__ = ["RANGES", "RestorationConfig", "RestorationTrainer", "hold_out"]

VALIDATION = "validation"  # name of the set for checkpoint selection
RANGES: dict[str, float | tuple[float, float]] = {
    **{"batch": 1, "steps": 1, "validation_size": 0, "blocks": (1, 1_000), "width": 1, "discriminator_width": 1},
    **{"lr": 0, "pretrain_lr": 0, "content_weight": 0, "pixel_weight": 0, "adversarial_weight": 0},
    **{"ema": (0, 1), "betas": (0, BELOW_ONE)},
}
"""Setting -> minimum, or (minimum, maximum), in all methods that have it."""


@dataclass(frozen=True)
class RestorationConfig(Settings):
    """Settings common to all restoration methods, in every modality."""

    data: str
    """Training data: a name, a folder, or a file."""
    test: tuple[str, ...]
    """Test sets, used for the final evaluation only: names or folders."""
    validation_size: int = 5
    """Size of the validation split used for checkpoint selection, at most a tenth of the training
    data; 0: the last checkpoint is used."""
    skip_bad: bool = False
    """Skip unusable files, and report which and why."""
    batch: int = 16
    """Crops per step, over all processes."""
    steps: int = 5_000
    """Training steps; those of the last stage, where there are more."""
    betas: tuple[float, float] = (0.9, 0.99)
    """Betas of Adam."""
    ema: float = 0.999
    """Decay of the running average of the generator; 0: none."""

    ranges: ClassVar[dict[str, float | tuple[float, float]]] = RANGES
    """Ranges of settings; a modality and a method add their own."""

    def __post_init__(self):
        super().__post_init__()
        if not self.test:
            raise ConfigError("test: no set is named; expected at least one name or folder")


class Named(Protocol):
    """An item that can be held out."""

    @property
    def name(self) -> str: ...


@runtime_checkable
class Mergeable(Protocol):
    """A network some layers of which are several while it is trained, and one in use."""

    def merge(self) -> nn.Module: ...


I = TypeVar("I", bound=Named)  # noqa: E741


def hold_out(items: Sequence[I], count: int, seed: int = 0) -> tuple[list[I], list[I]]:
    """Splits items into (training, held out) by a hash of their names.

    The `count` items with the smallest hashes are held out, so the split depends neither on the
    folder's path nor on the order of the items, and adding or removing an item moves at most one
    other. Parts of one file, such as the frames of an animation, are held out together or not at
    all (but singly, where all are of one file): of the files with the smallest hashes those that do
    not exceed `count`, and where all do, the smallest file, of which `count` parts are kept.

    Raises ConfigError for a count below 0, or where none would remain for training.
    """
    if not 0 <= count < len(items):
        raise ConfigError(
            f"{count} of {len(items)} items are to be held out, expected 0 to {len(items) - 1}; hold out fewer, or add items"
        )
    one = len({origin_of(item.name) for item in items}) == 1
    origins = [item.name if one else origin_of(item.name) for item in items]
    sizes, held, left = Counter(origins), set[str](), count
    for origin in sorted(sizes, key=lambda origin: hash_of(origin, seed)):
        if sizes[origin] <= left:
            held.add(origin)
            left -= sizes[origin]
    if count and not held:
        held = {min(sizes, key=lambda origin: (sizes[origin], hash_of(origin, seed)))}
    parts = list(zip(items, origins, strict=True))
    return [item for item, of in parts if of not in held], [item for item, of in parts if of in held][:count]


Restore = Callable[[Tensor], Tensor]
"""Degraded item -> restored item, without batch dimension: a ready object, or a baseline without
training."""
Skipped = list[tuple[Path, str]]
"""(path, reason) of each skipped file."""
C = TypeVar("C", bound=RestorationConfig)


class RestorationTrainer(Trainer[C]):
    """Trains G to restore degraded items: G(inputs (B, ...)) -> (B, ...), approximating `targets`.

    A method states `generator`, its losses and `stages`, and where they differ `discriminator` and
    `optimisers`. A modality implements the methods listed below for it. `prepare` calls
    `open_data`, `networks` and `stages`, in this order: `open_data` sets `tests`, `validation` and
    the modality's metrics; the other two set nothing.
    """

    G: nn.Module
    D: nn.Module
    tests: Sequence[Any]
    """Test sets, each with a `name`."""
    validation: Any
    """The validation set for checkpoint selection; None without one."""

    # ---------------------------------------------------------------------------------- what a method states

    def generator(self) -> nn.Module:
        """Builds an untrained G from `config` and `data_info`."""
        raise NotImplementedError

    def discriminator(self) -> nn.Module | None:
        """Builds an untrained D; None for a method without one."""
        return None

    def prepare(self) -> None:
        """As `Trainer.prepare`. Raises CheckpointError to start from a network that is another
        function, although its weights fit."""
        super().prepare()
        if self.run.start and not self.run.resume and "G" in self.nets:
            check_start(self.run.start, self.nets["G"], RestorationTrainer)

    # ---------------------------------------------------------------------------------- what a modality states

    def open_items(self) -> Any:
        """Lists the training items without reading them: a list of `Named`, with the attribute
        `skipped`."""
        raise NotImplementedError

    def open_validation(self) -> Any:
        """The data's own validation items, as `open_items`; None where they are split off the
        training items."""
        return None

    def open_tests(self) -> Sequence[Any]:
        """Opens the test sets in `config.test`, and the data's own."""
        raise NotImplementedError

    def to_source(self, items: Sequence[Any]) -> Any:
        """The source of training batches, with the attribute `skipped`."""
        raise NotImplementedError

    def to_set(self, name: str, items: Sequence[Any], skipped: Skipped | None) -> Any:
        """A set of whole items to evaluate on; None where there are none. Unusable ones are
        appended to `skipped`, if it is a list."""
        raise NotImplementedError

    def describe_data(self, source: Any) -> DataInfo:
        """Facts about the training data."""
        raise NotImplementedError

    def fingerprint_held_out(self, items: Sequence[Any]) -> str:
        """Fingerprint of the validation items `items` and of the sets in `config.test`; empty: not
        compared."""
        return ""

    def inputs(self, batch: Batch, step: Step) -> Tensor:
        """G's inputs: degraded items (B, ...)."""
        raise NotImplementedError

    def targets(self, batch: Batch, step: Step) -> Tensor:
        """G's targets for `inputs` (B, ...)."""
        raise NotImplementedError

    def restorer_of(self, network: nn.Module) -> Any:
        """The ready object of a generator: a `Restore` with `task`, `origin`, `sheet` and
        `graph`."""
        raise NotImplementedError

    def baselines(self) -> dict[str, Restore]:
        """Rows reported next to the model's."""
        raise NotImplementedError

    def measure(
        self, restorers: Mapping[str, Restore], sets: Sequence[Any], needed: Collection[str] | None = None
    ) -> dict[str, dict[str, float]]:
        """Row -> "SET/metric" -> value. Slow metrics are omitted unless they are in `needed`; None:
        all metrics."""
        raise NotImplementedError

    def definitions(self) -> dict[str, str]:
        """Metric -> its exact definition."""
        raise NotImplementedError

    def compare(self, restorers: Mapping[str, Restore], sets: Sequence[Any], path: Path) -> None:
        """Writes their results on the same items side by side; `path` is the file's path without
        the suffix."""
        raise NotImplementedError

    # ---------------------------------------------------------------------------------- data

    def open_data(self) -> Source:
        """Opens the training items, the validation split, and the test sets."""
        c = self.config
        items = self.open_items()
        self.tests = self.open_tests()
        skipped = [*items.skipped]
        if (own := self.open_validation()) is None:
            train, held_out = hold_out(items, min(c.validation_size, len(items) // 10))
        else:
            train, held_out = [*items], sorted(own, key=lambda item: hash_of(item.name, 0))[: c.validation_size]
            skipped += own.skipped
        source = self.to_source(train)
        skipped += source.skipped
        self.validation = self.to_set(VALIDATION, held_out, skipped if c.skip_bad else None)
        self.data_info = self.describe_data(source)
        self.held_out = self.fingerprint_held_out(held_out)
        report_skipped(skipped, TASKS[self.task].items)
        return source

    # ---------------------------------------------------------------------------------- networks and stages

    def networks(self) -> dict[str, nn.Module]:
        nets = {"G": self.generator(), "D": self.discriminator()}
        return {name: network for name, network in nets.items() if network is not None}

    def averaged(self) -> Mapping[str, Schedule]:
        """The running average of the generator, unless `ema` is 0."""
        return {"G": self.config.ema} if self.config.ema else {}

    def best(self, metric: str, mode: Literal["min", "max"] = "min") -> Best | None:
        """Checkpoint selection by a validation metric; None without a validation set."""
        return Best(metric, mode) if self.validation is not None else None

    def forward(self, name: str, network: nn.Module, batch: Batch, step: Step) -> Tensor:
        """One forward pass of the generator, for its BatchNorm statistics."""
        return network(self.inputs(batch, step))

    # ---------------------------------------------------------------------------------- evaluation

    def validate(self, nets: Mapping[str, nn.Module]) -> dict[str, float]:
        """Metrics on the validation set: the fast ones, and the one by which the stage selects its
        checkpoint."""
        if self.validation is None:
            return {}
        selection = self.stage.until or self.stage.best
        needed = {selection.metric} if selection else set()
        row = self.measure({"now": self.restorer_of(nets["G"])}, [self.validation], needed)["now"]
        return {metric.removeprefix(f"{VALIDATION}/"): value for metric, value in row.items()}

    def preview(self, nets: Mapping[str, nn.Module], folder: Path) -> None:
        """Restored items of the first test set, the same each time."""
        self.compare({"now": self.restorer_of(nets["G"])}, self.tests[:1], folder / f"step-{self.step:09d}")

    def score(self) -> Evaluation:
        """Evaluates the last and the best generator of each stage next to the baselines on the test
        sets; writes `comparison`."""
        rows = {
            f"{stage.name}/{which}": self.restorer_at(stage.name, which)
            for stage in self.plan
            for which in (("last", "best") if stage.best or stage.until else ("last",))
        }
        with if_slow(f"measuring on {', '.join(test.name for test in self.tests)}"):
            scores = self.measure({**self.baselines(), **rows}, self.tests)
        if rank() == 0:
            restorers = {stage.name: rows[f"{stage.name}/last"] for stage in self.plan}
            with optional(f"{self.folder}: the comparison"), if_slow("drawing the comparison"):
                self.compare({**self.baselines(), **restorers}, self.tests, self.folder / "comparison")
        return Evaluation(scores, self.definitions())

    def restorer_at(self, stage: str, which: str) -> Any:
        """The ready object of the generator at the "last" or the "best" step of a stage."""
        network = copy.deepcopy(self.nets["G"]).eval()
        load_strict(network.state_dict(), self.saved("G", stage, which), f"{stage}/{which}")
        return self.restorer_of(_for_use(network))

    # ---------------------------------------------------------------------------------- use

    @classmethod
    def load(cls, folder: ModelFolder) -> Any:
        """The ready object of a model folder's generator, on the folder's device.

        Raises CheckpointError where weights do not fit, ConfigError for invalid settings.
        """
        where = f"{folder.path}, config.json"
        trainer = cls(from_table(cls.config_type(), folder.config, where))
        trainer.data_info = from_table(cls.data_info, folder.data, where)
        network = load_network(trainer.generator, folder.weights.get("G", {}), f"{folder.path}, G", folder.device)
        return trainer.restorer_of(_for_use(network))


def _for_use(network: nn.Module) -> nn.Module:
    """The network; where it has `merge`, with those layers made one that are several while it is
    trained."""
    return network.merge() if isinstance(network, Mergeable) else network
