"""SpecGAN: sounds by way of spectrograms, as pictures. Donahue et al. 2019, arXiv:1802.04208, section 4.

    python -m multigen.recipes.specgan                          # embedded drum machine, minutes on a laptop
    python -m multigen.recipes.specgan default --data sounds/   # your own recordings, a folder a class or none
    python -m multigen.recipes.specgan paper --data digits/     # the paper's networks and settings

The magnitudes of a short-time Fourier transform, in logarithms, each frequency scaled to the mean and deviation that it has in
the training data and clipped at three deviations, are pictures in -1..1. DCGAN's networks, with filters of 5 x 5, make such
pictures; Griffin-Lim finds a sound for each.
"""

import functools
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d, leaky_relu, pad

from multigen.audio.datasets import SoundSet
from multigen.audio.spectral import griffin_lim, magnitude
from multigen.audio.synthesis.evaluator import open_judge
from multigen.audio.synthesis.game import SMALL_GAME, GameConfig, GameTrainer
from multigen.audio.synthesis.sampler import Sampler
from multigen.data.datasets import Sets
from multigen.engine import Batch, Step
from multigen.errors import ConfigError
from multigen.metrics.distances import Moments
from multigen.tasks.synthesis.base import load_sampler
from multigen.tasks.synthesis.conditioning import ProjectionHead, with_class
from multigen.tasks.synthesis.evaluator import Judge

__all__ = ["PRESETS", "Discriminator", "Generator", "SpecGANConfig", "SpecGANTrainer", "SpectrumSampler", "load_model"]

N_FFT, HOP, BINS = 256, 128, 128  # samples; the bin of half the sampling rate is left out
LAYERS = 5  # each doubles or halves the picture
DEVIATIONS = 3.0
FLOOR = 1e-6  # added to magnitudes before the logarithm
ITERATIONS = 16  # of Griffin-Lim
SLOPE = 0.2  # of the leaky rectifier


@dataclass(frozen=True)
class SpecGANConfig(GameConfig):
    latent: int = 100
    """Dimensions of z ~ N(0, I) (uniform in the paper)."""
    width: int = 64
    """d: channels of the layers next to the spectrogram; they double with each layer."""

    def __post_init__(self):
        super().__post_init__()
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


PRESETS = {
    "tiny": SpecGANConfig(latent=16, width=2, batch=8, steps=20, critic_steps=2, ema=0.9, samples=100),
    "laptop": SpecGANConfig(
        conditional=True,
        latent=64,
        width=8,
        **SMALL_GAME,
        gamma=0.1,
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
        **SMALL_GAME,
        gamma=0.1,
        steps=50_000,
        lr=(3e-4, 3e-5),
    ),
    "paper": SpecGANConfig(rate=16_000, length=16_384, steps=200_000, ema=0.0),
}


