"""WaveGAN: sounds from noise, sample by sample. Donahue et al. 2019, arXiv:1802.04208.

    python -m multigen.recipes.wavegan                          # embedded drum machine, minutes on a laptop
    python -m multigen.recipes.wavegan default --data sounds/   # your own recordings, a folder a class or none
    python -m multigen.recipes.wavegan paper --data digits/     # the paper's networks and settings

DCGAN in one dimension: filters of 25 taps and stride 4, and phase shuffle in the critic, lest it tell samples by the pitch that
transposed convolutions leave. The paper trains it as WGAN-GP with five critic steps. On a small budget the same networks learn
faster by pairing each sample with a real sound, with gradients penalised now and then, and with a critic that hears a
spectrogram in place of the one that hears the waveform.
"""

import functools
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import leaky_relu

from multigen.audio.spectral import stft
from multigen.audio.synthesis.base import load_sampler
from multigen.audio.synthesis.game import SMALL_GAME, GameConfig, GameTrainer
from multigen.errors import ConfigError
from multigen.tasks.synthesis.conditioning import ProjectionHead, with_class

__all__ = [
    "PRESETS",
    "Discriminator",
    "Generator",
    "SpectrogramCritic",
    "WaveGANConfig",
    "WaveGANTrainer",
    "WaveformCritic",
    "load_model",
    "phase_shuffle",
]

TAPS, STRIDE = 25, 4
SLOPE = 0.2  # of the leaky rectifier
FLOOR = 1e-6  # of power in a spectrogram


@dataclass(frozen=True)
class WaveGANConfig(GameConfig):
    latent: int = 100
    """Dimensions of z ~ N(0, I) (uniform in the paper)."""
    width: int = 64
    """d: channels of the layers next to the waveform; they double with each layer."""
    positions: int = 16
    """Steps of time before G's first layer, a power of two; a length that strides of 4 do not reach has twice as many. The more,
    the fewer layers: of few positions each makes a pulse of its own."""
    upsample: Literal["transposed", "nearest"] = "transposed"
    """How G stretches time: by transposed convolutions, or by repeating samples and convolving (appendix A)."""
    post_filter: int = 0
    """Taps of a last learned filter of G (512 in the paper's variant); 0: none."""
    waveform: bool = True
    """Whether a critic hears the waveform."""
    shuffle: int = 2
    """n of phase shuffle in that critic; 0: none."""
    spectra: tuple[int, ...] = ()
    """Window lengths, samples, of critics that hear log spectrograms; none in the paper."""
    spectral_width: int = 16
    """Channels of the first layer of such a critic."""
    shift_frames: bool = True
    """Whether its windows lie elsewhere over each sound at each look; else G learns where they lie, and pulses with them."""

    ranges = GameConfig.ranges | {"shuffle": 0, "post_filter": 0, "spectral_width": 1, "spectra": 16, "positions": 1}

    def __post_init__(self):
        super().__post_init__()
        if self.length & (self.length - 1) or self.length < 1024:
            raise ConfigError(f"length {self.length}: expected a power of two of at least 1024, such as 16384")
        if self.positions & (self.positions - 1) or self.positions > self.length // STRIDE:
            raise ConfigError(
                f"positions {self.positions}: expected a power of two of at most a quarter of the length {self.length}; "
                "the paper's is 16"
            )
        if not self.waveform and not self.spectra:
            raise ConfigError("waveform False and no spectra: D would hear nothing; expected at least one critic")
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
        **SMALL_GAME,
        gamma=0.01,
        batch=16,
        hold=0,  # the rate falls to a tenth, and the last is better than what few recordings choose
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
        **SMALL_GAME,
        gamma=0.01,
        steps=50_000,
        lr=(3e-4, 3e-5),
    ),
    "paper": WaveGANConfig(rate=16_000, length=16_384, steps=200_000, ema=0.0),
}


class Generator(nn.Module):
    """z (B, latent), label (B,) -> sound (B, 1, length) in -1..1."""

    def __init__(self, c: WaveGANConfig):
        super().__init__()
        self.classes = c.number_of_classes
        widths = [c.width << i for i in reversed(range(c.layers))]
        layers: list[nn.Module] = [
            nn.Linear(c.latent + self.classes, widths[0] * c.start),
            nn.Unflatten(1, (widths[0], c.start)),
        ]
        for before, after in pairwise([*widths, 1]):
            layers += [nn.ReLU(), _longer(before, after, c.upsample)]
        layers.append(nn.Tanh())
        if c.post_filter:
            before = (c.post_filter - 1) // 2  # padding="same" does this too, and warns of an even number of taps
            layers.append(nn.ConstantPad1d((before, c.post_filter - 1 - before), 0.0))
            layers.append(nn.Conv1d(1, 1, c.post_filter, bias=False))
        self.layers = nn.Sequential(*layers)

    def forward(self, z: Tensor, label: Tensor | None = None) -> Tensor:
        return self.layers(with_class(z, label, self.classes))


