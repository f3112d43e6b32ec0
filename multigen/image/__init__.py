"""Images: a method a file; data, degradations, metrics and perceptual networks that they share."""

from multigen.image.srgan import SRGANConfig, SRGANTrainer

__all__ = ["SRGANConfig", "SRGANTrainer"]
