"""Class conditioning: projection head and one-hot labels."""

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

__all__ = ["ProjectionHead", "with_class"]


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
