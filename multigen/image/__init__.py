"""Images: methods, and the files, datasets, degradations, metrics and perceptual networks that they
share."""

from typing import TYPE_CHECKING, Any

from multigen.catalogue import lazy

# catalogue: methods
if TYPE_CHECKING:
    from multigen.image.restoration.denoise import DenoiseConfig, DenoiseTrainer
    from multigen.image.restoration.esrgan import ESRGANConfig, ESRGANTrainer
    from multigen.image.restoration.inpainting import InpaintingConfig, InpaintingTrainer
    from multigen.image.restoration.realesrgan import RealESRGANConfig, RealESRGANTrainer
    from multigen.image.restoration.srgan import SRGANConfig, SRGANTrainer
    from multigen.image.synthesis.dcgan import DCGANConfig, DCGANTrainer
    from multigen.image.synthesis.fastgan import FastGANConfig, FastGANTrainer
    from multigen.image.synthesis.gan import GANConfig, GANTrainer
    from multigen.image.synthesis.lsgan import LSGANConfig, LSGANTrainer
    from multigen.image.synthesis.projected import ProjectedConfig, ProjectedTrainer
    from multigen.image.synthesis.r3gan import R3GANConfig, R3GANTrainer
    from multigen.image.synthesis.sngan import SNGANConfig, SNGANTrainer
    from multigen.image.synthesis.stylegan2 import StyleGAN2Config, StyleGAN2Trainer
    from multigen.image.synthesis.wgan import WGANConfig, WGANTrainer
    from multigen.image.translation.cut import CUTConfig, CUTTrainer
    from multigen.image.translation.cyclegan import CycleGANConfig, CycleGANTrainer
    from multigen.image.translation.pix2pix import Pix2PixConfig, Pix2PixTrainer

__all__ = [
    "CUTConfig",
    "CUTTrainer",
    "CycleGANConfig",
    "CycleGANTrainer",
    "DCGANConfig",
    "DCGANTrainer",
    "DenoiseConfig",
    "DenoiseTrainer",
    "ESRGANConfig",
    "ESRGANTrainer",
    "FastGANConfig",
    "FastGANTrainer",
    "GANConfig",
    "GANTrainer",
    "InpaintingConfig",
    "InpaintingTrainer",
    "LSGANConfig",
    "LSGANTrainer",
    "Pix2PixConfig",
    "Pix2PixTrainer",
    "ProjectedConfig",
    "ProjectedTrainer",
    "R3GANConfig",
    "R3GANTrainer",
    "RealESRGANConfig",
    "RealESRGANTrainer",
    "SNGANConfig",
    "SNGANTrainer",
    "SRGANConfig",
    "SRGANTrainer",
    "StyleGAN2Config",
    "StyleGAN2Trainer",
    "WGANConfig",
    "WGANTrainer",
]
# end


def __getattr__(name: str) -> Any:
    return lazy(__name__, name)
