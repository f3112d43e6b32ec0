"""Base trainer for translation between two domains, A and B: settings, checkpoint selection,
evaluation.

Each modality derives its own trainer, which defines the items; a method derives from that, and
states only what differs: networks, losses, stages.
"""

import copy
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, TypeVar

from torch import Tensor, nn

from multigen.config import BELOW_ONE, Settings, from_table
from multigen.console import if_slow
from multigen.engine import Best, Trainer
from multigen.engine.batches import Source
from multigen.engine.checkpoint import load_strict
from multigen.engine.distributed import rank
from multigen.engine.evaluation import Evaluation
from multigen.engine.schedules import Schedule
from multigen.storage.lines import optional
from multigen.storage.model_folder import ModelFolder
from multigen.tasks.loading import load_network

__all__ = ["RANGES", "Direction", "Translate", "TranslationConfig", "TranslationTrainer", "other"]

RANGES: dict[str, float | tuple[float, float]] = {
    **{"batch": 1, "steps": 1, "validation_size": 0, "blocks": (1, 1_000), "width": 1, "discriminator_width": 1},
    **{"lr": 0, "ema": (0, 1), "betas": (0, BELOW_ONE)},
}
"""Setting -> minimum, or (minimum, maximum), in all methods that have it."""

Direction = Literal["AB", "BA"]
"""From A to B, or from B to A."""
Translate = Callable[[Tensor], Tensor]
"""Item of one domain -> of the other, without batch dimension: a ready object, or a baseline
without training."""


def other(direction: str) -> Direction:
    """The opposite direction."""
    return "BA" if direction == "AB" else "AB"


@dataclass(frozen=True)
class TranslationConfig(Settings):
    """Settings common to all translation methods, in every modality."""

    data: str
    """Training data of domain A: a name, a folder, or a file."""
    target: str = ""
    """Training data of domain B; empty: pairs are made of `data`, or `data` holds both."""
    test: str = ""
    """Test data, used for the final evaluation only, like `data`; empty: the data's own test split,
    else a part of them."""
    test_target: str = ""
    """Test data of domain B, like `target`."""
    direction: Direction = "AB"
    """Direction of the trained generator, from A to B or from B to A; of methods that train both,
    the one by which the best checkpoint is chosen, and which is used if none is named."""
    validation_size: int = 16
    """Size of the validation split used for checkpoint selection, at most a tenth of the training
    data; 0: the last checkpoint is used."""
    skip_bad: bool = False
    """Skip unusable files, and report which and why."""
    batch: int = 1
    """Items per step, over all processes."""
    steps: int = 10_000
    """Training steps; those of the last stage, where there are more."""
    betas: tuple[float, float] = (0.5, 0.999)
    """Betas of Adam."""
    ema: float = 0.0
    """Decay of the running average of the generators; 0: none."""

    ranges: ClassVar[dict[str, float | tuple[float, float]]] = RANGES
    """Ranges of settings; a modality and a method add their own."""


C = TypeVar("C", bound=TranslationConfig)


