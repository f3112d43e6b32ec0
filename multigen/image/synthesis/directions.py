"""Directions in the space of a generator's codes: along which its images change most, and what
changes.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from multigen.errors import ConfigError
from multigen.image.metrics import saturation
from multigen.image.synthesis.spaces import Space, Styles

__all__ = ["MEASURES", "USUAL", "WAYS", "Direction", "effect", "find_directions"]

USUAL = 8  # directions that are shown
PCA_SAMPLES = 1_000  # images whose principal components are taken
ROUNDING = 1e-6  # squared differences of all their pixels that are none


@dataclass(frozen=True)
class Direction:
    """A direction in a space of codes."""

    number: int
    vector: Tensor
    """(width,), of length 1."""
    share: float
    """Share of the variance that it explains, of the weights (sefa), or of the styles or images
    (pca)."""
    unit: float
    """Standard deviation of the codes along it: strength 1."""


def sefa(space: Space, layers: slice) -> tuple[Tensor, Tensor]:
    """Eigenvectors of A^T A, where A (outputs, width) are the weights of the first layers that see
    a code, each row of length 1, and eigenvalues, both by descending eigenvalue (SeFa: Shen & Zhou
    2021, arXiv:2007.06600, equation 6)."""
    weights = space.matrix(layers).double()
    weights = weights / weights.norm(dim=1, keepdim=True).clamp(min=1e-12)
    return _leading(weights.T @ weights)


def pca(space: Space, layers: slice) -> tuple[Tensor, Tensor]:
    """Principal components of styles; of a generator without, of its images, each with the
    direction of the latents that follows it in a linear regression (GANSpace: Härkönen et al. 2020,
    arXiv:2004.02546, sections 2.1 and 2.2)."""
    if isinstance(space, Styles):
        return _leading(space.covariance)
    codes, labels = space.draw(PCA_SAMPLES)
    parts = torch.arange(PCA_SAMPLES, device=space.device).split(space.sampler.batch)
    with torch.no_grad():
        made = [space.images(codes[part], None if labels is None else labels[part]) for part in parts]
    images = torch.cat([part.flatten(1).float().cpu() for part in made])  # (n, pixels)
    images -= images.mean(0)
    scores, variances = _leading((images @ images.T).double())  # exact: the same each time
    scores, variances = scores[: space.width], variances[: space.width]
    variances[variances < ROUNDING] = 0
    vectors = scores @ codes.cpu().double()  # (components, width)
    return vectors / vectors.norm(dim=1, keepdim=True).clamp(min=1e-12), variances


def _leading(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """Eigenvectors, as rows, and eigenvalues of a symmetric matrix, the largest first."""
    values, vectors = torch.linalg.eigh(matrix.cpu())
    return vectors.T.flip(0), values.flip(0).clamp(min=0)


WAYS: dict[str, Callable[[Space, slice], tuple[Tensor, Tensor]]] = {"sefa": sefa, "pca": pca}
"""How directions are found."""


def find_directions(space: Space, by: str, layers: slice, count: int | None = None) -> list[Direction]:
    """The first `count` directions (None: up to 8), that with the largest effect first. Their sign
    is such that the largest number is positive.

    Raises ConfigError where there are fewer, or the generator has none of this kind.
    """
    vectors, values = WAYS[by](space, layers)
    rank = int((values > 1e-9 * values[0]).sum())
    if not rank:
        raise ConfigError(f"{by}: the images do not differ, so that there are no directions; train the generator first")
    count = min(USUAL, rank) if count is None else count
    if count > rank:
        raise ConfigError(f"direction {count - 1}: {by} finds {rank} here, of {space.name}; expected 0 to {rank - 1}")
    found = []
    for number, (vector, value) in enumerate(zip(vectors[:count], values[:count], strict=True)):
        vector = vector * vector[vector.abs().argmax()].sign()
        unit = space.deviation(vector)
        share = float(value / values.sum())
        found.append(Direction(number, vector.to(space.device, space.dtype), share, unit))
    return found


# ---------------------------------------------------------------------------------------------------- effects


def brightness(images: Tensor) -> Tensor:
    """Mean of all colours, 0..255: uint8 (..., C, H, W) -> (...); opacity is left out."""
    return images[..., : 3 if images.shape[-3] > 2 else 1, :, :].double().mean((-3, -2, -1))


def hue(images: Tensor) -> Tensor:
    """Hue of the mean colour, degrees, red at 0 and green at 120: uint8 (..., 3 or 4, H, W) ->
    (...)."""
    red, green, blue = images[..., :3, :, :].double().mean((-2, -1)).unbind(-1)
    return torch.atan2(3**0.5 * (green - blue), 2 * red - green - blue).rad2deg()


MEASURES: dict[str, Callable[[Tensor], Tensor]] = {"brightness": brightness, "saturation": saturation, "hue": hue}
"""What is measured along a direction; of grey images only the first."""


def effect(name: str, images: Tensor) -> tuple[float, float]:
    """The mean change of a measure from one end of a walk to the other, images uint8 (n, strengths,
    C, H, W); and how monotone it is, 0..1: the mean rank correlation of measure and strength over
    the images, without its sign. At 1 each step raises it in every image, or lowers it in every
    image.
    """
    values = MEASURES[name](images)  # (n, strengths)
    if name == "hue":  # the shorter way round the circle
        steps = (values.diff(dim=1) + 180) % 360 - 180
        values = torch.cat([values[:, :1], steps], 1).cumsum(1)
    ranks = _ranks(values)
    ranks, order = ranks - ranks.mean(1, keepdim=True), torch.arange(values.shape[1]).double()
    order = order - order.mean()
    correlation = (ranks * order).sum(1) / (ranks.norm(dim=1) * order.norm()).clamp(min=1e-12)  # (n,)
    return (values[:, -1] - values[:, 0]).mean().item(), min(correlation.mean().abs().item(), 1.0)


def _ranks(values: Tensor) -> Tensor:
    """Ranks in each row, (n, m); equal values have their mean rank."""
    less = (values[:, :, None] > values[:, None]).sum(2)
    equal = (values[:, :, None] == values[:, None]).sum(2)
    return less + (equal - 1).double() / 2
