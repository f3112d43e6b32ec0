"""A step of a recurrent generator with its state as one input and one output, for `multigen
export`."""

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from multigen.video.restoration.networks import RRN, enlarged

__all__ = ["NextState"]


class NextState(nn.Module):
    """A frame (B, 3, H, W) and the state before it (B, channels, H, W) -> the state after it: the
    frame, the hidden state and the large frame with its squares of pixels as channels."""

    def __init__(self, network: RRN):
        super().__init__()
        self.network = copy.deepcopy(network).cpu().float().eval()
        self.channels = 3 + network.width + network.planes

    def forward(self, image: Tensor, state: Tensor) -> Tensor:
        network = self.network
        before, hidden, output = state.split([3, network.width, network.planes], 1)
        if not network.recurrent:
            before, hidden, output = image, torch.zeros_like(hidden), torch.zeros_like(output)
        hidden, residual = network.step(before, image, hidden, output)
        large = enlarged(image, residual, network.scale)
        return torch.cat([image, hidden, F.pixel_unshuffle(large, network.scale)], 1)
