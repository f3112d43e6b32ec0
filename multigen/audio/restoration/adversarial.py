"""Base of restoration of sounds in two stages: reconstruction alone, then against discriminators of
periods and of spectra too.

A method derives from `AdversarialAudioTrainer`, and states its generator and its `reconstruct`.
"""

from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor

from multigen.audio.networks.discriminators import RESOLUTIONS, Discriminators, feature_layers
from multigen.audio.restoration.base import AudioRestorationConfig, AudioRestorationTrainer
from multigen.engine import AdamW, Batch, Stage, Step, Terms, Update
from multigen.engine.optimisers import Optimiser
from multigen.engine.schedules import Cosine, WarmUp
from multigen.errors import ConfigError
from multigen.losses import feature_matching, hinge

__all__ = ["AdversarialAudioConfig", "AdversarialAudioTrainer"]

WARM_UP = 0.02  # of a stage


@dataclass(frozen=True)
class AdversarialAudioConfig(AudioRestorationConfig):
    """Settings common to methods of two stages."""

    discriminator_width: int = 8
    """Channels of the first layer of the discriminators of periods (32 in the papers); 0: none."""
    spectrum_width: int = 16
    """Channels of the discriminators of spectra (32 in the papers); 0: none."""
    matching_weight: float = 2.0
    """Weight of the mean difference of the discriminators' features, layer by layer."""
    spectrum_weight: float = 1.0
    """Weight of the discriminators of spectra beside those of periods (0.1 in the papers)."""
    pretrain_steps: int = 5_000
    """Steps of the first stage, without discriminators (none in the papers)."""
    pretrain_lr: float = 1e-3
    """Learning rate of the first stage; rises for a fiftieth of it, then falls to 0 along half a
    cosine."""
    steps: int = 5_000
    """Steps of the second stage."""
    lr: float = 5e-4
    """Learning rate of the second stage, of G and of D; as in the first."""
    betas: tuple[float, float] = (0.8, 0.99)
    """Betas of AdamW."""

    ranges = AudioRestorationConfig.ranges | {
        **{"steps": 0, "pretrain_steps": 0, "discriminator_width": 0, "spectrum_width": 0},
        **{"matching_weight": 0, "spectrum_weight": 0},
    }

    def __post_init__(self):
        super().__post_init__()
        if not self.pretrain_steps + self.steps:
            raise ConfigError("pretrain_steps 0, steps 0: nothing to train; expected steps in one of the stages")
        if self.steps and not self.discriminator_width + self.spectrum_width:
            raise ConfigError(
                "discriminator_width 0, spectrum_width 0: no discriminator for the second stage; give one of them, or steps 0"
            )
        if self.steps and self.spectrum_width and self.segment <= max(RESOLUTIONS) // 2:
            raise ConfigError(
                f"segment {self.segment}: the discriminators of spectra need more than {max(RESOLUTIONS) // 2} samples; give "
                "longer ones, or spectrum_width 0"
            )


C = TypeVar("C", bound=AdversarialAudioConfig)


class AdversarialAudioTrainer(AudioRestorationTrainer[C]):
    """Trains G for the least error of reconstruction; then D to tell its sounds from recordings,
    and G against D."""

    budget = ("pretrain_steps", "steps")
    D: Discriminators
    selection = "multi_stft"
    """The metric by which the first stage's best checkpoint is chosen."""

    # ---------------------------------------------------------------------------------- what a method states

    def reconstruct(self, batch: Batch, step: Step) -> tuple[dict[str, Tensor], Tensor]:
        """The losses of G without a discriminator, and its sounds (B, segment)."""
        raise NotImplementedError

    # ---------------------------------------------------------------------------------- stages and losses

    def discriminator(self) -> Discriminators | None:
        c = self.config
        return Discriminators(c.discriminator_width, c.spectrum_width) if c.steps else None

    def optimisers(self) -> Optimiser:
        return self._adam(self.config.pretrain_lr)

    def stages(self) -> list[Stage]:
        c = self.config
        return [
            Stage("pretrain", c.pretrain_steps, [
                Update("generator", trains=["G"], loss=self.reconstruction_loss),
            ], best=self.best(self.selection)),
            Stage("adversarial", c.steps, [
                Update("discriminator", trains=["D"], loss=self.discriminator_loss),
                Update("generator",     trains=["G"], loss=self.generator_loss),
            ], optim=self._adam(c.lr)),
        ]  # fmt: skip

    def _adam(self, lr: float) -> Optimiser:
        return AdamW(WarmUp(WARM_UP, Cosine(lr, 0.0)), self.config.betas)

    def reconstruction_loss(self, batch: Batch, step: Step) -> Terms:
        """Loss of the first stage."""
        return self.reconstruct(batch, step)[0]

    def discriminator_loss(self, batch: Batch, step: Step) -> Terms:
        """Loss of D in the second stage: hinge loss, weighted over the discriminators."""
        real = self.targets(batch, step)
        with torch.no_grad():
            fake = self.G(self.inputs(batch, step))[:, : real.shape[1]]
        pairs = zip(self.D(real), self.D(fake.to(real.dtype)), strict=True)
        return {"adversarial": self.weighted([hinge.discriminator(a[-1], b[-1]) for a, b in pairs])}

    def generator_loss(self, batch: Batch, step: Step) -> Terms:
        """Loss of G in the second stage: reconstruction, adversarial and feature matching
        losses."""
        terms, fake = self.reconstruct(batch, step)
        made = self.D(fake)
        with torch.no_grad():
            seen = self.D(self.targets(batch, step))
        matching = [feature_matching(feature_layers([a]), feature_layers([b])) for a, b in zip(made, seen, strict=True)]
        terms["adversarial"] = self.weighted([hinge.generator(each[-1]) for each in made])
        terms["matching"] = self.weighted(matching) * self.config.matching_weight
        return terms

    def weighted(self, values: list[Tensor]) -> Tensor:
        """The mean over the discriminators of periods, and that over those of spectra by its
        weight."""
        count = len(values) - len(self.D.spectra)
        parts = [torch.stack(part).mean() for part in (values[:count], values[count:]) if part]
        return parts[0] + sum(part * self.config.spectrum_weight for part in parts[1:])
