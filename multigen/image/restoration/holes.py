"""Images with holes: network input, metrics of inpainting, and baselines without training."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from multigen.image.metrics import rgb_to_y
from multigen.image.restoration.networks.ffc import smoothly_filled

__all__ = ["DEFINITIONS", "METRICS", "biharmonic", "central", "composed", "masked", "mean_colour", "smooth"]

MOST = 60.0  # dB

DEFINITIONS = {
    "psnr_hole": "PSNR in dB (peak 255) over the pixels of the hole and the three channels of 8-bit images, at most 60 of an "
    "image; mean over images.",
    "seam": "(1 + a) / (1 + b), a and b being the mean absolute differences of luma (BT.601, 16..235) between neighbours across "
    "the hole's edge, in the filled image and in the original; mean over images. Best: 1; higher where a rim shows.",
}
"""Metric name -> its definition."""


def masked(image: Tensor, hole: np.ndarray) -> Tensor:
    """uint8 (3, H, W) and a bool mask (H, W) -> uint8 (4, H, W): the image with zeros in the hole,
    and the mask, 255 in the hole."""
    mask = torch.from_numpy(hole)
    return torch.cat([image * ~mask, mask[None].to(torch.uint8) * 255])


def composed(given: Tensor, image: Tensor) -> Tensor:
    """Composites `image`, uint8 (3, H, W), into the hole of `given`, uint8 (4, H, W)."""
    return torch.where(given[3:] > 0, image, given[:3])


def central(image: Tensor, side: int) -> Tensor:
    """The central crop (3, side, side) of an image (3, H, W); smaller for smaller images."""
    height, width = (min(side, length) for length in image.shape[1:])
    top, left = (image.shape[1] - height) // 2, (image.shape[2] - width) // 2
    return image[:, top : top + height, left : left + width].contiguous()


# ---------------------------------------------------------------------------------------------------- metrics


def psnr_hole(image: Tensor, target: Tensor, given: Tensor) -> float:
    """See DEFINITIONS; uint8 (3, H, W) twice, and the input (4, H, W)."""
    error = (image.double() - target.double()).square()[:, given[3] > 0].mean()
    return min(MOST, float(10 * torch.log10(255**2 / error)))


def seam(image: Tensor, target: Tensor, given: Tensor) -> float:
    """See DEFINITIONS; uint8 (3, H, W) twice, and the input (4, H, W)."""
    filled, original = (1 + _across(rgb_to_y(x)[0], given[3] > 0) for x in (image, target))
    return filled / original


def _across(luma: Tensor, hole: Tensor) -> float:
    """Mean absolute difference of neighbours across the border of the hole, (H, W) and bool (H, W);
    0 if there are none."""
    differences = [luma.diff(dim=dim).abs()[hole[_later(dim)] ^ hole[_sooner(dim)]] for dim in (0, 1)]
    across = torch.cat(differences)
    return float(across.mean()) if len(across) else 0.0


def _later(dim: int) -> tuple[slice, ...]:
    return (slice(None),) * dim + (slice(1, None),)


def _sooner(dim: int) -> tuple[slice, ...]:
    return (slice(None),) * dim + (slice(None, -1),)


METRICS: dict[str, Callable[[Tensor, Tensor, Tensor], float]] = {"psnr_hole": psnr_hole, "seam": seam}
"""Metric -> (filled image, original, input) -> its value."""


# ---------------------------------------------------------------------------------------------------- without training


def mean_colour(given: Tensor) -> Tensor:
    """uint8 (4, H, W) -> uint8 (3, H, W): fills the hole with the mean colour of the known
    pixels."""
    known = given[:3, given[3] == 0].double()  # (3, N)
    colour = known.mean(1).round().to(torch.uint8)
    return composed(given, colour[:, None, None].expand_as(given[:3]))


def biharmonic(given: Tensor) -> Tensor:
    """uint8 (4, H, W) -> uint8 (3, H, W): biharmonic inpainting by scikit-image."""
    from skimage.restoration import inpaint_biharmonic

    image, hole = given[:3].permute(1, 2, 0).numpy() / 255, given[3].numpy() > 0
    filled = inpaint_biharmonic(image, hole, split_into_regions=True, channel_axis=-1)  # (H, W, 3)
    return composed(given, torch.from_numpy((filled * 255).round().clip(0, 255).astype(np.uint8)).permute(2, 0, 1))


def smooth(given: Tensor) -> Tensor:
    """uint8 (4, H, W) -> uint8 (3, H, W): the hole is the surface that `SmoothFFCGenerator` adds
    to."""
    x = given[None].float() / 255
    filled = smoothly_filled(x[:, :3], x[:, 3:])[0]
    return composed(given, (filled * 255).round().clamp(0, 255).to(torch.uint8))
