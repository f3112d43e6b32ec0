"""DiffAugment and ADA: real and generated images are augmented in the same way before D,
differentiably for G.

Zhao et al. 2020, arXiv:2006.10738, and Karras et al. 2020, arXiv:2006.06676. With few images D
memorises them; augmentation prevents that, and since generated images are augmented in the same
way, G does not learn to produce augmented ones (ADA's only while the probability is below about
.8). Everything is batched and stays on the device.
"""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from multigen.config import parse_choices
from multigen.image.synthesis.ada import PIPELINES, recoloured, warped

__all__ = ["adapted_share", "diff_augment", "mirror", "parse_policy"]

SHIFT, HOLE = 0.125, 0.5
"""Shares of a side: the largest translation, and the side of a cutout."""


def diff_augment(
    image: Tensor, policy: Sequence[str], rand: Callable[..., Tensor], stream: str, share: float = 1.0
) -> Tensor:
    """Randomly altered images, differentiable in `image`; shape, dtype, device and memory format
    stay.

    - color: brightness, x + U(-.5, .5); saturation, distances to the mean of a pixel's channels
      times U(0, 2), which leaves grey images alone; contrast, distances to the image's mean times
      U(.5, 1.5). Values may leave -1..1.
    - translation: moved by whole pixels, up to an eighth of each side (rounded), all as likely;
      what comes in is 0.
    - cutout: a rectangle of half of each side (rounded up) becomes 0; its centre is anywhere, so
      borders may cut it.
    - blit, bg, bgc: ADA's flips, quarter turns and shifts; with scales, rotations and fractional
      shifts; with colours as well (see `multigen.image.synthesis.ada`).

    Opacity, the fourth channel where there is one, is moved and cut like the others, but has no
    colour. Each sample has its own draws, which come from `rand` alone: equal draws, equal images.

    Args:
        image: (B, C, H, W) in -1..1, where 0 is mid-grey.
        policy: from `parse_policy`, applied in this order.
        rand: `Step.rand`: `rand(name, *shape)` gives uniform numbers in [0, 1), (B, *shape), on the
            device of `image`.
        stream: first part of the names of the draws: "STREAM/brightness". Reals and fakes of one
            update take different ones.
        share: probability with which each of the transformations is applied to a sample.
    """
    if share <= 0:
        return image
    altered = image
    for member in policy:
        if member in PIPELINES:
            altered = _ada(altered, member, lambda name, *shape: rand(f"{stream}/{name}", *shape), share)
            continue
        for transformation in POLICIES[member]:
            name = f"{stream}/{transformation.__name__}"
            changed = _changed(altered, transformation, rand(name, 2, 1, 1))
            if share < 1:
                changed = torch.where(rand(f"{name}/share", 1, 1, 1) < share, changed, altered)
            altered = changed
    return altered.to(image.dtype)


def parse_policy(text: str) -> tuple[str, ...]:
    """ "color,translation,cutout" as ("color", "translation", "cutout"); "" as (). Raises
    ConfigError for other names."""
    return parse_choices("augment", text, POLICIES)


def adapted_share(share: float, signs: float, target: float, move: float) -> float:
    """ADA's probability of augmentations after a look at D: it rises by `move` while the mean sign
    of D's logits of real images is above the target, and falls while it is below; 0 to 1."""
    return min(max(share + math.copysign(move, signs - target), 0.0), 1.0)


def mirror(image: Tensor, u: Tensor) -> Tensor:
    """Images (B, C, H, W), left and right exchanged in the rows where `u` (B, 1, 1, 1) is below one
    half."""
    return torch.where(u < 0.5, image.flip(3), image)


def _ada(image: Tensor, pipeline: str, rand: Callable[..., Tensor], share: float) -> Tensor:
    with torch.autocast(image.device.type, enabled=False):  # places are computed to a fraction of a pixel
        image = warped(image, "g" in pipeline, rand, share)
        return recoloured(image, rand, share) if "c" in pipeline else image


def _changed(image: Tensor, transformation: Callable[[Tensor, Tensor], Tensor], u: Tensor) -> Tensor:
    if image.shape[1] == 4 and transformation in POLICIES["color"]:
        return torch.cat([transformation(image[:, :3], u), image[:, 3:]], 1)
    return transformation(image, u)


# ---------------------------------------------------------------------------------------------------- transformations
# Each takes images (B, C, H, W) and two uniform numbers a sample, u (B, 2, 1, 1); those of colours use the first.


def brightness(image: Tensor, u: Tensor) -> Tensor:
    return image + (u[:, :1] - 0.5)


def saturation(image: Tensor, u: Tensor) -> Tensor:
    mean = image.mean(1, keepdim=True)  # (B, 1, H, W)
    return (image - mean) * (2 * u[:, :1]) + mean


def contrast(image: Tensor, u: Tensor) -> Tensor:
    mean = image.mean((1, 2, 3), keepdim=True)  # (B, 1, 1, 1)
    return (image - mean) * (u[:, :1] + 0.5) + mean


def translation(image: Tensor, u: Tensor) -> Tensor:
    batch, _, height, width = image.shape
    rows = _moved(u[:, :1], height).transpose(2, 3)  # (B, 1, H, 1), of the source
    columns = _moved(u[:, 1:], width)  # (B, 1, 1, W)
    inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)  # (B, 1, H, W)
    index = torch.arange(batch, device=image.device).view(-1, 1, 1)
    source = index, rows[:, 0].clamp(0, height - 1), columns[:, 0].clamp(0, width - 1)
    moved = image.permute(0, 2, 3, 1)[source].permute(0, 3, 1, 2)  # (B, C, H, W), channels-last
    layout = torch.contiguous_format if image.is_contiguous() else torch.channels_last
    return (moved * inside).contiguous(memory_format=layout)


def _moved(u: Tensor, side: int) -> Tensor:
    """Source of each pixel along a side that moves by a whole number of them, (B, 1, 1, 1) -> (B,
    1, 1, side)."""
    most = int(side * SHIFT + 0.5)
    return torch.arange(side, device=u.device) - _whole(u, 2 * most + 1) + most


def cutout(image: Tensor, u: Tensor) -> Tensor:
    rows = _covered(u[:, :1], image.shape[2]).transpose(2, 3)  # (B, 1, H, 1)
    hole = rows & _covered(u[:, 1:], image.shape[3])  # (B, 1, H, W)
    return image * ~hole  # masked_fill would lose the memory format


def _covered(u: Tensor, side: int) -> Tensor:
    """Whether each pixel along a side is cut out, (B, 1, 1, 1) -> (B, 1, 1, side)."""
    hole = int(side * HOLE + 0.5)
    # As published: a hole of even width has its centre on one of the side + 1 lines between pixels, borders included.
    first = _whole(u, side + 1 - hole % 2) - hole // 2
    at = torch.arange(side, device=u.device)
    return (at >= first) & (at < first + hole)


def _whole(u: Tensor, n: int) -> Tensor:
    """Uniform whole numbers 0..n-1. (In low precision u * n may round to n.)"""
    return (u * n).long().clamp(max=n - 1)


POLICIES = {
    "color": (brightness, saturation, contrast),
    "translation": (translation,),
    "cutout": (cutout,),
    **{name: () for name in PIPELINES},
}
