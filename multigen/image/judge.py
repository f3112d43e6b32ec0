"""What generated pictures are worth: distances to real ones in the features of a network, coverage, copies of training data.

Three networks give features, and each distance carries its network's name: `efficientnet_lite0` (ImageNet, installed with the
package), `classifier` (trained here on the labelled training pictures), `inception` (of the FID of the literature, by
torch-fidelity: extra `fid`).
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from multigen import features
from multigen.cache import cache_folder, cached
from multigen.classifier import Classifier, train_classifier
from multigen.errors import ConfigError, DataError
from multigen.evaluation import Evaluation
from multigen.features import Moments
from multigen.image.sampling import Sampler, grid
from multigen.image.sets import ImageSet
from multigen.progress import say
from multigen.sets import Sets, pick, split_off

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

__all__ = ["EXTRACTORS", "Judge", "compare", "measure", "nearest_picture", "open_extractor"]


class Extractor(NamedTuple):
    """A network that gives features."""

    run: Callable[[Tensor], tuple[Tensor, Tensor | None]]
    """uint8 (B, C, H, W) -> features (B, D), and class probabilities (B, K) where the network has classes."""
    key: Sequence[str | Tensor] = ()
    """What features depend on besides the pictures, for the cache: weights that were trained here, or a version."""


EXTRACTORS = {
    "efficientnet_lite0": "EfficientNet-lite0 (ImageNet), 1,280 pooled features of pictures resized to 96 x 96",
    "classifier": "a small convolutional network trained here on the labelled training pictures, 128 features",
    "inception": "Inception v3 of the FID of Heusel et al. 2017, 2,048 features, through torch-fidelity",
}
PUBLISHED = {"fd_inception": "fid", "kd_inception": "kid", "is_inception": "inception_score"}
"""Figures that may carry the literature's names, since they are computed with its network."""
SEED = 20_000  # of the samples that are measured
INCEPTION = (
    "https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/weights-inception-2015-12-05-6726825d.pth",
    "6726825d",  # its SHA-256 begins so
)
CONFIDENT = 0.9
NEIGHBOURS = 5  # k of density and coverage
LABELLED = {
    "recognised": f"share of samples to which the classifier gives a class with probability {CONFIDENT} or more",
    "as_asked": "share of samples that the classifier takes for the class asked for",
}
OVERFIT = (
    "share of validation pictures that D scores below the median of as many training pictures, less one half: 0 where D cannot "
    "tell them apart, 0.5 where it knows the training pictures by heart"
)


# ---------------------------------------------------------------------------------------------------- extractors


def open_extractor(name: str, train: ImageSet | None, device: torch.device) -> Extractor:
    """An extractor by its name in `EXTRACTORS`; `train` has the labelled pictures for `classifier`."""
    if name == "classifier":
        if train is None or train.labels is None:
            raise ConfigError("extractor classifier: the pictures have no labels; take efficientnet_lite0")
        return _classifier(train, device)
    if name == "inception":
        return _inception(device)
    if name != "efficientnet_lite0":
        raise ConfigError(f"extractor {name!r}: expected one of {', '.join(EXTRACTORS)}")
    return _efficientnet(device)


def _classifier(train: ImageSet, device: torch.device) -> Extractor:
    def unit(image: Tensor) -> Tensor:
        return image.float() / 127.5 - 1

    assert train.labels is not None
    network = Classifier(train.images.shape[1], len(train.classes))
    images, labels, classes = train.images, train.labels, len(train.classes)

    def trained() -> dict[str, Tensor]:
        say(f"training a classifier of {classes} classes on {train.name}, whose features samples are compared in")
        return train_classifier(images, labels, classes, to_input=unit, device=device).state_dict()

    weights = cached("classifier", [images, labels], trained)
    network.load_state_dict(weights)
    network.to(device).eval()

    def extract(image: Tensor) -> tuple[Tensor, Tensor | None]:
        h = network.features(unit(image))
        return h, network.head(h).softmax(1)

    return Extractor(extract, [weights[name] for name in sorted(weights)])


def _efficientnet(device: torch.device) -> Extractor:
    from multigen.image.perceptual import efficientnet_lite0

    network: Any = efficientnet_lite0()
    network.to(device, memory_format=torch.channels_last)

    def extract(image: Tensor) -> tuple[Tensor, Tensor | None]:
        x = image.float().expand(-1, 3, -1, -1)
        x = interpolate(x, size=(96, 96), mode="bilinear", antialias=True)  # (B, 3, 96, 96)
        x = ((x - 127) / 128).contiguous(memory_format=torch.channels_last)
        return network.extract_features(x).mean((2, 3)), None  # (B, 1280)

    return Extractor(extract, ["96 pixels"])


