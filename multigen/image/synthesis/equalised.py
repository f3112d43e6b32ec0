"""Layers whose weights are N(0, 1) and are scaled each time they are used (Karras et al. 2018,
arXiv:1710.10196, section 4.1): Adam then moves all of them at one relative speed.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, leaky_relu, linear

from multigen.image.resample import Blur, Downsample

__all__ = ["GAIN", "DownBlock", "EqualConv", "EqualLinear", "leaky", "normalised"]

SLOPE = 0.2  # of the leaky rectifier
GAIN = math.sqrt(2)
"""Of layers before a leaky rectifier, which then keeps the size of activations."""
LARGEST = 256.0  # activation in fp16, whose range ends at 65,504


def leaky(x: Tensor) -> Tensor:
    """The leaky rectifier. In fp16 activations are clamped (Karras et al. 2020, arXiv:2006.06676,
    appendix D)."""
    x = leaky_relu(x, SLOPE)
    return x.clamp(-LARGEST, LARGEST) if x.dtype == torch.float16 else x


def normalised(x: Tensor) -> Tensor:
    """Vectors (B, D), each scaled to a mean square of 1."""
    return x * (x.square().mean(1, keepdim=True) + 1e-8).rsqrt()


class EqualLinear(nn.Module):
    """(B, before) -> (B, after).

    Args:
        bias: its initial value.
        rate: learning rate of the layer, relative to the optimiser's.
        gain: of the result, such as `GAIN`.
    """

    def __init__(self, before: int, after: int, bias: float = 0.0, rate: float = 1.0, gain: float = 1.0):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(after, before) / rate)
        self.bias = nn.Parameter(torch.full((after,), bias / rate))
        self.scale, self.shift = gain * rate / math.sqrt(before), gain * rate

    def forward(self, x: Tensor) -> Tensor:
        return linear(x, self.weight * self.scale, self.bias * self.shift)


class EqualConv(nn.Module):
    """(B, before, H, W) -> (B, after, H, W), or with `down` half the size, after a low-pass filter.

    A 1x1 convolution is the matrix product that it is with channels last, whose second derivative
    is fast on a CPU (see `multigen.image.resample.Pointwise`).
    """

    def __init__(self, before: int, after: int, side: int, down: bool = False, bias: bool = True, gain: float = GAIN):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(after, before, side, side))
        self.bias = nn.Parameter(torch.zeros(after)) if bias else None
        self.side, self.down, self.gain = side, down, gain
        self.scale = gain / math.sqrt(before * side**2)

    def forward(self, x: Tensor) -> Tensor:
        weight, bias = self.weight * self.scale, None if self.bias is None else self.bias * self.gain
        if self.side == 1:
            x = Downsample.apply(x) if self.down else x
            return linear(x.permute(0, 2, 3, 1), weight.flatten(1), bias).permute(0, 3, 1, 2)
        if self.down:
            return conv2d(Blur.apply(x, 2), weight, bias, stride=2)
        return conv2d(x, weight, bias, padding=self.side // 2)


class DownBlock(nn.Module):
    """Two 3x3 convolutions, the second of which halves the size: (B, before, H, W) -> (B, after,
    H/2, W/2). A `residual` one adds its input, halved by a 1x1 convolution, both times sqrt(1/2).
    """

    def __init__(self, before: int, after: int, residual: bool = True):
        super().__init__()
        half = math.sqrt(0.5) if residual else 1.0
        self.conv1 = EqualConv(before, before, 3)
        self.conv2 = EqualConv(before, after, 3, down=True, gain=GAIN * half)
        self.skip = EqualConv(before, after, 1, down=True, bias=False, gain=half) if residual else None

    def forward(self, x: Tensor) -> Tensor:
        h = leaky(self.conv2(leaky(self.conv1(x))))
        return h if self.skip is None else h + self.skip(x)
