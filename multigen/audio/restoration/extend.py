"""Bandwidth extension: the high frequencies of recordings that have none (AP-BWE). Lu et al. 2024,
arXiv:2401.06387.

    python -m multigen.recipes.extend                              # embedded speakers (minutes)
    python -m multigen.recipes.extend default --data recordings/   # your own wide recordings
    python -m multigen.recipes.extend paper --data VCTK/           # the paper's width and weights

G reads amplitudes and phases of a recording that went through a low-pass filter drawn at random,
and predicts those of the original: first by errors of its spectrum alone, then against
discriminators too. In use what is below a recording's bandwidth comes out as it came in.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from multigen.audio.networks.amplitude_phase import AmplitudePhaseGenerator
from multigen.audio.restoration import losses
from multigen.audio.restoration.degradations import filtered, narrowed
from multigen.audio.restoration.test_sets import TestSet
from multigen.audio.restoration.waves import Extender, WaveConfig, WaveTrainer
from multigen.engine import Batch, Step
from multigen.errors import ConfigError
from multigen.tasks.restoration.base import Restore

__all__ = ["PRESETS", "ExtendConfig", "ExtendTrainer"]

MARGIN = 0.05  # seconds around a segment that filters see too


@dataclass(frozen=True)
class ExtendConfig(WaveConfig):
    bandwidth: tuple[float, float] = (2_000.0, 4_000.0)
    """Range of the bandwidth of inputs, Hz: half the rate of the recordings to be extended. Both
    ends are measured (the paper has a model for each)."""
    amplitude_weight: float = 45.0
    """Weight of the squared error of log-amplitudes."""
    phase_weight: float = 100.0
    """Weight of the errors of phases, which are weighted by loudness (not in the paper)."""
    complex_weight: float = 90.0
    """Weight of the squared error of real and imaginary parts."""
    consistency_weight: float = 90.0
    """Weight of the squared difference of the predicted spectrum from that of the sound made of
    it."""

    ranges = WaveConfig.ranges | {
        **{"amplitude_weight": 0, "phase_weight": 0, "complex_weight": 0, "consistency_weight": 0},
        "bandwidth": (100, 96_000),
    }

    def __post_init__(self):
        super().__post_init__()
        low, high = self.bandwidth
        if low > high or high >= self.rate / 2:
            raise ConfigError(
                f"bandwidth {low:g} {high:g}: expected the smaller one first, and both below {self.rate / 2:g} Hz, half the rate"
            )
        if not self.amplitude_weight + self.complex_weight:
            raise ConfigError("amplitude_weight 0, complex_weight 0: no loss of amplitudes; give one of them")


PRESETS = {
    "tiny": ExtendConfig(
        rate=8_000, bandwidth=(1_000.0, 2_000.0), segment=2_000, validation_size=0, test_size=2, width=16, blocks=1,
        discriminator_width=2, spectrum_width=2, batch=4, pretrain_steps=16, steps=4, ema=0.9,
    ),
    "laptop": ExtendConfig(
        validation_size=0, test_size=8, width=96, batch=8, pretrain_steps=1_000, steps=250, ema=0.99,
    ),
    "default": ExtendConfig(),
    "paper": ExtendConfig(
        bandwidth=(4_000.0, 4_000.0), width=512, blocks=8, discriminator_width=32, spectrum_width=32, spectrum_weight=0.1,
        pretrain_steps=0, steps=500_000, lr=2e-4, ema=0.0,
    ),
}  # fmt: skip


class ExtendTrainer(WaveTrainer[ExtendConfig]):
    """Trains G to give the recording that a narrow one was made of."""

    name = "extend"
    selection = "lsd"
    fills = True

    # ---------------------------------------------------------------------------------- data

    @property
    def margin(self) -> int:
        return round(MARGIN * self.config.rate)

    def corrupt(self, sound: Tensor, rng: np.random.Generator, name: str = "") -> dict[str, Tensor]:
        """A segment, and itself through a low-pass filter of a bandwidth drawn evenly by
        octaves."""
        c, (low, high) = self.config, self.config.bandwidth
        narrow = filtered(sound, c.rate, math.exp(rng.uniform(math.log(low), math.log(high))), rng)
        segment = slice(self.margin, self.margin + c.segment)
        return {"target": sound[segment].contiguous(), "input": narrow[segment].contiguous()}

    def degrade(self, sound: Tensor, name: str) -> Tensor:
        """At the widest bandwidth, by resampling."""
        return narrowed(sound, self.config.rate, self.config.bandwidth[1])

    def test_variants(self, test: TestSet) -> Sequence[TestSet]:
        """For each bandwidth a set called by the rate that recordings of it have: NAME-8000."""
        return [
            replace(
                test,
                name=f"{test.name}-{round(2 * bandwidth)}",
                inputs=tuple(narrowed(target, self.config.rate, bandwidth) for target in test.targets),
            )
            for bandwidth in sorted({*self.config.bandwidth}, reverse=True)
        ]

    # ---------------------------------------------------------------------------------- losses

    def reconstruct(self, batch: Batch, step: Step) -> tuple[dict[str, Tensor], Tensor]:
        c, given, real = self.config, self.inputs(batch, step), self.targets(batch, step)
        made, target = self.G.predict(given), self.G.analyse(real)
        fake = self.G.sound(given, made)
        level = target.log_amplitude.exp()
        angles = losses.phase_errors(
            torch.complex(made.cosine, made.sine),
            torch.complex(target.cosine, target.sine),
            losses.phase_weights(level),
        )
        spectrum = made.rectangular()
        terms = {
            "amplitude": (made.log_amplitude - target.log_amplitude).square().mean() * c.amplitude_weight,
            **{name: error * c.phase_weight for name, error in angles.items()},
            "complex": _squared(spectrum, target.rectangular()) * c.complex_weight,
            "consistency": _squared(spectrum, self.G.spectrum(fake)) * c.consistency_weight,
        }
        return terms, fake.to(real.dtype)

    # ---------------------------------------------------------------------------------- evaluation

    def restorer_of(self, network: nn.Module) -> Extender:
        assert isinstance(network, AmplitudePhaseGenerator)
        c = self.config
        return Extender(network, c.bandwidth[1], partial(_narrow, rate=c.rate, bandwidth=c.bandwidth[1]))

    def baselines(self) -> dict[str, Restore]:
        """The narrow recording at the full rate, and the model that training started from."""
        return {"resampled": lambda sound: sound, **self.start_row()}


def _squared(a: tuple[Tensor, Tensor], b: tuple[Tensor, Tensor]) -> Tensor:
    """Mean squared difference of spectra, real and imaginary parts added."""
    return sum(((x - y).square().mean() for x, y in zip(a, b, strict=True)), torch.zeros(()))


def _narrow(sound: Tensor, name: str, rate: int, bandwidth: float) -> Tensor:
    return narrowed(sound, rate, bandwidth)
