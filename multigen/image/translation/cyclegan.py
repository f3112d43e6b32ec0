"""CycleGAN: a translation learnt without pairs, there and back. Zhu et al. 2017, arXiv:1703.10593.

    python -m multigen.recipes.cyclegan                               # colours of photographs
    python -m multigen.recipes.cyclegan default --data A/ --target B/  # your own two folders
    python -m multigen.recipes.cyclegan default --data DIR --task night  # of one: half made dark

G_ab translates images of A to B, G_ba those of B to A; D_b and D_a have to tell them from images of
B and A. What was translated there and back shall be what it was, which without pairs keeps the
content.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from multigen.engine import Adam, Batch, Stage, Step, Terms, Update
from multigen.engine.history import exchange
from multigen.engine.optimisers import Optimiser
from multigen.image.translation.base import ImageTranslationConfig, ImageTranslationTrainer
from multigen.image.translation.networks import PatchDiscriminator, ResNetGenerator
from multigen.tasks.translation.cycle import both_ways, circle, generator_terms, identity_terms, seen_by

__all__ = ["PRESETS", "CycleGANConfig", "CycleGANTrainer"]


@dataclass(frozen=True)
class CycleGANConfig(ImageTranslationConfig):
    generator: Literal["resnet"] = "resnet"
    """The paper's network."""
    cycle_weight: float = 10.0
    """Weight of the mean absolute error of what was translated there and back (lambda)."""
    identity_weight: float = 5.0
    """Weight of the mean absolute error of images given to the generator of their own domain, which
    keeps colours; 0: without it (5 for photographs and paintings in the paper, in its code the
    default)."""
    history: int = 50
    """Generated images of each domain that are kept, of which the discriminators see some again; 0:
    none."""

    ranges = ImageTranslationConfig.ranges | {"cycle_weight": 0, "identity_weight": 0, "history": 0}


PRESETS = {
    "tiny": CycleGANConfig(
        task="swap", validation_size=0, size=40, crop=24, width=4, blocks=1, discriminator_width=4, discriminator_layers=2,
        batch=2, history=16, steps=20,
    ),
    "laptop": CycleGANConfig(
        task="swap", validation_size=0, size=144, crop=64, width=12, blocks=3, shortcut=True, discriminator_width=16,
        discriminator_layers=2, batch=4, identity_weight=0.0, steps=2_500, lr=5e-4,
    ),
    "default": CycleGANConfig(width=32, batch=2, steps=40_000),
    "paper": CycleGANConfig(steps=270_000),
}  # fmt: skip


class CycleGANTrainer(ImageTranslationTrainer[CycleGANConfig]):
    """Trains generators of both directions together."""

    G_ab: nn.Module
    G_ba: nn.Module
    D_a: nn.Module
    D_b: nn.Module
    name = "cyclegan"
    exports = ("G_ab", "G_ba")

    def generator(self) -> ResNetGenerator:
        return ResNetGenerator(self.config.width, self.config.blocks, self.config.shortcut)

    @property
    def generators(self) -> dict[str, str]:
        return both_ways(self.config.direction, "G_ab", "G_ba")

    def networks(self) -> dict[str, nn.Module]:
        c = self.config
        critics = {
            name: PatchDiscriminator(3, c.discriminator_width, c.discriminator_layers) for name in ("D_a", "D_b")
        }
        return {"G_ab": self.generator(), "G_ba": self.generator(), **critics}

    def optimisers(self) -> Optimiser:
        return Adam(self.rate(), self.config.betas)

    def stages(self) -> list[Stage]:
        return [
            Stage("adversarial", self.config.steps, [
                Update("discriminator", trains=["D_a", "D_b"],   loss=self.discriminator_loss),
                Update("generator",     trains=["G_ab", "G_ba"], loss=self.generator_loss),
            ], best=self.best_distance()),
        ]  # fmt: skip

    def images(self, batch: Batch, step: Step) -> tuple[Tensor, Tensor]:
        """Crops of A and of B, (B, 3, crop, crop) in -1..1."""
        return self.domain("A", batch, step), self.domain("B", batch, step)

    def discriminator_loss(self, batch: Batch, step: Step) -> Terms:
        """Losses of both, halved as in the paper's code."""
        a, b = self.images(batch, step)
        with torch.no_grad():
            fake_a, fake_b = self.G_ba(b).to(b.dtype), self.G_ab(a).to(a.dtype)
        size, scalars = self.config.history, self.state.scalars
        fake_a, fake_b = exchange(scalars, "A", fake_a, step, size), exchange(scalars, "B", fake_b, step, size)
        return seen_by(a, b, fake_a, fake_b, (self.D_a, self.D_b))

    def generator_loss(self, batch: Batch, step: Step) -> Terms:
        """Equation 3, and the identity loss of section 5.2."""
        c, (a, b), ways = self.config, self.images(batch, step), (self.G_ab, self.G_ba)
        made = circle(a, b, ways, ways)
        terms = generator_terms(made, a, b, (self.D_a, self.D_b), c.cycle_weight)
        return {**terms, **identity_terms(a, b, *ways, c.identity_weight)}
