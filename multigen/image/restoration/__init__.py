"""Better images from worse ones: one file per method, and what a method of your own derives
from."""

from multigen.image.restoration.adversarial import AdversarialRestorationConfig, AdversarialRestorationTrainer
from multigen.image.restoration.base import ImageRestorationConfig, ImageRestorationTrainer

__all__ = [
    "AdversarialRestorationConfig",
    "AdversarialRestorationTrainer",
    "ImageRestorationConfig",
    "ImageRestorationTrainer",
]
