"""Running averages of weights: sampling, validation and export use them; losses never do."""

import copy

import torch
from torch import nn

__all__ = ["average_like", "follow"]


def average_like(network: nn.Module) -> nn.Module:
    """A copy of `network` that is never trained, in evaluation mode."""
    return copy.deepcopy(network).requires_grad_(False).eval()


@torch.no_grad()
def follow(average: nn.Module, network: nn.Module, share: float) -> None:
    """Moves each parameter of `average` by `share` of its distance to `network`'s; copies the buffers."""
    torch._foreach_lerp_([*average.parameters()], [*network.parameters()], share)  # pyright: ignore[reportPrivateImportUsage]
    if buffers := [*average.buffers()]:
        torch._foreach_copy_(buffers, [*network.buffers()])  # pyright: ignore[reportPrivateImportUsage]
