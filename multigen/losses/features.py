"""Feature matching: generated samples get the discriminator's features of the real ones that they
stand for.

Larsen et al. 2016, arXiv:1512.09300, section 3.2, with pairs as in pix2pixHD (Wang et al. 2018,
arXiv:1711.11585, equation 4).
"""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from multigen.losses.adversarial import at_least_float32

__all__ = ["feature_matching"]


def feature_matching(fake: Sequence[Tensor], real: Sequence[Tensor], error: Literal["l1", "mse"] = "l1") -> Tensor:
    """The mean over layers of the mean absolute (l1) or squared (mse) difference of their features.

    A layer counts as much as another, whatever its size. No gradient reaches `real`. Of several
    discriminators, give the layers of all. (HiFi-GAN's loss is the sum over layers: multiply by
    their number.)

    Args:
        fake, real: the discriminator's features (B, ...) of each layer, of generated samples and of
            real ones, in pairs.

    Raises:
        ValueError: there is no layer, or the shapes are not the same.
    """
    if not fake or [x.shape for x in fake] != [x.shape for x in real]:
        shapes = [[tuple(x.shape) for x in features] for features in (fake, real)]
        raise ValueError(
            f"features of fakes {shapes[0]}, of reals {shapes[1]}: expected the same layers of a batch of pairs"
        )
    differences = [at_least_float32(x) - at_least_float32(y.detach()) for x, y in zip(fake, real, strict=True)]
    return torch.stack([d.abs().mean() if error == "l1" else d.square().mean() for d in differences]).mean()
