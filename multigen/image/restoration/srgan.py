"""SRGAN: photorealistic super-resolution with an adversarial and a content loss. Ledig et al. 2017, arXiv:1609.04802.

    python -m multigen.recipes.srgan                           # embedded photographs, minutes on a laptop
    python -m multigen.recipes.srgan default --data photos/    # your own photographs
    python -m multigen.recipes.srgan paper --data DIV2K/       # the paper's networks, losses and steps

First a generator is trained for least squared error alone (the paper's SRResNet), then against a discriminator, with a content
loss on the features of a pretrained network. Images are RGB in 0..1; low resolutions are MATLAB's bicubic, as the paper's.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from multigen import losses
from multigen.engine import Adam, Batch, Stage, Step, Terms, Update
from multigen.engine.optimisers import Optimiser
from multigen.engine.schedules import Cosine, Steps
from multigen.errors import ConfigError
from multigen.image.restoration.base import ImageRestorationConfig, ImageRestorationTrainer
from multigen.image.restoration.networks import GENERATORS, CompactGenerator
from multigen.tasks.restoration.base import RANGES

__all__ = ["PRESETS", "CompactGenerator", "Discriminator", "SRGANConfig", "SRGANTrainer", "SRResNet"]

FACTORS = {2: [2], 3: [3], 4: [2, 2], 8: [2, 2, 2]}  # scale -> factors of the up-sampling steps


@dataclass(frozen=True)
class SRGANConfig(ImageRestorationConfig):
    crop: int = 96
    """Side of the high-resolution crops, pixels; a multiple of the scale, and of 16 for the discriminator."""
    scale: int = 4
    """Factor between the resolutions: 2, 3, 4 or 8."""
    generator: Literal["srresnet", "compact", "span", "srvgg"] = "compact"
    """The paper's network, or one without batch norm that trains several times faster: our own, SPAN, or Real-ESRGAN's."""
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
    pretrain_steps: int = 20_000
    """Steps of the first stage."""
    pretrain_lr: float = 1e-3
    """Learning rate of the first stage; falls to 0 along half a cosine, or stays if `constant_lr`."""
    lr: float = 1e-4
    """Learning rate of the second stage; a tenth in its second half (section 3.2)."""
    constant_lr: bool = False
    """Keep the learning rate of the first stage, as in the paper."""

    ranges = RANGES | {"steps": 0, "pretrain_steps": 0}

    def __post_init__(self):
        super().__post_init__()
        if self.scale not in FACTORS:
            raise ConfigError(f"scale {self.scale}: the network has x2, x3, x4 and x8; give one of them")
        if self.crop < 16 or self.crop % 16 or self.crop % self.scale:
            raise ConfigError(f"crop {self.crop}: expected a multiple of 16, and of the scale {self.scale}")
        if not self.pretrain_steps + self.steps:
            raise ConfigError("pretrain_steps 0, steps 0: nothing to train; expected steps in one of the stages")

    @property
    def distance(self) -> str:
        return "efficientnet_lite0" if self.content == "mse" else self.content


PRESETS = {
    "tiny": SRGANConfig(
        validation_size=0, crop=48, blocks=2, width=16, discriminator_width=8, batch=4, pretrain_steps=20, steps=4, ema=0.9
    ),
    "laptop": SRGANConfig(
        validation_size=0, blocks=8, width=32, discriminator_width=16, pretrain_steps=3_000, steps=400, lr=3e-4
    ),
    "default": SRGANConfig(),
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


class Discriminator(nn.Module):
    """The discriminator of figure 4: RGB (B, 3, crop, crop) in 0..1, crop a multiple of 16 -> logit (B,) of a photograph."""

    def __init__(self, crop: int = 96, width: int = 64, norm: bool = True):
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(3, width, 3, padding=1), nn.LeakyReLU(0.2)]
        before = width
        for i in range(1, 8):  # strides 2, 1, 2, 1, ..; channels double at every stride of 1
            after = width * 2 ** (i // 2)
            layers.append(nn.Conv2d(before, after, 3, stride=1 + i % 2, padding=1, bias=not norm))
            layers += [nn.BatchNorm2d(after)] if norm else []
            layers.append(nn.LeakyReLU(0.2))
            before = after
        self.features = nn.Sequential(*layers)  # (B, 8 width, crop / 16, crop / 16)
        self.head = nn.Sequential(
            nn.Flatten(), nn.Linear(before * (crop // 16) ** 2, 16 * width), nn.LeakyReLU(0.2), nn.Linear(16 * width, 1)
        )

    def forward(self, image: Tensor) -> Tensor:
        return self.head(self.features(image * 2 - 1)).squeeze(1)  # (B,)


class SRGANTrainer(ImageRestorationTrainer[SRGANConfig]):
    """Trains G to enlarge photographs: first for the least pixel error, then so that D takes its images for photographs."""

    name = "srgan"
    budget = ("pretrain_steps", "steps")

    @property
    def scale(self) -> int:
        return self.config.scale

    def generator(self) -> nn.Module:
        c = self.config
        return {"srresnet": SRResNet, **GENERATORS}[c.generator](c.scale, c.blocks, c.width)

    def discriminator(self) -> Discriminator:
        c = self.config
        return Discriminator(c.crop, c.discriminator_width, c.discriminator_norm)

    def optimisers(self) -> Optimiser:
        c = self.config
        return Adam(lr=c.pretrain_lr if c.constant_lr else Cosine(c.pretrain_lr, 0.0), betas=c.betas)

    def stages(self) -> list[Stage]:
        c = self.config
        return [
            Stage("pretrain", c.pretrain_steps, [
                Update("generator", trains=["G"], loss=self.pixel_loss),
            ], best=self.best("psnr_y", "max")),
            Stage("adversarial", c.steps, [
                Update("discriminator", trains=["D"], loss=self.discriminator_loss),
                Update("generator",     trains=["G"], loss=self.generator_loss),
            ], best=self.best(c.distance), optim=Adam(Steps((c.lr, c.lr / 10), (0.5,)), c.betas)),
        ]  # fmt: skip

    def pixel_loss(self, batch: Batch, step: Step) -> Terms:
        """The first stage's loss: `pixel_error` of G's output."""
        return {"pixel": self.pixel_error(self.G(self.inputs(batch, step)), self.targets(batch, step))}

    def pixel_error(self, fake: Tensor, real: Tensor) -> Tensor:
        """Mean squared or absolute difference, by `config.pixel`, of images (B, 3, H, W) in 0..1."""
        error = fake.to(real.dtype) - real
        return error.square().mean() if self.config.pixel == "mse" else error.abs().mean()

    def discriminator_loss(self, batch: Batch, step: Step) -> Terms:
        """Equation 2, for D."""
        with torch.no_grad():
            fake = self.G(self.inputs(batch, step))
        return {"adversarial": losses.non_saturating.discriminator(self.D(self.targets(batch, step)), self.D(fake))}

    def generator_loss(self, batch: Batch, step: Step) -> Terms:
        """Equation 3: content loss + 1e-3 adversarial loss."""
        c, real = self.config, self.targets(batch, step)
        fake = self.G(self.inputs(batch, step)).to(real.dtype)
        content = (fake - real).square().mean() if c.content == "mse" else self.distance(fake, real).mean()
        adversarial = losses.non_saturating.generator(self.D(fake))
        terms = {"content": content * c.content_weight, "adversarial": adversarial * c.adversarial_weight}
        if c.pixel_weight:
            terms["pixel"] = self.pixel_error(fake, real) * c.pixel_weight
        return terms
