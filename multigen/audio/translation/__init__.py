"""The same words in another voice: one file per method, and what a method of your own derives
from."""

from multigen.audio.translation.base import AudioTranslationConfig, AudioTranslationTrainer

__all__ = ["AudioTranslationConfig", "AudioTranslationTrainer"]
