"""Inpainting: fills holes of photographs, seeing the whole image by Fourier convolutions (LaMa). Suvorov et al. 2021, arXiv:2109.07161.

    python -m multigen.recipes.inpainting                           # embedded photographs, minutes on a laptop
    python -m multigen.recipes.inpainting default --data photos/    # your own photographs
    multigen restore photo.jpg --mask mask.png --model runs/inpainting --out filled/

First G is trained for the least pixel error, then against a discriminator of patches, with the features of a frozen network. G
sees the image with holes and the mask; its whole image is compared, also where it was known. Images are RGB in 0..1.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import adaptive_max_pool2d, leaky_relu, softplus

from multigen import losses
from multigen.engine import Adam, Batch, Stage, Step, Terms, Update
from multigen.engine.optimisers import Optimiser
from multigen.engine.schedules import Cosine
from multigen.errors import ConfigError
from multigen.image.restoration.base import ImageRestorationConfig, ImageRestorationTrainer, to_unit
from multigen.image.restoration.masks import TRAINING, draw_mask
from multigen.image.restoration.networks.ffc import FFCGenerator
from multigen.losses import penalties
from multigen.tasks.restoration.base import RANGES

__all__ = ["PRESETS", "Discriminator", "InpaintingConfig", "InpaintingTrainer"]


@dataclass(frozen=True)
class InpaintingConfig(ImageRestorationConfig):
    crop: int = 128
    """Side of the crops, pixels; a multiple of 16."""
    blocks: int = 6
    """Residual blocks of the generator (9 in the paper)."""
    width: int = 32
    """Channels of the generator's first layer (64 in the paper)."""
    halvings: int = 2
    """How often the generator halves height and width before its blocks (3 in the paper)."""
    discriminator_width: int = 32
    """Channels of the discriminator's first layer (64 in the paper)."""
    batch: int = 8
    """Crops per step, over all processes."""
    pixel_weight: float = 10.0
    """Weight of the pixel loss, of known pixels, in the second stage."""
    adversarial_weight: float = 10.0
    """Weight of the adversarial loss."""
    matching_weight: float = 100.0
    """Weight of the difference between the discriminator's features."""
    content_weight: float = 30.0
    """Weight of the content loss: features of EfficientNet-lite0 (of a dilated ResNet-50 in the paper)."""
    penalty: float = 1e-3
    """Weight of the squared norm of D's gradient at photographs (R1)."""
    pretrain_steps: int = 10_000
    """Steps of the first stage (0 in the paper)."""
    pretrain_lr: float = 1e-3
    """Learning rate of the first stage; falls to 0 along half a cosine."""
    lr: float = 1e-3
    """Learning rate of the generator in the second stage."""
    discriminator_lr: float = 1e-4
    """Learning rate of the discriminator."""

    ranges = RANGES | {
        **{"steps": 0, "pretrain_steps": 0, "halvings": (1, 4), "matching_weight": 0, "penalty": 0, "discriminator_lr": 0}
    }

    def __post_init__(self):
        super().__post_init__()
        if self.crop < 32 or self.crop % 16:
            raise ConfigError(f"crop {self.crop}: expected a multiple of 16, at least 32")
        if not self.pretrain_steps + self.steps:
            raise ConfigError("pretrain_steps 0, steps 0: nothing to train; expected steps in one of the stages")


PRESETS = {
    "tiny": InpaintingConfig(
        validation_size=0, crop=32, blocks=1, width=8, discriminator_width=8, batch=4, pretrain_steps=16, steps=4, ema=0.9
    ),
    "laptop": InpaintingConfig(validation_size=0, crop=64, blocks=4, width=24, discriminator_width=16, pretrain_steps=1_500, steps=300),
    "default": InpaintingConfig(steps=10_000),
    "paper": InpaintingConfig(
        crop=256, blocks=9, width=64, halvings=3, discriminator_width=64, batch=30, pretrain_steps=0, steps=1_000_000,
    ),
}  # fmt: skip


