"""A generator of sounds from sounds in two streams, for the amplitudes and the phases of a
spectrum.

Lu et al. 2024, "Towards high-quality and efficient speech bandwidth extension with parallel
amplitude and phase prediction" (AP-BWE), arXiv:2401.06387, section III. Here it is small, and
begins as the identity: what it adds to a sound is the inverse transform of the difference of two
spectra, the predicted one and the input's own.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from multigen.audio import spectral
from multigen.audio.networks.convnext import KERNEL, ConvNeXtBlock, initialise, over_channels
from multigen.audio.networks.inverse_stft import InverseSTFT, inverse_stft
from multigen.errors import ConfigError
from multigen.losses.adversarial import at_least_float32

__all__ = ["AmplitudePhaseGenerator", "ExportedGenerator", "Polar", "hop_of"]

FRAMES = 160  # a second: hops of 6.25 ms
OVERLAP = 4  # hops in a window
EMBED = 3  # frames that the first convolutions see
EXPANSION = 3  # hidden channels of a block, as a multiple of its width
FLOOR = 1e-5  # amplitudes below count as this much
LARGEST = 8.0  # logarithm of the largest amplitude: more than a full-scale tone has at 48 kHz
SPREAD = 4.0  # by which what is written for amplitudes is multiplied: about the deviation of logarithms
OPEN = 2.0  # at which the gate of a gain begins: 0.88 of its largest
COMPRESSION = 0.3  # power of the amplitudes of what phases are read from
STILL = 1e-2  # added to it, so that digital silence has a phase too, whose gradient is finite


class Polar(NamedTuple):
    """A spectrum (B, F, frames) as amplitudes and phases."""

    log_amplitude: Tensor
    """Natural logarithms."""
    cosine: Tensor
    sine: Tensor
    """Of the phases."""

    def rectangular(self) -> tuple[Tensor, Tensor]:
        """Real and imaginary parts."""
        amplitude = self.log_amplitude.exp()
        return amplitude * self.cosine, amplitude * self.sine


class AmplitudePhaseGenerator(nn.Module):
    """Sounds (B, T) -> sounds of the same shape. Untrained, it returns its input exactly.

    One stream reads log-amplitudes and predicts others, which join them (`fills`) or are added to
    them; the other reads the compressed spectrum, X |X|^-.7, and predicts a complex number that is
    added to it: the angle of the sum is the phase, so that where the input holds nothing the
    network alone decides. Before each block each stream takes in the other (halved, so that they do
    not grow).

    Args:
        rate: Hz; a frame is 1/160 s, the window four frames.
        width: channels of each stream.
        blocks: ConvNeXt blocks of each stream.
        fills: the amplitudes predicted are added to the input's, which stays where it is louder, as
            fits what lacks a part of its spectrum; else they are gains, as fits what has too much.

    Raises:
        ConfigError: a rate that has no whole frame.
    """

    def __init__(self, rate: int = 16_000, width: int = 128, blocks: int = 4, fills: bool = False):
        super().__init__()
        self.fills, self.rate, self.hop = fills, rate, hop_of(rate)
        self.window = OVERLAP * self.hop
        self.n_fft = n_fft_of(rate)
        bins = self.n_fft // 2 + 1
        self.read_amplitude = nn.Conv1d(bins, width, EMBED, padding=EMBED // 2)
        self.read_phase = nn.Conv1d(2 * bins, width, EMBED, padding=EMBED // 2)
        self.norms = nn.ModuleList(nn.LayerNorm(width, eps=1e-6) for _ in range(4))
        self.amplitude, self.phase = (
            nn.ModuleList(ConvNeXtBlock(width, EXPANSION * width, 1 / blocks) for _ in range(blocks)) for _ in range(2)
        )
        self.write_amplitude = nn.Linear(width, bins)
        self.write_phase = nn.Linear(width, 2 * bins)
        self.apply(initialise)
        for layer in (self.write_amplitude, self.write_phase):
            nn.init.zeros_(layer.weight)
        frames = blocks * (KERNEL // 2) + EMBED // 2
        self.radius = frames * self.hop + self.n_fft
        """Samples of the input, on each side, that an output may depend on."""

    def forward(self, x: Tensor) -> Tensor:
        return self.sound(x, self.predict(x))

    def sound(self, x: Tensor, predicted: Polar) -> Tensor:
        """The sound (B, T) that `predicted` is made of x."""
        x = at_least_float32(x)
        (real, imaginary), (own_real, own_imaginary) = (
            predicted.rectangular(),
            self.unchanged(*_parts(*self.spectrum(x))).rectangular(),
        )
        difference = real - own_real, imaginary - own_imaginary
        return x + inverse_stft(*difference, self.n_fft, self.hop, self.window)[:, : x.shape[1]]

    def predict(self, x: Tensor) -> Polar:
        """The spectrum predicted for x (B, T)."""
        return self.changed(*_parts(*self.spectrum(x)))

    def unchanged(self, log_amplitude: Tensor, real: Tensor, imaginary: Tensor) -> Polar:
        """As `changed`, of the network as it begins."""
        return _polar(self._louder(log_amplitude, torch.zeros_like(log_amplitude)), real, imaginary)

    def analyse(self, x: Tensor) -> Polar:
        """The spectrum of x (B, T), to compare predictions with."""
        return _polar(*_parts(*self.spectrum(x)))

    def spectrum(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Real and imaginary part (B, F, frames) of the spectrum of x (B, T), T above n_fft / 2."""
        z = spectral.stft(x, self.n_fft, self.hop, torch.hann_window(self.window, device=x.device))
        return z.real.contiguous(), z.imag.contiguous()

    def changed(self, log_amplitude: Tensor, real: Tensor, imaginary: Tensor) -> Polar:
        """The prediction for log-amplitudes and a compressed spectrum (B, F, frames)."""
        dtype = self.read_amplitude.weight.dtype
        a = over_channels(self.norms[0], self.read_amplitude(log_amplitude.to(dtype)))  # (B, width, frames)
        p = over_channels(self.norms[1], self.read_phase(torch.cat([real, imaginary], 1).to(dtype)))
        for amplitude, phase in zip(self.amplitude, self.phase, strict=True):
            a = (a + p) / 2
            p = (p + a) / 2
            a, p = amplitude(a), phase(p)
        written = self.write_amplitude(self.norms[2](a.mT)).mT.to(log_amplitude.dtype)  # (B, F, frames)
        more_real, more_imaginary = self.write_phase(self.norms[3](p.mT)).mT.to(log_amplitude.dtype).chunk(2, 1)
        return _polar(self._louder(log_amplitude, written), real + more_real, imaginary + more_imaginary)

    def _louder(self, log_amplitude: Tensor, written: Tensor) -> Tensor:
        if self.fills:
            return torch.logaddexp(log_amplitude, SPREAD * written.contiguous() + math.log(FLOOR))
        open_gate = torch.full((), OPEN, dtype=written.dtype, device=written.device)
        gain = nn.functional.logsigmoid(SPREAD * written.contiguous() + OPEN) - nn.functional.logsigmoid(open_gate)
        return log_amplitude + gain


