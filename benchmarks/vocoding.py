"""How fast mels become sound, beside Griffin-Lim and HiFi-GAN's networks, and what a training step
costs.

    python -m benchmarks.vocoding

All run in one process in turn, round after round; ratios are medians of the rounds. Times are those
of the processor, on one thread.

- vocoder: the network of the preset `default` by `Vocoder.vocode`, 80 mels at 16 kHz, hop 200.
- griffin_lim: the same mels, the pseudo-inverse and 32 iterations.
- hifigan_v1, hifigan_v3: the generators of Kong et al. 2020, arXiv:2010.05646, table 5, written
  afresh with random weights, 80 mels at 22.05 kHz, hop 256, as they are in PyTorch.

A training step is one of the adversarial stage: D's update and G's.

- plain loop: the same networks, losses and AdamW written straight down: a tensor of segments, no
  keyed draws, no check of gradients.
- ours: `VocoderTrainer`.
- without D: a step of the first stage, whose difference from ours is D's share.

Wanted: the vocoder at least 100 times as fast as its sound lasts; ours at most 1.03 times the plain
loop.
"""

import copy
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch
import tyro
from torch import Tensor, nn
from torch.nn.functional import leaky_relu

from benchmarks.audio_training import rounds_of
from multigen.audio import spectral
from multigen.audio.files import write_sound
from multigen.audio.mels import MelSpec
from multigen.audio.networks import inverse_stft
from multigen.audio.restoration import losses
from multigen.audio.restoration.vocoder import PRESETS, VocoderConfig, VocoderTrainer
from multigen.audio.spectral import griffin_lim
from multigen.engine import Run
from multigen.engine.device import choose_device
from multigen.runs.record import machine

__all__ = ["V1", "V3", "HiFiGAN", "HiFiGANSettings", "PlainLoop", "main", "makers", "prepared", "speeds"]

SLOPE = 0.1
PUBLISHED = MelSpec(rate=22_050, hop=256, n_fft=1024, bands=80, high=8_000)


# ---------------------------------------------------------------------------------------------------- HiFi-GAN


@dataclass(frozen=True)
class HiFiGANSettings:
    """A row of table 5."""

    width: int
    up: tuple[tuple[int, int], ...]
    """(factor, kernel) of each transposed convolution."""
    kernels: tuple[int, ...]
    dilations: tuple[tuple[int, ...], ...]
    """Of the convolutions of a residual block, one block for each kernel."""
    pairs: bool
    """Whether each dilated convolution is followed by one that is not."""


V1 = HiFiGANSettings(512, ((8, 16), (8, 16), (2, 4), (2, 4)), (3, 7, 11), ((1, 3, 5),) * 3, True)
V3 = HiFiGANSettings(256, ((8, 16), (8, 16), (4, 8)), (3, 5, 7), ((1, 2), (2, 6), (3, 12)), False)