class Generator(nn.Module):
    """z (B, latent), label (B,) -> spectrogram (B, 1, 128, frames) in -1..1, low frequencies first.

    It keeps the mean and the deviation (128, 1) of each bin's log magnitude, by which spectrograms are scaled.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, c: SpecGANConfig):
        super().__init__()
        self.classes = c.number_of_classes
        widths = [c.width << i for i in reversed(range(LAYERS))]
        first = (widths[0], *c.start)
        layers: list[nn.Module] = [
            nn.Linear(c.latent + self.classes, widths[0] * c.start[0] * c.start[1]),
            nn.Unflatten(1, first),
        ]
        for before, after in pairwise([*widths, 1]):
            layers += [nn.ReLU(), nn.ConvTranspose2d(before, after, 5, 2, padding=2, output_padding=1)]
        self.layers = nn.Sequential(*layers, nn.Tanh())
        self.register_buffer("mean", torch.zeros(BINS, 1))
        self.register_buffer("deviation", torch.ones(BINS, 1))

    def forward(self, z: Tensor, label: Tensor | None = None) -> Tensor:
        return self.layers(with_class(z, label, self.classes))

    def spectrogram(self, sound: Tensor) -> Tensor:
        """Sounds (B, 1, length) as this network makes them: (B, 1, 128, length / 128)."""
        level = log_magnitude(sound)
        # Sounds may lie on the CPU, this network elsewhere.
        mean, deviation = self.mean.to(level), self.deviation.to(level)
        return ((level - mean) / (DEVIATIONS * deviation)).clamp(-1, 1)

    def sound(self, spectrogram: Tensor) -> Tensor:
        """The way back, by Griffin-Lim: (B, 1, 128, frames) -> (B, 1, 128 frames)."""
        level = (spectrogram.float() * (DEVIATIONS * self.deviation) + self.mean).exp() - FLOOR
        # (B, 1, 129, frames + 1): with the highest bin, and a silent last frame
        whole = pad(level.clamp(min=0), (0, 1, 0, 1))
        return griffin_lim(whole, N_FFT, HOP, ITERATIONS)


def log_magnitude(sound: Tensor) -> Tensor:
    """log(|STFT| + 1e-6) of sounds (B, 1, length): (B, 1, 128, length / 128)."""
    return (magnitude(sound, N_FFT, HOP)[..., :BINS, :-1] + FLOOR).log()


class Discriminator(nn.Module):
    """spectrogram (B, 1, 128, frames), label (B,) -> logit (B,): the generator's mirror image."""

    def __init__(self, c: SpecGANConfig):
        super().__init__()
        widths = [1, *(c.width << i for i in range(LAYERS))]
        self.convs = nn.ModuleList(nn.Conv2d(a, b, 5, 2, padding=2) for a, b in pairwise(widths))
        self.head = ProjectionHead(widths[-1] * c.start[0] * c.start[1], c.number_of_classes)

    def forward(self, spectrogram: Tensor, label: Tensor | None = None) -> Tensor:
        h = spectrogram
        for conv in self.convs:
            h = leaky_relu(conv(h), SLOPE)
        return self.head(h.flatten(1), label)


class SpectrumSampler(Sampler):
    """A trained SpecGAN as a source of sounds."""

    def finish(self, x: Tensor) -> Tensor:
        return super().finish(self.network.sound(x))  # pyright: ignore[reportCallIssue]


class SpecGANTrainer(GameTrainer[SpecGANConfig]):
    """Trains G and D on spectrograms."""

    name = "specgan"
    sampler = SpectrumSampler

    def networks(self) -> dict[str, nn.Module]:
        G = Generator(self.config)
        levels = Moments(BINS)
        for sounds in self.judge.sets.train.items.split(500):  # all spectrograms are as large as all sounds
            levels.add(log_magnitude(sounds)[:, 0].transpose(1, 2).flatten(0, 1))  # (n frames, 128)
        G.mean.copy_(levels.mean[:, None])
        G.deviation.copy_(levels.covariance.diagonal().sqrt()[:, None].clamp(min=1e-3))
        return {"G": G, "D": Discriminator(self.config)}

    def open_judge(self, sets: Sets[SoundSet]) -> Judge[SoundSet]:
        def to_input(sound: Tensor) -> Tensor:
            return self.nets["G"].spectrogram(sound)  # pyright: ignore[reportCallIssue]

        c = self.config
        return open_judge(sets, c.samples, self.device, c.features, to_input, self.classifier_steps)

    def reals(self, batch: Batch, step: Step) -> Tensor:
        """Spectrograms (B, 1, 128, frames) of real sounds."""
        return self.nets["G"].spectrogram(batch["sound"].to(step.dtype))  # pyright: ignore[reportCallIssue]

    def floors(self) -> dict[str, dict[str, float]]:
        """With what Griffin-Lim loses of real recordings alone."""
        G, test = self.nets["G"], self.judge.sets.test
        sound = torch.cat([G.sound(G.spectrogram(x.to(self.device))).cpu() for x in test.items.split(100)])  # pyright: ignore[reportCallIssue]
        return super().floors() | {"griffin_lim": self.judge.figures(sound.clamp(-1, 1), test.labels)}

    def coarse(self, items: Tensor) -> Tensor:
        """Means of 8 x 8 parts of spectrograms (N, 1, 128, frames): (N, 64)."""
        return adaptive_avg_pool2d(items, 8).flatten(1)


load_model = functools.partial(load_sampler, SpectrumSampler, SpecGANConfig(), Generator)
"""(configuration, weights, where) of a model folder -> the trained generator as a `Sampler`."""
