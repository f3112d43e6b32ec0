"""Images: a method a file; data, degradations, metrics and perceptual networks that they share."""

from multigen.image.dcgan import DCGANConfig, DCGANTrainer
from multigen.image.gan import GANConfig, GANTrainer
from multigen.image.r3gan import R3GANConfig, R3GANTrainer
from multigen.image.sngan import SNGANConfig, SNGANTrainer
from multigen.image.srgan import SRGANConfig, SRGANTrainer
from multigen.image.wgan import WGANConfig, WGANTrainer

__all__ = [
    "DCGANConfig", "DCGANTrainer", "GANConfig", "GANTrainer", "R3GANConfig", "R3GANTrainer", "SNGANConfig", "SNGANTrainer",
    "SRGANConfig", "SRGANTrainer", "WGANConfig", "WGANTrainer",
]  # fmt: skip