class Residual(nn.Module):
    """(B, C, T) -> the same."""

    def __init__(self, width: int, kernel: int, dilations: tuple[int, ...], pairs: bool):
        super().__init__()

        def same(dilation: int) -> nn.Conv1d:
            return nn.Conv1d(width, width, kernel, dilation=dilation, padding=dilation * (kernel - 1) // 2)

        self.wide = nn.ModuleList(map(same, dilations))
        self.near = nn.ModuleList(same(1) for _ in dilations if pairs)

    def forward(self, x: Tensor) -> Tensor:
        for i, wide in enumerate(self.wide):
            h = wide(leaky_relu(x, SLOPE))
            x = x + (self.near[i](leaky_relu(h, SLOPE)) if len(self.near) else h)
        return x


class HiFiGAN(nn.Module):
    """log-mels (B, 80, N) -> sound (B, 1, N * hop), without the weight norm of training."""

    def __init__(self, s: HiFiGANSettings, bands: int = 80):
        super().__init__()
        self.first = nn.Conv1d(bands, s.width, 7, padding=3)
        self.up, self.blocks, width = nn.ModuleList(), nn.ModuleList(), s.width
        for factor, kernel in s.up:
            self.up.append(nn.ConvTranspose1d(width, width // 2, kernel, factor, (kernel - factor) // 2))
            width //= 2
            self.blocks.append(
                nn.ModuleList(Residual(width, k, d, s.pairs) for k, d in zip(s.kernels, s.dilations, strict=True))
            )
        self.last = nn.Conv1d(width, 1, 7, padding=3)

    def forward(self, mels: Tensor) -> Tensor:
        x = self.first(mels)
        for up, blocks in zip(self.up, self.blocks, strict=True):
            x = up(leaky_relu(x, SLOPE))
            assert isinstance(blocks, nn.ModuleList)
            x = torch.stack([block(x) for block in blocks]).mean(0)
        return self.last(leaky_relu(x)).tanh()


# ---------------------------------------------------------------------------------------------------- sound


def makers(seconds: float, config: VocoderConfig = PRESETS["default"]) -> dict[str, Callable[[], Tensor]]:
    """Name -> a function that makes about so many seconds of sound."""
    torch.manual_seed(0)
    spec = config.spec
    vocoder = VocoderTrainer(config)
    ours = vocoder.restorer_of(vocoder.generator().eval())
    sound = 0.1 * torch.randn(round(seconds * spec.rate))
    mels, theirs = spec(sound), PUBLISHED(0.1 * torch.randn(round(seconds * PUBLISHED.rate)))[None]
    networks = {"hifigan_v1": HiFiGAN(V1).eval(), "hifigan_v3": HiFiGAN(V3).eval()}
    return {
        "vocoder": lambda: ours.vocode(mels),
        "griffin_lim": lambda: griffin_lim(spec.to_magnitudes(mels), spec.n_fft, spec.hop, 32),
        **{name: _applied(network, theirs) for name, network in networks.items()},
    }


def _applied(network: nn.Module, mels: Tensor) -> Callable[[], Tensor]:
    @torch.no_grad()
    def make() -> Tensor:
        return network(mels)

    return make


def speeds(seconds: float, rounds: int, made: Mapping[str, Callable[[], Tensor]]) -> dict[str, list[float]]:
    """Seconds of sound for each second of the processor, by round."""
    loops = {name: (lambda _, make=make: make(), 1) for name, make in made.items()}
    found = rounds_of(loops, rounds, torch.device("cpu"), time.process_time)
    return {name: [seconds / each[name] for each in found] for name in made}


# ---------------------------------------------------------------------------------------------------- training


class PlainLoop:
    """The adversarial stage as one would write it for this method alone, from the trainer's weights
    on."""

    def __init__(self, trainer: VocoderTrainer):
        c = self.config = trainer.config
        self.G, self.D = (copy.deepcopy(trainer.nets[name]) for name in "GD")
        self.sound = trainer.data.recordings[0].part(0, 1 << 30)[0]
        self.adam_g, self.adam_d = (
            torch.optim.AdamW(network.parameters(), c.lr, c.betas, fused=True) for network in (self.G, self.D)
        )

    def segments(self) -> Tensor:
        """(B, segment), less loud by up to `gain` dB."""
        c = self.config
        starts = torch.randint(len(self.sound) - c.segment, (c.batch,)).tolist()
        gains = 10 ** (-c.gain / 20 * torch.rand(c.batch, 1))
        return torch.stack([self.sound[at : at + c.segment] for at in starts]) * gains

    def made(self, real: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """G's sounds (B, segment), magnitudes and phases (B, F, N)."""
        spec = self.config.spec
        magnitude, cosine, sine = self.G.parts(spec(real))  # pyright: ignore[reportCallIssue]
        fake = inverse_stft(magnitude * cosine, magnitude * sine, spec.n_fft, spec.hop, spec.window)
        return fake[:, : real.shape[1]], magnitude, torch.complex(cosine, sine)

    def step(self, index: int) -> float:
        """An update of D and one of G; its loss."""
        c, spec, real = self.config, self.config.spec, self.segments()
        with torch.no_grad():
            fake = self.made(real)[0]
        loss = self.mean([(1 - a[-1]).relu().mean() + (1 + b[-1]).relu().mean() for a, b in self.both(real, fake)])
        self.adam_d.zero_grad()
        loss.backward()
        self.adam_d.step()
        real = self.segments()
        fake, magnitude, phase = self.made(real)
        spectrum = spectral.stft(real, spec.n_fft, spec.hop)
        level = spectrum.abs().clamp(min=spec.clip)
        loss = losses.mel_error(fake, real, c.rate) * c.mel_weight
        loss = loss + losses.magnitude_error(magnitude.clamp(min=spec.clip).log(), level.log()) * c.magnitude_weight
        angles = losses.phase_errors(
            phase, losses.phasor(spectrum.real, spectrum.imag), losses.phase_weights(level)
        ).values()
        loss = loss + sum(angles) * c.phase_weight
        self.D.requires_grad_(False)
        made = self.D(fake)
        with torch.no_grad():
            seen = self.D(real)
        loss = loss - self.mean([each[-1].mean() for each in made])
        layers = [
            torch.stack([(x - y).abs().mean() for x, y in zip(a[1:-1], b[1:-1], strict=True)]).mean()
            for a, b in zip(made, seen, strict=True)
        ]
        loss = loss + self.mean(layers) * c.matching_weight
        self.adam_g.zero_grad()
        loss.backward()
        self.adam_g.step()
        self.D.requires_grad_(True)
        return loss.item()

    def both(self, real: Tensor, fake: Tensor) -> "zip[tuple[list[Tensor], list[Tensor]]]":
        return zip(self.D(real), self.D(fake), strict=True)

    def mean(self, values: list[Tensor]) -> Tensor:
        """Discriminators of periods, and by their weight those of spectra."""
        spectra = len(values) - len(self.D.periods)  # pyright: ignore[reportArgumentType]
        periods, rest = torch.stack(values[:-spectra]).mean(), torch.stack(values[-spectra:]).mean()
        return periods + rest * self.config.spectrum_weight


def prepared(folder: Path, config: VocoderConfig, stage: str) -> VocoderTrainer:
    """Our trainer, before the first step of a stage alone."""
    for i in range(2):
        sound = 0.1 * torch.randn(20 * config.rate, generator=torch.Generator().manual_seed(i))
        write_sound(folder / f"{i}.wav", sound, config.rate)
    other = {"pretrain": "steps", "adversarial": "pretrain_steps"}[stage]
    settings = {other: 0, "validation_size": 0, "test_size": 1, "data": str(folder)}
    trainer = VocoderTrainer(replace(config, **settings), Run(device="cpu", precision="fp32"))
    trainer.prepare()
    trainer.enter(trainer.stage)
    return trainer


def training(config: VocoderConfig, rounds: int) -> dict[str, list[float]]:
    """Processor seconds of a step, by round."""
    with tempfile.TemporaryDirectory() as folder:
        full, alone = (prepared(Path(folder), config, stage) for stage in ("adversarial", "pretrain"))
        loops = {
            "plain loop": (PlainLoop(full).step, 1),
            "ours": (full.advance, 1),
            "without D": (alone.advance, 1),
        }
        found = rounds_of(loops, rounds, torch.device("cpu"), time.process_time)
    return {name: [each[name] for each in found] for name in loops}


def main(seconds: float = 2.0, rounds: int = 5, training_rounds: int = 10) -> None:
    """Times vocoders, and a training step.

    Args:
        seconds: of sound that is made in a round.
        rounds: of all vocoders in turn.
        training_rounds: of the training steps in turn.
    """
    choose_device("cpu")  # as loading a model does: freed memory is kept
    torch.set_num_threads(1)
    print(f"{seconds:g} s of sound; {machine()}; {rounds} rounds")
    print(f"{'seconds of sound a second':28}{'median':>9}{'min':>9}{'max':>9}{'vocoder is':>12}")
    found = speeds(seconds, rounds, makers(seconds))
    for name, values in found.items():
        ratio = statistics.median(a / b for a, b in zip(found["vocoder"], values, strict=True))
        print(f"{name:28}{statistics.median(values):9.2f}{min(values):9.2f}{max(values):9.2f}{ratio:12.2f}", flush=True)
    steps = training(PRESETS["default"], training_rounds)
    print(f"{'seconds of a training step':28}{'median':>9}{'min':>9}{'max':>9}{'to plain':>12}")
    for name, values in steps.items():
        ratio = statistics.median(a / b for a, b in zip(values, steps["plain loop"], strict=True))
        print(f"{name:28}{statistics.median(values):9.3f}{min(values):9.3f}{max(values):9.3f}{ratio:12.3f}", flush=True)
    share = 1 - statistics.median(a / b for a, b in zip(steps["without D"], steps["ours"], strict=True))
    print(f"D's share of a step: {share:.0%}")


if __name__ == "__main__":
    tyro.cli(main)
