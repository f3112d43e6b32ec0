"""Speech enhancement: recordings without their noise, by AP-BWE's blocks and CMGAN's losses. Cao et
al. 2022, arXiv:2203.15149.

    python -m multigen.recipes.enhance                              # embedded speakers (minutes)
    python -m multigen.recipes.enhance default --data recordings/   # your own clean recordings
    python -m multigen.recipes.enhance paper --data VCTK/           # AP-BWE's width, and longer

Recordings are mixed with drum patterns, coloured noise, or babble of other recordings, newly for
each segment; G predicts what the clean spectrum has more or less than the noisy one. It is trained
by errors of compressed amplitudes, of the compressed spectrum and of the sound, then against
discriminators too.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

import numpy as np
from torch import Tensor, nn

from multigen.audio.networks.amplitude_phase import COMPRESSION, AmplitudePhaseGenerator, Polar
from multigen.audio.recordings import Recording
from multigen.audio.restoration.degradations import NOISES, Noises, draws_of, mix
from multigen.audio.restoration.segments import SegmentSource
from multigen.audio.restoration.test_sets import TestSet
from multigen.audio.restoration.waves import WaveConfig, WaveRestorer, WaveTrainer
from multigen.audio.restoration.wiener import wiener
from multigen.data.datasets import hash_of
from multigen.engine import Batch, Step
from multigen.errors import ConfigError
from multigen.tasks.restoration.base import Restore, Skipped

__all__ = ["PRESETS", "EnhanceConfig", "EnhanceTrainer"]

VOICES, LONGEST = 64, 10  # recordings, and seconds of each, that babble is made of at most


@dataclass(frozen=True)
class EnhanceConfig(WaveConfig):
    noise: tuple[Literal["drums", "coloured", "babble"], ...] = ("drums", "coloured", "babble")
    """Kinds of noise, as often as each other: drum patterns, coloured noise of any slope from -12
    to 6 dB an octave, and babble of three to six of the other recordings, or of fewer where there
    are no more."""
    snr: tuple[float, float] = (0.0, 15.0)
    """Range of the signal-to-noise ratio, dB."""
    amplitude_weight: float = 45.0
    """Weight of the squared error of amplitudes to the power of 0.3 (this and the next two have
    CMGAN's proportions)."""
    complex_weight: float = 5.0
    """Weight of the squared error of the spectrum whose amplitudes are so compressed."""
    wave_weight: float = 10.0
    """Weight of the absolute error of samples."""

    ranges = WaveConfig.ranges | {
        **{"amplitude_weight": 0, "complex_weight": 0, "wave_weight": 0},
        "snr": (-20, 60),
    }

    def __post_init__(self):
        super().__post_init__()
        if self.snr[0] > self.snr[1]:
            raise ConfigError(f"snr {self.snr[0]:g} {self.snr[1]:g}: expected the smaller one first")
        if not self.noise or len({*self.noise}) < len(self.noise):
            raise ConfigError(
                f"noise {' '.join(self.noise) or 'of no kind'}: expected some of {', '.join(NOISES)}, each once"
            )
        if not self.amplitude_weight + self.complex_weight + self.wave_weight:
            raise ConfigError("amplitude_weight 0, complex_weight 0, wave_weight 0: no loss; give one of them")


PRESETS = {
    "tiny": EnhanceConfig(
        rate=8_000, segment=2_000, validation_size=0, test_size=2, width=16, blocks=1, discriminator_width=2, spectrum_width=2,
        batch=4, pretrain_steps=16, steps=4, ema=0.9,
    ),
    "laptop": EnhanceConfig(
        validation_size=0, test_size=6, width=96, batch=8, pretrain_steps=1_000, pretrain_lr=2e-3, steps=250, ema=0.99,
    ),
    "default": EnhanceConfig(),
    "paper": EnhanceConfig(
        segment=32_000, width=512, blocks=8, discriminator_width=32, spectrum_width=32, spectrum_weight=0.1, pretrain_steps=0,
        steps=500_000, lr=2e-4, ema=0.0,
    ),
}  # fmt: skip


class EnhanceTrainer(WaveTrainer[EnhanceConfig]):
    """Trains G to give the clean recording that a noisy one was made of."""

    name = "enhance"
    metrics = ("pesq", "stoi", "si_sdr", "dnsmos", "lsd", "multi_stft")
    slow = ("dnsmos",)
    noises: Noises
    voices: Mapping[str, int]
    """The recordings that babble is made of: name -> number."""

    # ---------------------------------------------------------------------------------- data

    def to_source(self, items: Sequence[Recording]) -> SegmentSource:
        """Babble is made of some of the training recordings."""
        c = self.config
        chosen = sorted(items, key=lambda each: hash_of(each.name, 0))[:VOICES]
        voices = [recording.part(0, LONGEST * c.rate)[0] for recording in chosen]
        self.noises = Noises(c.rate, voices, c.noise)
        self.voices = {recording.name: i for i, recording in enumerate(chosen)}
        return super().to_source(items)

    def corrupt(self, sound: Tensor, rng: np.random.Generator, name: str = "") -> dict[str, Tensor]:
        """A segment, and a mix of it with noise, which holds nothing of its own recording."""
        noise = self.noises.draw(len(sound), rng, without=self.voices.get(name, -1))
        return {"target": sound, "input": mix(sound, noise, rng.uniform(*self.config.snr))}

    def to_set(self, name: str, items: Sequence[Recording], skipped: Skipped | None) -> TestSet | None:
        """Each recording with one of the kinds of noise, chosen by its name."""
        test = TestSet.of(name, items, self.config.rate, self.degrade, skipped=skipped)
        return test and self._noisy(test, "")

    def test_variants(self, test: TestSet) -> Sequence[TestSet]:
        """For each kind of noise a set: NAME-babble."""
        return [replace(self._noisy(test, kind), name=f"{test.name}-{kind}") for kind in self.config.noise]

    def _noisy(self, test: TestSet, kind: str) -> TestSet:
        """The set with mixes of its recordings; noise and ratio follow from their names, and babble
        is made of the others."""
        c, inputs = self.config, []
        for i, (name, target) in enumerate(zip(test.names, test.targets, strict=True)):
            others = [*test.targets[:i], *test.targets[i + 1 :]] or [target.flip(0)]
            rng = draws_of(name)
            noise = Noises(c.rate, others, c.noise).draw(len(target), rng, kind)
            inputs.append(mix(target, noise, rng.uniform(*c.snr)))
        return replace(test, inputs=tuple(inputs))

    # ---------------------------------------------------------------------------------- losses

    def reconstruct(self, batch: Batch, step: Step) -> tuple[dict[str, Tensor], Tensor]:
        c, given, real = self.config, self.inputs(batch, step), self.targets(batch, step)
        predicted = self.G.predict(given)
        fake = self.G.sound(given, predicted)
        made, target = _compressed(predicted), _compressed(self.G.analyse(real))
        pairs = zip(made.rectangular(), target.rectangular(), strict=True)
        terms = {
            "amplitude": (made.log_amplitude.exp() - target.log_amplitude.exp()).square().mean() * c.amplitude_weight,
            "complex": sum((a - b).square().mean() for a, b in pairs) * c.complex_weight,
            "wave": (fake - real).abs().mean() * c.wave_weight,
        }
        return terms, fake.to(real.dtype)

    # ---------------------------------------------------------------------------------- evaluation

    def restorer_of(self, network: nn.Module) -> WaveRestorer:
        assert isinstance(network, AmplitudePhaseGenerator)
        return WaveRestorer(network, partial(_with_noise, rate=self.config.rate))

    def baselines(self) -> dict[str, Restore]:
        """The noisy recording, a Wiener filter, and the model that training started from."""
        rate = self.config.rate
        return {"noisy": lambda sound: sound, "wiener": lambda sound: wiener(sound, rate), **self.start_row()}


def _compressed(spectrum: Polar) -> Polar:
    return spectrum._replace(log_amplitude=COMPRESSION * spectrum.log_amplitude)


def _with_noise(sound: Tensor, name: str, rate: int) -> Tensor:
    """With coloured noise at 5 dB, for the sheet."""
    rng = draws_of(name)
    return mix(sound, Noises(rate, kinds=("coloured",)).draw(len(sound), rng), 5)
