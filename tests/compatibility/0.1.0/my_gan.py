# Copied from dcgan of multigen 0.1.0 with its recipe; yours to change.
#
#   python my_gan.py tiny --out runs/my_gan                                     # train; other presets and all flags: --help
#   torchrun --nproc-per-node 2 my_gan.py tiny                                  # the same in two processes
#   python my_gan.py --resume runs/my_gan                                       # go on where it was stopped
#   multigen sample --model runs/my_gan --code my_gan.py -n 64 --out samples/   # use what was trained
#   model = multigen.load("runs/my_gan", code="my_gan.py")                      # the same in Python
#   images = model.sample(16, seed=0)                                           # uint8 (16, C, H, W)

"""DCGAN: convolutional networks that train against each other stably. Radford et al. 2016, arXiv:1511.06434.

    python my_gan.py                           # embedded digits, minutes on a laptop
    python my_gan.py --conditional             # one asks for a class: needs labels
    python my_gan.py default --data photos/    # your own pictures, cut to squares
    python my_gan.py paper --data photos/      # the paper's networks and settings

Strided convolutions in place of pooling, batch norm in both networks but at the pictures, ReLU in G, leaky ReLU in D (section 3).
Told of classes, or of clusters, G sees them beside z and D projects it on its features (Miyato & Koyama 2018, arXiv:1802.05637).
"""

import functools
from dataclasses import dataclass

from torch import Tensor, nn

from multigen.engine import Adam, Batch, Stage, Step, Terms, Update, losses
from multigen.engine.optimisers import Optimiser
from multigen.engine.schedules import Linear
from multigen.image.generation import PictureConfig, PictureTrainer, doublings, load_sampler
from multigen.layers import ProjectionHead, with_class
from multigen.recipes.runner import main

__all__ = ["PRESETS", "DCGANConfig", "DCGANTrainer", "Discriminator", "Generator", "load_model"]


@dataclass(frozen=True)
class DCGANConfig(PictureConfig):
    latent: int = 100
    """Dimensions of z ~ N(0, I) (uniform in the paper)."""
    width: int = 64
    """Channels of the layers at the highest resolution; they double with each halving (128 in the paper, at 64 pixels)."""
    lr: tuple[float, float] = (2e-4, 2e-4)
    """Learning rate at the beginning and at the end, in between a straight line (constant in the paper)."""
    betas: tuple[float, float] = (0.5, 0.999)
    """Of Adam (section 4)."""


PRESETS = {
    "tiny": DCGANConfig(width=8, batch=16, steps=20, ema=0.9, samples=100),
    "laptop": DCGANConfig(
        width=32, latent=24, batch=128, steps=2_400, lr=(4e-3, 4e-4), betas=(0.5, 0.99), ema=0.998, clusters=20
    ),
    "default": DCGANConfig(size=64, steps=50_000),
    "paper": DCGANConfig(size=64, width=128, batch=128, steps=100_000, ema=0.0),
}


class Generator(nn.Module):
    """z (B, latent), label (B,) -> picture (B, channels, size, size) in -1..1."""

    def __init__(self, latent: int, width: int, size: int, channels: int, classes: int = 0):
        super().__init__()
        self.classes = classes
        levels = doublings(size)
        top = width << (levels - 1)
        layers: list[nn.Module] = [
            nn.Unflatten(1, (latent + classes, 1, 1)),
            nn.ConvTranspose2d(latent + classes, top, 4, bias=False),  # (B, top, 4, 4)
        ]
        for before in [top >> i for i in range(levels - 1)]:  # (B, top, 4, 4) -> (B, width, size / 2, size / 2)
            layers += [nn.BatchNorm2d(before), nn.ReLU(True)]
            layers.append(nn.ConvTranspose2d(before, before // 2, 4, 2, 1, bias=False))
        layers += [nn.BatchNorm2d(width), nn.ReLU(True), nn.ConvTranspose2d(width, channels, 4, 2, 1), nn.Tanh()]
        self.layers = nn.Sequential(*layers).apply(initialise_)

    def forward(self, z: Tensor, label: Tensor | None = None) -> Tensor:
        return self.layers(with_class(z, label, self.classes))


class Discriminator(nn.Module):
    """picture (B, channels, size, size) in -1..1, label (B,) -> logit (B,)."""

    def __init__(self, width: int, size: int, channels: int, classes: int = 0, norm: bool = True):
        super().__init__()
        halvings = doublings(size)
        layers: list[nn.Module] = [nn.Conv2d(channels, width, 4, 2, 1), nn.LeakyReLU(0.2, True)]
        for before in [width << i for i in range(halvings - 1)]:  # (B, width, size / 2, size / 2) -> (B, top, 4, 4)
            layers.append(nn.Conv2d(before, 2 * before, 4, 2, 1, bias=not norm))
            layers += [nn.BatchNorm2d(2 * before)] if norm else []
            layers.append(nn.LeakyReLU(0.2, True))
        top = width << (halvings - 1)
        self.layers = nn.Sequential(*layers, nn.Flatten()).apply(initialise_)  # (B, 16 top)
        self.head = ProjectionHead(16 * top, classes).apply(initialise_)

    def forward(self, image: Tensor, label: Tensor | None = None) -> Tensor:
        return self.head(self.layers(image), label)


def initialise_(module: nn.Module) -> None:
    """Weights from N(0, .02^2), those of batch norm from N(1, .02^2) (section 4)."""
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear | nn.Embedding):
        nn.init.normal_(module.weight, 0.0, 0.02)
    if isinstance(module, nn.BatchNorm2d):
        nn.init.normal_(module.weight, 1.0, 0.02)


class DCGANTrainer(PictureTrainer[DCGANConfig]):
    """Trains G to make pictures that D takes for real ones."""

    name = "my_gan"

    def networks(self) -> dict[str, nn.Module]:
        c = self.config
        return {"G": build_generator(c), "D": Discriminator(c.width, c.size, c.channels, c.number_of_classes)}

    def optimisers(self) -> Optimiser:
        start, end = self.config.lr
        return Adam(start if start == end else Linear(start, end), self.config.betas)

    def stages(self) -> list[Stage]:
        return [
            Stage("adversarial", self.config.steps, [
                Update("discriminator", trains=["D"], loss=self.discriminator_loss),
                Update("generator",     trains=["G"], loss=self.generator_loss),
            ], best=self.best(), controls=[self.collapse()]),
        ]  # fmt: skip

    def discriminator_loss(self, batch: Batch, step: Step) -> Terms:
        real, fake, label = self.pairs(batch, step)
        return {"adversarial": losses.non_saturating.discriminator(self.D(real, label), self.D(fake, label))}

    def generator_loss(self, batch: Batch, step: Step) -> Terms:
        fake, label = self.fakes(batch, step)
        fake = self.augmented(fake, step, "fake")
        return {"adversarial": losses.non_saturating.generator(self.D(fake, label))}


def build_generator(config: DCGANConfig) -> Generator:
    return Generator(config.latent, config.width, config.size, config.channels, config.number_of_classes)


load_model = functools.partial(load_sampler, DCGANConfig(), build_generator)
"""(configuration, weights, where) of a model folder -> the trained generator as a `Sampler`."""


TRAINER = DCGANTrainer

if __name__ == "__main__":
    main(TRAINER, PRESETS)
