"""Running averages of weights: sampling, validation and export use them; losses never do."""

import copy
from collections.abc import Callable

import torch
from torch import nn

__all__ = ["average_like", "follow", "reestimate_statistics"]


def average_like(network: nn.Module) -> nn.Module:
    """A copy of `network` that is never trained, in evaluation mode."""
    return copy.deepcopy(network).requires_grad_(False).eval()


@torch.no_grad()
def follow(average: nn.Module, network: nn.Module, share: float) -> None:
    """Moves each parameter of `average` by `share` of its distance to `network`'s; copies the buffers."""
    torch._foreach_lerp_([*average.parameters()], [p.detach() for p in network.parameters()], share)
    if buffers := [*average.buffers()]:
        torch._foreach_copy_(buffers, [*network.buffers()])


@torch.no_grad()
def reestimate_statistics(network: nn.Module, forward: Callable[[nn.Module, int], object], passes: int = 20) -> None:
    """Sets BatchNorm's running statistics to those of `network`'s own weights: copied ones belong to other weights.

    `forward(network, i)` runs the network once on the i-th batch. Networks without BatchNorm are left alone.
    """
    norms = [m for m in network.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm) and m.track_running_stats]
    if not norms:
        return
    momenta = [m.momentum for m in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a plain mean over the passes
        norm.train()
    for i in range(passes):
        forward(network, i)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
        norm.eval()
