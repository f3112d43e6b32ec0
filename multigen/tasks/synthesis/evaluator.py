"""What generated items of any kind are worth: distances to real ones in the features of a network, coverage, copies of training
data.

Nothing here knows what the items are. A modality brings the network as an `Extractor`, and each distance carries its name.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Generic, NamedTuple, TypeVar

import torch
from torch import Tensor, nn

from multigen.console import counted, say
from multigen.data.datasets import ItemSet, Splits, pick, split_off
from multigen.engine.distributed import shared_rows
from multigen.engine.evaluation import Evaluation
from multigen.errors import DataError
from multigen.metrics import distances as features
from multigen.metrics.classifier import STEPS, Classifier, train_classifier
from multigen.metrics.distances import Moments
from multigen.storage.cache import cached
from multigen.tasks.synthesis.sampler import Sampler

__all__ = [
    "Evaluator",
    "Extractor",
    "by_classifier",
    "class_score",
    "compare",
    "embed",
    "embed_real",
    "measure",
    "moments",
]

PUBLISHED = {"fd_inception": "fid", "kd_inception": "kid", "is_inception": "inception_score"}
"""Figures that may carry the literature's names, since they are computed with its network."""
SEED = 20_000  # of the samples that are measured
CONFIDENT = 0.9
LEARNED = 0.3
NEIGHBOURS = 5  # k of density and coverage
FEW = 500  # samples or test items, of fewer than which the figures say that they waver
LABELLED = {
    "confident": f"share of samples to which the classifier gives a class with probability {CONFIDENT} or more",
    "class_accuracy": "share of samples that the classifier takes for the class asked for",
    "classes_learned": f"number of classes of which at least {LEARNED:.0%} of the samples are taken for what was asked for",
}
OVERFIT = (
    "share of validation {noun} that D scores below the median of as many training {noun}, less one half: 0 where D cannot "
    "tell them apart, 0.5 where it knows the training {noun} by heart"
)
S = TypeVar("S", bound=ItemSet)


class Extractor(NamedTuple):
    """A network that gives features."""

    run: Callable[[Tensor], tuple[Tensor, Tensor | None]]
    """Items (B, ...), as sets hold them -> features (B, D), and class probabilities (B, K) where the network has classes."""
    key: Sequence[str | Tensor] = ()
    """What features depend on besides the items, for the cache: weights that were trained here, or a version."""


def by_classifier(
    kind: str,
    train: ItemSet,
    planes: Callable[[Tensor], Tensor],
    to_input: Callable[[Tensor], Tensor],
    device: torch.device,
    key: Sequence[str] = (),
    steps: int = STEPS,
) -> Extractor:
    """The features of a classifier that is trained here on labelled items, once: the cache keeps its weights.

    Args:
        kind: of the file in the cache.
        train: items with labels.
        planes: items (B, ...), as the set holds them -> (B, C, H, W).
        to_input: planes -> what the classifier takes, floats of the same layout.
        key: what the planes depend on besides the items.
        steps: of its training.
    """
    labels, classes = train.labels, len(train.classes)
    assert labels is not None

    def trained() -> dict[str, Tensor]:
        say(f"training a classifier of {classes} classes on {train.name}, whose features samples are compared in")
        inputs = planes(train.items)
        return train_classifier(inputs, labels, classes, to_input=to_input, steps=steps, device=device).state_dict()

    network = Classifier(planes(train.items[:1]).shape[1], classes)
    weights = cached(kind, [train.items, labels, *key, steps], trained, like=network.state_dict())
    network.load_state_dict(weights)
    network.to(device).eval()

    def extract(items: Tensor) -> tuple[Tensor, Tensor | None]:
        h = network.features(to_input(planes(items)))
        return h, network.head(h).softmax(1)

    return Extractor(extract, [weights[name] for name in sorted(weights)])


@torch.no_grad()
def embed(extract: Extractor, items: Tensor, device: torch.device, batch: int = 100) -> tuple[Tensor, Tensor | None]:
    """Features (N, D) and probabilities (N, K) or None of items (N, ...), on the CPU."""
    found = [extract.run(part.to(device)) for part in items.split(batch)]
    h = torch.cat([f.float().cpu() for f, _ in found])
    return h, torch.cat([p.float().cpu() for _, p in found if p is not None]) if found[0][1] is not None else None


