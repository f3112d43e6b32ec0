"""Sample-quality metrics in a feature space: Fréchet and kernel distance, inception score,
precision and recall, density and coverage, memorisation, class balance.

Features are (N, D), one item per row, of any float dtype; all is computed in float64 on their
device, for any modality. A value is meaningful only together with its extractor and numbers of
items, so the caller names both.

All functions raise DataError for features that are not (N, D), not finite, too few, or of different
D, and ConfigError for a number (k, subset, splits, ...) that cannot be used.
"""

import math

import torch
from torch import Tensor

from multigen.console import counted
from multigen.engine.randomness import order
from multigen.errors import ConfigError, DataError

__all__ = [
    "DEFINITIONS",
    "Moments",
    "class_balance",
    "density_coverage",
    "frechet_distance",
    "inception_score",
    "kernel_distance",
    "memorisation",
    "nearest",
    "precision_recall",
    "variety",
]

DEFINITIONS = {
    "frechet": "Fréchet distance between Gaussians fitted to the features of all samples and of all real items (FID's formula, "
    "Heusel et al. 2017, unbiased covariances); falls with the number of samples: compare equal numbers only",
    "kernel": "kernel distance: unbiased squared MMD with the kernel (x.y / D + 1)^3 (KID's formula, Binkowski et al. 2018), "
    "mean over 50 subsets of up to 1,000 items of each set; its expectation does not depend on the number of samples",
    "inception_score": "exp of the mean KL divergence of a sample's class probabilities from their mean (Salimans et al. "
    "2016), mean over 10 splits; 1 to the number of classes; rises with the number of samples",
    "precision": "share of samples within the distance of a real item to its 3rd nearest real one (Kynkäänniemi et al. 2019); "
    "depends on both numbers of items",
    "recall": "share of real items within the distance of a sample to its 3rd nearest sample (Kynkäänniemi et al. 2019); "
    "depends on both numbers of items",
    "density": "number of real items' balls (reaching to their 5th nearest real one) that a sample lies in, mean over samples, "
    "divided by 5 (Naeem et al. 2020); may exceed 1; about 1 for samples of the real distribution",
    "coverage": "share of real items with a sample in their ball (reaching to the 5th nearest real one; Naeem et al. 2020); "
    "rises with the number of samples",
    "memorisation": "mean distance of a sample to its nearest training item, divided by that of a held-out item to its own; 1: "
    "no nearer to the training set than unseen data are, 0: copies, above 1: off the data",
    "variety": "mean distance of a sample to the nearest other sample, divided by that of a real item to its nearest among as "
    "many real ones; about 1 for samples of the real distribution, 0: all alike",
    "classes": "number of classes that get at least a tenth of an even share of the samples",
    "class_kl": "KL divergence, in nats, of the samples' histogram over classes from the real one (even where it is not known); "
    "by chance alone about (classes - 1) / (2 samples)",
}
"""Metric name -> its exact definition with the default settings, for reports; callers add the
extractor's name."""

CHUNK = 256  # rows of a distance matrix in memory at a time: 120 MB of float64 against 60,000 items


class Moments:
    """Running mean and covariance of features, batch by batch.

        moments = Moments(128)
        moments.add(features)                               # (N, 128), for each batch
        moments.covariance

    Batches are merged by means and centred products (Chan et al. 1979): no digits are lost.

    Args:
        dimension: D.
        device: device of the totals.
    """

    def __init__(self, dimension: int, device: torch.device | str = "cpu"):
        self.count = 0
        self._mean = torch.zeros(dimension, dtype=torch.float64, device=device)
        self._scatter = torch.zeros(dimension, dimension, dtype=torch.float64, device=device)
        self._columns: list[Tensor] = []  # F, with F F^T = scatter, while it has no more columns than rows

    def add(self, features: Tensor) -> None:
        """Adds features (N, D); N may be 0."""
        x = _matrix(features, "features").to(self._mean.device)
        if x.shape[1] != len(self._mean):
            raise DataError(
                f"features of {x.shape[1]} dimensions, expected {len(self._mean)}; use one extractor for all"
            )
        if not len(x):
            return
        total, mean = self.count + len(x), x.mean(0)
        step, centred = mean - self._mean, x - mean
        between = step * math.sqrt(self.count * len(x) / total)
        self._scatter += centred.T @ centred + torch.outer(between, between)
        if total <= len(mean) and (self._columns or not self.count):
            self._columns += [centred.T, between[:, None]]
        else:
            self._columns = []
        self._mean += step * (len(x) / total)
        self.count = total

    @property
    def mean(self) -> Tensor:
        """(D,), float64; zeros where nothing was added."""
        return self._mean

    @property
    def covariance(self) -> Tensor:
        """(D, D), float64, divided by count - 1. Raises DataError for fewer than two items."""
        if self.count < 2:
            raise DataError(f"a covariance of {self.count} items: expected at least 2; make or measure more")
        return self._scatter / (self.count - 1)

    @property
    def root(self) -> Tensor:
        """R (D, K) with R R^T = covariance; no decomposition where items are at most D."""
        covariance = self.covariance
        if self._columns:
            return torch.cat(self._columns, 1) / math.sqrt(self.count - 1)
        values, vectors = torch.linalg.eigh(covariance)
        # Smaller values are rounding error, of either sign.
        positive = values > len(values) * torch.finfo(values.dtype).eps * values[-1]
        return vectors[:, positive] * values[positive].sqrt()


