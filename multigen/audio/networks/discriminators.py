"""Small discriminators of sounds: of samples that are a period apart (HiFi-GAN, Kong et al. 2020,
arXiv:2010.05646), and of spectra by strided convolutions (UnivNet, Jang et al. 2021,
arXiv:2106.07889, as AP-BWE has them, Lu et al. 2024, arXiv:2401.06387).

A discriminator gives for sounds (B, T) its features, layer by layer, and last its logits (B, 1,
...).
"""

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn
from torch.nn.functional import leaky_relu, pad
from torch.nn.utils.parametrizations import weight_norm

from multigen.audio.spectral import magnitude

__all__ = ["PERIODS", "RESOLUTIONS", "Discriminators", "PeriodDiscriminator", "SpectrumDiscriminator", "feature_layers"]

PERIODS = (2, 3, 5, 7, 11)
RESOLUTIONS = (512, 1024, 2048)
"""n_fft of the discriminators of spectra; their hop is a quarter."""
SLOPE = 0.1  # of the leaky rectifier
FLOOR = 1e-4  # of a magnitude, before its logarithm: 80 dB below a sine of amplitude 1 at n_fft 1024 and more


class PeriodDiscriminator(nn.Module):
    """Samples that are a period apart, by convolutions over them: (B, T) -> features (B, C, T',
    period), and logits.

    Args:
        width: channels of the first layer; 32 in the paper, whose last layers have 32 times as
            many, ours four times.
    """

    def __init__(self, period: int, width: int):
        super().__init__()
        self.period = period
        widths = [1, width, 2 * width, 4 * width, 4 * width]
        layers = [weight_norm(nn.Conv2d(a, b, (5, 1), (3, 1), (2, 0))) for a, b in pairwise(widths)]
        layers.append(weight_norm(nn.Conv2d(widths[-1], widths[-1], (5, 1), 1, (2, 0))))
        self.layers = nn.ModuleList(layers)
        self.head = weight_norm(nn.Conv2d(widths[-1], 1, (3, 1), 1, (1, 0)))

    def forward(self, sound: Tensor) -> list[Tensor]:
        sound = pad(sound, (0, -sound.shape[1] % self.period), "reflect")
        return _features(self.layers, self.head, sound.view(len(sound), 1, -1, self.period))


class SpectrumDiscriminator(nn.Module):
    """Log-magnitudes of an STFT, by strided convolutions: (B, T) -> features (B, C, F', N'), and
    logits."""

    def __init__(self, n_fft: int, width: int):
        super().__init__()
        self.n_fft = n_fft
        shapes = (((7, 5), (2, 2)), ((5, 3), (2, 1)), ((5, 3), (2, 2)), ((3, 3), (2, 1)), ((3, 3), (2, 2)))
        self.layers = nn.ModuleList(
            weight_norm(nn.Conv2d(width if i else 1, width, kernel, stride, (kernel[0] // 2, kernel[1] // 2)))
            for i, (kernel, stride) in enumerate(shapes)
        )
        self.head = weight_norm(nn.Conv2d(width, 1, 3, 1, 1))

    def forward(self, sound: Tensor) -> list[Tensor]:
        level = magnitude(sound, self.n_fft, self.n_fft // 4).clamp(min=FLOOR).log()
        return _features(self.layers, self.head, level[:, None].to(sound.dtype))


class Discriminators(nn.Module):
    """Several discriminators: sounds (B, T) -> what each gives.

    Args:
        width: channels of the first layer of those of periods; spectrum_width: of those of spectra.
            0: none of them.
    """

    def __init__(
        self,
        width: int,
        spectrum_width: int,
        periods: Sequence[int] = PERIODS,
        resolutions: Sequence[int] = RESOLUTIONS,
    ):
        super().__init__()
        self.periods = nn.ModuleList(PeriodDiscriminator(period, width) for period in periods if width)
        self.spectra = nn.ModuleList(
            SpectrumDiscriminator(n_fft, spectrum_width) for n_fft in resolutions if spectrum_width
        )

    def forward(self, sound: Tensor) -> list[list[Tensor]]:
        return [each(sound) for each in (*self.periods, *self.spectra)]


def feature_layers(outputs: Sequence[Sequence[Tensor]]) -> list[Tensor]:
    """The features of several discriminators that are matched: of each all but the first layer's
    and the logits."""
    return [layer for each in outputs for layer in each[1:-1]]


def _features(layers: nn.ModuleList, head: nn.Module, x: Tensor) -> list[Tensor]:
    result = []
    for layer in layers:
        x = leaky_relu(layer(x), SLOPE)
        result.append(x)
    return [*result, head(x)]
