"""Sounds: files, data, a drum machine, spectra, metrics, and the methods that make them, a file a method."""

from multigen.audio.synthesis.specgan import SpecGANConfig, SpecGANTrainer
from multigen.audio.synthesis.wavegan import WaveGANConfig, WaveGANTrainer

__all__ = ["SpecGANConfig", "SpecGANTrainer", "WaveGANConfig", "WaveGANTrainer"]
