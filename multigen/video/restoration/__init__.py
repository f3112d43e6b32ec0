"""Better films from worse ones: one file per method, and what a method of your own derives from."""

from multigen.video.restoration.base import VideoRestorationConfig, VideoRestorationTrainer

__all__ = ["VideoRestorationConfig", "VideoRestorationTrainer"]
