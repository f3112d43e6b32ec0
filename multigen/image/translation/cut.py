"""CUT: a translation learnt without pairs, in one direction. Park et al. 2020, arXiv:2007.15651.

    python -m multigen.recipes.cut                                # colours of photographs, offline
    python -m multigen.recipes.cut default --data A/ --target B/  # your own two folders
    python -m multigen.recipes.cut fast --data A/ --target B/     # FastCUT: half the time of a step

The features of a patch of G's image, by G's own encoder, must be nearer to those of the input's
patch at the same place than to those at other places. D sees whether patches are such as those of
B.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from multigen.engine import Adam, Batch, Stage, Step, Terms, Update
from multigen.engine.optimisers import Optimiser
from multigen.image.translation.base import ImageTranslationConfig, ImageTranslationTrainer
from multigen.image.translation.networks import PatchDiscriminator, ResNetGenerator
from multigen.losses import least_squares, patch_nce

__all__ = ["PRESETS", "CUTConfig", "CUTTrainer", "PatchHeads"]

FIFTH = 5  # residual block whose features are compared, beside those of the first; the last one of fewer
SIDE = 256  # of the vectors that are compared, and of the hidden layer before them


@dataclass(frozen=True)
class CUTConfig(ImageTranslationConfig):
    generator: Literal["resnet"] = "resnet"
    """The paper's network."""
    nce_weight: float = 1.0
    """Weight of the contrastive loss (10 in FastCUT)."""
    identity: bool = True
    """Whether half of that loss is of images of B given to G, which keeps what is of B already (not
    in FastCUT)."""
    flip: bool = False
    """Whether G gets mirrored images in half of the steps, whose features are mirrored back (in
    FastCUT)."""
    positions: int = 256
    """Patches of an image that are compared in each layer."""
    temperature: float = 0.07
    """Divides the similarities."""

    ranges = ImageTranslationConfig.ranges | {"nce_weight": 0, "positions": 2, "temperature": (1e-3, 100)}


PRESETS = {
    "tiny": CUTConfig(
        task="swap", validation_size=0, size=40, crop=24, width=4, blocks=1, discriminator_width=4, discriminator_layers=2,
        batch=2, positions=16, steps=20,
    ),
    "laptop": CUTConfig(
        task="swap", validation_size=0, size=144, crop=64, width=12, blocks=3, shortcut=True, discriminator_width=16,
        discriminator_layers=2, batch=4, steps=4_000, lr=5e-4,
    ),
    "default": CUTConfig(width=32, batch=2, steps=60_000),
    "fast": CUTConfig(width=32, batch=2, nce_weight=10.0, identity=False, flip=True, steps=60_000),
    "paper": CUTConfig(steps=540_000),
}  # fmt: skip


class PatchHeads(nn.Module):
    """Perceptrons of two layers, `heads`, one for each layer whose features are compared: (B, S, C)
    -> (B, S, 256).

    Args:
        channels: C of each layer.
    """

    def __init__(self, channels: tuple[int, ...]):
        super().__init__()
        self.heads = nn.ModuleList(
            [nn.Sequential(nn.Linear(count, SIDE), nn.ReLU(), nn.Linear(SIDE, SIDE)) for count in channels]
        )
        for parameter in self.parameters():
            if parameter.dim() > 1:
                nn.init.xavier_normal_(parameter, gain=0.02)
            else:
                nn.init.zeros_(parameter)


class CUTTrainer(ImageTranslationTrainer[CUTConfig]):
    """Trains G for one direction, and heads for the features that are compared."""

    G: ResNetGenerator
    D: nn.Module
    H: PatchHeads
    name = "cut"

    def generator(self) -> ResNetGenerator:
        return ResNetGenerator(self.config.width, self.config.blocks, self.config.shortcut)

    def networks(self) -> dict[str, nn.Module]:
        c = self.config
        channels = (3, 2 * c.width, *(4 * c.width for _ in self.taps[1:]))
        D = PatchDiscriminator(3, c.discriminator_width, c.discriminator_layers)
        return {"G": self.generator(), "D": D, "H": PatchHeads(channels)}

    @property
    def taps(self) -> tuple[int, ...]:
        """Layers of G's encoder whose features are compared, beside the pixels: both halvings, the
        first and the fifth block."""
        return tuple(dict.fromkeys((1, 2, 3, 2 + min(FIFTH, self.config.blocks))))

    def optimisers(self) -> Optimiser:
        return Adam(self.rate(), self.config.betas)

    def stages(self) -> list[Stage]:
        return [
            Stage("adversarial", self.config.steps, [
                Update("discriminator", trains=["D"],      loss=self.discriminator_loss),
                Update("generator",     trains=["G", "H"], loss=self.generator_loss),
            ], best=self.best_distance()),
        ]  # fmt: skip

    def images(self, batch: Batch, step: Step) -> tuple[Tensor, Tensor]:
        """What G is given, and what it should give, each for itself, (B, 3, crop, crop) in
        -1..1."""
        given, expected = self.config.direction
        return self.domain(given, batch, step), self.domain(expected, batch, step)

    def discriminator_loss(self, batch: Batch, step: Step) -> Terms:
        """Loss of D, halved as in the paper's code."""
        given, real = self.images(batch, step)
        with torch.no_grad():
            fake = self.G(given).to(real.dtype)
        return {"adversarial": least_squares.discriminator(self.D(real), self.D(fake))}

    def generator_loss(self, batch: Batch, step: Step) -> Terms:
        """Equation 5. `least_squares` halves the error, the paper does not."""
        c, (given, real) = self.config, self.images(batch, step)
        mirrored = c.flip and bool(torch.rand((), generator=step.rng("flip")) < 0.5)
        inputs = torch.cat([given, real]) if c.identity else given
        outputs = self.G(inputs.flip(3) if mirrored else inputs).to(real.dtype)
        fake = outputs[: len(given)]
        query = [x.flip(3) if mirrored else x for x in self.features(outputs)]
        with torch.no_grad():
            key = self.features(inputs)
        weight = c.nce_weight / (2 if c.identity else 1)
        terms = {"adversarial": least_squares.generator(self.D(fake)) * 2}
        terms["nce"] = self.contrast(query, key, step, slice(0, len(given))) * weight
        if c.identity:
            terms["nce_identity"] = self.contrast(query, key, step, slice(len(given), None)) * weight
        return terms

    def features(self, image: Tensor) -> list[Tensor]:
        """The image (B, 3, H, W), and what the compared layers of G's encoder make of it, (B, C, h,
        w) each."""
        x, result = image, [image]
        for layer in range(self.taps[-1] + 1):
            x = self.G.encoder[layer](x)
            result += [x] if layer in self.taps else []
        return result

    def contrast(self, query: list[Tensor], key: list[Tensor], step: Step, rows: slice) -> Tensor:
        """The mean over layers of the contrastive loss of some rows, at positions drawn for each
        layer; 0-d."""
        losses = []
        for i, (head, q, k) in enumerate(zip(self.H.heads, query, key, strict=True)):
            draw = torch.randperm(q.shape[2] * q.shape[3], generator=step.rng(f"positions/{i}"))
            positions = draw[: self.config.positions].to(q.device)
            q, k = (head(x[rows].flatten(2)[:, :, positions].mT) for x in (q, k))  # (B, S, 256)
            losses.append(patch_nce(q, k, self.config.temperature))
        return torch.stack(losses).mean()
