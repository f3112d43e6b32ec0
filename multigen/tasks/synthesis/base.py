"""Base trainer for synthesis from a latent: data, random draws, the standard stage, evaluation.

Each modality derives its own trainer, which defines the items; a method derives from that, and
states only what differs: networks, losses, optimisers.
"""

import copy
import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import torch
from torch import Tensor, nn

from multigen.config import from_table
from multigen.console import counted, if_slow, say
from multigen.data.clusters import find_centres, nearest
from multigen.data.datasets import ItemSet, Splits, open_splits, pick
from multigen.data.skipped import report_skipped
from multigen.engine import Batch, Best, Control, Stage, Step, TensorSource, Terms, Trainer, Update
from multigen.engine.checkpoint import load_strict
from multigen.engine.distributed import from_first, rank
from multigen.engine.evaluation import Evaluation
from multigen.engine.schedules import Schedule
from multigen.errors import ConfigError
from multigen.metrics.classifier import STEPS
from multigen.storage.lines import optional
from multigen.storage.model_folder import ModelFolder
from multigen.tasks.loading import load_network
from multigen.tasks.synthesis.collapse import diversity, watch
from multigen.tasks.synthesis.evaluator import Evaluator
from multigen.tasks.synthesis.freezing import frozen
from multigen.tasks.synthesis.rejection import FILE, as_text, calibrated, open_rejection
from multigen.tasks.synthesis.sampler import Sampler
from multigen.tasks.synthesis.settings import SynthesisConfig, SynthesisInfo
from multigen.tasks.synthesis.truncation import truncation_curve

__all__ = ["SynthesisTrainer"]

SHOWN = 64  # samples of a preview
QUICK_SAMPLES, QUICK_STEPS = 100, 30
"""Up to so many samples, as in `tiny`, the classifier is trained for at most so many steps."""
C = TypeVar("C", bound=SynthesisConfig)