def embed_real(name: str, extract: Extractor, items: Tensor, device: torch.device) -> tuple[Tensor, Tensor | None]:
    """As `embed`, of real items: kept in the cache."""

    def found() -> dict[str, Tensor]:
        h, probabilities = embed(extract, items, device)
        return {"features": h} if probabilities is None else {"features": h, "probabilities": probabilities}

    with torch.no_grad():
        first = zip(("features", "probabilities"), extract.run(items[:1].to(device)), strict=True)
    like = {name: part.float().expand(len(items), -1) for name, part in first if part is not None}
    kept = cached(f"embedded-{name}", [items, *extract.key], found, like)
    return kept["features"], kept.get("probabilities")


# ---------------------------------------------------------------------------------------------------- measures


def moments(h: Tensor) -> Moments:
    """Mean and covariance of features (N, D)."""
    found = Moments(h.shape[1])
    found.add(h)
    return found


def measure(name: str, fake: Tensor, real: Tensor) -> dict[str, float]:
    """Figures of features (N, D) of samples beside those (M, D) of real items, from the extractor `name`.

    Those of neighbours are left out where there are too few items to have any.
    """
    found = {
        _named("fd", name): features.frechet_distance(moments(fake), moments(real)),
        _named("kd", name): features.kernel_distance(fake, real)[0],
    }
    if min(len(real), len(fake)) > NEIGHBOURS:
        found["precision"], found["recall"] = features.precision_recall(real, fake)
        found["density"], found["coverage"] = features.density_coverage(real, fake, NEIGHBOURS)
    return found


def _named(figure: str, name: str) -> str:
    """The figure of an extractor, e.g. fd_classifier."""
    return PUBLISHED.get(f"{figure}_{name}", f"{figure}_{name}")


def class_score(name: str, probabilities: Tensor | None) -> dict[str, float]:
    """The inception score of class probabilities (N, K), under the name of their extractor; nothing without classes."""
    if probabilities is None or len(probabilities) < 10:  # splits
        return {}
    # In random order: those of conditional generators come in the order of the classes asked for.
    order = torch.randperm(len(probabilities), generator=torch.Generator().manual_seed(SEED))
    return {_named("is", name): features.inception_score(probabilities[order])[0]}


