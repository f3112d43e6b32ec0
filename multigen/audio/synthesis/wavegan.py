"""WaveGAN: sounds from noise, sample by sample. Donahue et al. 2019, arXiv:1802.04208.

    python -m multigen.recipes.wavegan                          # embedded drum machine (minutes)
    python -m multigen.recipes.wavegan default --data sounds/   # your own recordings
    python -m multigen.recipes.wavegan paper --data digits/     # the settings of the paper

DCGAN in one dimension: filters of 25 taps and stride 4, and phase shuffle in the critic, so that it
cannot recognise samples by the pitch artefacts of transposed convolutions. The paper trains it as
WGAN-GP with five critic steps. On a small budget the same networks learn faster with a relativistic
pairing loss, lazy gradient penalties, and spectrogram critics in place of that of waveforms.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import leaky_relu

from multigen.audio.spectral import stft
from multigen.audio.synthesis.augment import parse_policy
from multigen.audio.synthesis.base import AudioSynthesisConfig, AudioSynthesisTrainer
from multigen.engine import Adam, Batch, Step, Terms, Update
from multigen.engine.optimisers import Optimiser
from multigen.engine.schedules import Cosine
from multigen.errors import ConfigError
from multigen.losses import objective
from multigen.tasks.synthesis.conditioning import ProjectionHead, with_class

__all__ = [
    "PRESETS",
    "Discriminator",
    "Generator",
    "SpectrogramCritic",
    "WaveGANConfig",
    "WaveGANTrainer",
    "WaveformCritic",
    "phase_shuffle",
]

TAPS, STRIDE = 25, 4
SLOPE = 0.2  # of the leaky rectifier
FLOOR = 1e-6  # of power in a spectrogram


@dataclass(frozen=True)
class WaveGANConfig(AudioSynthesisConfig):
    latent: int = 100
    """Dimensions of z ~ N(0, I) (uniform in the paper)."""
    width: int = 64
    """d: channels of the layers next to the waveform; they double with each layer."""
    positions: int = 16
    """Steps of time before G's first layer, a power of two; a length that strides of 4 do not reach
    has twice as many. The more, the fewer layers: of few positions each makes a pulse of its
    own."""
    upsample: Literal["transposed", "nearest"] = "transposed"
    """How G stretches time: by transposed convolutions, or by repeating samples and convolving
    (appendix A)."""
    post_filter: int = 0
    """Taps of a last learned filter of G (512 in the paper's variant); 0: none."""
    waveform: bool = True
    """Whether D has a critic of the waveform."""
    shuffle: int = 2
    """n of phase shuffle in the critic of the waveform; 0: none."""
    spectra: tuple[int, ...] = ()
    """Window lengths, samples, of spectrogram discriminators (multi-resolution STFT
    discriminators); none in the paper."""
    spectral_width: int = 16
    """Channels of the first layer of a critic of spectrograms."""
    shift_frames: bool = True
    """Whether the windows of spectrograms are placed elsewhere at each pass; else G learns their
    places, and its tones pulse."""
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

    ranges = AudioSynthesisConfig.ranges | {
        **{"shuffle": 0, "post_filter": 0, "spectral_width": 1, "spectra": 16, "positions": 1, "lazy": 1},
    }

    def __post_init__(self):
        super().__post_init__()
        if self.loss == "wasserstein" and self.gamma:
            raise ConfigError(
                f"gamma {self.gamma} with loss wasserstein, which has a penalty of its own; expected gamma 0, or another loss: "
                "--loss relativistic_pairing"
            )
        if self.length & (self.length - 1) or self.length < 1024:
            raise ConfigError(f"length {self.length}: expected a power of two of at least 1024, such as 16384")
        if self.positions & (self.positions - 1) or self.positions > self.length // STRIDE:
            raise ConfigError(
                f"positions {self.positions}: expected a power of two of at most a quarter of the length {self.length}; "
                "the paper's is 16"
            )
        if not self.waveform and not self.spectra:
            raise ConfigError(
                "waveform False and no spectra: D would have no critic; give --waveform, or window lengths to --spectra"
            )
        if any(n_fft > self.length // 4 or n_fft % 16 for n_fft in self.spectra):
            raise ConfigError(
                f"spectra {self.spectra}: expected multiples of 16, at most a quarter of the length {self.length}"
            )
        if self.shuffle >= STRIDE * self.start:
            raise ConfigError(
                f"shuffle {self.shuffle}: expected at most {STRIDE * self.start - 1}, for it moves layers {STRIDE * self.start} "
                "steps long; the paper's is 2"
            )

    @property
    def layers(self) -> int:
        """Layers of G and of the waveform's critic."""
        return ((self.length // self.positions).bit_length() - 1) // 2

    @property
    def start(self) -> int:
        """Steps of time before G's first layer: `positions` or twice as many."""
        return self.length // STRIDE**self.layers


LOW_BUDGET: dict[str, Any] = {"loss": "relativistic_pairing", "critic_steps": 1, "betas": (0.0, 0.99), "gamma": 0.01}
"""A loss that learns faster than the paper's on a small budget."""

PRESETS = {
    "tiny": WaveGANConfig(
        length=1024, latent=16, width=4, batch=16, steps=20, critic_steps=2, ema=0.9, samples=100, spectra=(64,)
    ),
    "laptop": WaveGANConfig(
        conditional=True,
        latent=64,
        width=16,
        positions=64,
        waveform=False,
        spectra=(256,),
        **LOW_BUDGET,
        batch=16,
        validation_size=0,  # the rate falls to a tenth, and the last is better than what few recordings choose
        steps=6_000,
        lr=(1e-3, 1e-4),
        ema=0.995,
        samples=1_000,
    ),
    "default": WaveGANConfig(
        rate=16_000,
        length=16_384,
        width=32,
        waveform=False,
        spectra=(512,),
        **LOW_BUDGET,
        steps=50_000,
        lr=(3e-4, 3e-5),
    ),
    "paper": WaveGANConfig(rate=16_000, length=16_384, steps=200_000, ema=0.0),
}


class Generator(nn.Module):
    """z (B, latent), label (B,) -> sound (B, C, length) in -1..1."""

    def __init__(self, c: WaveGANConfig, classes: int = 0):
        super().__init__()
        self.classes = classes
        widths = [c.width << i for i in reversed(range(c.layers))]
        layers: list[nn.Module] = [
            nn.Linear(c.latent + self.classes, widths[0] * c.start),
            nn.Unflatten(1, (widths[0], c.start)),
        ]
        for before, after in pairwise([*widths, c.channels]):
            layers += [nn.ReLU(), _longer(before, after, c.upsample)]
        layers.append(nn.Tanh())
        if c.post_filter:
            before = (c.post_filter - 1) // 2  # padding="same" does the same, but warns about an even number of taps
            layers.append(nn.ConstantPad1d((before, c.post_filter - 1 - before), 0.0))
            layers.append(nn.Conv1d(c.channels, c.channels, c.post_filter, groups=c.channels, bias=False))
        self.layers = nn.Sequential(*layers)

    def forward(self, z: Tensor, label: Tensor | None = None) -> Tensor:
        return self.layers(with_class(z, label, self.classes))


def _longer(before: int, after: int, how: str) -> nn.Module:
    """(B, before, T) -> (B, after, 4 T)."""
    if how == "transposed":
        return nn.ConvTranspose1d(before, after, TAPS, STRIDE, padding=11, output_padding=1)
    return nn.Sequential(nn.Upsample(scale_factor=STRIDE), nn.Conv1d(before, after, TAPS, padding=12))


def phase_shuffle(x: Tensor, n: int) -> Tensor:
    """Each sample (B, C, T) moved by its own -n..n steps of time, its borders reflected (section
    3.3)."""
    if not n:
        return x
    last = x.shape[2] - 1
    by = torch.randint(-n, n + 1, (len(x), 1, 1), device=x.device)
    at = (torch.arange(last + 1, device=x.device) - by).abs()  # (B, 1, T)
    return x.gather(2, (last - (last - at).abs()).expand_as(x))


class WaveformCritic(nn.Module):
    """sound (B, C, length), label (B,) -> logit (B,): the generator's mirror image; phases are
    shuffled in training only."""

    def __init__(self, c: WaveGANConfig, classes: int = 0):
        super().__init__()
        self.shuffle = c.shuffle
        widths = [c.channels, *(c.width << i for i in range(c.layers))]
        self.convs = nn.ModuleList(nn.Conv1d(a, b, TAPS, STRIDE, padding=11) for a, b in pairwise(widths))
        self.head = ProjectionHead(widths[-1] * c.start, classes)

    def forward(self, sound: Tensor, label: Tensor | None = None) -> Tensor:
        h = leaky_relu(self.convs[0](sound), SLOPE)
        for conv in self.convs[1:]:
            h = leaky_relu(conv(phase_shuffle(h, self.shuffle if self.training else 0)), SLOPE)
        return self.head(h.flatten(1), label)


class SpectrogramCritic(nn.Module):
    """sound (B, C, length), label (B,) -> logit (B,), by three convolutions over its log
    spectrogram.

    In training each sound is moved by up to half a hop, so that no place in it is always the middle
    of a window.
    """

    def __init__(self, c: WaveGANConfig, n_fft: int, classes: int = 0):
        super().__init__()
        self.n_fft = n_fft
        self.shift = n_fft // 4 if c.shift_frames else 0  # samples
        widths = [c.channels, *(c.spectral_width << i for i in range(3))]
        self.convs = nn.Sequential()
        for a, b in pairwise(widths):
            self.convs.extend([nn.Conv2d(a, b, 4, 2, 1), nn.LeakyReLU(SLOPE)])
        positions = (n_fft // 2 // 8) * (c.length // (n_fft // 2) // 8)
        self.head = ProjectionHead(widths[-1] * positions, classes)

    def forward(self, sound: Tensor, label: Tensor | None = None) -> Tensor:
        sound = phase_shuffle(sound, self.shift if self.training else 0)
        spectrum = stft(sound, self.n_fft, self.n_fft // 2)[..., :-1, :-1]  # (B, C, n_fft / 2, 2 length / n_fft)
        # A sine of amplitude 1 has a power of n_fft / 8 here. The floor bounds the gradient, but energy below it gives
        # D no signal, and G leaves noise there: at 1e-4 tones ended in a hiss, and half of the drums were unrecognisable.
        power = torch.view_as_real(spectrum).square().sum(-1) * (2 / self.n_fft)
        level = (torch.log(power + FLOOR) + 6) / 5
        return self.head(self.convs(level).flatten(1), label)


class Discriminator(nn.Module):
    """sound (B, C, length), label (B,) -> logits (B, critics): one for the waveform, one for each
    spectrogram."""

    def __init__(self, c: WaveGANConfig, classes: int = 0):
        super().__init__()
        critics: list[nn.Module] = [WaveformCritic(c, classes)] if c.waveform else []
        self.critics = nn.ModuleList([*critics, *(SpectrogramCritic(c, n_fft, classes) for n_fft in c.spectra)])

    def forward(self, sound: Tensor, label: Tensor | None = None) -> Tensor:
        return torch.stack([critic(sound, label) for critic in self.critics], 1)


class WaveGANTrainer(AudioSynthesisTrainer[WaveGANConfig]):
    """Trains G and D on waveforms."""

    name = "wavegan"

    def generator(self) -> Generator:
        return Generator(self.config, self.conditions)

    def discriminator(self) -> Discriminator:
        return Discriminator(self.config, self.conditions)

    def optimisers(self) -> Optimiser:
        return Adam(Cosine(*self.config.lr), self.config.betas)

    def updates(self) -> list[Update]:
        c, couples = self.config, "mix" in parse_policy(self.config.augment)
        r1 = Update("r1", trains=["D"], loss=self.r1, every=c.lazy, lazy=True, couples=couples)
        return [
            Update("discriminator", trains=["D"], loss=self.discriminator_loss, repeat=c.critic_steps, couples=couples),
            *([r1] if c.gamma else []),
            Update("generator",     trains=["G"], loss=self.generator_loss, couples=couples or self.couples),
        ]  # fmt: skip

    def discriminator_loss(self, batch: Batch, step: Step) -> Terms:
        c, mix = self.config, step.rand("mix", 1, 1)
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
