"""Vocoder: sound from mel spectrograms, by ConvNeXt blocks and an inverse STFT (Vocos). Siuzdak
2023, arXiv:2306.00814.

    python -m multigen.recipes.vocoder                              # embedded speakers (minutes)
    python -m multigen.recipes.vocoder default --data recordings/   # your own recordings
    python -m multigen.recipes.vocoder paper --data LibriTTS/       # the settings of the paper

G gives for each frame of log-mels a spectrum, whose log-magnitude begins at that of the mels'
pseudo-inverse, and sound by one inverse transform. First it is trained on mels at several
resolutions and on phases (APNet2), then against discriminators of periods and of spectra too.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from multigen.audio import spectral
from multigen.audio.mels import MelSpec
from multigen.audio.networks import ConvNeXt, inverse_stft
from multigen.audio.recordings import Recording
from multigen.audio.restoration import losses
from multigen.audio.restoration.adversarial import AdversarialAudioConfig, AdversarialAudioTrainer
from multigen.audio.restoration.pairs import MelPairs
from multigen.audio.restoration.segments import SegmentSource
from multigen.audio.restoration.vocoding import Vocoder, griffin_lim_of, world_copy
from multigen.engine import Batch, DataInfo, Step
from multigen.errors import ConfigError
from multigen.losses.adversarial import at_least_float32
from multigen.tasks.restoration.base import Restore

__all__ = ["PRESETS", "Generator", "VocoderConfig", "VocoderTrainer"]

NEAR = 1e-5  # squared distance from 0 within which two numbers are no direction: rounding would turn it


@dataclass(frozen=True)
class VocoderConfig(AdversarialAudioConfig):
    hop: int = 0
    """Samples between frames; 0: an eightieth of the rate."""
    n_fft: int = 0
    """Samples of a frame; 0: the power of two nearest to 64 ms."""
    bands: int = 80
    """Mel bands, from 0 to half the rate."""
    mels: str = ""
    """Folder of log-mels (.npy) by this definition, under the names of the recordings, that are
    trained on in the place of the recordings' own: those of the model whose mels will be turned
    into sound."""
    width: int = 192
    """Channels of the generator (512 in the paper)."""
    blocks: int = 6
    """ConvNeXt blocks of the generator (8 in the paper)."""
    mel_weight: float = 45.0
    """Weight of the error of log-mels, here at five resolutions."""
    magnitude_weight: float = 10.0
    """Weight of the error of log-magnitudes (none in the paper; 45 in APNet2)."""
    phase_weight: float = 10.0
    """Weight of the errors of phases, weighted by loudness (none in the paper; 100 in APNet2)."""
    betas: tuple[float, float] = (0.8, 0.9)
    """Betas of AdamW."""

    ranges = AdversarialAudioConfig.ranges | {
        **{"hop": (0, 8_192), "n_fft": (0, 16_384), "bands": (1, 1_024)},
        **{"mel_weight": 0, "magnitude_weight": 0, "phase_weight": 0},
    }

    def __post_init__(self):
        super().__post_init__()
        self.spec.check_segment(self.segment)
        if self.mel_weight and self.segment <= losses.SHORTEST:
            raise ConfigError(
                f"segment {self.segment}: the loss of mels needs more than {losses.SHORTEST} samples; give longer ones, or "
                "mel_weight 0"
            )
        if not self.mel_weight + self.magnitude_weight + self.phase_weight:
            raise ConfigError(
                "mel_weight 0, magnitude_weight 0, phase_weight 0: the first stage has no loss; give one of them"
            )

    @property
    def spec(self) -> MelSpec:
        """The definition of its mels."""
        return MelSpec(rate=self.rate, hop=self.hop, n_fft=self.n_fft, bands=self.bands)


PRESETS = {
    "tiny": VocoderConfig(
        rate=8_000, bands=40, segment=2_000, validation_size=0, test_size=2, width=16, blocks=1, discriminator_width=2,
        spectrum_width=2, batch=4, pretrain_steps=16, steps=4, ema=0.9,
    ),
    "laptop": VocoderConfig(
        validation_size=0, test_size=8, width=128, blocks=4, spectrum_width=8, batch=8, pretrain_steps=1_000, steps=500, ema=0.99,
    ),
    "default": VocoderConfig(),
    "paper": VocoderConfig(
        rate=24_000, hop=256, n_fft=1024, bands=100, segment=16_384, width=512, blocks=8, discriminator_width=32,
        spectrum_width=32, magnitude_weight=0.0, phase_weight=0.0, spectrum_weight=0.1, pretrain_steps=0, steps=1_000_000,
        ema=0.0,
    ),
}  # fmt: skip


class Generator(nn.Module):
    """log-mels (B, bands, N) -> sound (B, N * hop); frame i is centred on sample i * hop.

    The spectrum's log-magnitude is that of the mels' pseudo-inverse, at the start of training
    exactly, and what the network adds; its phase is the direction of two numbers for each bin.
    """

    def __init__(self, spec: MelSpec, width: int, blocks: int):
        super().__init__()
        self.spec, self.bins = spec, spec.n_fft // 2 + 1
        self.backbone = ConvNeXt(spec.bands, width, blocks)
        self.magnitude = nn.Linear(width, self.bins)
        self.phase = nn.Linear(width, 2 * self.bins)
        nn.init.zeros_(self.magnitude.weight)
        nn.init.zeros_(self.magnitude.bias)
        nn.init.trunc_normal_(self.phase.weight, std=0.02)
        nn.init.zeros_(self.phase.bias)

    def forward(self, mels: Tensor) -> Tensor:
        magnitude, real, imaginary = self.parts(mels)
        return inverse_stft(magnitude * real, magnitude * imaginary, self.spec.n_fft, self.spec.hop, self.spec.window)

    def parts(self, mels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Magnitudes, and cosines and sines of the phases, (B, F, N) each, in float32 or
        float64."""
        h = self.backbone(mels / 5 + 1).mT  # (B, N, width); log-mels are about -11..1
        added, phase = (at_least_float32(layer(h)).mT for layer in (self.magnitude, self.phase))
        with torch.autocast(mels.device.type, enabled=False):
            start = self.spec.to_magnitudes(at_least_float32(mels))
        magnitude = (start.log() + added).clamp(max=math.log(self.spec.window)).exp()
        real, imaginary = phase.split(self.bins, 1)
        length = (real * real + imaginary * imaginary + NEAR).rsqrt()
        return magnitude, real * length, imaginary * length