def compare(
    name: str,
    real: S,
    fake: S,
    device: torch.device,
    open_extractor: Callable[[str, S, torch.device], Extractor],
    about: str,
) -> Evaluation:
    """Two sets, both against one half of the real one (chosen by the hash of the names): as the baseline the other half, and as
    many of the samples at most.

    An extractor that is trained here is trained on all real items, so that their halves look nearer than new ones would.

    Args:
        name: of the extractor.
        open_extractor: gives it, from its name and the real items.
        about: of the features and the items, for the definitions, e.g. "features: ...; cut to squares of 32 pixels".

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
    target = embed_real(name, extract, other.items, device)[0]
    rows = {}
    for row, part in (("real", half), ("fake", samples)):
        h, probabilities = embed(extract, part.items, device)
        rows[row] = measure(name, h, target) | class_score(name, probabilities)
    n = f"{len(samples)} samples, {len(half)} real ones for the baseline, against {len(other)} other real ones"
    used = {m for row in rows.values() for m in row}
    return Evaluation(rows, {m: f"{text}; {about}; {n}" for m, text in _definitions(name).items() if m in used})


def _definitions(name: str) -> dict[str, str]:
    known = (("fd", "frechet"), ("kd", "kernel"), ("is", "inception_score"))
    named = {_named(short, name): features.DEFINITIONS[d] for short, d in known}
    return named | {m: features.DEFINITIONS[m] for m in ("precision", "recall", "density", "coverage")}


class Evaluator(Generic[S]):
    """Measures generators on the data of one run, in the features of one extractor.

    Args:
        splits: items by their use.
        samples: how many are measured, at most as many as there are training items.
        name: of the extractor; one called "classifier" is trained on the labels of the training items, and knows them.
        extract: the extractor.
        about: as for `compare`.
        to_input: items (N, ...), converted to a float type, as D takes them.
        also: more extractors by name, in whose features only the Frechet distance is taken.
        chooses: the extractor in whose features a checkpoint is the best; by default the first.
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
        chooses: str = "",
    ):
        self.splits, self.device, self.extractor_name, self.extract = splits, device, name, extract
        self.about, self.to_input, self.also = about, to_input, also or {}
        self.samples = min(samples, len(splits.train))
        self.known = pick(splits.train, self.samples)  # training items in place of samples
        self.chooses = chooses or name
        self.chooses_by = _named("fd", self.chooses)

    def features_of(self, items: S, name: str = "") -> Tensor:
        """Features (N, D) of real items, from the cache where they were computed before, by the extractor or one of `also`."""
        return self._embed_real(items, name)[0]

    def _embed_real(self, items: S, name: str = "") -> tuple[Tensor, Tensor | None]:
        """`features_of`, with class probabilities (N, K) where the extractor has them."""
        return embed_real(name or self.extractor_name, self.also.get(name, self.extract), items.items, self.device)

    def validate(self, sampler: Sampler) -> dict[str, float]:
        """Frechet distance of as many samples as are measured in the end to the validation items."""
        assert self.splits.validation is not None
        extract = self.also.get(self.chooses, self.extract)
        h = self._embed(extract, self._sample(sampler, SEED + 1))[0]
        real = self.features_of(self.splits.validation, self.chooses)
        return {self.chooses_by: features.frechet_distance(moments(h), moments(real))}

    def overfitting(self, discriminator: nn.Module, condition_of: Callable[[S], Tensor | None]) -> dict[str, float]:
        """See `OVERFIT`; nothing without validation items. `condition_of`: items -> the labels (N,) that D takes, or None."""
        unknown = self.splits.validation
        if unknown is None:
            return {}
        some = pick(self.splits.train, len(unknown))
        known = self._scores(discriminator, some, condition_of(some))
        scores = self._scores(discriminator, unknown, condition_of(unknown))
        middle = known.quantile(0.5)  # a score on it counts half
        return {"d_overfit": ((scores < middle).float() + 0.5 * (scores == middle)).mean().item() - 0.5}

    def baselines(self) -> dict[str, dict[str, float]]:
        """Real items in place of samples: what no generator is expected to beat.

        Distances of `real` are of training items, the memorisation score of validation items, classes of the test items, since
        the classifier knows the training items. For the same reason the distance in its own features is no strict bound: those
        of items it was trained on differ a little from those of new ones. `real_training` has the inception score of the
        training items, which the network may know, but of as many as there are samples.
        """
        h, known = self._embed_real(self.known)
        found = self._distances(h, {name: self.features_of(self.known, name) for name in self.also})
        if self.splits.validation is not None:
            found |= self._memorisation(self.features_of(self.splits.validation))
        probabilities = self._embed_real(self.splits.test)[1]
        if self.splits.test.labels is None:  # the test items are of other classes, or nobody knows of which
            found |= class_score(self.extractor_name, probabilities)
        else:
            found |= self._classes(probabilities, self.splits.test.labels)
        score = class_score(self.extractor_name, known)
        return {"real": found, "real_training": score} if score else {"real": found}

    def measure(self, sampler: Sampler) -> dict[str, float]:
        """All figures of a generator, on the test items."""
        return self.figures(self._sample(sampler, SEED), self._asked(sampler))

    def figures(self, items: Tensor, asked: Tensor | None) -> dict[str, float]:
        """All figures of items (N, ...) that pass for samples, whose classes should be `asked` (N,). Ranks share the work, so
        all must call it."""
        h, probabilities = self._embed(self.extract, items)
        others = {name: self._embed(extract, items)[0] for name, extract in self.also.items()}
        return self._distances(h, others) | self._memorisation(h) | self._classes(probabilities, asked)

    def _asked(self, sampler: Sampler) -> Tensor | None:
        """Classes (N,) that a conditional generator is asked for: in the shares of the training items."""
        return self.known.labels if sampler.classes else None

    def _sample(self, sampler: Sampler, seed: int) -> Tensor:
        """Samples of a seed, (samples, ...), shared by the ranks."""
        asked = self._asked(sampler)

        def some(rows: slice) -> list[Tensor]:
            labels = None if asked is None else asked[rows]
            return [sampler.sample(rows.stop - rows.start, seed, labels, first=rows.start)]

        return shared_rows(self.samples, some, self.device)[0]

    def _embed(self, extract: Extractor, items: Tensor) -> tuple[Tensor, Tensor | None]:
        """As `embed`, shared by the ranks."""

        def some(rows: slice) -> list[Tensor]:
            return [t for t in embed(extract, items[rows], self.device) if t is not None]

        found = shared_rows(len(items), some, self.device)
        return found[0], found[1] if len(found) > 1 else None

    def _distances(self, h: Tensor, others: Mapping[str, Tensor]) -> dict[str, float]:
        """Figures of features (N, D), and Frechet distances of those of other extractors by their names."""
        real = self.features_of(self.splits.test)
        found = measure(self.extractor_name, h, real)
        for name, other in others.items():
            target = self.features_of(self.splits.test, name)
            found[_named("fd", name)] = features.frechet_distance(moments(other), moments(target))
        try:
            return found | {"variety": features.variety(h, real)}
        except DataError:  # every test item is there more than once: there is no ratio
            return found

    def _memorisation(self, h: Tensor) -> dict[str, float]:
        train, test = (self.features_of(items) for items in (self.splits.train, self.splits.test))
        try:
            return {"memorisation": features.memorisation(h, train, test)}
        except DataError:  # every test item is a copy of a training item: there is no ratio
            return {}

    def _classes(self, probabilities: Tensor | None, asked: Tensor | None) -> dict[str, float]:
        """What class probabilities (N, K) say of samples whose classes should be `asked` (N,); empty without any."""
        found = class_score(self.extractor_name, probabilities)
        if probabilities is None or self.extractor_name != "classifier" or self.splits.train.labels is None:
            return found
        confidence, predicted = probabilities.max(1)
        real = self.splits.train.labels.bincount(minlength=len(self.splits.train.classes))
        covered, kl = features.class_balance(predicted, len(real), real)
        found["confident"] = (confidence >= CONFIDENT).float().mean().item()
        found |= {"classes": float(covered), "class_kl": kl}
        if asked is not None:
            right = (predicted == asked).double()
            shares = [right[asked == label].mean().item() for label in asked.unique()]
            found["class_accuracy"] = right.mean().item()
            found["classes_learned"] = float(sum(share >= LEARNED for share in shares))
        return found

    def definitions(self) -> dict[str, str]:
        """What each figure is."""
        noun = self.splits.train.noun
        what = f"{self.about}; {self.samples} samples, {len(self.splits.test)} test {noun}"
        chosen = _definitions(self.extractor_name) | {"memorisation": features.DEFINITIONS["memorisation"]}
        chosen |= {m: features.DEFINITIONS[m] for m in ("variety", "classes", "class_kl")} | LABELLED
        chosen |= {_named("fd", name): features.DEFINITIONS["frechet"] for name in self.also}
        return {m: f"{text}; {what}" for m, text in chosen.items()} | {"d_overfit": OVERFIT.format(noun=noun)}

    def remarks(self) -> dict[str, str]:
        """What a reader of the figures should know: that they are of few items, if they are."""
        test = self.splits.test
        if min(self.samples, len(test)) >= FEW:
            return {}
        few = f"{self.samples} samples were measured against {counted(len(test), test.noun)}"
        return {
            "few": f"{few}; with fewer than {FEW} of either, figures vary from run to run, and may even beat real {test.noun}"
        }

    def _scores(self, discriminator: nn.Module, items: S, labels: Tensor | None) -> Tensor:
        """D's scores (N,) of real items."""
        found, dtype = [], next((p.dtype for p in discriminator.parameters()), torch.float32)
        for i in range(0, len(items), 100):
            x = self.to_input(items.items[i : i + 100].to(self.device, dtype))
            label = None if labels is None else labels[i : i + 100].to(self.device)
            logits = discriminator(x, label).float().reshape(len(x), -1)  # (B, critics)
            found.append(logits.mean(1).cpu())
        return torch.cat(found)
