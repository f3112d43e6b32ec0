"""Discriminator rejection sampling: of generated items, keeps those that D takes for real, as often
as its odds say. Azadi et al. 2019, arXiv:1810.06758.

D's score d of an item, calibrated to log p(real) - log p(generated), says how much more often real
items are like it than generated ones. An item is kept with probability sigmoid(F(d) - gamma),

    F(d) = d - M - log(1 - exp(d - M - eps)),

where M is the largest d of many items (equation 8). gamma, a percentile of F, decides how many are
kept: without it, hardly any.
"""

import json
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor, nn

from multigen.engine.randomness import key
from multigen.errors import CheckpointError
from multigen.storage import hub
from multigen.storage.files import read_json
from multigen.storage.model_folder import ModelFolder
from multigen.storage.reading import CONFIG
from multigen.tasks.loading import load_network

__all__ = [
    "FILE",
    "Calibration",
    "Rejection",
    "acceptance",
    "as_text",
    "calibrate",
    "calibrated",
    "open_rejection",
    "platt",
    "read_calibration",
]

Score = Callable[[Tensor, Tensor | None], Tensor]
"""Items (B, ...) in -1..1 and labels (B,) or None -> D's scores (B,)."""
FILE = "rejection.json"
"""Of a model folder, beside D's weights."""
SEED = 30_000  # of the samples on which D is calibrated
PERCENTILE = 0.8  # of F, which is gamma
EPS = 1e-6
TRIES = 100  # candidates for an item; the last one is kept
ITERATIONS, RIDGE = 50, 1e-3  # of Newton's method; keeps the slope finite where D separates the items


class Source(Protocol):
    """What is used of a `multigen.tasks.synthesis.sampler.Sampler`."""

    batch: int

    def latents(self, n: int, seed: int = 0, first: int = 0, truncation: float | None = None) -> Tensor: ...
    def labels(self, n: int, label: str | int | Tensor | None, seed: int, first: int = 0) -> Tensor | None: ...
    def outputs(self, z: Tensor, labels: Tensor | None, truncation: float | None) -> tuple[Tensor, Tensor | None]: ...
    def finish(self, x: Tensor) -> Tensor: ...


@dataclass(frozen=True)
class Calibration:
    """What turns D's scores into probabilities of being kept."""

    scale: float
    """d = scale * score + shift (Platt scaling)."""
    shift: float
    maximum: float
    """M, of generated items."""
    gamma: float


def platt(real: Tensor, fake: Tensor) -> tuple[float, float]:
    """Scale and shift of the logistic regression of real against generated items by their scores
    (N,), as many of both."""
    x = torch.cat([real, fake]).double()
    target = torch.cat([torch.ones(len(real)), torch.zeros(len(fake))]).double()
    mean, deviation = x.mean(), x.std().clamp(min=1e-12)
    rows = torch.stack([(x - mean) / deviation, torch.ones_like(x)], 1)  # (2 N, 2)
    w, ridge = torch.zeros(2).double(), RIDGE * len(x) * torch.eye(2).double()
    for _ in range(ITERATIONS):
        p = (rows @ w).sigmoid()
        slope = rows.T @ (p - target) + ridge @ w
        w = w - torch.linalg.solve((rows.T * (p * (1 - p))) @ rows + ridge, slope)
    scale = w[0] / deviation
    return scale.item(), (w[1] - scale * mean).item()


def calibrate(real: Tensor, fake: Tensor, many: Tensor) -> Calibration:
    """A calibration by D's scores (N,) of real items that D was not trained on, of as many
    generated ones, and of `many` generated ones (M,)."""
    scale, shift = platt(real, fake)
    d = scale * many.double() + shift
    maximum = d.max()
    return Calibration(scale, shift, maximum.item(), _excess(d, maximum).quantile(PERCENTILE).item())


def acceptance(calibration: Calibration, scores: Tensor) -> Tensor:
    """Probabilities of being kept (N,), float64."""
    c = calibration
    d = c.scale * scores.double() + c.shift
    return (_excess(d, torch.tensor(c.maximum).to(d)) - c.gamma).sigmoid()


def _excess(d: Tensor, maximum: Tensor) -> Tensor:
    """F without gamma."""
    below = (d - maximum).clamp(max=0)
    return below - torch.log(-torch.expm1(below - EPS))


