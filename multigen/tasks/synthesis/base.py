"""What all methods that make items from noise share: their settings, their draws, their measurements.

A modality derives its own trainer, which knows what the items are; a method derives from that, and states only what differs:
networks, losses, stages.
"""

import copy
import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, ClassVar, TypeVar

import torch
import tyro
from torch import Tensor, nn

from multigen.config import BELOW_ONE, check_ranges, from_table
from multigen.console import say
from multigen.data.clusters import find_centres, nearest
from multigen.data.datasets import ItemSet, Sets, pick
from multigen.engine import Batch, Best, Control, Step, TensorSource, Trainer
from multigen.engine.checkpoint import load_strict
from multigen.engine.distributed import from_first, rank
from multigen.engine.evaluation import Evaluation
from multigen.engine.schedules import Schedule
from multigen.errors import ConfigError
from multigen.metrics.classifier import STEPS
from multigen.tasks.loading import load_network
from multigen.tasks.synthesis.collapse import diversity, watch
from multigen.tasks.synthesis.evaluator import Judge
from multigen.tasks.synthesis.sampler import Sampler

__all__ = ["RANGES", "GenerationConfig", "GenerationTrainer", "load_sampler"]

SHOWN = 64  # samples of a preview
RANGES: dict[str, float | tuple[float, float]] = {
    **{"latent": 1, "width": 1, "batch": 1, "steps": 1, "critic_steps": 1},
    **{"hold": 0, "hold_classes": 0, "clusters": (0, 10_000), "samples": 2},
    **{"lr": 0, "penalty": 0, "gamma": 0, "clip": 0},
    **{"ema": (0, 1), "beta2": (0, BELOW_ONE), "betas": (0, BELOW_ONE)},
}
"""Setting -> the least, or the least and the most that it may be, in all methods that have it."""


@dataclass(frozen=True)
class GenerationConfig:
    """Settings that all methods have, whatever they make."""

    data: str
    """Training data: a name, a folder (of folders, one a class), or a file."""
    test: str = ""
    """Data that are measured against in the end; empty: those the data bring for it, else a tenth of them."""
    labels: str = ""
    """Classes of a folder's files: empty, its folders; name, the file name before the last _; first, before the first _; none; or
    a CSV file."""
    classes: Annotated[tuple[str, ...], tyro.conf.Suppress] = ()
    """Names of the classes; filled in from the data."""
    hold: int = 500
    """Training items set aside to choose the best checkpoint, at most a tenth of them; 0: the last is taken."""
    hold_classes: int = 0
    """Whole classes set aside as test data, such as people whose faces or voices are never trained on."""
    skip_bad: bool = False
    """Go on without files that cannot be used, and say how many."""
    conditional: bool = False
    """Learn the classes, so that one can be asked for; needs labels."""
    clusters: int = 0
    """Where no classes are learned: clusters into which k-means divides the training items. G makes an item of one of them, and D
    judges it as such (Sage et al. 2018, arXiv:1712.04407, section 3.2). 0: none."""
    shares: Annotated[tuple[float, ...], tyro.conf.Suppress] = ()
    """Of the training items in each cluster; filled in from the data."""
    latent: int = 128
    """Dimensions of z ~ N(0, I)."""
    batch: int = 64
    steps: int = 10_000
    ema: float = 0.999
    """Decay of the running average of the generator; 0: none."""
    samples: int = 2_000
    """Samples that are measured, at most as many as there are training items."""

    ranges: ClassVar[dict[str, float | tuple[float, float]]] = RANGES
    """What settings may be; a modality and a method add their own."""

    def __post_init__(self):
        check_ranges(self, self.ranges)

    @property
    def number_of_classes(self) -> int:
        """Classes, or clusters, that G and D are told of; 0: none."""
        return len(self.classes) if self.conditional else self.clusters


C = TypeVar("C", bound=GenerationConfig)
S = TypeVar("S", bound=Sampler)


