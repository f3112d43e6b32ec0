"""Contrastive loss of patches: Park et al. 2020, "Contrastive learning for unpaired image-to-image
translation", arXiv:2007.15651, equation 3."""

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, normalize

from multigen.losses.adversarial import at_least_float32

__all__ = ["patch_nce"]


def patch_nce(query: Tensor, key: Tensor, temperature: float = 0.07) -> Tensor:
    """Mean cross-entropy of finding, for each patch of an output, the patch of the input at its
    place among all patches of that input; 0-d.

    Vectors are brought to unit length; similarities are their products over `temperature`.
    Negatives come from the same image alone. No gradient reaches `key`.

    Args:
        query: (B, S, C), vectors of S patches of outputs.
        key: (B, S, C), those of the inputs at the same places.

    Raises:
        ValueError: the shapes differ or are others.
    """
    if query.shape != key.shape or query.dim() != 3:
        raise ValueError(
            f"query {tuple(query.shape)}, key {tuple(key.shape)}: expected (B, S, C) twice, vectors of the same patches"
        )
    q, k = (normalize(at_least_float32(x), dim=2) for x in (query, key.detach()))
    logits = q @ k.mT / temperature  # (B, S, S): a row per query, a column per key
    places = torch.arange(q.shape[1], device=q.device).expand(q.shape[:2])
    return cross_entropy(logits.flatten(0, 1), places.flatten())
