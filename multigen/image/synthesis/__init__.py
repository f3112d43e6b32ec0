"""Images from noise: one file per method, and what a method of your own derives from."""

from multigen.image.synthesis.base import ImageSynthesisConfig, ImageSynthesisTrainer, doublings

__all__ = ["ImageSynthesisConfig", "ImageSynthesisTrainer", "doublings"]
