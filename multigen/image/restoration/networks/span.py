"""SPAN: parameter-free attention, and convolutions reparameterised from several in training to one
in use. Wan et al. 2024, arXiv:2311.12770."""

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["SPAN"]

ROWS = 8  # of a map: 48 channels of 256 pixels in 8 rows take 400 KB
MEAN = (0.4488, 0.4371, 0.4040)  # of DIV2K, as published


def only_used(x: Tensor) -> bool:
    """Whether a network is only used, on a CPU: not trained, compiled or exported."""
    return x.is_cpu and not torch.is_grad_enabled() and not torch.compiler.is_compiling()


class WideConv(nn.Module):
    """A 3x3 convolution that is trained as 1x1 - 3x3 - 1x1 with twice the channels, beside a 1x1
    skip."""

    def __init__(self, before: int, after: int):
        super().__init__()
        self.sk = nn.Conv2d(before, after, 1)
        self.conv = nn.Sequential(
            nn.Conv2d(before, 2 * before, 1), nn.Conv2d(2 * before, 2 * after, 3), nn.Conv2d(2 * after, after, 1)
        )

    def forward(self, x: Tensor) -> Tensor:
        # Zeros around the input of the first layer, not of the second: so one convolution with zeros around it is the same.
        return self.conv(F.pad(x, (1, 1, 1, 1))) + self.sk(x)

    @torch.no_grad()
    def merged(self) -> nn.Conv2d:
        """The one convolution that gives the same; computed in float64."""
        layers = [self.sk, *cast("list[nn.Conv2d]", list(self.conv))]
        (skip, first, middle, last), (skip_bias, first_bias, middle_bias, last_bias) = zip(
            *((layer.weight.double(), cast(Tensor, layer.bias).double()) for layer in layers), strict=True
        )
        one = nn.Conv2d(skip.shape[1], skip.shape[0], 3, padding=1).to(self.sk.weight)
        weight = torch.einsum("om,mnyx,ni->oiyx", last[:, :, 0, 0], middle, first[:, :, 0, 0])
        weight[:, :, 1, 1] += skip[:, :, 0, 0]
        bias = last[:, :, 0, 0] @ (middle.sum((2, 3)) @ first_bias + middle_bias) + last_bias + skip_bias
        one.weight.copy_(weight)
        cast(Tensor, one.bias).copy_(bias)
        return one


class Block(nn.Module):
    """Three convolutions, whose result is its own attention. (B, C, H, W) -> (output, first
    convolution's result after SiLU)."""

    def __init__(self, width: int):
        super().__init__()
        self.c1_r, self.c2_r, self.c3_r = (WideConv(width, width) for _ in range(3))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        if torch.is_grad_enabled():
            first = F.silu(self.c1_r(x))
            last = self.c3_r(F.silu(self.c2_r(first)))
            return (last + x) * (torch.sigmoid(last) - 0.5), first
        # The same in place, which takes less memory, and in pieces that stay in a CPU's cache.
        first = F.silu(self.c1_r(x), inplace=True)
        last = self.c3_r(F.silu(self.c2_r(first), inplace=True))
        rows = ROWS if only_used(x) else x.shape[2]
        for piece, given in zip(last.split(rows, dim=2), x.split(rows, dim=2), strict=True):
            gate = torch.sigmoid(piece).sub_(0.5)
            piece.add_(given).mul_(gate)
        return last, first


class SPAN(nn.Module):
    """RGB (B, 3, H, W) in 0..1 -> (B, 3, scale H, scale W). Parameters are named as in the
    published weights.

    Args:
        blocks: 6 in the paper; published weights have no other.
        width: 48 or 52 in the paper.
    """

    mean: Tensor

    def __init__(self, scale: int = 4, blocks: int = 6, width: int = 48):
        super().__init__()
        self.blocks = blocks
        self.conv_1 = WideConv(3, width)
        for i in range(1, blocks + 1):
            self.add_module(f"block_{i}", Block(width))
        self.conv_2 = WideConv(width, width)
        self.conv_cat = nn.Conv2d(4 * width, width, 1)
        self.upsampler = nn.Sequential(nn.Conv2d(width, 3 * scale**2, 3, padding=1), nn.PixelShuffle(scale))
        self.register_buffer("mean", torch.tensor(MEAN).reshape(1, 3, 1, 1), persistent=False)
        self.radius = 3 * blocks + 3  # pixels of the input, on each side, that an output may depend on

    def forward(self, image: Tensor) -> Tensor:
        x = head = self.conv_1((image - self.mean) * 255)  # (B, C, H, W)
        outputs, inner = [], head
        for i in range(1, self.blocks + 1):
            x, inner = self.get_submodule(f"block_{i}")(x)
            outputs.append(x)
        x = self._joined([head, self.conv_2(x), outputs[0], inner])
        return self.upsampler(x)  # (B, 3, scale H, scale W)

    def _joined(self, parts: list[Tensor]) -> Tensor:
        """`conv_cat` of four maps (B, C, H, W) -> (B, C, H, W)."""
        if not only_used(parts[0]):
            return self.conv_cat(torch.cat(parts, dim=1))
        # The same without a copy of all: the sum of a matrix product of each.
        weights = self.conv_cat.weight.flatten(1).split(parts[0].shape[1], dim=1)
        pixels = [part.permute(0, 2, 3, 1).flatten(0, 2) for part in parts]  # (B H W, C), no copies in channels_last
        y = torch.addmm(cast(Tensor, self.conv_cat.bias), pixels[0], weights[0].T)
        for part, weight in zip(pixels[1:], weights[1:], strict=True):
            y = torch.addmm(y, part, weight.T)
        return y.unflatten(0, (parts[0].shape[0], *parts[0].shape[2:])).permute(0, 3, 1, 2)

    def merge(self) -> "SPAN":
        """Makes one convolution of each `WideConv`, in place: for use, no longer for training."""
        for parent in list(self.modules()):
            for name, layer in list(parent.named_children()):
                if isinstance(layer, WideConv):
                    setattr(parent, name, layer.merged())
        return self
