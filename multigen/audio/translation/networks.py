"""Networks of voice conversion: a generator of features over time, and a discriminator of parts of
them, both conditioned on the speaker."""

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, leaky_relu

from multigen.audio.networks.convnext import KERNEL, ConvNeXtBlock, initialise, over_channels

__all__ = ["FeatureDiscriminator", "Generator", "least_segment"]

SPEAKER = 32  # numbers that stand for a speaker
SLOPE = 0.2  # of the leaky rectifier
LAYERS = 2  # of the discriminator that halve the frames


class SpeakerEncoder(nn.Module):
    """What is known of a speaker (B, known) -> numbers that stand for him (B, 32)."""

    def __init__(self, known: int):
        super().__init__()
        self.first, self.second = nn.Linear(known, 2 * SPEAKER), nn.Linear(2 * SPEAKER, SPEAKER)

    def forward(self, about: Tensor) -> Tensor:
        return self.second(gelu(self.first(about)))


class Generator(nn.Module):
    """Features (B, rows, N), and what is known of the target (B, known) -> features of his (B,
    rows, N), by ConvNeXt blocks, each of which the target shifts and scales.

    Frames outside of `mask` (B, 1, N), which is 1 or 0, are hidden and to be filled in; without it
    none is. What the blocks give is added to the features, untrained nothing.
    """

    def __init__(self, rows: int, known: int, width: int, blocks: int):
        super().__init__()
        self.speaker = SpeakerEncoder(known)
        self.embed = nn.Conv1d(rows + 1, width, KERNEL, padding=KERNEL // 2)
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.blocks = nn.ModuleList(ConvNeXtBlock(width, 3 * width, 1 / blocks) for _ in range(blocks))
        self.adapt = nn.ModuleList(nn.Linear(SPEAKER, 2 * width) for _ in range(blocks))
        self.last = nn.LayerNorm(width, eps=1e-6)
        self.head = nn.Conv1d(width, rows, 1)
        self.apply(initialise)
        nn.init.zeros_(self.head.weight)
        self.radius = (1 + blocks) * (KERNEL // 2)

    def forward(self, features: Tensor, about: Tensor, mask: Tensor | None = None) -> Tensor:
        speaker = self.speaker(about)
        mask = torch.ones_like(features[:, :1]) if mask is None else mask
        shown = features * mask
        h = over_channels(self.norm, self.embed(torch.cat([shown, mask], 1)))
        for block, adapt in zip(self.blocks, self.adapt, strict=True):
            scale, shift = adapt(speaker)[:, :, None].chunk(2, 1)
            h = block(h * (1 + scale) + shift)
        return shown + self.head(over_channels(self.last, h))


class FeatureDiscriminator(nn.Module):
    """Features (B, rows, N), and what is known of a speaker (B, known) -> logits (B, 1, N / 4): by
    strided convolutions over frames, and for the speaker the projection of Miyato and Koyama 2018,
    arXiv:1802.05637. Each row has weights of its own: convolutions over rows would not see that all
    formants are higher."""

    def __init__(self, rows: int, known: int, width: int):
        super().__init__()
        widths = [rows, *[width] * (LAYERS + 1)]
        self.layers = nn.ModuleList(
            nn.Conv1d(a, b, 5, 2 if i else 1, padding=2) for i, (a, b) in enumerate(pairwise(widths))
        )
        self.head = nn.Conv1d(width, 1, 3, padding=1)
        self.speaker, self.project = SpeakerEncoder(known), nn.Linear(SPEAKER, width)

    def forward(self, features: Tensor, about: Tensor) -> Tensor:
        h = features
        for layer in self.layers:
            h = leaky_relu(layer(h), SLOPE)
        whose = self.project(self.speaker(about))[:, :, None]
        return self.head(h) + (whose * h).mean(1, keepdim=True)


def least_segment() -> int:
    """Frames that the discriminator needs."""
    return 2**LAYERS
