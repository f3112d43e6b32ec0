"""Base trainer of two-stage restoration, as in SRGAN and its successors: pixel loss only, then with
adversarial and content losses.

A method derives from `AdversarialRestorationTrainer`, and states its networks, its learning rates,
and what differs in its losses.
"""

from dataclasses import dataclass
from typing import ClassVar, TypeVar

import torch
from torch import Tensor

from multigen.engine import Adam, Batch, Stage, Step, Terms, Update
from multigen.engine.optimisers import Optimiser
from multigen.engine.schedules import Cosine, Schedule
from multigen.errors import ConfigError
from multigen.image.restoration.base import ImageRestorationConfig, ImageRestorationTrainer
from multigen.losses import AdversarialLoss, gradient_error, grid_error, non_saturating
from multigen.tasks.restoration.base import RANGES

__all__ = ["AdversarialRestorationConfig", "AdversarialRestorationTrainer"]


@dataclass(frozen=True)
class AdversarialRestorationConfig(ImageRestorationConfig):
    """Settings common to two-stage methods; super-resolution adds `scale`."""

    discriminator_width: int = 64
    """Channels of the discriminator's first layer."""
    content: str = "efficientnet_lite0"
    """Features of the content loss."""
    content_weight: float = 1.0
    """Weight of the content loss."""
    pixel_weight: float = 1.0
    """Weight of the pixel loss in the second stage."""
    adversarial_weight: float = 0.1
    """Weight of the adversarial loss."""
    gradient_weight: float = 0.0
    """Weight of the gradient loss in the second stage: the mean absolute error of the
    gradient magnitudes of each channel (Ma et al. 2020, arXiv:2003.13081)."""
    grid_weight: float = 0.0
    """Weight of the grid loss in the second stage: what of the difference from the photograph
    repeats with the period of the enlargement."""
    shift: int = 0
    """Pixels by which the crops for D and the content loss are smaller than `crop`: a random
    sub-crop is taken in each update, so that strided layers see every alignment and leave no
    grid artefacts; 0, as published: whole crops."""
    pretrain_steps: int = 20_000
    """Steps of the first stage."""
    pretrain_lr: float = 5e-4
    """Learning rate of the first stage; falls to 0 along half a cosine."""
    lr: float = 1e-4
    """Learning rate of the second stage, constant."""

    ranges = RANGES | {"steps": 0, "pretrain_steps": 0, "gradient_weight": 0, "grid_weight": 0, "shift": 0}
    crop_multiple: ClassVar[int] = 16
    """The discriminator needs crops whose sides are multiples of this."""

    def __post_init__(self):
        super().__post_init__()
        scale = getattr(self, "scale", 1)
        if scale not in self.scales:
            *most, last = (f"x{scale}" for scale in self.scales)
            raise ConfigError(f"scale {scale}: the network has {', '.join(most)} and {last}; give one of them")
        if self.crop < 16 or self.crop % self.crop_multiple or self.crop % scale:
            least = ", at least 16" if self.crop_multiple < 16 else ""
            whole = f", and of the scale {scale}" if scale > 1 else ""
            raise ConfigError(f"crop {self.crop}: expected a multiple of {self.crop_multiple}{least}{whole}")
        if self.shift % self.crop_multiple or self.shift > self.crop - 16:
            raise ConfigError(
                f"shift {self.shift}: expected 0, or a multiple of {self.crop_multiple} that leaves 16 of {self.crop} pixels"
            )
        if self.grid_weight and scale == 1:
            raise ConfigError(
                f"grid_weight {self.grid_weight:g}: nothing is enlarged, so there is no grid; leave it out"
            )
        if not self.pretrain_steps + self.steps:
            raise ConfigError("pretrain_steps 0, steps 0: nothing to train; expected steps in one of the stages")

    @property
    def scales(self) -> tuple[int, ...]:
        """The scales that the generator supports, ascending."""
        return (1, 2, 3, 4, 8)

    @property
    def distance(self) -> str:
        return self.content


C = TypeVar("C", bound=AdversarialRestorationConfig)


