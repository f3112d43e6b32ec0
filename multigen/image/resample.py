"""Resampling of images inside networks whose gradients are differentiated once more, as gradient
penalties do."""

import functools
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, conv_transpose2d

__all__ = ["Blur", "Downsample", "Pointwise", "Upsample"]


class Pointwise(nn.Linear):
    """A 1x1 convolution, (B, C, H, W) -> (B, after, H, W), as the matrix product it is where
    channels lie last.

    torch takes second derivatives of convolutions by other convolutions, with kernels as large as
    the image; of matrix products by matrix products. With it and `Downsample` a step takes a fifth
    less time on a CPU.
    """

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class Downsample(torch.autograd.Function):
    """Anti-aliased 2x downsampling with a [1, 3, 3, 1] binomial filter: (B, C, H, W) -> (B, C, H/2,
    W/2).

    Its derivative is `Upsample`, and the other way round: none is taken with respect to the filter,
    as torch would do for every channel on the way to a second derivative.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return conv2d(x, kernel_for(x), stride=2, padding=1, groups=x.shape[1])

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        return Upsample.apply(gradient)


class Upsample(torch.autograd.Function):
    """The transpose of `Downsample`: (B, C, H, W) -> (B, C, 2H, 2W)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return conv_transpose2d(x, kernel_for(x), stride=2, padding=1, groups=x.shape[1])

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        return Downsample.apply(gradient)


class Blur(torch.autograd.Function):
    """The filter of `Downsample` at every position: (B, C, H, W) -> (B, C, H + 2 padding - 3, W + 2
    padding - 3), borders padded with 0. Its derivative is itself with the padding 3 - padding."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, padding: int) -> Tensor:
        ctx.padding = padding
        return conv2d(x, kernel_for(x), padding=padding, groups=x.shape[1])

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        return Blur.apply(gradient, 3 - ctx.padding), None


def kernel_for(x: Tensor) -> Tensor:
    """The filter for images (B, C, H, W). Kept, since a copy would wait for a GPU; torch.compile
    keeps it itself, and warns about other caches."""
    make = binomial_kernel if torch.compiler.is_compiling() else kept_kernel
    return make(x.shape[1], x.dtype, x.device)


def binomial_kernel(channels: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """[1, 3, 3, 1] / 8 in both directions, for each channel: (C, 1, 4, 4)."""
    line = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 8
    return torch.outer(line, line).to(device, dtype).expand(channels, 1, 4, 4).contiguous()


kept_kernel = functools.lru_cache(64)(binomial_kernel)
