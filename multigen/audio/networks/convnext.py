"""ConvNeXt blocks over the frames of a spectrum, as in Vocos (Siuzdak 2023, arXiv:2306.00814,
section 3.2)."""

import torch
from torch import Tensor, nn

__all__ = ["KERNEL", "ConvNeXtBlock", "initialise"]

KERNEL = 7
"""Frames that a block sees at once: three on each side."""
INNER = 3  # times as many channels between a block's two linear layers
STD = 0.02


class ConvNeXtBlock(nn.Module):
    """Residual block of the frames of a spectrum, (B, width, frames) -> the same shape.

    A convolution over time for each channel, layer normalisation, and two linear layers with GELU
    between, scaled for each channel. Outside of the frames are zeros.

    Args:
        scale: what the scales of the channels begin at; one over the number of blocks in Vocos.
    """

    def __init__(self, width: int, scale: float):
        super().__init__()
        self.depthwise = nn.Conv1d(width, width, KERNEL, padding=KERNEL // 2, groups=width)
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.expand = nn.Linear(width, INNER * width)
        self.contract = nn.Linear(INNER * width, width)
        self.scale = nn.Parameter(torch.full((width,), float(scale)))

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(self.depthwise(x).transpose(1, 2))  # (B, frames, width)
        y = self.contract(nn.functional.gelu(self.expand(y)))
        return x + (self.scale * y).transpose(1, 2)


def initialise(network: nn.Module) -> None:
    """Draws the weights of all convolutions and linear layers from a normal distribution of
    deviation .02; biases become 0."""
    for module in network.modules():
        if isinstance(module, nn.Conv1d | nn.Linear):
            nn.init.trunc_normal_(module.weight, std=STD)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
