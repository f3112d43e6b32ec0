"""Running averages of weights: sampling, validation and export use them; losses never do."""

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import update_bn

__all__ = ["EMAUpdater", "average_like", "reestimate_statistics"]


def average_like(network: nn.Module) -> nn.Module:
    """A copy of `network` that is never trained, in evaluation mode."""
    return copy.deepcopy(network).requires_grad_(False).eval()


class EMAUpdater:
    """Moves `average` towards `network`, a module of the same kind. The tensors are listed once,
    since listing those of a small network takes longer than the arithmetic."""

    def __init__(self, average: nn.Module, network: nn.Module):
        self.parameters = list[Tensor](average.parameters()), list[Tensor](network.parameters())
        self.buffers = list(average.buffers()), list(network.buffers())

    @torch.no_grad()
    def move(self, share: float) -> None:
        """Each parameter by `share` of its distance to the network's; buffers are copied."""
        torch._foreach_lerp_(*self.parameters, share)  # pyright: ignore[reportPrivateImportUsage]
        if self.buffers[0]:
            torch._foreach_copy_(*self.buffers)  # pyright: ignore[reportPrivateImportUsage]


def reestimate_statistics(network: nn.Module, forward: Callable[[nn.Module, int], object], passes: int = 20) -> None:
    """Re-estimates BatchNorm's running statistics for `network`'s own weights: copied statistics
    belong to other weights.

    `forward(network, i)` runs the network once on the i-th batch. Networks without BatchNorm are
    unchanged.
    """
    if any(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in network.modules()):
        update_bn(range(passes), _Passes(network, forward))


class _Passes(nn.Module):
    def __init__(self, network: nn.Module, run: Callable[[nn.Module, int], object]):
        super().__init__()
        self.network, self.run = network, run
        self.eval()  # the mode that update_bn restores

    def forward(self, i: int) -> object:
        return self.run(self.network, i)