def frechet_distance(a: Moments, b: Moments) -> float:
    """|mu_a - mu_b|^2 + tr(C_a + C_b - 2 (C_a C_b)^(1/2)), >= 0: Heusel et al. 2017, equation 6.

    With R_a R_a^T = C_a the last trace is the sum of the singular values of R_a^T R_b, which needs
    no square root of a product that is not symmetric. Singular covariances (fewer items than
    dimensions) are no problem.
    """
    if len(a.mean) != len(b.mean):
        raise DataError(f"features of {len(a.mean)} and {len(b.mean)} dimensions; expected one extractor for both")
    cross_term = torch.linalg.svdvals(a.root.T @ b.root).sum()
    traces = a.covariance.trace() + b.covariance.trace()
    return max(0.0, ((a.mean - b.mean).square().sum() + traces - 2 * cross_term).item())


def kernel_distance(a: Tensor, b: Tensor, subset: int = 1000, subsets: int = 50, seed: int = 0) -> tuple[float, float]:
    """Unbiased squared MMD with the kernel (x.y / D + 1)^3: Binkowski et al. 2018.

    Args:
        a, b: features (N, D) and (M, D).
        subset: items that each estimate draws from either set; at most the size of the smaller set.
        subsets: number of estimates.
        seed: seed of the subsets.

    Returns:
        Mean and (population) standard deviation of the estimates; the mean may be below 0.
    """
    a, b = _pair(a, b, ("first", "second"), least=2)
    _at_least(subset, 2, "subset")
    _at_least(subsets, 1, "subsets")
    size = min(subset, len(a), len(b))
    values = []
    for i in range(subsets):
        x, y = a[_draw(len(a), size, seed, i, "a").to(a.device)], b[_draw(len(b), size, seed, i, "b").to(b.device)]
        within = sum((k.sum() - k.trace()) / (size * (size - 1)) for k in (_kernel(x, x), _kernel(y, y)))
        values.append(within - 2 * _kernel(x, y).mean())
    estimates = torch.stack(values)
    return estimates.mean().item(), estimates.std(correction=0).item()


def _kernel(x: Tensor, y: Tensor) -> Tensor:
    return (x @ y.T / x.shape[1] + 1) ** 3


def inception_score(probabilities: Tensor, splits: int = 10) -> tuple[float, float]:
    """exp(mean KL(p(class | sample) || p(class))): Salimans et al. 2016, arXiv:1606.03498.

    Args:
        probabilities: (N, K), softmax outputs of a classifier, samples in random order.
        splits: number of consecutive parts of equal size (within one) that are scored separately.

    Returns:
        Mean and standard deviation (of the population) over the splits.
    """
    p = _matrix(probabilities, "probabilities")
    _at_least(splits, 1, "splits")
    if len(p) < splits:
        raise DataError(
            f"{len(p)} samples in {splits} splits: expected at least one each; make more, or use fewer splits"
        )
    if p.min() < 0 or (p.sum(1) - 1).abs().max() > 1e-3:
        raise DataError(
            "class probabilities that are negative or do not add up to 1 in a row; expected softmax outputs"
        )
    scores = torch.stack([_divergence(part, part.mean(0)).mean().exp() for part in p.tensor_split(splits)])
    return scores.mean().item(), scores.std(correction=0).item()


def _divergence(q: Tensor, p: Tensor) -> Tensor:
    """KL(q || p) over the last dimension, nats; infinite where p is 0 and q is not."""
    return (torch.xlogy(q, q) - torch.xlogy(q, p)).sum(-1)


