"""SNGAN: a discriminator kept Lipschitz by the spectral norm of its weights.
Miyato et al. 2018, arXiv:1802.05957.

    python -m multigen.recipes.sngan                           # embedded digits (minutes)
    python -m multigen.recipes.sngan --conditional             # with classes (arXiv:1802.05637)
    python -m multigen.recipes.sngan paper --data cifar10      # the paper's settings

Residual blocks in both networks (appendix B.4), hinge loss, five discriminator steps. With labels,
G's batch norm has a scale and a shift for each class, and D projects the class on its features.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, interpolate, relu
from torch.nn.utils.parametrizations import spectral_norm

from multigen import losses
from multigen.engine import Adam, Batch, Step, Terms
from multigen.engine.optimisers import Optimiser
from multigen.engine.schedules import Linear
from multigen.image.synthesis.base import ImageSynthesisConfig, ImageSynthesisTrainer, doublings
from multigen.tasks.synthesis.conditioning import ProjectionHead

__all__ = ["PRESETS", "Discriminator", "Generator", "SNGANConfig", "SNGANTrainer"]


@dataclass(frozen=True)
class SNGANConfig(ImageSynthesisConfig):
    latent: int = 128
    width: int = 128
    """Channels of D's blocks, and of G's at the highest resolution (D 128, G 256 in the paper, at
    32 pixels)."""
    critic_steps: int = 5
    """n_dis: discriminator updates for each generator update."""
    lr: float = 2e-4
    """Falls to 0 in a straight line."""
    betas: tuple[float, float] = (0.0, 0.9)
    """Betas of Adam."""


PRESETS = {
    "tiny": SNGANConfig(width=8, batch=16, steps=20, critic_steps=2, ema=0.9, samples=100),
    "laptop": SNGANConfig(width=24, batch=32, steps=2_000, lr=1e-3, critic_steps=1, ema=0.99),
    "default": SNGANConfig(size=64, width=64, steps=50_000),
    "paper": SNGANConfig(width=128, steps=100_000, ema=0.0),
}


class ClassBatchNorm(nn.Module):
    """Batch norm whose scale and shift belong to the class; one pair for all without classes. (B,
    C, H, W) -> the same."""

    def __init__(self, width: int, classes: int):
        super().__init__()
        self.norm = nn.BatchNorm2d(width, affine=not classes)
        self.scale = nn.Embedding(classes, width) if classes else None
        self.shift = nn.Embedding(classes, width) if classes else None
        if self.scale is not None and self.shift is not None:
            nn.init.ones_(self.scale.weight)
            nn.init.zeros_(self.shift.weight)

    def forward(self, x: Tensor, label: Tensor | None) -> Tensor:
        x = self.norm(x)
        if self.scale is None or self.shift is None:
            return x
        return self.scale(label)[:, :, None, None] * x + self.shift(label)[:, :, None, None]


class UpBlock(nn.Module):
    """BN - ReLU - up - conv - BN - ReLU - conv, plus the input doubled in size: (B, before, H, W)
    -> (B, after, 2H, 2W)."""

    def __init__(self, before: int, after: int, classes: int):
        super().__init__()
        self.norm1, self.norm2 = ClassBatchNorm(before, classes), ClassBatchNorm(after, classes)
        self.conv1, self.conv2 = nn.Conv2d(before, after, 3, padding=1), nn.Conv2d(after, after, 3, padding=1)
        self.skip = nn.Conv2d(before, after, 1)

    def forward(self, x: Tensor, label: Tensor | None) -> Tensor:
        h = self.conv1(interpolate(relu(self.norm1(x, label)), scale_factor=2))
        h = self.conv2(relu(self.norm2(h, label)))
        return h + self.skip(interpolate(x, scale_factor=2))


class Generator(nn.Module):
    """z (B, latent), label (B,) -> image (B, channels, size, size) in -1..1."""

    def __init__(self, latent: int, width: int, size: int, channels: int, classes: int = 0):
        super().__init__()
        self.width = 2 * width
        self.first = nn.Linear(latent, 16 * self.width)
        self.blocks = nn.ModuleList(UpBlock(self.width, self.width, classes) for _ in range(doublings(size)))
        self.norm = nn.BatchNorm2d(self.width)
        self.last = nn.Conv2d(self.width, channels, 3, padding=1)
        self.apply(initialise_)

    def forward(self, z: Tensor, label: Tensor | None = None) -> Tensor:
        x = self.first(z).unflatten(1, (self.width, 4, 4))  # (B, 2 width, 4, 4)
        for block in self.blocks:
            x = block(x, label)
        return torch.tanh(self.last(relu(self.norm(x))))  # (B, channels, size, size)


class DownBlock(nn.Module):
    """ReLU - conv - ReLU - conv, plus the input, both halved in size where `down`: (B, before, H,
    W) -> (B, after, H/2, W/2)."""

    def __init__(self, before: int, after: int, down: bool, first: bool = False):
        super().__init__()
        self.down, self.first = down, first
        self.conv1, self.conv2 = nn.Conv2d(before, after, 3, padding=1), nn.Conv2d(after, after, 3, padding=1)
        self.skip = nn.Conv2d(before, after, 1) if down or before != after else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        h = self.conv2(relu(self.conv1(x if self.first else relu(x))))  # an image is no activation
        s = self.skip(x)
        return avg_pool2d(h + s, 2) if self.down else h + s


class Discriminator(nn.Module):
    """image (B, channels, size, size) in -1..1, label (B,) -> logit (B,). Every weight has spectral
    norm 1."""

    def __init__(self, width: int, size: int, channels: int, classes: int = 0):
        super().__init__()
        halvings = doublings(size) - 1  # down to 8 x 8
        downs = [True] * halvings + [False, False]
        befores = [channels] + [width] * (len(downs) - 1)
        blocks = [DownBlock(b, width, down, i == 0) for i, (b, down) in enumerate(zip(befores, downs, strict=True))]
        self.blocks = nn.Sequential(*blocks)  # (B, width, 8, 8)
        self.head = ProjectionHead(width, classes)
        self.apply(initialise_)
        for module in [m for m in self.modules() if isinstance(m, nn.Conv2d | nn.Linear | nn.Embedding)]:
            spectral_norm(module)

    def forward(self, image: Tensor, label: Tensor | None = None) -> Tensor:
        return self.head(relu(self.blocks(image)).sum((2, 3)), label)  # global sum pooling


def initialise_(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d | nn.Linear):
        nn.init.xavier_uniform_(module.weight)


class SNGANTrainer(ImageSynthesisTrainer[SNGANConfig]):
    """Trains G to generate images that D takes for real ones, by the hinge loss."""

    name = "sngan"

    def generator(self) -> Generator:
        return Generator(self.config.latent, self.config.width, *self.shape)

    def discriminator(self) -> Discriminator:
        return Discriminator(self.config.width, *self.shape)

    def optimisers(self) -> Optimiser:
        return Adam(Linear(self.config.lr, 0.0), self.config.betas)

    def discriminator_loss(self, batch: Batch, step: Step) -> Terms:
        """Equation 16 of the paper."""
        real, fake, label = self.pairs(batch, step)
        return {"hinge": losses.hinge.discriminator(self.D(real, label), self.D(fake, label))}

    def generator_loss(self, batch: Batch, step: Step) -> Terms:
        """Equation 17 of the paper."""
        fake, label = self.fakes(batch, step)
        return {"hinge": losses.hinge.generator(self.best(self.D(fake, label), step))}