def _longer(before: int, after: int, how: str) -> nn.Module:
    """(B, before, T) -> (B, after, 4 T)."""
    if how == "transposed":
        return nn.ConvTranspose1d(before, after, TAPS, STRIDE, padding=11, output_padding=1)
    return nn.Sequential(nn.Upsample(scale_factor=STRIDE), nn.Conv1d(before, after, TAPS, padding=12))


def phase_shuffle(x: Tensor, n: int) -> Tensor:
    """Each sample (B, C, T) moved by its own -n..n steps of time, its borders reflected (section 3.3)."""
    if not n:
        return x
    last = x.shape[2] - 1
    by = torch.randint(-n, n + 1, (len(x), 1, 1), device=x.device)
    at = (torch.arange(last + 1, device=x.device) - by).abs()  # (B, 1, T)
    return x.gather(2, (last - (last - at).abs()).expand_as(x))


class WaveformCritic(nn.Module):
    """sound (B, 1, length), label (B,) -> logit (B,): the generator's mirror image; phases are shuffled in training only."""

    def __init__(self, c: WaveGANConfig):
        super().__init__()
        self.shuffle = c.shuffle
        widths = [1, *(c.width << i for i in range(c.layers))]
        self.convs = nn.ModuleList(nn.Conv1d(a, b, TAPS, STRIDE, padding=11) for a, b in pairwise(widths))
        self.head = ProjectionHead(widths[-1] * c.start, c.number_of_classes)

    def forward(self, sound: Tensor, label: Tensor | None = None) -> Tensor:
        h = leaky_relu(self.convs[0](sound), SLOPE)
        for conv in self.convs[1:]:
            h = leaky_relu(conv(phase_shuffle(h, self.shuffle if self.training else 0)), SLOPE)
        return self.head(h.flatten(1), label)


class SpectrogramCritic(nn.Module):
    """sound (B, 1, length), label (B,) -> logit (B,), by three convolutions over its log spectrogram.

    In training each sound is moved by up to half a hop, so that no place in it is always the middle of a window.
    """

    def __init__(self, c: WaveGANConfig, n_fft: int):
        super().__init__()
        self.n_fft = n_fft
        self.shift = n_fft // 4 if c.shift_frames else 0  # samples
        widths = [1, *(c.spectral_width << i for i in range(3))]
        self.convs = nn.Sequential()
        for a, b in pairwise(widths):
            self.convs.extend([nn.Conv2d(a, b, 4, 2, 1), nn.LeakyReLU(SLOPE)])
        positions = (n_fft // 2 // 8) * (c.length // (n_fft // 2) // 8)
        self.head = ProjectionHead(widths[-1] * positions, c.number_of_classes)

    def forward(self, sound: Tensor, label: Tensor | None = None) -> Tensor:
        sound = phase_shuffle(sound, self.shift if self.training else 0)
        spectrum = stft(sound, self.n_fft, self.n_fft // 2)[..., :-1, :-1]  # (B, 1, n_fft / 2, 2 length / n_fft)
        # A sine of amplitude 1 has a power of n_fft / 8 here. The floor bounds the gradient; what lies below it D does not hear,
        # and G leaves noise there: with one of 1e-4 tones ended in a hiss, and half of the drums were none.
        power = torch.view_as_real(spectrum).square().sum(-1) * (2 / self.n_fft)
        level = (torch.log(power + FLOOR) + 6) / 5
        return self.head(self.convs(level).flatten(1), label)


class Discriminator(nn.Module):
    """sound (B, 1, length), label (B,) -> logits (B, critics): one for the waveform, one for each spectrogram."""

    def __init__(self, c: WaveGANConfig):
        super().__init__()
        critics: list[nn.Module] = [WaveformCritic(c)] if c.waveform else []
        self.critics = nn.ModuleList([*critics, *(SpectrogramCritic(c, n_fft) for n_fft in c.spectra)])

    def forward(self, sound: Tensor, label: Tensor | None = None) -> Tensor:
        return torch.stack([critic(sound, label) for critic in self.critics], 1)


class WaveGANTrainer(GameTrainer[WaveGANConfig]):
    """Trains G and D on waveforms."""

    name = "wavegan"

    def networks(self) -> dict[str, nn.Module]:
        return {"G": Generator(self.config), "D": Discriminator(self.config)}


load_model = functools.partial(load_sampler, WaveGANConfig(), Generator)
"""(configuration, weights, where) of a model folder -> the trained generator as a `Sampler`."""