class TranslationTrainer(Trainer[C]):
    """Trains generators between two domains: G(items of one (B, ...)) -> items of the other.

    A method states `generator`, its `networks`, losses and `stages`, and where they differ
    `generators`, with `exports`, and `generators_of`. A modality implements the methods listed
    below for it. `open_data` sets `validation` and `tests`.
    """

    validation: Any
    """The validation set for checkpoint selection; None without one."""
    tests: Sequence[Any]
    """Test sets, each with a `name`."""

    # ---------------------------------------------------------------------------------- what a method states

    def generator(self) -> nn.Module:
        """Builds an untrained generator from `config` and `data_info`."""
        raise NotImplementedError

    @property
    def generators(self) -> Mapping[str, str]:
        """Direction -> name of its network; first the one by which checkpoints are chosen."""
        return {self.config.direction: "G"}

    def generators_of(self, stage: str) -> Mapping[str, str]:
        """As `generators`, of the networks that a stage trains: another one where a baseline is
        trained."""
        return self.generators

    # ---------------------------------------------------------------------------------- what a modality states

    def open_data(self) -> Source:
        """Opens training data, and the sets `validation` and `tests`; sets `data_info` and
        `held_out`."""
        raise NotImplementedError

    def seen_from(self, items: Any, direction: Direction) -> Any:
        """A set of `tests`, or `validation`, with what a direction translates and what it should
        become."""
        raise NotImplementedError

    def translator_of(self, networks: Mapping[str, nn.Module]) -> Any:
        """The ready object of the generators, by direction: a `Translate` of the first of them,
        with `turned(direction)` for another one, and `task`, `origin`, `sheet` and `graph`."""
        raise NotImplementedError

    def baselines(self, direction: Direction) -> dict[str, Translate]:
        """Rows reported next to the model's."""
        raise NotImplementedError

    def measure(
        self, translators: Mapping[str, Translate], sets: Sequence[Any], needed: Collection[str] | None = None
    ) -> dict[str, dict[str, float]]:
        """Row -> "SET/metric" -> value, of sets as `seen_from` gives them. Slow metrics are omitted
        unless they are in `needed`; None: all metrics."""
        raise NotImplementedError

    def definitions(self) -> dict[str, str]:
        """Metric -> its exact definition."""
        raise NotImplementedError

    def compare(self, translators: Mapping[str, Translate], items: Any, path: Path) -> None:
        """Writes their results on the same items side by side, of one set as `seen_from` gives it;
        `path` is the file's path without the suffix."""
        raise NotImplementedError

    def show(self, translator: Any, items: Any, path: Path) -> None:
        """Writes what a model makes of items of a set: beside the truth, or there and back; `path`
        as of `compare`."""
        raise NotImplementedError

    # ---------------------------------------------------------------------------------- networks and stages

    def averaged(self) -> Mapping[str, Schedule]:
        """The running averages of the generators, unless `ema` is 0."""
        return {name: self.config.ema for name in self.generators.values()} if self.config.ema else {}

    def best(self, metric: str, mode: Literal["min", "max"] = "min") -> Best | None:
        """Checkpoint selection by a validation metric; None without a validation set."""
        return Best(metric, mode) if self.validation is not None else None

    # ---------------------------------------------------------------------------------- evaluation

    def validate(self, nets: Mapping[str, nn.Module]) -> dict[str, float]:
        """Metrics on the validation set in the first direction: the fast ones, and the one by which
        the stage selects its checkpoint."""
        if self.validation is None:
            return {}
        selection = self.stage.until or self.stage.best
        items = self.seen_from(self.validation, self.config.direction)
        rows = self.measure({"now": self._now(nets)}, [items], {selection.metric} if selection else set())
        return {metric.partition("/")[2]: value for metric, value in rows["now"].items()}

    def preview(self, nets: Mapping[str, nn.Module], folder: Path) -> None:
        """What the generators make of items of the first test set, the same each time."""
        items = self.seen_from(self.tests[0], self.config.direction)
        self.show(self._now(nets), items, folder / f"step-{self.step:09d}")

    def _now(self, nets: Mapping[str, nn.Module]) -> Any:
        return self.translator_of({way: nets[name] for way, name in self.generators_of(self.stage.name).items()})

    def score(self) -> Evaluation:
        """Evaluates the last and the best generators of each stage next to the baselines on the
        test sets, in each direction that is trained; writes `comparison`."""
        models = {
            f"{stage.name}/{which}": self.translator_at(stage.name, which)
            for stage in self.plan
            for which in (("last", "best") if stage.best or stage.until else ("last",))
        }
        rows: dict[str, dict[str, float]] = {}
        with if_slow(f"measuring on {', '.join(test.name for test in self.tests)}"):
            for way in self.generators:
                direction: Direction = "AB" if way == "AB" else "BA"
                sets = [self.seen_from(test, direction) for test in self.tests]
                translators = {row: model.turned(direction) for row, model in models.items()}
                for row, values in self.measure({**self.baselines(direction), **translators}, sets).items():
                    rows[row] = rows.get(row, {}) | values
        if rank() == 0:
            last = {stage.name: models[f"{stage.name}/last"] for stage in self.plan}
            with optional(f"{self.folder}: the comparison"), if_slow("drawing the comparison"):
                items = self.seen_from(self.tests[0], self.config.direction)
                self.compare({**self.baselines(self.config.direction), **last}, items, self.folder / "comparison")
        measured = {metric.rpartition("/")[2] for row in rows.values() for metric in row}
        return Evaluation(rows, {m: text for m, text in self.definitions().items() if m in measured})

    def translator_at(self, stage: str, which: str) -> Any:
        """The ready object of the generators at the "last" or the "best" step of a stage."""
        networks = {}
        for way, name in self.generators_of(stage).items():
            networks[way] = copy.deepcopy(self.nets[name]).eval()
            load_strict(networks[way].state_dict(), self.saved(name, stage, which), f"{stage}/{which}")
        return self.translator_of(networks)

    # ---------------------------------------------------------------------------------- use

    @classmethod
    def load(cls, folder: ModelFolder) -> Any:
        """The ready object of a model folder's generators, on the folder's device.

        Raises CheckpointError where weights do not fit, ConfigError for invalid settings.
        """
        where = f"{folder.path}, config.json"
        trainer = cls(from_table(cls.config_type(), folder.config, where))
        trainer.data_info = from_table(cls.data_info, folder.data, where)
        networks = {
            way: load_network(trainer.generator, folder.weights.get(name, {}), f"{folder.path}, {name}", folder.device)
            for way, name in trainer.generators.items()
        }
        return trainer.translator_of(networks)