def precision_recall(real: Tensor, fake: Tensor, k: int = 3) -> tuple[float, float]:
    """Precision and recall: Kynkäänniemi et al. 2019, arXiv:1904.06991, eq. 1-2. The shares of
    samples near real items, and of real items near samples.

    Near: no farther from an item than the item's k-th nearest neighbour in its own set.

    Args:
        real, fake: features (N, D) and (M, D), more than k of each.
        k: number of the neighbour.
    """
    real, fake = _pair(real, fake, ("real", "fake"), least=_at_least(k, 1, "k") + 1)
    of_fakes, _ = _balls(real, fake, k)
    of_reals, _ = _balls(fake, real, k)
    return _share(of_fakes > 0), _share(of_reals > 0)


def density_coverage(real: Tensor, fake: Tensor, k: int = 5) -> tuple[float, float]:
    """Density and coverage: Naeem et al. 2020, arXiv:2002.09797, equations 6 and 7.

    A real item's ball reaches to its k-th nearest real neighbour, border included. Density: mean
    number of balls that contain a sample, divided by k; coverage: share of balls with a sample.

    Args:
        real, fake: features (N, D) and (M, D), more than k of each.
        k: number of the neighbour.
    """
    real, fake = _pair(real, fake, ("real", "fake"), least=_at_least(k, 1, "k") + 1)
    balls_of_fakes, fakes_in_balls = _balls(real, fake, k)
    return balls_of_fakes.double().mean().item() / k, _share(fakes_in_balls > 0)


def _share(flags: Tensor) -> float:
    return flags.double().mean().item()


