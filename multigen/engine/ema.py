"""Running averages of weights: sampling, validation and export use them; losses never do."""

import copy

import torch
from torch import Tensor, nn

__all__ = ["Follower", "average_like"]


def average_like(network: nn.Module) -> nn.Module:
    """A copy of `network` that is never trained, in evaluation mode."""
    return copy.deepcopy(network).requires_grad_(False).eval()


class Follower:
    """Moves `average` towards `network`, a module of the same kind. The tensors are listed once: on a small network that
    takes longer than the arithmetic."""

    def __init__(self, average: nn.Module, network: nn.Module):
        self.parameters = list[Tensor](average.parameters()), list[Tensor](network.parameters())
        self.buffers = list(average.buffers()), list(network.buffers())

    @torch.no_grad()
    def move(self, share: float) -> None:
        """Each parameter by `share` of its distance to the network's; buffers are copied."""
        torch._foreach_lerp_(*self.parameters, share)  # pyright: ignore[reportPrivateImportUsage]
        if self.buffers[0]:
            torch._foreach_copy_(*self.buffers)  # pyright: ignore[reportPrivateImportUsage]
