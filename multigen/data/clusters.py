"""Clusters of items: the condition of a generator where they have no class labels."""

import torch
from torch import Tensor

from multigen.errors import ConfigError

__all__ = ["find_centres", "nearest"]

STARTS = 4  # of k-means, of which the best is taken


def find_centres(x: Tensor, count: int) -> Tensor:
    """Centres (count, D), float64, of vectors (N, D), by k-means; the same each time on one
    machine.

    Raises ConfigError for more clusters than different vectors.
    """
    from sklearn.cluster import KMeans
    from threadpoolctl import threadpool_limits

    different = len(x.unique(dim=0))
    if count > different:
        raise ConfigError(f"clusters {count}: there are {different} different training items; give fewer clusters")
    with threadpool_limits(1):  # several threads add in any order
        kmeans = KMeans(count, n_init=STARTS, random_state=0)  # pyright: ignore[reportArgumentType]
        centres = kmeans.fit(x.double().numpy()).cluster_centers_
    return torch.from_numpy(centres)


def nearest(x: Tensor, centres: Tensor) -> Tensor:
    """Numbers (N,) of the clusters of vectors (N, D)."""
    return torch.cdist(x.double(), centres).argmin(1)