def _balls(centres: Tensor, points: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Numbers of balls that contain each point (M,), and of points in each centre's ball (N,).

    A ball reaches to its centre's k-th nearest other centre.
    """
    middle = centres.mean(0)
    centres, points = centres - middle, points - middle
    inside = torch.zeros(len(points), dtype=torch.int64, device=points.device)
    counts = []
    for rows in torch.arange(len(centres), device=points.device).split(CHUNK):
        to_centres = _squared_distances(centres[rows], centres)  # (n, N)
        to_centres[torch.arange(len(rows)), rows] = torch.inf  # not a neighbour of its own
        radii = to_centres.topk(k, largest=False).values[:, -1:]  # (n, 1)
        # A point on the border counts as inside, however its distance is rounded.
        within = _squared_distances(centres[rows], points) <= radii * (1 + 1e-9)  # (n, M)
        inside += within.sum(0)
        counts.append(within.sum(1))
    return inside, torch.cat(counts)


def nearest(queries: Tensor, references: Tensor, chunk: int = CHUNK) -> tuple[Tensor, Tensor]:
    """The Euclidean distance of each query to its nearest reference, and the reference's index.

    Args:
        queries, references: features (N, D) and (M, D).
        chunk: queries compared at a time; memory is chunk * M.

    Returns:
        distances: (N,), float64; exactly 0 for copies.
        indices: (N,), int64.
    """
    queries, references = _pair(queries, references, ("queries", "references"), least=1)
    _at_least(chunk, 1, "chunk")
    middle = references.mean(0)
    references = references - middle
    minima = [_squared_distances(part - middle, references).min(1) for part in queries.split(chunk)]
    return torch.cat([f.values for f in minima]).sqrt(), torch.cat([f.indices for f in minima])


def _squared_distances(x: Tensor, y: Tensor) -> Tensor:
    """(N, D), (M, D) -> (N, M).

    Computed by a matrix product, 15 times faster than by differences. Its rounding error, about
    1e-15 of the squared norms, would separate copies, so values below 1e-12 of them are set to 0;
    callers subtract a mean first to keep the norms small.
    """
    scale = torch.linalg.vector_norm(x, dim=1, keepdim=True).square() + torch.linalg.vector_norm(y, dim=1).square()
    distances = torch.addmm(scale, x, y.T, alpha=-2)
    return distances.masked_fill_(distances <= 1e-12 * scale, 0)


def memorisation(fake: Tensor, train: Tensor, held_out: Tensor) -> float:
    """Memorisation ratio: how near samples are to the training set, relative to held-out data.

    The mean distance of a sample to its nearest training item, divided by that of a held-out item:
    1 for samples as near as new data, 0 for copies of training items, above 1 for others.

    Args:
        fake, train, held_out: features (N, D), (M, D) and (L, D).

    Raises:
        DataError: also if all held-out items are copies of training items.
    """
    of_fakes, of_held_out = (nearest(x, train)[0].mean().item() for x in (fake, held_out))
    if not of_held_out:
        raise DataError(
            "every held-out item has the features of a training item; expected unseen data; hold out others"
        )
    return of_fakes / of_held_out


def variety(fake: Tensor, real: Tensor) -> float:
    """Variety of samples relative to real items: the mean distance of a sample to the nearest other
    sample, divided by that of a real item. 0 for copies of one sample.

    Args:
        fake, real: features (N, D) and (M, D), at least two each; the larger set is subsampled.

    Raises:
        DataError: also if all real items are alike, so that the ratio is undefined.
    """
    fake, real = _pair(fake, real, ("fake", "real"), least=2)
    count = min(len(fake), len(real))
    subsets = (x[_draw(len(x), count, 0, 0, "variety").to(x.device)] for x in (fake, real))
    of_fakes, of_reals = (_nearest_other(x).mean().item() for x in subsets)
    if not of_reals:
        raise DataError("all real items have the same features; expected different ones; check the data and extractor")
    return of_fakes / of_reals


def _nearest_other(x: Tensor) -> Tensor:
    """Distance of each row (N, D) to the nearest other row, (N,)."""
    x = x - x.mean(0)
    minima = []
    for rows in torch.arange(len(x), device=x.device).split(CHUNK):
        distances = _squared_distances(x[rows], x)  # (n, N)
        distances[torch.arange(len(rows)), rows] = torch.inf
        minima.append(distances.min(1).values.sqrt())
    return torch.cat(minima)


def class_balance(predicted: Tensor, classes: int, real: Tensor | None = None) -> tuple[int, float]:
    """Class coverage and balance of samples.

    Args:
        predicted: int64 (N,), the predicted class of each sample.
        classes: number of classes.
        real: number of real items by class, (classes,); None: equal numbers.

    Returns:
        covered: number of classes with at least a tenth of an even share, N / (10 classes).
        kl: KL(samples || real), nats; infinite if samples fall in a class without real items.
    """
    _at_least(classes, 1, "classes")
    valid = predicted.dtype == torch.int64 and predicted.ndim == 1 and len(predicted)
    if not valid or predicted.min() < 0 or predicted.max() >= classes:
        raise DataError(
            f"predicted classes {predicted.dtype} {tuple(predicted.shape)}: expected int64 (N,), at least one, each "
            f"0..{classes - 1}; check the classifier"
        )
    real = torch.ones(classes) if real is None else real
    if real.shape != (classes,) or real.min() < 0 or not real.sum():
        raise DataError(
            f"real counts {real.tolist()}: expected {classes} numbers, at least 0 and not all 0; count by class"
        )
    counts = torch.bincount(predicted, minlength=classes)
    covered = int((10 * classes * counts >= len(predicted)).sum())
    return covered, _divergence(*(x.double().cpu() / x.sum().item() for x in (counts, real))).item()


# ---------------------------------------------------------------------------------------------------- checks, draws


def _matrix(features: Tensor, name: str) -> Tensor:
    """The features in float64, checked."""
    if features.ndim != 2 or not features.shape[1]:
        raise DataError(f"{name} of shape {tuple(features.shape)}: expected (N, D); give each item one row")
    x = features.detach().double()
    bad = int((~x.isfinite()).any(1).sum())
    if bad:
        raise DataError(
            f"{name}: {bad} of {len(x)} rows are not finite; expected numbers; check the model and extractor"
        )
    return x


def _pair(a: Tensor, b: Tensor, names: tuple[str, str], least: int) -> tuple[Tensor, Tensor]:
    """Both in float64, of the same D, with at least `least` rows."""
    a, b = _matrix(a, names[0]), _matrix(b, names[1])
    if a.shape[1] != b.shape[1]:
        raise DataError(f"features of {a.shape[1]} and {b.shape[1]} dimensions; expected one extractor for both")
    for name, x in zip(names, (a, b), strict=True):
        if len(x) < least:
            raise DataError(f"{name}: {counted(len(x), 'items')}, expected at least {least}; make or measure more")
    return a, b


def _at_least(value: int, least: int, name: str) -> int:
    if value < least:
        raise ConfigError(f"{name} {value}: expected at least {least}; give a larger one")
    return value


def _draw(length: int, size: int, seed: int, number: int, stream: str) -> Tensor:
    """Random subset `number`: (size,) different indices below `length`."""
    return torch.from_numpy(order(length, seed, "features", stream, number)[:size].copy())