class Discriminator(nn.Module):
    """A discriminator of patches: RGB (B, 3, H, W) in 0..1 -> features of each of its layers, at last the logits (B, 1, h, w) of
    patches' being of a photograph."""

    def __init__(self, width: int = 64):
        super().__init__()
        widths = [3, width, 2 * width, 4 * width, 8 * width]
        self.layers = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(before, after, 4, stride=2, padding=1),
                *([nn.GroupNorm(8, after)] if i else []),
            )
            for i, (before, after) in enumerate(zip(widths, widths[1:]))
        )
        self.last = nn.Sequential(nn.Conv2d(8 * width, 8 * width, 3, padding=1), nn.GroupNorm(8, 8 * width))
        self.head = nn.Conv2d(8 * width, 1, 3, padding=1)

    def forward(self, image: Tensor) -> list[Tensor]:
        x, features = image * 2 - 1, []
        for layer in (*self.layers, self.last):
            x = leaky_relu(layer(x), 0.2)
            features.append(x)
        return [*features, self.head(x)]


class InpaintingTrainer(ImageRestorationTrainer[InpaintingConfig]):
    """Trains G to fill holes: first for the least pixel error, then so that D takes its patches for a photograph's."""

    name = "inpainting"
    task = "super-resolution"
    budget = ("pretrain_steps", "steps")
    degrades_whole = False

    def corrupt(self, crop: Tensor, rng: np.random.Generator) -> dict[str, Tensor]:
        return {"input": masked(crop, draw_mask(*crop.shape[1:], TRAINING, rng))}

    def generator(self) -> nn.Module:
        c = self.config
        return FFCGenerator(c.width, c.blocks, c.halvings)

    def discriminator(self) -> Discriminator:
        return Discriminator(self.config.discriminator_width)

    def optimisers(self) -> Optimiser:
        return Adam(lr=Cosine(self.config.pretrain_lr, 0.0), betas=self.config.betas)

    def stages(self) -> list[Stage]:
        c = self.config
        return [
            Stage("pretrain", c.pretrain_steps, [
                Update("generator", trains=["G"], loss=self.pixel_loss),
            ], best=self.best("psnr_hole", "max")),
            Stage("adversarial", c.steps, [
                Update("discriminator", trains=["D"], loss=self.discriminator_loss),
                Update("r1",            trains=["D"], loss=self.r1, every=16, lazy=True),
                Update("generator",     trains=["G"], loss=self.generator_loss),
            ], best=self.best(c.distance), optim={"G": Adam(c.lr, c.betas), "D": Adam(c.discriminator_lr, c.betas)}),
        ]  # fmt: skip

    def pixel_loss(self, batch: Batch, step: Step) -> Terms:
        return {"pixel": (self.G(self.inputs(batch, step)) - self.targets(batch, step)).abs().mean()}

    def discriminator_loss(self, batch: Batch, step: Step) -> Terms:
        """Patches of photographs and those of G's images that touch no hole are real, those that touch one are fake."""
        given = self.inputs(batch, step)
        with torch.no_grad():
            fake = self.G(given)
        real, made = self.D(self.targets(batch, step))[-1].float(), self.D(fake)[-1].float()
        hole = adaptive_max_pool2d(given[:, 3:], made.shape[2:])  # (B, 1, h, w), 1 or 0
        of_fakes = hole * softplus(made) + (1 - hole) * softplus(-made)
        return {"adversarial": softplus(-real).mean() + of_fakes.mean()}

    def r1(self, batch: Batch, step: Step) -> Terms:
        return {"r1": penalties.r1(lambda x: self.D(x)[-1], self.targets(batch, step)) * (2 * self.config.penalty)}

    def generator_loss(self, batch: Batch, step: Step) -> Terms:
        c, given, real = self.config, self.inputs(batch, step), self.targets(batch, step)
        fake = self.G(given).to(real.dtype)
        *features, logits = self.D(fake)
        with torch.no_grad():
            features_of_real = self.D(real)[:-1]
        return {
            "pixel": ((fake - real).abs() * (1 - given[:, 3:])).mean() * c.pixel_weight,
            "adversarial": losses.non_saturating.generator(logits) * c.adversarial_weight,
            "matching": losses.feature_matching(features, features_of_real, "mse") * c.matching_weight,
            "content": self.distance(fake, real).mean() * c.content_weight,
        }


def masked(image: Tensor, hole: np.ndarray) -> Tensor:
    """uint8 (3, H, W) and a bool mask (H, W) -> uint8 (4, H, W): the image, 0 in the hole, and the mask, 255 there."""
    mask = torch.from_numpy(hole)
    return torch.cat([image * ~mask, mask[None].to(torch.uint8) * 255])