class AdversarialRestorationTrainer(ImageRestorationTrainer[C]):
    """Trains G with a pixel loss; then D to distinguish G's images from photographs, and G against
    D."""

    budget = ("pretrain_steps", "steps")
    metrics = ("psnr_y", "ssim_y", "detail", "gradient_correlation", "grid")
    adversarial: ClassVar[AdversarialLoss] = non_saturating
    """The adversarial losses of D and G."""

    @property
    def scale(self) -> int:
        return getattr(self.config, "scale", 1)

    # ---------------------------------------------------------------------------------- what a method may state

    def pretrain_rate(self) -> Schedule:
        """Learning rate of the first stage."""
        return Cosine(self.config.pretrain_lr, 0.0)

    def adversarial_rate(self) -> Schedule:
        """Learning rate of the second stage."""
        return self.config.lr

    def reference(self, batch: Batch, step: Step) -> Tensor:
        """The targets of the pixel and content losses, (B, 3, crop, crop) in 0..1; D sees
        `targets`."""
        return self.targets(batch, step)

    def pixel_error(self, fake: Tensor, reference: Tensor) -> Tensor:
        """Pixel loss of G's images (B, 3, H, W) in 0..1: by default the mean absolute error."""
        return (fake - reference).abs().mean()

    def content_error(self, fake: Tensor, reference: Tensor) -> Tensor:
        """Content loss of G's images (B, 3, H, W) in 0..1: by default the configured perceptual
        distance."""
        return self.distance(fake, reference).mean()

    # ---------------------------------------------------------------------------------- stages and losses

    def optimisers(self) -> Optimiser:
        return Adam(self.pretrain_rate(), self.config.betas)

    def stages(self) -> list[Stage]:
        c = self.config
        return [
            Stage("pretrain", c.pretrain_steps, [
                Update("generator", trains=["G"], loss=self.pixel_loss),
            ], best=self.best(self.metrics[0], "max")),
            Stage("adversarial", c.steps, [
                Update("discriminator", trains=["D"], loss=self.discriminator_loss, couples=self.adversarial.couples),
                Update("generator",     trains=["G"], loss=self.generator_loss, couples=self.adversarial.couples),
            ], best=self.best(c.distance), optim=Adam(self.adversarial_rate(), c.betas)),
        ]  # fmt: skip

    def pixel_loss(self, batch: Batch, step: Step) -> Terms:
        """Loss of the first stage."""
        reference = self.reference(batch, step)
        return {"pixel": self.pixel_error(self.G(self.inputs(batch, step)).to(reference.dtype), reference)}

    def discriminator_loss(self, batch: Batch, step: Step) -> Terms:
        """Loss of D in the second stage."""
        with torch.no_grad():
            fake = self.G(self.inputs(batch, step))
        real, fake = (self.seen(x, step) for x in (self.targets(batch, step), fake))
        return {"adversarial": self.adversarial.discriminator(self.D(real), self.D(fake))}

    def generator_loss(self, batch: Batch, step: Step) -> Terms:
        """Loss of G in the second stage: weighted content, adversarial and pixel
        losses."""
        c, reference = self.config, self.reference(batch, step)
        fake = self.G(self.inputs(batch, step)).to(reference.dtype)
        seen = self.seen(fake, step)
        content = self.content_error(seen, self.seen(reference, step))
        adversarial = self.adversarial.generator(self.D(seen), self._real_logits(batch, step))
        terms = {"content": content * c.content_weight, "adversarial": adversarial * c.adversarial_weight}
        if c.pixel_weight:
            terms["pixel"] = self.pixel_error(fake, reference) * c.pixel_weight
        if c.gradient_weight:
            terms["gradient"] = gradient_error(fake, reference) * c.gradient_weight
        if c.grid_weight:
            terms["grid"] = grid_error(fake, reference, self.scale) * c.grid_weight
        return terms

    def seen(self, image: Tensor, step: Step) -> Tensor:
        """The random sub-crop of (B, 3, crop, crop) for D and the content loss in this update,
        `shift` pixels smaller."""
        shift, side = self.config.shift, self.config.crop - self.config.shift
        if not shift:
            return image
        top, left = torch.randint(shift, (2,), generator=step.rng("shift")).tolist()
        return image[:, :, top : top + side, left : left + side]

    def _real_logits(self, batch: Batch, step: Step) -> Tensor | None:
        """D's logits of real images, for a relativistic loss of G; None for others."""
        if not self.adversarial.paired:
            return None
        with torch.no_grad():
            return self.D(self.seen(self.targets(batch, step), step))