def hop_of(rate: int) -> int:
    """Samples between frames at a rate. Raises ConfigError for one that has no whole frame."""
    if rate < FRAMES or rate % FRAMES:
        raise ConfigError(
            f"rate {rate}: it does not divide into {FRAMES} frames a second; choose a multiple of {FRAMES}, such as 16000"
        )
    return rate // FRAMES


def n_fft_of(rate: int) -> int:
    """Samples of a frame with its zeros at a rate. Raises as `hop_of`."""
    return 1 << (OVERLAP * hop_of(rate) - 1).bit_length()


class ExportedGenerator(nn.Module):
    """The same function of sounds (B, T), with operations that ONNX has: both transforms are fixed
    convolutions."""

    def __init__(self, network: AmplitudePhaseGenerator):
        super().__init__()
        self.network = network
        self.inverse = InverseSTFT(network.n_fft, network.hop, network.window)
        window = torch.zeros(network.n_fft, dtype=torch.float64)
        before = (network.n_fft - network.window) // 2
        window[before : before + network.window] = torch.hann_window(network.window, dtype=torch.float64)
        basis = torch.fft.rfft(torch.diag(window), dim=1)  # (n_fft, F)
        self.basis: Tensor
        self.register_buffer("basis", torch.cat([basis.real, basis.imag], 1).T[:, None].float().contiguous())

    def forward(self, x: Tensor) -> Tensor:
        network, half = self.network, self.network.n_fft // 2
        padded = nn.functional.pad(x[:, None], (half, half), "reflect")
        real, imaginary = nn.functional.conv1d(padded, self.basis, stride=network.hop).chunk(2, 1)
        parts = _parts(real, imaginary)
        pairs = zip(network.changed(*parts).rectangular(), network.unchanged(*parts).rectangular(), strict=True)
        return x + self.inverse(*(a - b for a, b in pairs))[:, : x.shape[1]]


def _parts(real: Tensor, imaginary: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Log-amplitudes, and the compressed spectrum."""
    amplitude = (real * real + imaginary * imaginary).clamp(min=FLOOR**2).sqrt()
    smaller = amplitude ** (COMPRESSION - 1)
    return amplitude.log(), real * smaller + STILL, imaginary * smaller


def _polar(log_amplitude: Tensor, real: Tensor, imaginary: Tensor) -> Polar:
    """Of contiguous tensors: in another layout the same numbers are rounded in another way, and the
    identity is not exact."""
    real, imaginary = real.contiguous(), imaginary.contiguous()
    length = (real * real + imaginary * imaginary).clamp(min=1e-12).rsqrt()
    return Polar(log_amplitude.contiguous().clamp(max=LARGEST), real * length, imaginary * length)
