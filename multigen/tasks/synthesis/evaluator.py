"""Sample-quality metrics for any modality: distances to real items in a feature space, coverage,
memorisation.

Independent of the modality, which provides the network as an `Extractor`; each distance is named
after it.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Generic, TypeVar

import torch
from torch import Tensor, nn

from multigen.console import counted, if_slow
from multigen.data.datasets import ItemSet, Splits, pick, split_off
from multigen.engine.distributed import shared_rows
from multigen.engine.evaluation import USED_BY_D, Evaluation
from multigen.errors import DataError
from multigen.metrics import distances as features
from multigen.metrics.distances import Moments
from multigen.tasks.synthesis.extractors import BATCH, Extractor, Made, embed, embed_all, embed_real
from multigen.tasks.synthesis.sampler import Sampler

__all__ = [
    "Evaluator",
    "class_score",
    "compare",
    "measure",
    "moments",
]

PUBLISHED_NAMES = {"fd_inception": "fid", "kd_inception": "kid", "is_inception": "inception_score"}
"""Metrics that use the literature's names, since they are computed with its network."""
SEED = 20_000  # of the samples that are evaluated
CONFIDENT = 0.9
LEARNED = 0.3
BALANCED = (0.2, 2.5)  # of an even share: of ten classes 2 to 25 %
NEIGHBOURS = 5  # k of density and coverage
FEW = 500  # with fewer samples or test items, a remark says that metrics are noisy
LABELLED = {
    "classes_balanced": f"number of classes with {BALANCED[0]:g} to {BALANCED[1]:g} times an even share of the samples to which "
    f"the classifier gives a class with probability {CONFIDENT} or more",
    "confident": f"share of samples to which the classifier gives a class with probability {CONFIDENT} or more",
    "class_accuracy": "share of samples classified as the requested class",
    "classes_learned": f"number of classes of which at least {LEARNED:.0%} of the samples are classified as requested",
}
OVERFIT = (
    "share of validation {noun} that D scores below the median of as many training {noun}, less one half: 0 where D cannot "
    "distinguish them, 0.5 where it has memorised the training {noun}"
)
USED = f"{USED_BY_D}, which flatters the samples"
FLATTERED = (
    "D was trained on features of this network, so in its metrics samples look better than they are; compare them "
    "by another network, such as --features classifier or inception"
)
S = TypeVar("S", bound=ItemSet)


# ---------------------------------------------------------------------------------------------------- measures


def moments(h: Tensor) -> Moments:
    """Mean and covariance of features (N, D)."""
    result = Moments(h.shape[1])
    result.add(h)
    return result


def measure(name: str, fake: Tensor, real: Tensor) -> dict[str, float]:
    """Metrics of samples' features (N, D) against real items' (M, D), from the extractor `name`.

    Metrics of nearest neighbours are omitted where there are too few items.
    """
    values = {
        _metric_name("fd", name): features.frechet_distance(moments(fake), moments(real)),
        _metric_name("kd", name): features.kernel_distance(fake, real)[0],
    }
    if min(len(real), len(fake)) > NEIGHBOURS:
        values["precision"], values["recall"] = features.precision_recall(real, fake)
        values["density"], values["coverage"] = features.density_coverage(real, fake, NEIGHBOURS)
    return values


def _metric_name(metric: str, name: str) -> str:
    """Name of an extractor's metric, e.g. fd_classifier."""
    return PUBLISHED_NAMES.get(f"{metric}_{name}", f"{metric}_{name}")


def class_score(name: str, probabilities: Tensor | None) -> dict[str, float]:
    """The inception score of class probabilities (N, K), named after their extractor; {} without
    classes."""
    if probabilities is None or len(probabilities) < 10:  # splits
        return {}
    # In random order: samples of conditional generators are ordered by class.
    order = torch.randperm(len(probabilities), generator=torch.Generator().manual_seed(SEED))
    return {_metric_name("is", name): features.inception_score(probabilities[order])[0]}


