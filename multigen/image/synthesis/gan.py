"""GAN: the first one, on perceptrons. Goodfellow et al. 2014, arXiv:1406.2661, algorithm 1.

    python -m multigen.recipes.gan                            # embedded digits (minutes)
    python -m multigen.recipes.gan --loss minimax             # G's loss of equation 1
    python -m multigen.recipes.gan paper --data mnist         # maxout, dropout, momentum

G is a perceptron of rectifiers; D is one of leaky rectifiers or, as in the paper, of maxout with
dropout (Goodfellow et al. 2013, arXiv:1302.4389). Both take images as vectors: 784 numbers at 28 x
28. With batch norm in G and dropout in D (`laptop`, `default`) they learn digits in minutes.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

from torch import Tensor, nn

from multigen import losses
from multigen.config import BELOW_ONE
from multigen.engine import SGD, Adam, Batch, Step, Terms
from multigen.engine.optimisers import Optimiser
from multigen.errors import ConfigError
from multigen.image.synthesis.base import ImageSynthesisConfig, ImageSynthesisTrainer
from multigen.tasks.synthesis.conditioning import ProjectionHead, with_class

__all__ = ["PRESETS", "Discriminator", "GANConfig", "GANTrainer", "Generator", "Maxout"]


@dataclass(frozen=True)
class GANConfig(ImageSynthesisConfig):
    any_size: ClassVar[bool] = True
    size: int = 28
    """Height and width of an image, pixels; any."""
    latent: int = 100
    width: int = 512
    """Units of the hidden layers (1,200 in the paper)."""
    loss: Literal["non_saturating", "minimax"] = "non_saturating"
    """What G minimises: -log D(G(z)) (end of section 3), or log(1 - D(G(z))) (equation 1)."""
    maxout: bool = False
    """Maxout and dropout in D, momentum in place of Adam, as in the paper."""
    norm: bool = False
    """Batch norm in the hidden layers of G."""
    dropout: float = 0.0
    """Share of the hidden units of D that are left out in training."""
    lr: float = 2e-4
    """Learning rate (.1 in the paper, with momentum)."""
    betas: tuple[float, float] = (0.5, 0.999)
    """Betas of Adam; with `maxout` the first is the momentum."""

    ranges = ImageSynthesisConfig.ranges | {"dropout": (0, BELOW_ONE)}

    def __post_init__(self):
        super().__post_init__()
        if self.norm and self.batch < 2:
            raise ConfigError(
                f"batch {self.batch}: batch norm needs 2 images or more; set --batch 2, or leave it out: --no-norm"
            )


PRESETS = {
    "tiny": GANConfig(width=32, batch=16, steps=20, ema=0.9, samples=100),
    "laptop": GANConfig(norm=True, dropout=0.3, steps=12_000, ema=0.998),
    "default": GANConfig(norm=True, dropout=0.3, steps=100_000),
    "paper": GANConfig(width=1200, maxout=True, batch=100, steps=300_000, lr=0.1, ema=0.0),
}


class Generator(nn.Module):
    """z (B, latent), label (B,) -> image (B, channels, size, size) in -1..1."""

    def __init__(self, latent: int, width: int, size: int, channels: int, classes: int = 0, norm: bool = False):
        super().__init__()
        self.classes = classes
        layers: list[nn.Module] = []
        for before in (latent + classes, width):
            layers += [nn.Linear(before, width), *([nn.BatchNorm1d(width)] if norm else []), nn.ReLU()]
        layers += [nn.Linear(width, channels * size * size), nn.Tanh(), nn.Unflatten(1, (channels, size, size))]
        self.layers = nn.Sequential(*layers)

    def forward(self, z: Tensor, label: Tensor | None = None) -> Tensor:
        return self.layers(with_class(z, label, self.classes))


class Maxout(nn.Module):
    """(B, D) -> (B, units): each unit is the largest of `pieces` linear functions."""

    def __init__(self, inputs: int, units: int, pieces: int = 5):
        super().__init__()
        self.linear = nn.Linear(inputs, units * pieces)
        self.units = units

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x).unflatten(1, (self.units, -1)).amax(2)  # (B, units, pieces) -> (B, units)


class Discriminator(nn.Module):
    """image (B, channels, size, size) in -1..1, label (B,) -> logit (B,)."""

    def __init__(
        self, width: int, size: int, channels: int, classes: int = 0, maxout: bool = False, dropout: float = 0.0
    ):
        super().__init__()
        inputs = channels * size * size
        if maxout:  # 240 units of 5 pieces, dropout of half of them, and of a fifth of the image
            layers: list[nn.Module] = [nn.Dropout(0.2), Maxout(inputs, 240), nn.Dropout(0.5), Maxout(240, 240)]
            layers.append(nn.Dropout(0.5))
            width = 240
        else:
            layers = []
            for before in (inputs, width):
                layers += [nn.Linear(before, width), nn.LeakyReLU(0.2), *([nn.Dropout(dropout)] if dropout else [])]
        self.layers = nn.Sequential(nn.Flatten(), *layers)
        self.head = ProjectionHead(width, classes)

    def forward(self, image: Tensor, label: Tensor | None = None) -> Tensor:
        return self.head(self.layers(image), label)


class GANTrainer(ImageSynthesisTrainer[GANConfig]):
    """Trains G to generate images that D takes for real ones."""

    name = "gan"

    def generator(self) -> Generator:
        return Generator(self.config.latent, self.config.width, *self.shape, self.config.norm)

    def discriminator(self) -> Discriminator:
        return Discriminator(self.config.width, *self.shape, self.config.maxout, self.config.dropout)

    def optimisers(self) -> Optimiser:
        c = self.config
        return SGD(c.lr, c.betas[0]) if c.maxout else Adam(c.lr, c.betas)

    def discriminator_loss(self, batch: Batch, step: Step) -> Terms:
        """Minus equation 1."""
        real, fake, label = self.pairs(batch, step)
        return {"adversarial": losses.LOSSES[self.config.loss].discriminator(self.D(real, label), self.D(fake, label))}

    def generator_loss(self, batch: Batch, step: Step) -> Terms:
        fake, label = self.fakes(batch, step)
        return {"adversarial": losses.LOSSES[self.config.loss].generator(self.best(self.D(fake, label), step))}
