"""A generator of sounds from sounds in two streams, for the amplitudes and the phases of a spectrum.

Lu et al. 2024, "Towards high-quality and efficient speech bandwidth extension with parallel amplitude and phase prediction"
(AP-BWE), arXiv:2401.06387, section III. Here it is small, and it begins as the identity: what it adds to a sound is the inverse
transform of the difference of two spectra, the predicted one and the input's own.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from multigen.audio import spectral
from multigen.audio.networks.convnext import KERNEL, ConvNeXtBlock, initialise
from multigen.errors import ConfigError

__all__ = ["AmplitudePhaseGenerator", "Polar"]

FRAMES = 160  # a second: hops of 6.25 ms
OVERLAP = 4  # hops in a window
EMBED = 3  # frames that the first convolution sees
FLOOR = 1e-5  # amplitudes below count as this much
LARGEST = 8.0  # logarithm of the largest amplitude: more than a full-scale tone has at 48 kHz
COMPRESSION = 0.3  # power of the amplitudes of what the phases are read from
STILL = 1e-2  # added to it, so that digital silence has a phase too, whose gradient is finite


class Polar(NamedTuple):
    """A spectrum as amplitudes and phases."""

    log_amplitude: Tensor
    """(B, F, frames), natural logarithms."""
    phase: Tensor
    """(B, F, frames), radians."""

    def to_complex(self) -> Tensor:
        return torch.polar(self.log_amplitude.exp(), self.phase)


class AmplitudePhaseGenerator(nn.Module):
    """Sounds (B, T) -> sounds of the same shape. Untrained, it returns its input exactly.

    One stream reads log-amplitudes and predicts what is added to them; the other reads the compressed spectrum, X |X|^-.7, and
    predicts a complex number that is added to it: the angle of the sum is the phase, so that where the input holds nothing the
    network alone decides. Before each block each stream takes in the other (halved, so that they do not grow).

    Args:
        rate: Hz; a frame is 1/160 s, the window four frames.
        width: channels of each stream.
        blocks: ConvNeXt blocks of each stream.

    Raises:
        ConfigError: a rate that has no whole frame.
    """

    def __init__(self, rate: int = 16_000, width: int = 128, blocks: int = 4):
        super().__init__()
        if rate < FRAMES or rate % FRAMES:
            raise ConfigError(
                f"rate {rate}: it does not divide into {FRAMES} frames a second; choose a multiple of {FRAMES}, such as 16000"
            )
        self.rate, self.hop = rate, rate // FRAMES
        self.window = OVERLAP * self.hop
        self.n_fft = 1 << (self.window - 1).bit_length()
        bins = self.n_fft // 2 + 1
        self.read_amplitude = nn.Conv1d(bins, width, EMBED, padding=EMBED // 2)
        self.read_phase = nn.Conv1d(2 * bins, width, EMBED, padding=EMBED // 2)
        self.amplitude = nn.ModuleList(ConvNeXtBlock(width, 1 / blocks) for _ in range(blocks))
        self.phase = nn.ModuleList(ConvNeXtBlock(width, 1 / blocks) for _ in range(blocks))
        self.norms = nn.ModuleList(nn.LayerNorm(width, eps=1e-6) for _ in range(4))
        self.write_amplitude = nn.Linear(width, bins)
        self.write_phase = nn.Linear(width, 2 * bins)
        initialise(self)
        for layer in (self.write_amplitude, self.write_phase):
            nn.init.zeros_(layer.weight)
        frames = blocks * (KERNEL // 2) + EMBED // 2
        self.radius = frames * self.hop + self.n_fft
        """Samples of the input, on each side, that an output may depend on."""

    def forward(self, x: Tensor) -> Tensor:
        return self.sound(x, self.predict(x))

    def sound(self, x: Tensor, predicted: Polar) -> Tensor:
        """The sound (B, T) that `predicted` is made of x."""
        x = x if x.dtype == torch.float64 else x.float()
        difference = predicted.to_complex() - self.analyse(x).to_complex()
        return x + self._inverse(difference, x.shape[-1])

    def predict(self, x: Tensor) -> Polar:
        """The spectrum predicted for x (B, T)."""
        log_amplitude, z = self._parts(self.spectrum(x))
        a = _normalised(self.norms[0], self.read_amplitude(log_amplitude.to(x.dtype)))  # (B, width, frames)
        p = _normalised(self.norms[1], self.read_phase(torch.cat([z.real, z.imag], 1).to(x.dtype)))
        for amplitude, phase in zip(self.amplitude, self.phase, strict=True):
            a = (a + p) / 2
            p = (p + a) / 2
            a, p = amplitude(a), phase(p)
        gain = self.write_amplitude(self.norms[2](a.mT)).mT.to(log_amplitude.dtype)  # (B, F, frames)
        real, imaginary = self.write_phase(self.norms[3](p.mT)).mT.to(log_amplitude.dtype).chunk(2, 1)
        return _polar(log_amplitude + gain, z.real + real, z.imag + imaginary)

    def analyse(self, x: Tensor) -> Polar:
        """The spectrum of x (B, T), as `predict` gives it where nothing is to change."""
        log_amplitude, z = self._parts(self.spectrum(x))
        return _polar(log_amplitude, z.real, z.imag)

    def spectrum(self, x: Tensor) -> Tensor:
        """Complex (B, F, frames) of x (B, T), T above n_fft / 2."""
        return spectral.stft(x, self.n_fft, self.hop, torch.hann_window(self.window, device=x.device))

    @staticmethod
    def _parts(spectrum: Tensor) -> tuple[Tensor, Tensor]:
        """Log-amplitudes, and the compressed spectrum."""
        amplitude = spectrum.abs().clamp(min=FLOOR)
        return amplitude.log(), spectrum * amplitude ** (COMPRESSION - 1) + STILL

    def _inverse(self, spectrum: Tensor, length: int) -> Tensor:
        window = torch.hann_window(self.window, dtype=spectrum.real.dtype, device=spectrum.device)
        return torch.istft(spectrum, self.n_fft, self.hop, self.window, window, length=length)  # (B, T)


def _normalised(norm: nn.Module, x: Tensor) -> Tensor:
    """Layer normalisation of (B, width, frames)."""
    return norm(x.mT).mT


def _polar(log_amplitude: Tensor, real: Tensor, imaginary: Tensor) -> Polar:
    """Of contiguous tensors: in another layout the same numbers are rounded in another way, and the identity is not exact."""
    return Polar(log_amplitude.contiguous().clamp(max=LARGEST), torch.atan2(imaginary.contiguous(), real.contiguous()))
