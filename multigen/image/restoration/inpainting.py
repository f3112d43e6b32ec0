"""Inpainting: fills holes of photographs by Fourier convolutions (LaMa).
Suvorov et al. 2021, arXiv:2109.07161.

    python -m multigen.recipes.inpainting                           # embedded photographs (minutes)
    python -m multigen.recipes.inpainting default --data photos/    # your own photographs
    python -m multigen.recipes.inpainting paper --data photos/      # the settings of the paper

G gets a photograph with holes and the mask. It is trained first with a pixel loss, then against a
patch discriminator, with a content loss on features of a frozen network. Losses compare its whole
output; at inference known pixels are kept.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import adaptive_max_pool2d, softplus

from multigen.engine import Adam, Batch, Stage, Step, Terms, Update
from multigen.errors import ConfigError
from multigen.image.files import Photo
from multigen.image.restoration import holes
from multigen.image.restoration.adversarial import AdversarialRestorationConfig, AdversarialRestorationTrainer
from multigen.image.restoration.evaluator import definitions, score
from multigen.image.restoration.inpainter import Inpainter
from multigen.image.restoration.masks import MASKS, TRAINING, draw_mask, draw_named
from multigen.image.restoration.networks import FFCGenerator, PatchDiscriminator, SmoothFFCGenerator
from multigen.image.restoration.test_sets import TestSet, open_test_sets
from multigen.losses import feature_matching, non_saturating, penalties
from multigen.losses.adversarial import at_least_float32
from multigen.tasks.restoration.base import Restore, Skipped

__all__ = ["PRESETS", "InpaintingConfig", "InpaintingTrainer"]

R1_EVERY = 16  # steps
GENERATORS = {"lama": FFCGenerator, "smooth": SmoothFFCGenerator}


@dataclass(frozen=True)
class InpaintingConfig(AdversarialRestorationConfig):
    crop: int = 128
    """Side of the crops, pixels, a multiple of 16; the holes scale with it."""
    generator: Literal["lama", "smooth"] = "smooth"
    """The paper's network, or one that adds to a smooth filling of the hole."""
    blocks: int = 6
    """Residual blocks of the generator (9 in the paper)."""
    width: int = 32
    """Channels of the generator's first layer (64 in the paper)."""
    halvings: int = 2
    """How often the generator halves height and width before its blocks (3 in the paper)."""
    discriminator_width: int = 32
    """Channels of the discriminator's first layer, a multiple of 4 (64 in the paper)."""
    batch: int = 8
    """Crops per step, over all processes."""
    pixel_weight: float = 10.0
    """Weight of the pixel loss in the second stage."""
    adversarial_weight: float = 10.0
    """Weight of the adversarial loss."""
    matching_weight: float = 100.0
    """Weight of the feature matching loss: squared differences of the discriminator's features."""
    content_weight: float = 30.0
    """Weight of the content loss (in the paper on the features of a dilated ResNet-50)."""
    penalty: float = 1e-3
    """Weight of the R1 penalty: the squared norm of D's gradient at photographs."""
    hole_weight: float = 6.0
    """Weight of pixels in the hole in the pixel losses, relative to known pixels (0 in the
    paper)."""
    pretrain_steps: int = 10_000
    """Steps of the first stage (none in the paper)."""
    pretrain_lr: float = 1e-3
    """Learning rate of the first stage; falls to 0 along half a cosine."""
    steps: int = 10_000
    """Steps of the second stage."""
    lr: float = 1e-3
    """Learning rate of the generator in the second stage."""
    discriminator_lr: float = 1e-4
    """Learning rate of the discriminator."""

    ranges = AdversarialRestorationConfig.ranges | {
        **{
            "crop": 32,
            "halvings": (1, 4),
            "discriminator_width": 4,
            "matching_weight": 0,
            "hole_weight": 0,
            "penalty": 0,
            "discriminator_lr": 0,
        }
    }

    def __post_init__(self):
        super().__post_init__()
        if self.discriminator_width % 4:
            raise ConfigError(f"discriminator_width {self.discriminator_width}: expected a multiple of 4")
        if self.gradient_weight:
            raise ConfigError(f"gradient_weight {self.gradient_weight:g}: inpainting has none; leave it out")


PRESETS = {
    "tiny": InpaintingConfig(
        validation_size=0, crop=32, shift=16, blocks=1, width=8, discriminator_width=8, batch=4, pretrain_steps=20, steps=4,
        ema=0.9,
    ),
    "laptop": InpaintingConfig(
        validation_size=0, crop=64, shift=16, blocks=3, width=24, discriminator_width=16, pretrain_steps=1_500, steps=300,
        lr=3e-4, discriminator_lr=3e-4,
    ),
    "default": InpaintingConfig(shift=16, lr=3e-4, discriminator_lr=3e-4),
    "paper": InpaintingConfig(
        generator="lama", crop=256, blocks=9, width=64, halvings=3, discriminator_width=64, batch=30, hole_weight=0.0,
        pretrain_steps=0, steps=1_000_000,
    ),
}  # fmt: skip