def compare(
    name: str,
    real: S,
    fake: S,
    device: torch.device,
    open_extractor: Callable[[str, S, torch.device], Extractor],
    about: str,
) -> Evaluation:
    """Evaluates two sets against one half of the real set (split by the hash of the names): the
    other half as the baseline, and at most as many samples.

    An extractor that is trained here is trained on all real items, so the halves appear nearer to
    each other than to new items.

    Args:
        name: name of the extractor.
        open_extractor: opens it, from its name and the real items.
        about: description of features and items, for the definitions, e.g. "features: ...; cut to
            squares of 32 pixels".

    Raises DataError for fewer than four real items.
    """
    if len(real) < 4:
        raise DataError(
            f"{real.name}: {counted(len(real), real.noun)}, expected at least 4, to be halved for the baseline; "
            f"add real {real.noun}"
        )
    extract = open_extractor(name, real, device)
    half, other = split_off(real, len(real) // 2)
    samples = split_off(fake, max(0, len(fake) - len(half)))[0]
    with if_slow(f"measuring {real.name}"):
        target = embed_real(name, extract, other.items, device)[0]
    rows = {}
    for row, part in (("real", half), ("fake", samples)):
        with if_slow(f"measuring {row} {real.noun}"):
            h, probabilities = embed(extract, part.items, device)
            rows[row] = measure(name, h, target) | class_score(name, probabilities)
    n = f"{len(samples)} samples, {len(half)} real ones for the baseline, against {len(other)} other real ones"
    used = {m for row in rows.values() for m in row}
    return Evaluation(rows, {m: f"{text}; {about}; {n}" for m, text in _definitions(name).items() if m in used})


def _definitions(name: str) -> dict[str, str]:
    metrics = (("fd", "frechet"), ("kd", "kernel"), ("is", "inception_score"))
    definitions = {_metric_name(short, name): features.DEFINITIONS[d] for short, d in metrics}
    return definitions | {m: features.DEFINITIONS[m] for m in ("precision", "recall", "density", "coverage")}


class Evaluator(Generic[S]):
    """Evaluates generators on the data of one run, in the features of one extractor.

    Args:
        splits: training, validation and test items.
        samples: number of samples to evaluate, at most the number of training items, or of those
            that `splits` have as a baseline.
        name: name of the extractor; "classifier" is trained on the labels of the training items.
        extract: the extractor.
        about: as for `compare`.
        to_input: items (N, ...), converted to a float dtype -> D's input.
        also: more extractors by name, in whose features only the Fréchet distance and coverage are
            computed.
        selection_extractor: the extractor whose Fréchet distance selects the best checkpoint;
            default: `name`.
        batch: number of items that are given to a network at a time.
    """

    def __init__(
        self,
        splits: Splits[S],
        samples: int,
        device: torch.device,
        name: str,
        extract: Extractor,
        about: str,
        to_input: Callable[[Tensor], Tensor],
        also: Mapping[str, Extractor] | None = None,
        selection_extractor: str = "",
        batch: int = BATCH,
    ):
        self.splits, self.device, self.extractor_name, self.extract = splits, device, name, extract
        self.about, self.to_input, self.also, self.batch = about, to_input, also or {}, batch
        known = splits.train if splits.baseline is None else splits.baseline
        self.samples = min(samples, len(known))
        self.training_sample = pick(known, self.samples)  # as many training items as samples
        self.selection_extractor = selection_extractor or name
        self.selection_metric = _metric_name("fd", self.selection_extractor)
        self.used_by_d: Sequence[str] = ()
        """Names of the extractors that D, or a loss, was trained with; the trainer sets them."""

    def features_of(self, items: S, name: str = "") -> Tensor:
        """Features (N, D) of real items by the extractor or one of `also`, cached."""
        return self._embed_real(items, name)[0]

    def _embed_real(self, items: S, name: str = "") -> tuple[Tensor, Tensor | None]:
        """`features_of`, with class probabilities (N, K) where the extractor has them."""
        extract = self.also.get(name, self.extract)
        return embed_real(name or self.extractor_name, extract, items.items, self.device, self.batch)

    def validate(self, sampler: Sampler) -> dict[str, float]:
        """Fréchet distance of samples, as many as in the final evaluation, to the validation
        items."""
        assert self.splits.validation is not None
        extract = self.also.get(self.selection_extractor, self.extract)
        (h,), _ = self._embed([extract], self._samples(sampler, SEED + 1))
        real = self.features_of(self.splits.validation, self.selection_extractor)
        return {self.selection_metric: features.frechet_distance(moments(h), moments(real))}

    def overfitting(self, discriminator: nn.Module, condition_of: Callable[[S], Tensor | None]) -> dict[str, float]:
        """D's overfitting, see `OVERFIT`; {} without validation items. `condition_of`: items -> D's
        labels (N,), or None."""
        validation = self.splits.validation
        if validation is None:
            return {}
        training = pick(self.splits.train, len(validation))
        training_scores = self.scores(discriminator, training, condition_of(training))
        validation_scores = self.scores(discriminator, validation, condition_of(validation))
        median = training_scores.quantile(0.5)  # a score equal to it counts half
        below = (validation_scores < median).float() + 0.5 * (validation_scores == median)
        return {"d_overfit": below.mean().item() - 0.5}

    def baselines(self) -> dict[str, dict[str, float]]:
        """Baselines: real items in place of samples, which no generator is expected to beat.

        In `real`, distances are of training items (of all, where some of them are trained on), the
        memorisation score of validation items, and class metrics of test items, since the
        classifier was trained on the training items. For the same reason the distance in its
        features is no strict bound: features of its training items differ slightly from those of
        new ones. `real_training` has the inception score of as many training items as samples, on
        which the network may be trained.
        """
        h, training_probabilities = self._embed_real(self.training_sample)
        values = self._distances(h, {name: self.features_of(self.training_sample, name) for name in self.also})
        if self.splits.validation is not None:
            values |= self._memorisation(self.features_of(self.splits.validation))
        probabilities = self._embed_real(self.splits.test)[1]
        if self.splits.test.labels is None:  # the test items are of other, or unknown, classes
            values |= class_score(self.extractor_name, probabilities)
        else:
            values |= self._classes(probabilities, self.splits.test.labels)
        score = class_score(self.extractor_name, training_probabilities)
        return {"real": values, "real_training": score} if score else {"real": values}

    def measure(self, sampler: Sampler) -> dict[str, float]:
        """All metrics of a generator, on the test items."""
        return self.metrics_of(self._samples(sampler, SEED), self._requested(sampler))

    def truncated(self, sampler: Sampler, truncation: float) -> dict[str, float]:
        """Metrics of distance and coverage of truncated samples, on the test items."""
        (h,), _ = self._embed([self.extract], self._samples(sampler, SEED, truncation))
        return measure(self.extractor_name, h, self.features_of(self.splits.test))

    def metrics_of(self, items: Tensor | Made, requested: Tensor | None) -> dict[str, float]:
        """All metrics of items (N, ...) as samples whose requested classes are `requested` (N,).
        The ranks share the work, so all must call it."""
        (h, *rest), probabilities = self._embed([self.extract, *self.also.values()], items)
        others = dict(zip(self.also, rest, strict=True))
        return self._distances(h, others) | self._memorisation(h) | self._classes(probabilities, requested)

    def _requested(self, sampler: Sampler) -> Tensor | None:
        """Classes (N,) requested from a conditional generator, in the training proportions."""
        return self.training_sample.labels if sampler.classes else None

    def _samples(self, sampler: Sampler, seed: int, truncation: float | None = None) -> Made:
        """As many samples of a seed as are evaluated."""
        requested = self._requested(sampler)

        def rows(which: slice) -> Iterator[Tensor]:
            for first in range(which.start, which.stop, sampler.batch):
                end = min(first + sampler.batch, which.stop)
                labels = None if requested is None else requested[first:end]
                yield sampler.sample(end - first, seed, labels, truncation, first)

        return Made(self.samples, rows)

    def _embed(self, extractors: Sequence[Extractor], items: Tensor | Made) -> tuple[Sequence[Tensor], Tensor | None]:
        """Features by each extractor, and probabilities by the first; the ranks share the work."""

        def compute(rows: slice) -> list[Tensor]:
            parts = items.parts(rows, self.batch) if isinstance(items, Made) else items[rows].split(self.batch)
            result = embed_all(extractors, parts, rows.stop - rows.start, self.device)
            return [*(h for h, _ in result), *(p for _, p in result[:1] if p is not None)]

        result = shared_rows(items.count if isinstance(items, Made) else len(items), compute, self.device)
        return result[: len(extractors)], result[-1] if len(result) > len(extractors) else None

    def _distances(self, h: Tensor, others: Mapping[str, Tensor]) -> dict[str, float]:
        """Metrics of features (N, D), and Fréchet distance and coverage of other extractors'
        features by name."""
        real = self.features_of(self.splits.test)
        values = measure(self.extractor_name, h, real)
        for name, other in others.items():
            target = self.features_of(self.splits.test, name)
            values[_metric_name("fd", name)] = features.frechet_distance(moments(other), moments(target))
            if min(len(target), len(other)) > NEIGHBOURS:
                values[_metric_name("coverage", name)] = features.density_coverage(target, other, NEIGHBOURS)[1]
        try:
            return values | {"variety": features.variety(h, real)}
        except DataError:  # every test item is duplicated: the ratio is undefined
            return values

    def _memorisation(self, h: Tensor) -> dict[str, float]:
        train, test = (self.features_of(items) for items in (self.splits.train, self.splits.test))
        try:
            return {"memorisation": features.memorisation(h, train, test)}
        except DataError:  # every test item is a copy of a training item: the ratio is undefined
            return {}

    def _classes(self, probabilities: Tensor | None, requested: Tensor | None) -> dict[str, float]:
        """Metrics of class probabilities (N, K) of samples whose requested classes are `requested`
        (N,); {} without classes."""
        values = class_score(self.extractor_name, probabilities)
        if probabilities is None or self.extractor_name != "classifier" or self.splits.train.labels is None:
            return values
        confidence, predicted = probabilities.max(1)
        real = self.splits.train.labels.bincount(minlength=len(self.splits.train.classes))
        covered, kl = features.class_balance(predicted, len(real), real)
        values["confident"] = (confidence >= CONFIDENT).float().mean().item()
        values |= {"classes": float(covered), "class_kl": kl}
        sure = predicted[confidence >= CONFIDENT].bincount(minlength=len(real))
        shares = sure * len(real) / sure.sum().clamp(min=1)
        values["classes_balanced"] = float(((shares >= BALANCED[0]) & (shares <= BALANCED[1])).sum())
        if requested is not None:
            right = (predicted == requested).double()
            shares = [right[requested == label].mean().item() for label in requested.unique()]
            values["class_accuracy"] = right.mean().item()
            values["classes_learned"] = float(sum(share >= LEARNED for share in shares))
        return values

    def definitions(self) -> dict[str, str]:
        """Metric -> its exact definition."""
        noun = self.splits.train.noun
        what = f"{self.about}; {self.samples} samples, {len(self.splits.test)} test {noun}"
        texts = _definitions(self.extractor_name) | {"memorisation": features.DEFINITIONS["memorisation"]}
        texts |= {m: features.DEFINITIONS[m] for m in ("variety", "classes", "class_kl")} | LABELLED
        for metric, definition in (("fd", "frechet"), ("coverage", "coverage")):
            texts |= {_metric_name(metric, name): features.DEFINITIONS[definition] for name in self.also}
        texts |= {m: f"{text}; {USED}" for m, text in texts.items() if self._extractor_of(m) in self.used_by_d}
        return {m: f"{text}; {what}" for m, text in texts.items()} | {"d_overfit": OVERFIT.format(noun=noun)}

    def _extractor_of(self, metric: str) -> str:
        """Name of the extractor that a metric is computed with."""
        named = (name for name in self.also if metric in (_metric_name("fd", name), _metric_name("coverage", name)))
        return "classifier" if metric in ("classes", "class_kl", *LABELLED) else next(named, self.extractor_name)

    def remarks(self) -> dict[str, str]:
        """Remarks for readers of the metrics: that they are from few items, or flattered by D, if
        so."""
        used = [name for name in (self.extractor_name, *self.also) if name in self.used_by_d]
        remarks = {USED_BY_D: f"{', '.join(used)}: {FLATTERED}"} if used else {}
        test = self.splits.test
        if min(self.samples, len(test)) >= FEW:
            return remarks
        few = f"{self.samples} samples were measured against {counted(len(test), test.noun)}"
        return remarks | {
            "few": f"{few}; with fewer than {FEW} of either, metrics vary from run to run, and may even beat real {test.noun}"
        }

    def scores(self, discriminator: nn.Module, items: S, labels: Tensor | None) -> Tensor:
        """D's scores (N,) of real items."""
        scores, dtype = [], next((p.dtype for p in discriminator.parameters()), torch.float32)
        for i in range(0, len(items), self.batch):
            x = self.to_input(items.items[i : i + self.batch].to(self.device, dtype))
            label = None if labels is None else labels[i : i + self.batch].to(self.device)
            logits = discriminator(x, label).float().reshape(len(x), -1)  # (B, critics)
            scores.append(logits.mean(1).cpu())
        return torch.cat(scores)
