"""DCGAN: a stable convolutional GAN. Radford et al. 2016, arXiv:1511.06434.

    python -m multigen.recipes.dcgan                          # embedded digits (minutes)
    python -m multigen.recipes.dcgan paper --data photos/     # the settings of the paper

Strided convolutions in place of pooling, batch norm in both networks but at the images, ReLU in G,
leaky ReLU in D (section 3). Conditioned on classes or clusters, G takes them beside z, and D
projects them on its features (arXiv:1802.05637).
"""

from dataclasses import dataclass
from itertools import pairwise

from torch import Tensor, nn

from multigen import losses
from multigen.engine import Adam, Batch, Linear, Optimiser, Step, Terms
from multigen.image.synthesis.base import ImageSynthesisConfig, ImageSynthesisTrainer, doublings
from multigen.tasks.synthesis.conditioning import ProjectionHead, with_class

__all__ = ["PRESETS", "DCGANConfig", "DCGANTrainer", "Discriminator", "Generator"]


@dataclass(frozen=True)
class DCGANConfig(ImageSynthesisConfig):
    latent: int = 100
    """Dimensions of z ~ N(0, I) (uniform in the paper)."""
    width: int = 64
    """Channels of the layers at the highest resolution; they double with each halving (128 in the
    paper, at 64 pixels)."""
    lr: tuple[float, float] = (2e-4, 2e-4)
    """Learning rate at the beginning and at the end, in between a straight line (constant in the
    paper)."""
    betas: tuple[float, float] = (0.5, 0.999)
    """Betas of Adam (section 4)."""


LAPTOP = {"lr": (4e-3, 4e-4), "betas": (0.5, 0.99), "ema": 0.998, "clusters": 20}
PRESETS = {
    "tiny": DCGANConfig(width=8, batch=16, steps=20, ema=0.9, samples=100),
    "laptop": DCGANConfig(width=32, latent=24, batch=128, steps=2_400, **LAPTOP),
    "default": DCGANConfig(size=64, steps=50_000),
    "paper": DCGANConfig(size=64, width=128, batch=128, steps=100_000, ema=0.0),
}


class Generator(nn.Module):
    """z (B, latent), label (B,) -> image (B, channels, size, size) in -1..1."""

    def __init__(self, latent: int, width: int, size: int, channels: int, classes: int = 0):
        super().__init__()
        self.classes = classes
        widths = [width << i for i in reversed(range(doublings(size)))]
        first = nn.ConvTranspose2d(latent + classes, widths[0], 4, bias=False)
        layers: list[nn.Module] = [nn.Unflatten(1, (latent + classes, 1, 1)), first]  # (B, top, 4, 4)
        for before, after in pairwise(widths):  # -> (B, width, size / 2, size / 2)
            layers += [nn.BatchNorm2d(before), nn.ReLU(True), nn.ConvTranspose2d(before, after, 4, 2, 1, bias=False)]
        layers += [nn.BatchNorm2d(width), nn.ReLU(True), nn.ConvTranspose2d(width, channels, 4, 2, 1), nn.Tanh()]
        self.layers = nn.Sequential(*layers).apply(initialise_)

    def forward(self, z: Tensor, label: Tensor | None = None) -> Tensor:
        return self.layers(with_class(z, label, self.classes))


class Discriminator(nn.Module):
    """image (B, channels, size, size) in -1..1, label (B,) -> logit (B,)."""

    def __init__(self, width: int, size: int, channels: int, classes: int = 0, norm: bool = True):
        super().__init__()
        widths = [width << i for i in range(doublings(size))]
        layers: list[nn.Module] = [nn.Conv2d(channels, width, 4, 2, 1), nn.LeakyReLU(0.2, True)]
        for before, after in pairwise(widths):  # (B, width, size / 2, size / 2) -> (B, top, 4, 4)
            layers.append(nn.Conv2d(before, after, 4, 2, 1, bias=not norm))
            layers += [*([nn.BatchNorm2d(after)] if norm else []), nn.LeakyReLU(0.2, True)]
        self.layers = nn.Sequential(*layers, nn.Flatten()).apply(initialise_)  # (B, 16 top)
        self.head = ProjectionHead(16 * widths[-1], classes).apply(initialise_)

    def forward(self, image: Tensor, label: Tensor | None = None) -> Tensor:
        return self.head(self.layers(image), label)


def initialise_(module: nn.Module) -> None:
    """Weights from N(0, .02^2), those of batch norm from N(1, .02^2) (section 4)."""
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear | nn.Embedding | nn.BatchNorm2d):
        nn.init.normal_(module.weight, float(isinstance(module, nn.BatchNorm2d)), 0.02)


class DCGANTrainer(ImageSynthesisTrainer[DCGANConfig]):
    """Trains G to generate images that D takes for real ones."""

    name = "dcgan"

    def generator(self) -> Generator:
        return Generator(self.config.latent, self.config.width, *self.shape)

    def discriminator(self) -> Discriminator:
        return Discriminator(self.config.width, *self.shape)

    def optimisers(self) -> Optimiser:
        return Adam(Linear(*self.config.lr), self.config.betas)

    def discriminator_loss(self, batch: Batch, step: Step) -> Terms:
        real, fake, label = self.pairs(batch, step)
        return {"adversarial": losses.non_saturating.discriminator(self.D(real, label), self.D(fake, label))}

    def generator_loss(self, batch: Batch, step: Step) -> Terms:
        fake, label = self.fakes(batch, step)
        return {"adversarial": losses.non_saturating.generator(self.best(self.D(fake, label), step))}
