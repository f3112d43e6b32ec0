"""ConvNeXt blocks over time, as in Vocos (Siuzdak 2023, arXiv:2306.00814, figure 2)."""

from torch import Tensor, nn
from torch.nn.functional import gelu

__all__ = ["KERNEL", "ConvNeXt", "ConvNeXtBlock", "initialise", "over_channels"]

KERNEL = 7


class ConvNeXt(nn.Module):
    """A convolution over 7 frames and blocks: (B, inputs, N) -> (B, width, N).

    Args:
        expansion: hidden channels of a block, as a multiple of its width.
    """

    def __init__(self, inputs: int, width: int, blocks: int, expansion: int = 3):
        super().__init__()
        self.embed = nn.Conv1d(inputs, width, KERNEL, padding=KERNEL // 2)
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.blocks = nn.ModuleList(ConvNeXtBlock(width, expansion * width, 1 / blocks) for _ in range(blocks))
        self.last = nn.LayerNorm(width, eps=1e-6)
        self.radius = (1 + blocks) * (KERNEL // 2)  # frames, on each side, that an output may depend on
        self.apply(initialise)

    def forward(self, x: Tensor) -> Tensor:
        h = over_channels(self.norm, self.embed(x))
        for block in self.blocks:
            h = block(h)
        return over_channels(self.last, h)


class ConvNeXtBlock(nn.Module):
    """(B, width, N) -> the same: a convolution of each channel over 7 frames, then two linear
    layers over the channels of each frame, scaled and added.

    Args:
        scale: of what is added at the start.
    """

    def __init__(self, width: int, hidden: int, scale: float):
        super().__init__()
        self.depthwise = nn.Conv1d(width, width, KERNEL, padding=KERNEL // 2, groups=width)
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.widen, self.narrow = nn.Linear(width, hidden), nn.Linear(hidden, width)
        self.scale = nn.Parameter(self.norm.weight.new_full((width,), scale))

    def forward(self, x: Tensor) -> Tensor:
        h = self.norm(self.depthwise(x).mT)  # (B, N, width)
        return x + (self.scale * self.narrow(gelu(self.widen(h)))).mT


def over_channels(layer: nn.Module, x: Tensor) -> Tensor:
    """A layer over the last dimension, applied to the channels of (B, C, N)."""
    return layer(x.mT).mT


def initialise(layer: nn.Module) -> None:
    """Draws the weights of a convolution or linear layer from a normal distribution of deviation
    .02; biases become 0. For `Module.apply`."""
    if isinstance(layer, nn.Conv1d | nn.Linear):
        nn.init.trunc_normal_(layer.weight, std=0.02)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