class InpaintingTrainer(AdversarialRestorationTrainer[InpaintingConfig]):
    """Trains G to fill holes: first with a pixel loss, then so that D takes its patches for those
    of photographs."""

    name = "inpainting"
    task = "inpainting"
    degrades_whole = False
    metrics = ("ssim_y",)

    # ---------------------------------------------------------------------------------- data

    def corrupt(self, crop: Tensor, rng: np.random.Generator) -> dict[str, Tensor]:
        """The crop with a random hole, independent of the crop's orientation, and the mask as
        fourth channel."""
        return {"input": holes.masked(crop, draw_mask(crop.shape[1], crop.shape[2], TRAINING, rng))}

    def open_tests(self) -> list[TestSet]:
        """The central crop of each image with three kinds of masks: NAME-thin, NAME-medium,
        NAME-thick."""
        whole = open_test_sets([*self.config.test, *self.own_tests()], 1, _unchanged)
        return [self._with_holes(test, kind, f"{test.name}-{kind}") for test in whole for kind in MASKS]

    def to_set(self, name: str, items: Sequence[Photo], skipped: Skipped | None) -> TestSet | None:
        whole = TestSet.of(name, items, 1, _unchanged, skipped)
        return None if whole is None else self._with_holes(whole, "thick", name)

    def _with_holes(self, test: TestSet, kind: str, name: str) -> TestSet:
        targets = tuple(holes.central(image, self.config.crop) for image in test.targets)
        inputs = tuple(
            holes.masked(image, draw_named(image.shape[1], image.shape[2], kind, photo))
            for image, photo in zip(targets, test.names, strict=True)
        )
        return replace(test, name=name, targets=targets, inputs=inputs)

    # ---------------------------------------------------------------------------------- networks and stages

    def generator(self) -> nn.Module:
        c = self.config
        return GENERATORS[c.generator](c.width, c.blocks, c.halvings)

    def discriminator(self) -> PatchDiscriminator:
        return PatchDiscriminator(self.config.discriminator_width)

    def stages(self) -> list[Stage]:
        c = self.config
        return [
            Stage("pretrain", c.pretrain_steps, [
                Update("generator", trains=["G"], loss=self.pixel_loss),
            ], best=self.best("psnr_hole", "max")),
            Stage("adversarial", c.steps, [
                Update("discriminator", trains=["D"], loss=self.discriminator_loss),
                Update("r1",            trains=["D"], loss=self.r1, every=R1_EVERY, lazy=True),
                Update("generator",     trains=["G"], loss=self.generator_loss),
            ], best=self.best(c.distance), optim={"G": Adam(c.lr, c.betas), "D": Adam(c.discriminator_lr, c.betas)}),
        ]  # fmt: skip

    def pixel_loss(self, batch: Batch, step: Step) -> Terms:
        given, real = self.inputs(batch, step), self.targets(batch, step)
        return {"pixel": self.weighted_error(self.G(given).to(real.dtype), real, given[:, 3:])}

    def weighted_error(self, fake: Tensor, real: Tensor, hole: Tensor) -> Tensor:
        """Mean error of images (B, 3, H, W), weighted by whether a pixel is in a `hole` (B, 1, H,
        W)."""
        return ((fake - real).abs() * (1 + (self.config.hole_weight - 1) * hole)).mean()

    def discriminator_loss(self, batch: Batch, step: Step) -> Terms:
        """Patches of photographs count as real, and so do those of G's images whose own 16 x 16
        square has no pixel of the hole (receptive fields reach farther); all others as fake."""
        given = self.inputs(batch, step)
        with torch.no_grad():
            fake = self.G(given)
        real, fake, hole = (self.seen(image, step) for image in (self.targets(batch, step), fake, given[:, 3:]))
        real, made = (at_least_float32(self.D(image)[-1]) for image in (real, fake))
        hole = adaptive_max_pool2d(hole, made.shape[2:])  # (B, 1, h, w): 1 where a square has a pixel of it
        of_made = hole * softplus(made) + (1 - hole) * softplus(-made)
        return {"adversarial": softplus(-real).mean() + of_made.mean()}

    def r1(self, batch: Batch, step: Step) -> Terms:
        """R1 penalty of D at photographs."""
        D = self.nets["D"]  # not the compiled one: compiled graphs have no second derivative
        r1 = penalties.r1(lambda image: D(image)[-1], self.targets(batch, step))  # half the mean squared norm
        return {"r1": r1 * (2 * self.config.penalty)}

    def generator_loss(self, batch: Batch, step: Step) -> Terms:
        c, given, real = self.config, self.inputs(batch, step), self.targets(batch, step)
        fake = self.G(given).to(real.dtype)
        seen, seen_real = self.seen(fake, step), self.seen(real, step)
        *features, logits = self.D(seen)
        with torch.no_grad():
            *real_features, _ = self.D(seen_real)
        return {
            "pixel": self.weighted_error(fake, real, given[:, 3:]) * c.pixel_weight,
            "adversarial": non_saturating.generator(logits) * c.adversarial_weight,
            "matching": feature_matching(features, real_features, "mse") * c.matching_weight,
            "content": self.distance(seen, seen_real).mean() * c.content_weight,
        }

    # ---------------------------------------------------------------------------------- evaluation

    def restorer_of(self, network: nn.Module) -> Inpainter:
        return Inpainter(network, self.config.crop)

    def baselines(self) -> dict[str, Restore]:
        """The mean colour of the known pixels, biharmonic inpainting, the smooth filling that the
        generator adds to, and the model that training started from."""
        start = self._start() if self.run.start else {}
        return {"mean_colour": holes.mean_colour, "biharmonic": holes.biharmonic, "smooth": holes.smooth, **start}

    def measure(
        self, restorers: Mapping[str, Restore], sets: Sequence[TestSet], needed: Collection[str] | None = None
    ) -> dict[str, dict[str, float]]:
        """PSNR in the hole, seam error, SSIM, and the distances `needed`, of composites with the
        known pixels."""
        distances = [d for d in self.distances if needed is None or d.name in needed]
        return score(restorers, sets, distances, self.device, self.metrics, holes.METRICS)

    def definitions(self) -> dict[str, str]:
        return holes.DEFINITIONS | definitions(self.distances, self.metrics)


def _unchanged(image: Tensor, name: str) -> Tensor:
    return image