def _inception(device: torch.device) -> Extractor:
    weights = cache_folder() / INCEPTION[0].rpartition("/")[2]
    try:
        from torch_fidelity.feature_extractor_inceptionv3 import (  # pyright: ignore[reportMissingImports]
            FeatureExtractorInceptionV3,
        )

        if not weights.exists():
            weights.parent.mkdir(parents=True, exist_ok=True)
            torch.hub.download_url_to_file(INCEPTION[0], str(weights), hash_prefix=INCEPTION[1])
        network = FeatureExtractorInceptionV3("inception", ["2048", "logits_unbiased"], str(weights)).to(device)
    except (ImportError, OSError, RuntimeError) as error:
        raise ConfigError(
            f"extractor inception: it cannot be had ({error}); pip install 'multigen[fid]' and connect to a network, once, or "
            "take efficientnet_lite0"
        ) from error

    def extract(image: Tensor) -> tuple[Tensor, Tensor | None]:
        h, logits = network(image.expand(-1, 3, -1, -1))
        return h, logits.softmax(1)

    return Extractor(extract, ["torch-fidelity's resizing"])


@torch.no_grad()
def embed(extract: Extractor, images: Tensor, device: torch.device, batch: int = 100) -> tuple[Tensor, Tensor | None]:
    """Features (N, D) and probabilities (N, K) or None of uint8 pictures (N, C, H, W), on the CPU."""
    found = [extract.run(part.to(device)) for part in images.split(batch)]
    h = torch.cat([f.float().cpu() for f, _ in found])
    return h, torch.cat([p.float().cpu() for _, p in found if p is not None]) if found[0][1] is not None else None


def embed_real(name: str, extract: Extractor, images: Tensor, device: torch.device) -> Tensor:
    """Features (N, D) of real pictures, kept in the cache."""
    key = [images, *extract.key]
    return cached(f"features-{name}", key, lambda: {"features": embed(extract, images, device)[0]})["features"]


# ---------------------------------------------------------------------------------------------------- measures


def moments(h: Tensor) -> Moments:
    """Mean and covariance of features (N, D)."""
    found = Moments(h.shape[1])
    found.add(h)
    return found


