"""The same image in another domain: one file per method, and what a method of your own derives
from."""

from multigen.image.translation.base import ImageTranslationConfig, ImageTranslationTrainer

__all__ = ["ImageTranslationConfig", "ImageTranslationTrainer"]
