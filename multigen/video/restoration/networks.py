"""Networks of restoring films: a recurrent generator without motion compensation, and a
discriminator of three frames."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from multigen.image.restoration.networks import PatchDiscriminator

__all__ = ["RRN", "TripleDiscriminator", "enlarged"]


class RRN(nn.Module):
    """The generator of RRN (Isobe et al. 2020, arXiv:2008.05765): residual blocks on a frame, the
    frame before it, the hidden state and the output of the step before.

    RGB clips (B, T, 3, H, W) in 0..1 -> (B, T, 3, scale H, scale W); a frame (B, 3, H, W) is a clip
    of one.

    Args:
        recurrent: False makes the same network see each frame alone: as the frame before, with an
            empty state.
    """

    def __init__(self, scale: int = 4, blocks: int = 5, width: int = 64, recurrent: bool = True):
        super().__init__()
        self.scale, self.width, self.recurrent = scale, width, recurrent
        self.planes = 3 * scale**2
        self.radius = 2 * blocks + 2
        """Pixels of the input, on each side, that a step depends on."""
        self.head = nn.Conv2d(6 + width + self.planes, width, 3, padding=1)
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.Conv2d(width, width, 3, padding=1), nn.ReLU(), nn.Conv2d(width, width, 3, padding=1))
            for _ in range(blocks)
        )
        self.hidden = nn.Conv2d(width, width, 3, padding=1)
        self.tail = nn.Conv2d(width, self.planes, 3, padding=1)
        with torch.no_grad():  # blocks begin near the identity, films near their interpolation
            for block in self.blocks:
                block[2].weight.mul_(0.1)  # pyright: ignore[reportIndexIssue]
            self.tail.weight.mul_(0.1)
            nn.init.zeros_(self.tail.bias)  # pyright: ignore[reportArgumentType]

    def step(self, before: Tensor, frame: Tensor, hidden: Tensor, output: Tensor) -> tuple[Tensor, Tensor]:
        """One frame (B, 3, H, W).

        Args:
            before: the frame before it, or itself where it is the first.
            hidden: the state (B, width, H, W), zeros at first.
            output: the large frame before it with its squares of pixels as channels (B, 3 scale^2,
                H, W), zeros at first.

        Returns the new state, and what `enlarged` adds to the frame's interpolation (B, 3 scale^2,
        H, W)."""
        x = F.relu(self.head(torch.cat([before, frame, hidden, output], 1)))
        for block in self.blocks:
            x = x + block(x)
        return F.relu(self.hidden(x)), self.tail(x)

    def forward(self, clip: Tensor) -> Tensor:
        if clip.dim() == 4:
            return self(clip[:, None])[:, 0]
        frames, large = clip.unbind(1), []
        before, hidden, output = frames[0], *self.empty(frames[0])
        for frame in frames:
            if not self.recurrent:
                before, hidden, output = frame, *self.empty(frame)
            hidden, residual = self.step(before, frame, hidden, output)
            large.append(enlarged(frame, residual, self.scale))
            before, output = frame, F.pixel_unshuffle(large[-1], self.scale)
        return torch.stack(large, 1)

    def empty(self, frame: Tensor) -> tuple[Tensor, Tensor]:
        """The hidden state and the output before a first frame (B, 3, H, W)."""
        batch, _, height, width = frame.shape
        return frame.new_zeros(batch, self.width, height, width), frame.new_zeros(batch, self.planes, height, width)


def enlarged(frame: Tensor, residual: Tensor, scale: int) -> Tensor:
    """Bilinear interpolation of a frame (B, 3, H, W), and what a step of the network adds to it."""
    return F.interpolate(frame, scale_factor=scale, mode="bilinear", align_corners=False) + F.pixel_shuffle(
        residual, scale
    )


class TripleDiscriminator(nn.Module):
    """Three frames of a clip beside their inputs, as TecoGAN's discriminator (Chu et al. 2020,
    arXiv:1811.09393) sees them, but without motion compensation: (B, T, 3, H, W) in 0..1 and inputs
    (B, T, 3, h, w) -> logits (B (T - 2), 1, H / 16, W / 16) of each patch's being of a real film.

    Args:
        width: channels of the first layer, a multiple of 4.
    """

    def __init__(self, width: int = 64):
        super().__init__()
        self.patches = PatchDiscriminator(width, channels=18)

    def forward(self, clip: Tensor, inputs: Tensor) -> Tensor:
        small = F.interpolate(inputs.flatten(0, 1), clip.shape[-2:], mode="bilinear", align_corners=False)
        both = torch.cat([clip, small.unflatten(0, inputs.shape[:2]).to(clip.dtype)], 2)  # (B, T, 6, H, W)
        triples = torch.cat([both[:, :-2], both[:, 1:-1], both[:, 2:]], 2)  # (B, T - 2, 18, H, W)
        return self.patches(triples.flatten(0, 1))[-1]
