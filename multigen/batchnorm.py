"""Statistics of batch normalisation for weights that no training pass has gone through."""

from collections.abc import Callable

from torch import nn
from torch.optim.swa_utils import update_bn

__all__ = ["reestimate_statistics"]


def reestimate_statistics(network: nn.Module, forward: Callable[[nn.Module, int], object], passes: int = 20) -> None:
    """Sets BatchNorm's running statistics to those of `network`'s own weights: copied ones belong to other weights.

    `forward(network, i)` runs the network once on the i-th batch. Networks without BatchNorm are left alone.
    """
    if any(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in network.modules()):
        update_bn(range(passes), _Passes(network, forward))


class _Passes(nn.Module):
    def __init__(self, network: nn.Module, run: Callable[[nn.Module, int], object]):
        super().__init__()
        self.network, self.run = network, run
        self.eval()  # the mode that update_bn puts back

    def forward(self, i: int) -> object:
        return self.run(self.network, i)