class SynthesisTrainer(Trainer[C]):
    """Trains G against D: G(z (B, latent), label (B,) or None) -> items (B, ...) in -1..1, D(items,
    label) -> (B,), or (B, critics).

    A method states `generator`, `discriminator`, `discriminator_loss` and `generator_loss`, and
    where they differ `optimisers`, `updates` and `stages`. A modality states `open_items`,
    `open_evaluator`, `to_network`, `collapse_features` and `cluster_features`, and where it has
    augmentations `augment`.
    """

    G: nn.Module
    D: nn.Module
    splits: Splits[Any]
    evaluator: Evaluator[Any]
    data_info: SynthesisInfo = SynthesisInfo()

    sizes: ClassVar[Sequence[str]] = ("size", "length", "width", "latent")
    optional: ClassVar[Sequence[str]] = ("D",)
    sampler: ClassVar[type[Sampler]]
    """Class of the ready object of a trained generator."""
    classifier_steps: ClassVar[int] = STEPS
    """Training steps of the classifier that extracts features, where one is used."""

    # ---------------------------------------------------------------------------------- what a method states

    def generator(self) -> nn.Module:
        """Builds an untrained G from `config` and `data_info`."""
        raise NotImplementedError

    def discriminator(self) -> nn.Module:
        """Builds an untrained D."""
        raise NotImplementedError

    def discriminator_loss(self, batch: Batch, step: Step) -> Terms:
        """Terms of D's loss, weighted."""
        raise NotImplementedError

    def generator_loss(self, batch: Batch, step: Step) -> Terms:
        """Terms of G's loss, weighted."""
        raise NotImplementedError

    def trained_with(self) -> Sequence[str]:
        """Extractors, by their names in evaluations, whose features D or a loss uses: metrics in
        these features are marked."""
        return ()

    # ---------------------------------------------------------------------------------- what a modality states

    def open_items(self, data: str, split: str, labels: str, like: Any) -> Any:
        """The `ItemSet` of a data argument; `multigen.data.datasets.open_splits` calls it."""
        raise NotImplementedError

    def open_evaluator(self) -> Evaluator[Any]:
        """The evaluator of generators on `splits`."""
        raise NotImplementedError

    def to_network(self, batch: Batch, step: Step) -> Tensor:
        """The real items (B, ...) of a batch in -1..1, not augmented."""
        raise NotImplementedError

    def augment(self, items: Tensor, step: Step, stream: str) -> Tensor:
        """Augmented items (B, ...); reals and fakes of one update take different streams."""
        return items

    def collapse_features(self, items: Tensor) -> Tensor:
        """Items (N, ...) in -1..1 as low-resolution feature vectors (N, D), used for mode-collapse
        detection."""
        raise NotImplementedError

    def cluster_features(self, items: Any) -> Tensor:
        """An `ItemSet` as low-resolution feature vectors (N, D), which are clustered before any
        network is built."""
        raise NotImplementedError

    # ---------------------------------------------------------------------------------- data

    @property
    def extractor_steps(self) -> int:
        """Training steps of the classifier in this run: few where few samples are evaluated, so
        that `tiny` takes seconds."""
        few = self.config.samples <= QUICK_SAMPLES
        return min(self.classifier_steps, QUICK_STEPS) if few else self.classifier_steps

    def open_data(self) -> TensorSource:
        """Opens the splits and the evaluator, and computes the clusters, if any."""
        if (freeze := self.config.freeze) and not (self.run.start or self.run.resume):
            raise ConfigError(
                f"freeze {freeze}: the layers of D are untrained; start from a run (--from RUN), or leave it out"
            )
        self.splits = self.open_splits()
        self._check_data()
        train = self.splits.train
        self.data_info = self.describe_data()
        others = (self.splits.validation, self.splits.test)
        self.held_out = " ".join(items.fingerprint() for items in others if items is not None)
        self.check_data()  # before, for example, a classifier is trained
        with if_slow("preparing the metrics"):
            self.evaluator = self.open_evaluator()
        self.evaluator.used_by_d = self.trained_with()
        source = train.to_source()
        if self.config.clusters and not self.config.conditional:
            # Takes a minute for tens of thousands of items.
            say(f"clustering {len(train):,} {train.noun} into {self.config.clusters} clusters")
            features = self.cluster_features(train)
            self.centres = self._same(find_centres(features, self.config.clusters))
            source.tensors["label"] = labels = nearest(features, self.centres)
            shares = (labels.bincount(minlength=self.config.clusters) / len(train)).tolist()
            self.data_info = replace(self.data_info, shares=tuple(round(share, 4) for share in shares))
        return source

    def open_splits(self) -> Splits[Any]:
        """Training, validation and test items."""
        return open_splits(self.config, self.open_items)

    def describe_data(self) -> SynthesisInfo:
        """Facts about `splits`."""
        train = self.splits.train
        return SynthesisInfo(train.fingerprint(), train.classes)

    def _check_data(self) -> None:
        train = self.splits.train
        if self.config.conditional and train.labels is None:
            raise ConfigError(
                f"conditional: {self.config.data} has no labels; sort the {train.noun} into one folder per class, or "
                "give --labels"
            )
        if self.config.keep_discriminator and self.splits.validation is None:
            raise ConfigError("keep_discriminator: D is calibrated on validation items; set --validation-size above 0")
        sets = (train, self.splits.validation, self.splits.test)
        skipped = dict(each for items in sets if items is not None for each in items.skipped)  # some in several sets
        report_skipped([*skipped.items()], train.noun)
        if len(train) < self.config.batch:
            say(
                f"{counted(len(train), train.noun)} to train on, fewer than a batch of {self.config.batch}, which contains some "
                f"more than once; add {train.noun}, or lower --batch"
            )

    def _same(self, centres: Tensor) -> Tensor:
        """Rank 0's centres on every rank: on different machines rounding may change the result of
        k-means."""
        return torch.tensor(from_first(centres.flatten().tolist(), self.device), dtype=centres.dtype).view_as(centres)

    @property
    def conditions(self) -> int:
        """Number of classes or clusters that G and D are conditioned on; 0: none."""
        return len(self.data_info.classes) if self.config.conditional else self.config.clusters

    def condition_of(self, items: ItemSet) -> Tensor | None:
        """Conditioning labels (N,) of real items: classes or cluster ids; None without."""
        if self.config.conditional:
            return items.labels
        return nearest(self.cluster_features(items), self.centres) if self.config.clusters else None

    # ---------------------------------------------------------------------------------- draws

    def drawn(self) -> int:
        return self.config.latent

    def fakes(self, batch: Batch, step: Step) -> tuple[Tensor, Tensor | None]:
        """Generated items (B, ...), augmented as D sees them, and their labels (B,), those of the
        real batch; None without conditions."""
        fake, label = self._generated(batch, step)
        return self.augment(fake, step, "fake"), label

    def reals(self, batch: Batch, step: Step) -> Tensor:
        """Real items (B, ...), augmented as D sees them."""
        return self.augment(self.to_network(batch, step), step, "real")

    def pairs(self, batch: Batch, step: Step) -> tuple[Tensor, Tensor, Tensor | None]:
        """D's training data: real and generated items (B, ...), augmented alike, and the labels
        (B,) of both."""
        with torch.no_grad():
            fake, label = self.fakes(batch, step)
        return self.reals(batch, step), fake, label

    def bare_pairs(self, batch: Batch, step: Step) -> tuple[Tensor, Tensor, Tensor | None]:
        """As `pairs`, but not augmented: for penalties at the items themselves, which use
        `augmented_critic` as D."""
        with torch.no_grad():
            fake, label = self._generated(batch, step)
        return self.to_network(batch, step), fake, label

    def augmented_critic(self, step: Step, stream: str) -> Callable[..., Tensor]:
        """D behind the augmentation: (items (B, ...), label) -> scores. `stream`: "real" or
        "fake"."""
        D = self.nets["D"]  # not the compiled one: compiled graphs have no second derivative
        return lambda items, label=None: D(self.augment(items, step, stream), label)

    def _generated(self, batch: Batch, step: Step) -> tuple[Tensor, Tensor | None]:
        label = batch["label"] if self.conditions else None
        return self.G(step.randn("z", self.config.latent), label), label

    def best(self, scores: Tensor, step: Step) -> Tensor:
        """D's scores (B, ...) of the samples that G learns from: the highest (k, ...), as `top_k`
        says. For G's loss of each method."""
        return scores[self.best_rows(scores, step)]

    def best_rows(self, scores: Tensor, step: Step) -> Tensor | slice:
        """Which rows `best` takes."""
        c = self.config
        if c.top_k == 1:
            return slice(None)
        share = max(c.top_k, c.top_k_decay ** (step.index * c.batch / len(self.data)))
        means = scores.detach().float().reshape(len(scores), -1).mean(1)
        return means.topk(max(1, round(share * len(scores)))).indices

    @property
    def couples(self) -> bool:
        """Whether G's update couples the rows of a batch: with `top_k` by their ranks."""
        return self.config.top_k < 1

    def forward(self, name: str, network: nn.Module, batch: Batch, step: Step) -> Tensor:
        """One forward pass of the generator, for its BatchNorm statistics."""
        return network(step.randn("z", self.config.latent), batch["label"] if self.conditions else None)

    # ---------------------------------------------------------------------------------- networks and stages

    def networks(self) -> dict[str, nn.Module]:
        return {"G": self.generator(), "D": frozen(self.discriminator(), self.config.freeze)}

    def averaged(self) -> Mapping[str, Schedule]:
        """The running average of the generator, unless `ema` is 0."""
        return {"G": self.config.ema} if self.config.ema else {}

    def updates(self) -> list[Update]:
        """The updates of a step: D `critic_steps` times, then G."""
        return [
            Update("discriminator", trains=["D"], loss=self.discriminator_loss, repeat=self.config.critic_steps),
            Update("generator", trains=["G"], loss=self.generator_loss, couples=self.couples),
        ]

    def stages(self) -> list[Stage]:
        """One stage, whose best checkpoint has the lowest Fréchet distance to the validation items,
        with collapse detection. Raises ConfigError where layers of an untrained D are frozen."""
        if (freeze := self.config.freeze) and "D" in self.untrained:
            raise ConfigError(
                f"freeze {freeze}: no D in {self.run.start}; start from a run with checkpoints, or --keep-discriminator"
            )
        best = Best(self.evaluator.selection_metric) if self.splits.validation is not None else None
        return [Stage("adversarial", self.config.steps, self.updates(), best=best, controls=self.controls())]

    def controls(self) -> list[Control]:
        """Those of its stage: that which detects mode collapse."""
        return [self.collapse()]

    def collapse(self) -> Control:
        """The control that detects mode collapse: compares the diversity of samples of fixed
        latents with that of real items."""
        real = pick(self.splits.train, SHOWN).items[:]
        n = len(real)

        def measure() -> float:
            latents = self.sampler_of(self.nets["G"]).latents(n).to(next(self.nets["G"].parameters()))
            classes = torch.arange(n) % self.conditions if self.conditions else None
            reals = self.evaluator.to_input(real.float())
            return diversity(self.nets["G"], latents, classes, reals, self.collapse_features)

        return Control("collapse", 0.0, 50, functools.partial(watch, self, measure))

    # ---------------------------------------------------------------------------------- evaluation

    def validate(self, nets: Mapping[str, nn.Module]) -> dict[str, float]:
        """Fréchet distance to the validation items, and D's overfitting."""
        if self.splits.validation is None:
            return {}
        figures = self.evaluator.validate(self.sampler_of(nets["G"]))
        return figures | self.evaluator.overfitting(nets["D"], self.condition_of)

    def preview(self, nets: Mapping[str, nn.Module], folder: Path) -> None:
        """Samples of the same latents each time."""
        self.show(self.sampler_of(nets["G"]), folder / f"step-{self.step:09d}")

    def score(self) -> Evaluation:
        """Evaluates the last and the best generator next to real items; writes `samples`, and the
        figures of `save_figures`."""
        stage = self.plan[-1].name
        with if_slow("measuring the baselines"):
            rows = self.baselines()
        nets = {name: copy.deepcopy(self.nets[name]).eval() for name in ("G", "D")}
        samples = self.sampler_of(nets["G"])
        for which in ("last", "best") if self.splits.validation is not None else ("last",):
            for name, network in nets.items():
                load_strict(network.state_dict(), self.saved(name, stage, which), f"{which} {name}")
            with torch.no_grad(), if_slow(f"measuring {stage}/{which}"):
                overfit = self.evaluator.overfitting(nets["D"], self.condition_of)
                rows[f"{stage}/{which}"] = self.evaluator.measure(samples) | overfit
        if self.evaluator.samples > QUICK_SAMPLES:
            with if_slow("measuring truncated samples"):
                rows |= truncation_curve(self.evaluator, samples, f"{stage}/{which}", rows, self.folder)
        if rank() == 0:
            with optional(f"{self.folder}: samples and figures"), if_slow("drawing samples and figures"):
                self.show(samples, self.folder / "samples")
                self.save_figures(samples)
        metrics = {metric for row in rows.values() for metric in row}
        definitions = {m: text for m, text in self.evaluator.definitions().items() if m in metrics}
        return Evaluation(rows, definitions, self.evaluator.remarks())

    def baselines(self) -> dict[str, dict[str, float]]:
        """Rows reported next to the generator's."""
        return self.evaluator.baselines()

    def show(self, samples: Sampler, path: Path) -> None:
        """Writes samples together to one file; `path` is its path without the suffix."""
        samples.show(samples.sample(SHOWN), path.with_name(path.name + Path(samples.overview).suffix))

    def save_figures(self, samples: Sampler) -> None:
        """Saves more images of the final generator, into `self.folder`."""

    # ---------------------------------------------------------------------------------- use

    def sampler_of(self, network: nn.Module) -> Sampler:
        """The ready object of a generator."""
        info = self.data_info
        return self.sampler(
            network, self.config.latent, info.classes if self.config.conditional else (), shares=info.shares
        )

    def exported(self, name: str) -> dict[str, Tensor]:
        return {} if name == "D" and not self.config.keep_discriminator else super().exported(name)

    @torch.no_grad()
    def texts(self) -> dict[str, str]:
        """Of a D that is kept, its calibration on the validation items."""
        items = self.splits.validation if self.config.keep_discriminator else None
        if items is None:
            return {}
        nets = {name: copy.deepcopy(self.nets[name]).eval() for name in ("G", "D")}
        for name, network in nets.items():
            load_strict(network.state_dict(), self.saved(name, self.plan[-1].name, "best"), f"best {name}")
        real = self.evaluator.scores(nets["D"], items, self.condition_of(items))
        return {FILE: as_text(calibrated(nets["D"], real, self.sampler_of(nets["G"]), self.evaluator.samples))}

    @classmethod
    def load(cls, folder: ModelFolder) -> Sampler:
        """The ready object of a model folder's generator, on the folder's device.

        Raises CheckpointError where weights do not fit, ConfigError for invalid settings.
        """
        where = f"{folder.path}, config.json"
        trainer = cls(from_table(cls.config_type(), folder.config, where))
        trainer.data_info = from_table(cls.data_info, folder.data, where)
        c, info = trainer.config, trainer.data_info
        if not c.conditional and (len(info.shares) != c.clusters or not all(0 <= share <= 1 for share in info.shares)):
            raise ConfigError(
                f"{where}: shares {info.shares} of {c.clusters} clusters; expected one of 0 to 1 for each; copy the folder "
                "again, or train again"
            )
        sampler = trainer.sampler_of(
            load_network(trainer.generator, folder.weights.get("G", {}), f"{folder.path}, G", folder.device)
        )
        if "D" in folder.weights:
            sampler.open_rejection = functools.partial(open_rejection, folder, trainer.discriminator)
        return sampler
