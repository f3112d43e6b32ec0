"""Sounds from noise: one file per method, and what a method of your own derives from."""

from multigen.audio.synthesis.base import AudioSynthesisConfig, AudioSynthesisTrainer

__all__ = ["AudioSynthesisConfig", "AudioSynthesisTrainer"]