class GenerationTrainer(Trainer[C]):
    """Trains G to make items from noise that D takes for real ones: G(z (B, latent), label (B,) or None) -> (B, ...) in -1..1,
    D(items, label) -> (B,), or (B, critics).

    A modality states `sampler`, `open_sets`, `open_judge`, `reals`, `coarse` and `outlines`, and where it has augmentations
    `augmented`.
    """

    G: nn.Module
    D: nn.Module
    judge: Judge[Any]

    sampler: ClassVar[type[Sampler]]
    """What a trained generator is handed out as."""
    classifier_steps: ClassVar[int] = STEPS
    """Of the training of the classifier that judges, where one does."""

    # ---------------------------------------------------------------------------------- what a modality states

    def open_sets(self) -> Sets[Any]:
        """Training, validation and test items. May complete the configuration by what they are."""
        raise NotImplementedError

    def open_judge(self, sets: Sets[Any]) -> Judge[Any]:
        """What measures the generator."""
        raise NotImplementedError

    def reals(self, batch: Batch, step: Step) -> Tensor:
        """Real items (B, ...) in -1..1."""
        raise NotImplementedError

    def augmented(self, items: Tensor, step: Step, stream: str) -> Tensor:
        """Items (B, ...) as D sees them; reals and fakes of one update take different streams."""
        return items

    def coarse(self, items: Tensor) -> Tensor:
        """Items (N, ...) in -1..1 as vectors (N, D) without detail, whose distances show a collapse."""
        raise NotImplementedError

    def outlines(self, items: Any) -> Tensor:
        """The items of a set as vectors (N, D) without detail, of which clusters are made, before there are networks."""
        raise NotImplementedError

    # ---------------------------------------------------------------------------------- data and draws

    def open_data(self) -> TensorSource:
        """Opens the sets; completes the configuration by their classes."""
        sets = self.open_sets()
        train = sets.train
        if self.config.conditional and train.labels is None:
            raise ConfigError(
                f"conditional: {self.config.data} has no labels; sort the {train.noun} into a folder a class, or give --labels"
            )
        if skipped := dict([*train.skipped, *sets.test.skipped]):  # both may be parts of one folder
            say(f"{len(skipped)} {train.noun} skipped, the first: {next(iter(skipped.values()))}")
        if len(train) < self.config.batch:
            say(
                f"{len(train)} {train.noun} to train on, fewer than a batch of {self.config.batch}, which holds them more than "
                f"once; add {train.noun}, or lower --batch"
            )
        self.config = replace(self.config, classes=train.classes, shares=())  # those of a file may be of other data
        self.judge = self.open_judge(sets)
        source = train.to_source()
        if self.config.clusters and not self.config.conditional:
            # It takes a minute for tens of thousands.
            say(f"dividing {len(train):,} {train.noun} into {self.config.clusters} clusters")
            outlines = self.outlines(train)
            self.centres = self._same(find_centres(outlines, self.config.clusters))
            source.tensors["label"] = labels = nearest(outlines, self.centres)
            shares = labels.bincount(minlength=self.config.clusters) / len(train)
            self.config = replace(self.config, shares=tuple(round(share, 4) for share in shares.tolist()))
        return source

    def _same(self, centres: Tensor) -> Tensor:
        """Rank 0's centres on every rank: on unlike machines rounding may lead k-means elsewhere."""
        return torch.tensor(from_first(centres.flatten().tolist(), self.device), dtype=centres.dtype).view_as(centres)

    def told(self, items: ItemSet) -> Tensor | None:
        """What G and D are told of real items: the numbers of their classes or clusters (N,), or nothing."""
        if self.config.conditional:
            return items.labels
        return nearest(self.outlines(items), self.centres) if self.config.clusters else None

    def fakes(self, batch: Batch, step: Step) -> tuple[Tensor, Tensor | None]:
        """G's items (B, ...) and their labels (B,), the classes or clusters of the real batch; None without any."""
        label = batch["label"] if self.config.number_of_classes else None
        return self.G(step.randn("z", self.config.latent), label), label

    def pairs(self, batch: Batch, step: Step) -> tuple[Tensor, Tensor, Tensor | None]:
        """What D is trained on: real and generated items (B, ...), augmented, and the labels (B,) of both."""
        with torch.no_grad():
            fake, label = self.fakes(batch, step)
        return self.augmented(self.reals(batch, step), step, "real"), self.augmented(fake, step, "fake"), label

    def forward(self, name: str, network: nn.Module, batch: Batch, step: Step) -> Tensor:
        """One pass of the generator, for its batch norms."""
        return network(step.randn("z", self.config.latent), batch["label"] if self.config.number_of_classes else None)

    def averaged(self) -> Mapping[str, Schedule]:
        """The generator's running average, if one is kept."""
        return {"G": self.config.ema} if self.config.ema else {}

    # ---------------------------------------------------------------------------------- for stages

    def best(self) -> Best | None:
        """The best checkpoint has the lowest Frechet distance to the validation items."""
        return Best(self.judge.chooses_by) if self.judge.sets.validation is not None else None

    def collapse(self) -> Control:
        """Watches whether samples of fixed latents stay as different from each other as real items are."""
        real = pick(self.judge.sets.train, SHOWN).items
        n = len(real)

        def look() -> float:
            latents = self.sampler_of(self.nets["G"]).latents(n).to(next(self.nets["G"].parameters()))
            known = self.config.number_of_classes
            classes = torch.arange(n) % known if known else None
            return diversity(self.nets["G"], latents, classes, self.judge.to_input(real.float()), self.coarse)

        return Control("collapse", 0.0, 50, functools.partial(watch, self, look))

    # ---------------------------------------------------------------------------------- measurements

    def validate(self, nets: Mapping[str, nn.Module]) -> dict[str, float]:
        """Frechet distance to the validation items, and how D tells training from validation items."""
        if self.judge.sets.validation is None:
            return {}
        found = self.judge.validate(self.sampler_of(nets["G"]))
        return found | self.judge.overfitting(nets["D"], self.told)

    def preview(self, nets: Mapping[str, nn.Module], folder: Path) -> None:
        """Samples of the same latents each time."""
        self.show(self.sampler_of(nets["G"]), folder / f"step-{self.step:09d}")

    def score(self) -> Evaluation:
        """The last and the best generator beside real items; writes `samples` beside it, and what `illustrate` adds."""
        rows, stage = self.floors(), self.plan[-1].name
        nets = {name: copy.deepcopy(self.nets[name]).eval() for name in ("G", "D")}
        samples = self.sampler_of(nets["G"])
        for which in ("last", "best") if self.judge.sets.validation is not None else ("last",):
            for name, network in nets.items():
                load_strict(network.state_dict(), self.saved(name, stage, which), f"{which} {name}")
            with torch.no_grad():
                overfit = self.judge.overfitting(nets["D"], self.told)
            rows[f"{stage}/{which}"] = self.judge.measure(samples) | overfit
        if rank() == 0:
            self.show(samples, self.folder / "samples")
            self.illustrate(samples)
        found = {metric for row in rows.values() for metric in row}
        return Evaluation(rows, {m: text for m, text in self.judge.definitions().items() if m in found})

    def floors(self) -> dict[str, dict[str, float]]:
        """Rows that the generator's stand beside."""
        return self.judge.floors()

    def show(self, samples: Sampler, path: Path) -> None:
        """Writes samples together to one file; `path` is its name without the suffix."""
        samples.show(samples.sample(SHOWN), path.with_name(path.name + Path(samples.sheet).suffix))

    def illustrate(self, samples: Sampler) -> None:
        """Writes what else shows the generator at its end, into `self.folder`."""

    def sampler_of(self, network: nn.Module) -> Sampler:
        """A generator in use."""
        return self.sampler.of(network, self.config)


def load_sampler(
    sampler: type[S],
    default: Any,
    build: Callable[[Any], nn.Module],
    config: Mapping[str, Any],
    weights: Mapping[str, Mapping[str, Tensor]],
    where: str,
) -> S:
    """The ready object of the model folder `where`, on the GPU if there is one. CheckpointError where weights do not fit,
    ConfigError for a configuration that none was trained with.

    Args:
        sampler: the modality's `Sampler`.
        default: a configuration, whose values stand for what `config` lacks.
        build: the generator of a configuration.
    """
    c = from_table(default, dict(config), f"{where}, config.json")
    if not c.conditional and (len(c.shares) != c.clusters or not all(0 <= share <= 1 for share in c.shares)):
        raise ConfigError(
            f"{where}, config.json: shares {c.shares} of {c.clusters} clusters; expected one of 0 to 1 for each; copy the folder "
            "anew, or train again"
        )
    return sampler.of(load_network(lambda: build(c), weights.get("G", {}), f"{where}, G"), c)
