"""Class conditioning: projection head, one-hot labels, drawn clusters."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

from multigen.engine.randomness import key
from multigen.errors import ConfigError

__all__ = ["ProjectionHead", "checked_labels", "draw_clusters", "with_class"]


class ProjectionHead(nn.Module):
    """features (B, D), label (B,) or None -> logit (B,): psi(h) + <v_y, h>; Miyato & Koyama 2018,
    arXiv:1802.05637, eq. 8.

    Without classes only psi, a linear layer, and no label.
    """

    def __init__(self, features: int, classes: int = 0):
        super().__init__()
        self.score = nn.Linear(features, 1)
        self.classes = nn.Embedding(classes, features) if classes else None
        if self.classes is not None:  # so the product is as large as one feature
            nn.init.normal_(self.classes.weight, 0.0, features**-0.5)

    def forward(self, h: Tensor, label: Tensor | None = None) -> Tensor:
        logit = self.score(h).squeeze(1)  # (B,)
        return logit if self.classes is None else logit + (self.classes(label) * h).sum(1)


def with_class(z: Tensor, label: Tensor | None, classes: int) -> Tensor:
    """z (B, latent) concatenated with the one-hot label (B,): (B, latent + classes); z itself
    without classes."""
    return torch.cat([z, one_hot(label, classes).to(z)], 1) if label is not None and classes else z


def draw_clusters(shares: Sequence[float], n: int, seed: int, first: int = 0) -> Tensor:
    """Clusters (n,), drawn in their proportions; a larger n begins with the same ones."""
    rows = [torch.Generator().manual_seed(key("cluster", seed, i)) for i in range(first, first + n)]
    ends = torch.tensor(shares, dtype=torch.float64).cumsum(0)
    uniform = torch.stack([torch.rand((), dtype=torch.float64, generator=row) for row in rows])
    return torch.bucketize(uniform, ends[:-1] / ends[-1], right=True)


def checked_labels(labels: Tensor, n: int, choices: Sequence[str], items: str) -> Tensor:
    """Class numbers (n,) that a caller passed for as many items. Raises ConfigError."""
    if labels.dtype != torch.int64 or labels.shape != (n,):
        raise ConfigError(
            f"labels {labels.dtype} {tuple(labels.shape)} of {n} {items}: expected int64 ({n},); give each its class"
        )
    if not 0 <= labels.min() <= labels.max() < len(choices):
        raise ConfigError(
            f"labels from {labels.min()} to {labels.max()}: expected 0 to {len(choices) - 1}; choose from {', '.join(choices)}"
        )
    return labels
