"""SpecGAN: generates spectrograms as images and inverts them to sound.
Donahue et al. 2019, arXiv:1802.04208, section 4.

    python -m multigen.recipes.specgan                          # embedded drum machine (minutes)
    python -m multigen.recipes.specgan default --data sounds/   # your own recordings
    python -m multigen.recipes.specgan paper --data digits/     # the settings of the paper

The magnitudes of a short-time Fourier transform, taken as logarithms, standardised per frequency by
the mean and deviation of the training data and clipped at three deviations, are images in -1..1.
DCGAN's networks, with filters of 5 x 5, make such images; Griffin-Lim finds a sound for each.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d, leaky_relu, pad

from multigen.audio.datasets import SoundSet
from multigen.audio.spectral import griffin_lim, magnitude
from multigen.audio.synthesis.base import AudioSynthesisConfig, AudioSynthesisTrainer
from multigen.audio.synthesis.evaluator import open_evaluator, together
from multigen.audio.synthesis.sampler import AudioSampler
from multigen.console import counted, say
from multigen.data.datasets import pick
from multigen.engine import Adam, Batch, Step, Terms, Update
from multigen.engine.optimisers import Optimiser
from multigen.engine.schedules import Cosine
from multigen.errors import ConfigError
from multigen.losses import objective
from multigen.metrics.distances import Moments
from multigen.tasks.synthesis.conditioning import ProjectionHead, with_class
from multigen.tasks.synthesis.evaluator import Evaluator
from multigen.tasks.synthesis.extractors import Made

__all__ = ["PRESETS", "Discriminator", "Generator", "SpecGANConfig", "SpecGANTrainer", "SpectrumSampler"]

N_FFT, HOP, BINS = 256, 128, 128  # samples; the bin of half the sampling rate is left out
LAYERS = 5  # each doubles or halves the image
DEVIATIONS = 3.0
FLOOR = 1e-6  # added to magnitudes before the logarithm
ITERATIONS = 16  # of Griffin-Lim
SLOPE = 0.2  # of the leaky rectifier


@dataclass(frozen=True)
class SpecGANConfig(AudioSynthesisConfig):
    latent: int = 100
    """Dimensions of z ~ N(0, I) (uniform in the paper)."""
    width: int = 64
    """d: channels of the layers next to the spectrogram; they double with each layer."""
    loss: Literal["wasserstein", "relativistic_pairing", "non_saturating"] = "wasserstein"
    """Adversarial loss; wasserstein: WGAN-GP, as in the paper."""
    critic_steps: int = 5
    """Critic updates per generator update."""
    penalty: float = 10.0
    """lambda: weight of WGAN-GP's penalty, at each critic update."""
    gamma: float = 0.0
    """Weight of R1 and R2, with the other losses."""
    lazy: int = 8
    """Steps per update by R1 and R2, however many critic updates are in them."""
    lr: tuple[float, float] = (1e-4, 1e-4)
    """First and last learning rate of a cosine schedule."""
    betas: tuple[float, float] = (0.5, 0.9)
    """Betas of Adam."""

    ranges = AudioSynthesisConfig.ranges | {"lazy": 1}

    def __post_init__(self):
        super().__post_init__()
        if self.loss == "wasserstein" and self.gamma:
            raise ConfigError(
                f"gamma {self.gamma} with loss wasserstein, which has a penalty of its own; expected gamma 0, or another loss: "
                "--loss relativistic_pairing"
            )
        if self.augment:
            raise ConfigError(f"augment {self.augment!r}: D sees spectrograms here, no sounds to alter; leave it empty")
        if self.length % (HOP << LAYERS):
            raise ConfigError(
                f"length {self.length}: expected a multiple of {HOP << LAYERS}, since spectrograms of {HOP} samples a column are "
                f"halved {LAYERS} times"
            )

    @property
    def start(self) -> tuple[int, int]:
        """Bins and frames before the first layer of G."""
        return BINS >> LAYERS, (self.length // HOP) >> LAYERS


LOW_BUDGET: dict[str, Any] = {"loss": "relativistic_pairing", "critic_steps": 1, "betas": (0.0, 0.99), "gamma": 0.1}
"""A loss that learns faster than the paper's on a small budget."""

PRESETS = {
    "tiny": SpecGANConfig(latent=16, width=2, batch=8, steps=20, critic_steps=2, ema=0.9, samples=100),
    "laptop": SpecGANConfig(
        conditional=True,
        latent=64,
        width=8,
        **LOW_BUDGET,
        batch=32,
        steps=2_000,
        lr=(1e-3, 1e-4),
        ema=0.995,
        samples=1_000,
    ),
    "default": SpecGANConfig(
        rate=16_000,
        length=16_384,
        width=32,
        **LOW_BUDGET,
        steps=50_000,
        lr=(3e-4, 3e-5),
    ),
    "paper": SpecGANConfig(rate=16_000, length=16_384, steps=200_000, ema=0.0),
}


class Generator(nn.Module):
    """z (B, latent), label (B,) -> spectrogram (B, C, 128, frames) in -1..1, low frequencies first.

    It keeps the mean and the deviation (128, 1) of each bin's log magnitude, by which spectrograms
    are scaled.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, c: SpecGANConfig, classes: int = 0):
        super().__init__()
        self.classes = classes
        widths = [c.width << i for i in reversed(range(LAYERS))]
        first = (widths[0], *c.start)
        layers: list[nn.Module] = [
            nn.Linear(c.latent + self.classes, widths[0] * c.start[0] * c.start[1]),
            nn.Unflatten(1, first),
        ]
        for before, after in pairwise([*widths, c.channels]):
            layers += [nn.ReLU(), nn.ConvTranspose2d(before, after, 5, 2, padding=2, output_padding=1)]
        self.layers = nn.Sequential(*layers, nn.Tanh())
        self.register_buffer("mean", torch.zeros(BINS, 1))
        self.register_buffer("deviation", torch.ones(BINS, 1))

    def forward(self, z: Tensor, label: Tensor | None = None) -> Tensor:
        return self.layers(with_class(z, label, self.classes))

    def spectrogram(self, sound: Tensor) -> Tensor:
        """Sounds (B, C, length) as this network makes them: (B, C, 128, length / 128)."""
        level = log_magnitude(sound)
        # Sounds may be on the CPU and the network on another device.
        mean, deviation = self.mean.to(level), self.deviation.to(level)
        return ((level - mean) / (DEVIATIONS * deviation)).clamp(-1, 1)

    def sound(self, spectrogram: Tensor) -> Tensor:
        """Inverse of `spectrogram` by Griffin-Lim, channel by channel: (B, C, 128, frames) -> (B,
        C, 128 frames)."""
        level = (spectrogram.float() * (DEVIATIONS * self.deviation) + self.mean).exp() - FLOOR
        # (B, C, 129, frames + 1): with the highest bin, and a silent last frame
        whole = pad(level.clamp(min=0), (0, 1, 0, 1))
        return griffin_lim(whole, N_FFT, HOP, ITERATIONS)


def log_magnitude(sound: Tensor) -> Tensor:
    """log(|STFT| + 1e-6) of sounds (B, C, length): (B, C, 128, length / 128)."""
    return (magnitude(sound, N_FFT, HOP)[..., :BINS, :-1] + FLOOR).log()


class Discriminator(nn.Module):
    """spectrogram (B, C, 128, frames), label (B,) -> logit (B,): the generator's mirror image."""

    def __init__(self, c: SpecGANConfig, classes: int = 0):
        super().__init__()
        widths = [c.channels, *(c.width << i for i in range(LAYERS))]
        self.convs = nn.ModuleList(nn.Conv2d(a, b, 5, 2, padding=2) for a, b in pairwise(widths))
        self.head = ProjectionHead(widths[-1] * c.start[0] * c.start[1], classes)

    def forward(self, spectrogram: Tensor, label: Tensor | None = None) -> Tensor:
        h = spectrogram
        for conv in self.convs:
            h = leaky_relu(conv(h), SLOPE)
        return self.head(h.flatten(1), label)


class SpectrumSampler(AudioSampler):
    """A trained SpecGAN as a source of sounds."""

    def finish(self, x: Tensor) -> Tensor:
        return super().finish(self.network.sound(x))  # pyright: ignore[reportCallIssue]

    def describe_output(self, shape: tuple[int, ...]) -> dict[str, str]:
        """Output of the network alone, a spectrogram; `finish` inverts it to sound."""
        scale = {name: getattr(self.network, name).flatten().tolist() for name in ("mean", "deviation")}
        sizes = ", ".join(map(str, shape))
        content = (
            f"float32 (batch, {sizes}) in -1..1; exp({DEVIATIONS:g} * deviation * spectrogram + mean) - {FLOOR:g}, by frequency, "
            f"are magnitudes of an STFT (windows of {N_FFT} samples every {HOP}) without its highest frequency; Griffin-Lim, "
            f"which stays outside this file, makes sound of them, {self.rate} samples a second"
        )
        return {"spectrogram": content, **{name: json.dumps(values) for name, values in scale.items()}}


class SpecGANTrainer(AudioSynthesisTrainer[SpecGANConfig]):
    """Trains G and D on spectrograms."""

    name = "specgan"
    sampler = SpectrumSampler

    def generator(self) -> Generator:
        return Generator(self.config, self.conditions)

    def discriminator(self) -> Discriminator:
        return Discriminator(self.config, self.conditions)

    def networks(self) -> dict[str, nn.Module]:
        nets = super().networks()
        levels = Moments(BINS)
        for sounds in together(self.splits.train.items):  # all spectrograms take as much memory as all sounds
            levels.add(log_magnitude(sounds).transpose(2, 3).flatten(0, 2))  # (n C frames, 128)
        nets["G"].mean.copy_(levels.mean[:, None])  # pyright: ignore[reportCallIssue]
        nets["G"].deviation.copy_(levels.covariance.diagonal().sqrt()[:, None].clamp(min=1e-3))  # pyright: ignore[reportCallIssue]
        return nets

    def open_evaluator(self) -> Evaluator[SoundSet]:
        def to_input(sound: Tensor) -> Tensor:
            return self.nets["G"].spectrogram(sound)  # pyright: ignore[reportCallIssue]

        c = self.config
        return open_evaluator(self.splits, c.samples, self.device, c.features, to_input, self.extractor_steps)

    def to_network(self, batch: Batch, step: Step) -> Tensor:
        """Spectrograms (B, C, 128, frames) of real sounds."""
        return self.nets["G"].spectrogram(batch["sound"].to(step.dtype))  # pyright: ignore[reportCallIssue]

    def optimisers(self) -> Optimiser:
        return Adam(Cosine(*self.config.lr), self.config.betas)

    def updates(self) -> list[Update]:
        c = self.config
        r1 = Update("r1", trains=["D"], loss=self.r1, every=c.lazy, lazy=True)
        return [
            Update("discriminator", trains=["D"], loss=self.discriminator_loss, repeat=c.critic_steps),
            *([r1] if c.gamma else []),
            Update("generator",     trains=["G"], loss=self.generator_loss, couples=self.couples),
        ]  # fmt: skip

    def discriminator_loss(self, batch: Batch, step: Step) -> Terms:
        c, mix = self.config, step.rand("mix", 1, 1, 1)
        return objective.discriminator_terms(c.loss, self.D, *self.pairs(batch, step), mix, c.penalty)

    def r1(self, batch: Batch, step: Step) -> Terms:
        """R1 and R2 penalties of D."""
        return objective.r1_r2_terms(self.D, *self.pairs(batch, step), self.config.gamma)

    def generator_loss(self, batch: Batch, step: Step) -> Terms:
        fake, label = self.fakes(batch, step)
        scores = self.D(fake, label)
        rows = self.best_rows(scores, step)  # of both, so that a pair has one class
        return objective.generator_terms(
            self.config.loss, scores[rows], lambda: self.D(self.reals(batch, step), label)[rows]
        )

    def baselines(self) -> dict[str, dict[str, float]]:
        """Adds `griffin_lim`: test recordings through the spectrogram and back, at most as many as
        there are samples."""
        G, test = self.nets["G"], pick(self.splits.test, self.evaluator.samples)
        say(f"measuring what Griffin-Lim loses of {counted(len(test), test.noun)}")
        size = self.evaluator.batch

        def pieces(rows: slice) -> Iterator[Tensor]:
            for first in range(rows.start, rows.stop, size):
                x = test.items[first : min(first + size, rows.stop)].to(self.device)
                yield G.sound(G.spectrogram(x)).cpu().clamp(-1, 1)  # pyright: ignore[reportCallIssue]

        made = Made(len(test), pieces)
        return super().baselines() | {"griffin_lim": self.evaluator.metrics_of(made, test.labels)}

    def collapse_features(self, items: Tensor) -> Tensor:
        """Means of 8 x 8 parts of spectrograms (N, C, 128, frames): (N, 64 C)."""
        return adaptive_avg_pool2d(items, 8).flatten(1)