def measure(name: str, fake: Tensor, real: Tensor) -> dict[str, float]:
    """Figures of features (N, D) of samples beside those (M, D) of real pictures, from the extractor `name`.

    Those of neighbours are left out where there are too few pictures to have any.
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


def compare(name: str, real: ImageSet, fake: ImageSet, device: torch.device) -> Evaluation:
    """Two sets of pictures, both against one half of the real ones (chosen by the hash of their names): as the floor the other
    half, and as many of the samples at most.

    The `classifier` is trained on all of the real pictures, so that their halves look nearer than new pictures would.
    """
    if len(real) < 4:
        raise DataError(
            f"{real.name}: {len(real)} pictures, expected at least 4, to be halved for the floor; add real pictures"
        )
    extract = open_extractor(name, real, device)
    half, other = split_off(real, len(real) // 2)
    samples = split_off(fake, max(0, len(fake) - len(half)))[0]
    target = embed_real(name, extract, other.images, device)
    rows = {}
    for row, images in (("real", half), ("fake", samples)):
        h, probabilities = embed(extract, images.images, device)
        rows[row] = measure(name, h, target) | class_score(name, probabilities)
    what = f"features: {EXTRACTORS[name]}; pictures cut to squares of {real.images.shape[2]} pixels; "
    what += f"{len(samples)} samples, {len(half)} real ones for the floor, against {len(other)} other real ones"
    used = {m for row in rows.values() for m in row}
    return Evaluation(rows, {m: f"{text}; {what}" for m, text in _definitions(name).items() if m in used})


def _definitions(name: str) -> dict[str, str]:
    known = (("fd", "frechet"), ("kd", "kernel"), ("is", "inception_score"))
    named = {_named(short, name): features.DEFINITIONS[d] for short, d in known}
    return named | {m: features.DEFINITIONS[m] for m in ("precision", "recall", "density", "coverage")}


class Judge:
    """Measures generators on the pictures of one run, in the features of one extractor.

    Args:
        sets: pictures by their use.
        samples: how many are measured, at most as many as there are training pictures.
        name: of `EXTRACTORS`; empty: `classifier` where there are labels, else `efficientnet_lite0`.
    """

    def __init__(self, sets: Sets[ImageSet], samples: int, device: torch.device, name: str = ""):
        self.sets, self.device = sets, device
        self.samples = min(samples, len(sets.train))
        self.extractor_name = name or ("efficientnet_lite0" if sets.train.labels is None else "classifier")
        self.extract = open_extractor(self.extractor_name, sets.train, device)
        self.chooses_by = _named("fd", self.extractor_name)

    def features_of(self, images: ImageSet) -> Tensor:
        """Features (N, D) of real pictures, from the cache where they were computed before."""
        return embed_real(self.extractor_name, self.extract, images.images, self.device)

    def validate(self, sampler: Sampler) -> dict[str, float]:
        """Frechet distance of as many samples as are measured in the end to the validation pictures."""
        assert self.sets.validation is not None
        h = embed(self.extract, sampler.sample(self.samples, SEED + 1, self._asked(sampler)), self.device)[0]
        real = self.features_of(self.sets.validation)
        return {self.chooses_by: features.frechet_distance(moments(h), moments(real))}

    def overfitting(self, discriminator: nn.Module, conditional: bool) -> dict[str, float]:
        """See `OVERFIT`; nothing without validation pictures."""
        unknown = self.sets.validation
        if unknown is None:
            return {}
        known = _logits(discriminator, pick(self.sets.train, len(unknown)), conditional, self.device)
        scores = _logits(discriminator, unknown, conditional, self.device)
        middle = known.quantile(0.5)  # a score on it counts half
        return {"d_overfit": ((scores < middle).float() + 0.5 * (scores == middle)).mean().item() - 0.5}

    def floor(self) -> dict[str, float]:
        """Real pictures in place of samples: what no generator is expected to beat.

        Distances are of training pictures, the memorisation score of validation pictures, classes of the test pictures, since
        the classifier knows the training pictures. For the same reason the distance in its own features is no strict bound: those
        of pictures it was trained on differ a little from those of new ones.
        """
        h = self.features_of(pick(self.sets.train, self.samples))
        found = self._distances(h)
        if self.sets.validation is not None:
            found |= self._memorisation(self.features_of(self.sets.validation))
        if self.extractor_name == "efficientnet_lite0":
            return found
        probabilities = embed(self.extract, self.sets.test.images, self.device)[1]
        if self.sets.test.labels is None:  # the test pictures are of other classes, or nobody knows of which
            return found | class_score(self.extractor_name, probabilities)
        return found | self._classes(probabilities, self.sets.test.labels)

    def measure(self, sampler: Sampler) -> dict[str, float]:
        """All figures of a generator, on the test pictures."""
        asked = self._asked(sampler)
        h, probabilities = embed(self.extract, sampler.sample(self.samples, SEED, asked), self.device)
        return self._distances(h) | self._memorisation(h) | self._classes(probabilities, asked)

    def _asked(self, sampler: Sampler) -> Tensor | None:
        """Classes (N,) that a conditional generator is asked for: in the shares of the training pictures."""
        labels = pick(self.sets.train, self.samples).labels
        return labels if sampler.classes else None

    def _distances(self, h: Tensor) -> dict[str, float]:
        return measure(self.extractor_name, h, self.features_of(self.sets.test))

    def _memorisation(self, h: Tensor) -> dict[str, float]:
        train, test = (self.features_of(images) for images in (self.sets.train, self.sets.test))
        try:
            return {"memorisation": features.memorisation(h, train, test)}
        except DataError:  # every test picture is a copy of a training picture: there is no ratio
            return {}

    def _classes(self, probabilities: Tensor | None, asked: Tensor | None) -> dict[str, float]:
        """What class probabilities (N, K) say of pictures whose classes should be `asked` (N,); empty without any."""
        found = class_score(self.extractor_name, probabilities)
        if probabilities is None or self.extractor_name != "classifier" or self.sets.train.labels is None:
            return found
        confidence, predicted = probabilities.max(1)
        real = self.sets.train.labels.bincount(minlength=len(self.sets.train.classes))
        covered, kl = features.class_balance(predicted, len(real), real)
        found["recognised"] = (confidence >= CONFIDENT).float().mean().item()
        found |= {"classes": float(covered), "class_kl": kl}
        if asked is not None:
            found["as_asked"] = (predicted == asked).float().mean().item()
        return found

    def definitions(self) -> dict[str, str]:
        """What each figure is."""
        side, n = self.sets.test.images.shape[2], f"{self.samples} samples, {len(self.sets.test)} test pictures"
        what = f"features: {EXTRACTORS[self.extractor_name]}; cut to squares of {side} pixels; {n}"
        chosen = _definitions(self.extractor_name) | {"memorisation": features.DEFINITIONS["memorisation"]}
        chosen |= {m: features.DEFINITIONS[m] for m in ("classes", "class_kl")} | LABELLED
        return {m: f"{text}; {what}" for m, text in chosen.items()} | {"d_overfit": OVERFIT}


def _logits(discriminator: nn.Module, images: ImageSet, conditional: bool, device: torch.device) -> Tensor:
    """D's scores (N,) of real pictures."""
    found, dtype = [], next((p.dtype for p in discriminator.parameters()), torch.float32)
    for i in range(0, len(images), 100):
        x = images.images[i : i + 100].to(device, dtype) / 127.5 - 1
        label = images.labels[i : i + 100].to(device) if conditional and images.labels is not None else None
        found.append(discriminator(x.contiguous(memory_format=torch.channels_last), label).float().cpu())
    return torch.cat(found)


def nearest_picture(images: Tensor, judge: Judge) -> "Picture":
    """Samples (N, C, H, W) uint8 in the upper row, the training picture nearest to each, in features, below it."""
    found = features.nearest(embed(judge.extract, images, judge.device)[0], judge.features_of(judge.sets.train))[1]
    return grid(torch.cat([images, judge.sets.train.images[found]]), columns=len(images))
