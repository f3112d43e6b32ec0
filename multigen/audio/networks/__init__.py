"""Networks that several methods of audio have: ConvNeXt blocks over time, an inverse STFT,
discriminators of waveforms."""

from multigen.audio.networks.convnext import ConvNeXt
from multigen.audio.networks.discriminators import (
    Discriminators,
    PeriodDiscriminator,
    SpectrumDiscriminator,
    feature_layers,
)
from multigen.audio.networks.inverse_stft import InverseSTFT, inverse_stft

__all__ = [
    "ConvNeXt",
    "Discriminators",
    "InverseSTFT",
    "PeriodDiscriminator",
    "SpectrumDiscriminator",
    "feature_layers",
    "inverse_stft",
]
