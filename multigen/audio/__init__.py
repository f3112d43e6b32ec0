"""Sounds: methods, and the files, datasets, drum machine, spectra and metrics that they share."""

from typing import TYPE_CHECKING, Any

from multigen.catalogue import lazy

# catalogue: methods
if TYPE_CHECKING:
    from multigen.audio.restoration.enhance import EnhanceConfig, EnhanceTrainer
    from multigen.audio.restoration.extend import ExtendConfig, ExtendTrainer
    from multigen.audio.restoration.vocoder import VocoderConfig, VocoderTrainer
    from multigen.audio.synthesis.specgan import SpecGANConfig, SpecGANTrainer
    from multigen.audio.synthesis.wavegan import WaveGANConfig, WaveGANTrainer
    from multigen.audio.translation.maskcyclegan import MaskCycleGANConfig, MaskCycleGANTrainer

__all__ = [
    "EnhanceConfig",
    "EnhanceTrainer",
    "ExtendConfig",
    "ExtendTrainer",
    "MaskCycleGANConfig",
    "MaskCycleGANTrainer",
    "SpecGANConfig",
    "SpecGANTrainer",
    "VocoderConfig",
    "VocoderTrainer",
    "WaveGANConfig",
    "WaveGANTrainer",
]
# end


def __getattr__(name: str) -> Any:
    return lazy(__name__, name)
