"""Image restoration: one file per method, and the base classes for methods of your own."""

from multigen.image.restoration.adversarial import AdversarialRestorationConfig, AdversarialRestorationTrainer
from multigen.image.restoration.base import ImageRestorationConfig, ImageRestorationTrainer

__all__ = [
    "AdversarialRestorationConfig",
    "AdversarialRestorationTrainer",
    "ImageRestorationConfig",
    "ImageRestorationTrainer",
]