def read_calibration(folder: Path) -> Calibration:
    """That of a model folder. Raises CheckpointError where it cannot be read."""
    try:
        table = read_json(folder / FILE, CONFIG, hub.files_folder(folder))
        values = [table[field.name] for field in fields(Calibration)]
        if not all(type(value) in (int, float) and math.isfinite(value) for value in values):
            raise ValueError("expected finite numbers")
    except (OSError, ValueError, KeyError, TypeError, OverflowError) as error:
        raise CheckpointError(f"{folder / FILE} cannot be read ({error}); copy the model folder again") from error
    return Calibration(*map(float, values))


class Rejection:
    """Samples that D keeps; counts them."""

    def __init__(self, score: Score, calibration: Calibration):
        self.score, self.calibration = score, calibration
        self.kept = self.tried = 0

    @property
    def share(self) -> float:
        """Share of the candidates that were kept so far."""
        return self.kept / max(self.tried, 1)

    @torch.no_grad()
    def sample(
        self, sampler: Source, n: int, seed: int, labels: Tensor | None, truncation: float | None, first: int
    ) -> Tensor:
        """As `Sampler.sample`. Sample i is the first of its own candidates that is kept, so it does
        not depend on the other samples."""
        if n > sampler.batch:
            starts = range(0, n, sampler.batch)
            parts = [None] * len(starts) if labels is None else labels.split(sampler.batch)
            counts = (min(sampler.batch, n - start) for start in starts)
            each = zip(counts, parts, starts, strict=True)
            return torch.cat([self.sample(sampler, m, seed, own, truncation, first + i) for m, own, i in each])
        rows, result = torch.arange(n), None
        for attempt in range(TRIES):
            own = seed if not attempt else key("candidate", seed, attempt)
            z = sampler.latents(n, own, first, truncation)[rows]
            items, label = sampler.outputs(z, None if labels is None else labels[rows], truncation)
            keep = self._keep(items, label, own, first + rows) | (attempt == TRIES - 1)
            self.tried, self.kept = self.tried + len(rows), self.kept + int(keep.sum())
            finished = sampler.finish(items[keep.to(items.device)]).cpu()
            if result is None:
                result = torch.empty(n, *finished.shape[1:], dtype=finished.dtype)
            result[rows[keep]] = finished
            rows = rows[~keep]
            if not len(rows):
                break
        assert result is not None
        return result

    def _keep(self, items: Tensor, label: Tensor | None, seed: int, numbers: Tensor) -> Tensor:
        """Which candidates (B, ...) are kept, (B,) on the CPU."""
        scores = self.score(items, label)
        draws = [torch.Generator().manual_seed(key("keep", seed, int(i))) for i in numbers]
        u = torch.stack([torch.rand((), dtype=torch.float64, generator=draw) for draw in draws])
        return u < acceptance(self.calibration, scores.cpu())


def calibrated(D: nn.Module, real: Tensor, samples: Source, many: int) -> Calibration:
    """A calibration of D on its scores (N,) of real items, on as many samples, and `many` more."""
    score = _mean_scores(D)
    return calibrate(real, *(_scores_of(samples, score, n, SEED + i) for i, n in enumerate((len(real), many))))


def as_text(calibration: Calibration) -> str:
    """The content of `FILE`."""
    return json.dumps(asdict(calibration)) + "\n"


def open_rejection(folder: ModelFolder, build: Callable[[], nn.Module]) -> Rejection:
    """By the D that a model folder keeps, and its calibration. Raises CheckpointError where they
    cannot be read."""
    calibration = read_calibration(folder.path)
    D = load_network(build, folder.weights["D"], f"{folder.path}, D", folder.device)
    return Rejection(_mean_scores(D), calibration)


def _mean_scores(D: nn.Module) -> Score:
    """D's scores (B,), the mean of its critics or windows."""
    return lambda items, label=None: D(items, label).float().reshape(len(items), -1).mean(1)


@torch.no_grad()
def _scores_of(sampler: Source, score: Score, n: int, seed: int) -> Tensor:
    """Scores (n,) of samples of a seed, on the CPU."""
    parts = []
    for first in range(0, n, sampler.batch):
        count = min(sampler.batch, n - first)
        z, label = sampler.latents(count, seed, first), sampler.labels(count, None, seed, first)
        items, label = sampler.outputs(z, label, None)
        parts.append(score(items, label).cpu())
    return torch.cat(parts)
