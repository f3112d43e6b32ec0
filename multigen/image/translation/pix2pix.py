"""pix2pix: a translation learnt from pairs. Isola et al. 2017, arXiv:1611.07004.

    python -m multigen.recipes.pix2pix                                # photographs (minutes)
    python -m multigen.recipes.pix2pix --data photos/ --task colour   # your own photographs
    python -m multigen.recipes.pix2pix --data A/ --target B/          # your own pairs, by name

G gives the image of B for one of A, near to the true one by the mean absolute error; D sees both
images of a pair, patch by patch, and has to tell true ones from G's.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from multigen.engine import Adam, Batch, Stage, Step, Terms, Update
from multigen.engine.optimisers import Optimiser
from multigen.image.translation.base import ImageTranslationConfig, ImageTranslationTrainer
from multigen.image.translation.networks import PatchDiscriminator, ResNetGenerator, UNetGenerator
from multigen.losses import non_saturating

__all__ = ["PRESETS", "Pix2PixConfig", "Pix2PixTrainer"]


@dataclass(frozen=True)
class Pix2PixConfig(ImageTranslationConfig):
    generator: Literal["unet", "resnet"] = "unet"
    """The paper's network, or that of CycleGAN."""
    dropout: float = 0.0
    """Share of the features dropped in the inner layers of unet's decoder, in training (0.5 in the
    paper, there also in use)."""
    l1_weight: float = 100.0
    """Weight of the mean absolute error of images in -1..1."""
    l1_steps: int = 0
    """Steps of a stage before, in which a generator of its own is trained for the mean absolute
    error alone: a baseline that shows what D adds; 0: without it."""

    ranges = ImageTranslationConfig.ranges | {"dropout": (0, 1), "l1_weight": 0, "l1_steps": 0}


PRESETS = {
    "tiny": Pix2PixConfig(
        task="colour", validation_size=0, size=40, crop=32, width=8, halvings=3, discriminator_width=8,
        discriminator_layers=2, batch=2, l1_steps=4, steps=16,
    ),
    "laptop": Pix2PixConfig(
        task="colour", validation_size=0, size=128, crop=64, width=24, halvings=5, discriminator_width=24,
        discriminator_layers=2, batch=8, steps=1_500, lr=1e-3,
    ),
    "default": Pix2PixConfig(size=143, crop=128, halvings=6, width=48, batch=4, steps=20_000),
    "paper": Pix2PixConfig(dropout=0.5, steps=80_000),
}  # fmt: skip


class Pix2PixTrainer(ImageTranslationTrainer[Pix2PixConfig]):
    """Trains G to give the image of the other domain: near to the true one, and such that D takes
    the pair for a true one."""

    G: nn.Module
    D: nn.Module
    G_l1: nn.Module
    name = "pix2pix"
    paired = True
    budget = ("l1_steps", "steps")

    def generator(self) -> nn.Module:
        c = self.config
        if c.generator == "resnet":
            return ResNetGenerator(c.width, c.blocks, c.shortcut)
        return UNetGenerator(c.width, c.halvings, c.dropout)

    def networks(self) -> dict[str, nn.Module]:
        c = self.config
        nets = {"G": self.generator(), "D": PatchDiscriminator(6, c.discriminator_width, c.discriminator_layers)}
        return nets | ({"G_l1": self.generator()} if c.l1_steps else {})

    def generators_of(self, stage: str) -> dict[str, str]:
        return {self.config.direction: "G_l1" if stage == "l1" else "G"}

    def optimisers(self) -> Optimiser:
        return Adam(self.rate(), self.config.betas)

    def stages(self) -> list[Stage]:
        c = self.config
        return [
            Stage("l1", c.l1_steps, [
                Update("generator", trains=["G_l1"], loss=self.l1_loss),
            ]),
            Stage("adversarial", c.steps, [
                Update("discriminator", trains=["D"], loss=self.discriminator_loss),
                Update("generator",     trains=["G"], loss=self.generator_loss),
            ], best=self.best("efficientnet_lite0"), optim=Adam(self.rate(), c.betas)),
        ]  # fmt: skip

    def pair(self, batch: Batch, step: Step) -> tuple[Tensor, Tensor]:
        """What G is given, and what it should give, (B, 3, crop, crop) in -1..1."""
        given, expected = self.config.direction
        return self.domain(given, batch, step), self.domain(expected, batch, step)

    def l1_loss(self, batch: Batch, step: Step) -> Terms:
        """Loss of the baseline."""
        given, real = self.pair(batch, step)
        return {"l1": (self.G_l1(given).to(real.dtype) - real).abs().mean()}

    def discriminator_loss(self, batch: Batch, step: Step) -> Terms:
        """Loss of D, halved as in the paper."""
        given, real = self.pair(batch, step)
        with torch.no_grad():
            fake = self.G(given).to(real.dtype)
        logits = (self.D(torch.cat([given, image], dim=1)) for image in (real, fake))
        return {"adversarial": non_saturating.discriminator(*logits) / 2}

    def generator_loss(self, batch: Batch, step: Step) -> Terms:
        """Loss of G."""
        given, real = self.pair(batch, step)
        fake = self.G(given).to(real.dtype)
        adversarial = non_saturating.generator(self.D(torch.cat([given, fake], dim=1)))
        return {"adversarial": adversarial, "l1": (fake - real).abs().mean() * self.config.l1_weight}