class VocoderTrainer(AdversarialAudioTrainer[VocoderConfig]):
    """Trains G to turn mels into the sound they are of; then D to tell its sounds from recordings,
    and G against D."""

    name = "vocoder"
    task = "vocoding"
    G: Generator
    pairs: MelPairs | None = None
    """Where the configuration names `mels`."""

    # ---------------------------------------------------------------------------------- data

    def to_source(self, items: Sequence[Recording]) -> SegmentSource:
        c = self.config
        if not c.mels:
            return super().to_source(items)
        self.pairs = pairs = MelPairs(c.mels, c.spec, items, c.skip_bad)
        source = SegmentSource(pairs.recordings, c.segment, step=c.spec.hop, beside=pairs.beside, skip_bad=c.skip_bad)
        source.skipped += pairs.skipped
        return source

    def describe_data(self, source: SegmentSource) -> DataInfo:
        info = super().describe_data(source)
        return replace(info, fingerprint=f"{info.fingerprint} {self.pairs.fingerprint()}") if self.pairs else info

    def inputs(self, batch: Batch, step: Step) -> Tensor:
        """log-mels (B, bands, segment / hop + 1)."""
        return batch["mels"].to(step.dtype) if self.config.mels else self.config.spec(self.targets(batch, step))

    # ---------------------------------------------------------------------------------- networks

    def generator(self) -> Generator:
        c = self.config
        return Generator(c.spec, c.width, c.blocks)

    # ---------------------------------------------------------------------------------- losses

    def reconstruct(self, batch: Batch, step: Step) -> tuple[dict[str, Tensor], Tensor]:
        """The losses of G without a discriminator, and its sounds (B, segment)."""
        c, spec, real = self.config, self.config.spec, self.targets(batch, step)
        magnitude, cosine, sine = self.G.parts(self.inputs(batch, step))
        whole = inverse_stft(magnitude * cosine, magnitude * sine, spec.n_fft, spec.hop, spec.window)
        fake = whole[:, : real.shape[1]].to(real.dtype)
        terms: dict[str, Tensor] = {}
        if c.mel_weight:
            terms["mel"] = losses.mel_error(fake, real, c.rate) * c.mel_weight
        if c.magnitude_weight or c.phase_weight:
            spectrum = spectral.stft(real, spec.n_fft, spec.hop)  # (B, F, N)
            terms |= self.spectral_terms(magnitude, torch.complex(cosine, sine), spectrum)
        return terms, fake

    def spectral_terms(self, magnitude: Tensor, phase: Tensor, real: Tensor) -> dict[str, Tensor]:
        """Errors of log-magnitudes and of phases (B, F, N)."""
        c, least, terms = self.config, self.config.spec.clip, {}
        level = real.abs().clamp(min=least)
        if c.magnitude_weight:
            error = losses.magnitude_error(magnitude.clamp(min=least).log(), level.log())
            terms["magnitude"] = error * c.magnitude_weight
        if c.phase_weight:
            errors = losses.phase_errors(phase, losses.phasor(real.real, real.imag), losses.phase_weights(level))
            terms |= {name: error * c.phase_weight for name, error in errors.items()}
        return terms

    # ---------------------------------------------------------------------------------- evaluation

    def restorer_of(self, network: nn.Module) -> Vocoder:
        assert isinstance(network, Generator)
        return Vocoder(network, self.config.spec, network.backbone.radius)

    def baselines(self) -> dict[str, Restore]:
        """Griffin-Lim of the same mels, WORLD's copy-synthesis where it is installed, and the model
        that training began with."""
        return {"griffin_lim": griffin_lim_of(self.config.spec), **world_copy(self.config.rate), **self.start_row()}
