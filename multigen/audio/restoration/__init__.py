"""Better sounds from worse ones: one file per method, and what a method of your own derives
from."""

from multigen.audio.restoration.base import AudioRestorationConfig, AudioRestorationTrainer

__all__ = ["AudioRestorationConfig", "AudioRestorationTrainer"]
