"""Networks that several methods of image translation have."""

from multigen.image.translation.networks.discriminators import PatchDiscriminator
from multigen.image.translation.networks.generators import GENERATORS, ResNetGenerator, UNetGenerator

__all__ = ["GENERATORS", "PatchDiscriminator", "ResNetGenerator", "UNetGenerator"]
