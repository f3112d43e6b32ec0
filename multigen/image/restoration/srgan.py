"""SRGAN: photorealistic super-resolution with an adversarial and a content loss.
Ledig et al. 2017, arXiv:1609.04802.

    python -m multigen.recipes.srgan                           # embedded photographs (minutes)
    python -m multigen.recipes.srgan default --data photos/    # your own photographs
    python -m multigen.recipes.srgan paper --data DIV2K/       # the settings of the paper

A generator is trained first with a mean squared error (the paper's SRResNet), then against a
discriminator, with a content loss on the features of a pretrained network. Images are RGB in 0..1;
low resolutions are made by MATLAB's bicubic downsampling, as in the paper.
"""

from dataclasses import dataclass, replace
from typing import Literal

from torch import Tensor, nn

from multigen.engine.schedules import Schedule, Steps
from multigen.image.restoration.adversarial import AdversarialRestorationConfig, AdversarialRestorationTrainer
from multigen.image.restoration.networks import GENERATORS, CompactGenerator, VGGDiscriminator

__all__ = ["PRESETS", "CompactGenerator", "SRGANConfig", "SRGANTrainer", "SRResNet"]

FACTORS = {2: [2], 3: [3], 4: [2, 2], 8: [2, 2, 2]}  # scale -> factors of the up-sampling steps


@dataclass(frozen=True)
class SRGANConfig(AdversarialRestorationConfig):
    crop: int = 96
    """Side of the high-resolution crops, pixels; a multiple of the scale, and of 16 for the
    discriminator."""
    scale: int = 4
    """Factor between the resolutions: 2, 3, 4 or 8."""
    generator: Literal["srresnet", "compact", "resize", "span", "srvgg"] = "compact"
    """The paper's network, or one without batch norm that trains several times faster: our own,
    with a pixel shuffle (compact) or with resize-convolutions, SPAN, or Real-ESRGAN's."""
    blocks: int = 10
    """Residual blocks of the generator (B = 16 in the paper)."""
    width: int = 48
    """Channels of the generator (64 in the paper)."""
    discriminator_width: int = 32
    """Channels of the discriminator's first layer (64 in the paper)."""
    discriminator_norm: bool = True
    """Batch norm in the discriminator, as in the paper."""
    pixel: Literal["mse", "l1"] = "l1"
    """Pixel loss of the first stage (mse in the paper)."""
    content: Literal["mse", "vgg22", "vgg54", "efficientnet_lite0"] = "efficientnet_lite0"
    """Content loss of the second stage: equation 4 (mse) or 5 (features)."""
    content_weight: float = 1.0
    """Weight of the content loss (1 in the paper, whose features are divided by 12.75)."""
    pixel_weight: float = 1.0
    """Weight of the pixel loss in the second stage (0 in the paper)."""
    adversarial_weight: float = 1e-3
    """Weight of the adversarial loss (equation 3)."""
    pretrain_lr: float = 1e-3
    """Learning rate of the first stage; decays to 0 along half a cosine, unless `constant_lr`."""
    lr: float = 1e-4
    """Learning rate of the second stage; divided by 10 in its second half (section 3.2)."""
    constant_lr: bool = False
    """Keep the learning rate of the first stage, as in the paper."""

    @property
    def scales(self) -> tuple[int, ...]:
        return tuple(FACTORS)

    @property
    def distance(self) -> str:
        return "efficientnet_lite0" if self.content == "mse" else self.content


# More of the adversarial loss than the paper has, and what keeps it from drawing a grid.
SHARP = SRGANConfig(
    generator="resize", shift=16, content_weight=2.0, gradient_weight=8.0, grid_weight=10.0, adversarial_weight=0.03,
)  # fmt: skip
PRESETS = {
    "tiny": replace(
        SHARP, validation_size=0, crop=48, blocks=2, width=16, discriminator_width=8, batch=4, pretrain_steps=20, steps=4, ema=0.9
    ),
    "laptop": replace(
        SHARP, validation_size=0, blocks=8, width=32, discriminator_width=16, pretrain_steps=1_800, steps=400, lr=3e-4
    ),
    "default": SHARP,
    "paper": SRGANConfig(
        generator="srresnet", blocks=16, width=64, discriminator_width=64, pixel="mse", content="vgg54", pixel_weight=0.0,
        pretrain_steps=1_000_000, steps=200_000, pretrain_lr=1e-4, constant_lr=True, betas=(0.9, 0.999), ema=0.0,
    ),
}  # fmt: skip


class ResidualBlock(nn.Module):
    """conv - BN - PReLU - conv - BN + input, (B, C, H, W) -> the same shape."""

    def __init__(self, width: int):
        super().__init__()
        first, second = (nn.Conv2d(width, width, 3, padding=1) for _ in range(2))
        self.layers = nn.Sequential(first, nn.BatchNorm2d(width), nn.PReLU(), second, nn.BatchNorm2d(width))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x)


class SRResNet(nn.Module):
    """The generator of figure 4: RGB (B, 3, H, W) in 0..1 -> (B, 3, scale H, scale W)."""

    def __init__(self, scale: int = 4, blocks: int = 16, width: int = 64):
        super().__init__()
        self.head = nn.Sequential(nn.Conv2d(3, width, 9, padding=4), nn.PReLU())
        body = [ResidualBlock(width) for _ in range(blocks)]
        self.body = nn.Sequential(*body, nn.Conv2d(width, width, 3, padding=1), nn.BatchNorm2d(width))
        up: list[nn.Module] = []
        for f in FACTORS[scale]:
            up += [nn.Conv2d(width, width * f * f, 3, padding=1), nn.PixelShuffle(f), nn.PReLU()]
        self.tail = nn.Sequential(*up, nn.Conv2d(width, 3, 9, padding=4))
        # Pixels of the input, on each side, that an output may depend on.
        self.radius = 4 + 2 * blocks + 1 + len(FACTORS[scale]) + 4

    def forward(self, image: Tensor) -> Tensor:
        x = self.head(image)  # (B, C, H, W)
        return self.tail(x + self.body(x))  # (B, 3, scale H, scale W)


class SRGANTrainer(AdversarialRestorationTrainer[SRGANConfig]):
    """Trains G for super-resolution: first with a pixel loss, then so that D takes its images for
    photographs.

    The losses are equation 2 for D, and equation 3, content loss + 1e-3 adversarial loss, for G.
    """

    name = "srgan"

    def generator(self) -> nn.Module:
        c = self.config
        return {"srresnet": SRResNet, **GENERATORS}[c.generator](c.scale, c.blocks, c.width)

    def discriminator(self) -> VGGDiscriminator:
        c = self.config
        return VGGDiscriminator(c.crop - c.shift, c.discriminator_width, c.discriminator_norm)

    def pretrain_rate(self) -> Schedule:
        return self.config.pretrain_lr if self.config.constant_lr else super().pretrain_rate()

    def adversarial_rate(self) -> Schedule:
        return Steps((self.config.lr, self.config.lr / 10), (0.5,))

    def pixel_error(self, fake: Tensor, reference: Tensor) -> Tensor:
        return (
            (fake - reference).square().mean() if self.config.pixel == "mse" else super().pixel_error(fake, reference)
        )

    def content_error(self, fake: Tensor, reference: Tensor) -> Tensor:
        return (
            (fake - reference).square().mean()
            if self.config.content == "mse"
            else super().content_error(fake, reference)
        )
