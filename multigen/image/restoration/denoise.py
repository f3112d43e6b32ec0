"""Denoising: removes noise and JPEG artefacts of unknown strength. Zhang et al. 2017 (DnCNN), arXiv:1608.03981.

    python -m multigen.recipes.denoise                           # embedded photographs, minutes on a laptop
    python -m multigen.recipes.denoise default --data photos/    # your own photographs
    python -m multigen.recipes.denoise paper --data photos/      # the paper's network and batches

A generator learns the difference between a photograph and a corrupted copy, which is made again for each crop: Gaussian noise,
JPEG compression, or both, of strengths drawn from ranges.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

import numpy as np
from torch import Tensor, nn

from multigen.data.datasets import hash_of
from multigen.engine import Adam, Batch, Stage, Step, Terms, Update
from multigen.engine.optimisers import Optimiser
from multigen.engine.schedules import Cosine
from multigen.errors import ConfigError
from multigen.image.degrade import Degrade
from multigen.image.files import Photo
from multigen.image.restoration.base import ImageRestorationConfig, ImageRestorationTrainer
from multigen.image.restoration.corruption import compressed, noisy, to_bytes, to_grey
from multigen.image.restoration.crops import CropSource
from multigen.image.restoration.networks import CompactGenerator
from multigen.image.restoration.test_sets import MadeInputs, TestSet, open_test_sets
from multigen.tasks.restoration.base import RANGES, Skipped

__all__ = ["PRESETS", "DenoiseConfig", "DenoiseTrainer", "DnCNN"]

GRID = 16
"""Pixels after which JPEG's blocks repeat: 8, and 16 of colours."""
SIGMAS, QUALITIES = (15, 25, 50), (10, 20, 30, 40)
"""Noise and JPEG quality of the test sets: those of the literature."""
UNSHUFFLE = 2  # side of the squares of pixels that the compact generator takes as channels
CHARBONNIER = 1e-3


@dataclass(frozen=True)
class DenoiseConfig(ImageRestorationConfig):
    crop: int = 64
    """Side of the crops, pixels. JPEG compresses larger ones, so that its blocks lie anywhere in them."""
    corruption: Literal["noise", "jpeg", "both"] = "both"
    """What inputs are made by: Gaussian noise, JPEG compression, or a third each by noise, by JPEG, and by JPEG after noise."""
    sigma: tuple[float, float] = (0, 55)
    """Range of the noise's standard deviation, of 255 (DnCNN-B: 0 to 55)."""
    quality: tuple[float, float] = (5, 95)
    """Range of the JPEG quality, 1 to 100."""
    grey: float = 0.25
    """Share of crops that are grey, with the same noise in all channels; 1: a model of grey images."""
    stored: float = 0.5
    """Share of noisy crops that are rounded and clipped as in a file of 8 bits (0 in the paper)."""
    generator: Literal["compact", "dncnn"] = "compact"
    """Our own network at half the resolution, several times faster, or the paper's."""
    blocks: int = 12
    """Residual blocks of the generator; dncnn: convolutions (17 in the paper, 20 for unknown noise)."""
    width: int = 48
    """Channels of the generator (64 in the paper)."""
    pixel: Literal["l1", "charbonnier", "mse"] = "l1"
    """Pixel loss (mse in the paper)."""
    pretrain_steps: int = 20_000
    """Steps of the first stage."""
    pretrain_lr: float = 1e-3
    """Learning rate of the first stage; falls to 0 along half a cosine."""
    steps: int = 0

    ranges = RANGES | {"steps": 0, "pretrain_steps": 0, "grey": (0, 1), "stored": (0, 1), "crop": 16}
    ranges |= {"sigma": (0, 255), "quality": (1, 100)}

    def __post_init__(self):
        super().__post_init__()
        for name, unit in (("sigma", "0 to 255"), ("quality", "1 to 100")):
            low, high = getattr(self, name)
            if low > high:
                raise ConfigError(f"{name} {low:g} {high:g}: expected the lower end first, of {unit}")
        if not self.pretrain_steps + self.steps:
            raise ConfigError("pretrain_steps 0, steps 0: nothing to train; expected steps in one of the stages")


PRESETS = {
    "tiny": DenoiseConfig(validation_size=0, crop=32, blocks=2, width=16, batch=4, pretrain_steps=20, ema=0.9),
    "laptop": DenoiseConfig(validation_size=0, blocks=6, width=32, pretrain_steps=2_000),
    "default": DenoiseConfig(),
    "paper": DenoiseConfig(
        crop=40, corruption="noise", grey=1.0, stored=0.0, generator="dncnn", blocks=17, width=64, batch=64,
        pretrain_steps=1_000_000, pretrain_lr=1e-4, ema=0.0,
    ),
}  # fmt: skip


class DnCNN(nn.Module):
    """The network of figure 1: RGB (B, 3, H, W) in 0..1 -> the same less its noise. Grey images have three equal channels.

    Args:
        depth: convolutions, 17 for one strength of noise and 20 for all in the paper.
    """

    def __init__(self, depth: int = 17, width: int = 64):
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(3, width, 3, padding=1), nn.ReLU()]
        for _ in range(depth - 2):
            layers += [nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
        self.noise = nn.Sequential(*layers, nn.Conv2d(width, 3, 3, padding=1))
        self.radius = depth  # pixels of the input, on each side, that an output may depend on

    def forward(self, image: Tensor) -> Tensor:
        return image - self.noise(image)


class DenoiseTrainer(ImageRestorationTrainer[DenoiseConfig]):
    """Trains G to give the photograph that an image was before it was corrupted."""

    name = "denoise"
    budget = ("pretrain_steps", "steps")
    degrades_whole = False
    metrics = ("psnr", "ssim")

    # ---------------------------------------------------------------------------------- data

    def to_source(self, items: Sequence[Photo]) -> CropSource:
        c = self.config
        return CropSource(items, c.crop + GRID, corrupt=self.corrupt, skip_bad=c.skip_bad)

    def corrupt(self, crop: Tensor, rng: np.random.Generator) -> dict[str, Tensor]:
        """Target and input of a crop that is larger by `GRID`: the same window of both, anywhere, so that nothing can be learnt
        from where the blocks of JPEG begin."""
        c = self.config
        target = to_grey(crop) if rng.random() < c.grey else crop
        image = self.draw(target, rng)
        top, left = rng.integers(GRID, size=2)
        window = (slice(None), slice(top, top + c.crop), slice(left, left + c.crop))
        return {"target": target[window].contiguous(), "input": image[window].contiguous()}

    def draw(self, image: Tensor, rng: np.random.Generator) -> Tensor:
        """A corrupted copy of uint8 (3, H, W), float32 in 0..1, but for noise that exceeds it."""
        c, x = self.config, image.float() / 255
        kind = rng.choice(("noise", "jpeg", "jpeg after noise")) if c.corruption == "both" else c.corruption
        if "noise" in kind:
            x = noisy(x, rng.uniform(*c.sigma), rng)
        if "jpeg" in kind:
            return compressed(x, rng.uniform(*c.quality))
        return to_bytes(x).float() / 255 if rng.random() < c.stored else x

    def inputs(self, batch: Batch, step: Step) -> Tensor:
        return batch["input"].to(step.dtype)

    def to_set(self, name: str, items: Sequence[Photo], skipped: Skipped | None) -> TestSet | None:
        """Each photograph corrupted as in training, but always in the same way."""
        whole = TestSet.of(name, items, 1, _unchanged, skipped)
        if whole is None:
            return None
        return corrupted(whole, name, self.config.grey == 1, lambda image, name: self.draw(image, generator_of(name)))

    def open_tests(self) -> Sequence[TestSet]:
        """Each set in colour, and in grey (NAME-grey), with noise (NAME-noise15, ...) and as JPEG (NAME-jpeg10, ...)."""
        c, sets = self.config, []
        for whole in open_test_sets([*c.test, *self.own_tests()], 1, _unchanged):
            for grey in (*[False] * (c.grey < 1), *[True] * (c.grey > 0)):
                name = f"{whole.name}{'-grey' * grey}"
                if c.corruption != "jpeg":
                    sets += [corrupted(whole, f"{name}-noise{s}", grey, partial(noisy_named, sigma=s)) for s in SIGMAS]
                if c.corruption != "noise":
                    sets += [corrupted(whole, f"{name}-jpeg{q}", grey, partial(as_jpeg, quality=q)) for q in QUALITIES]
        return sets

    # ---------------------------------------------------------------------------------- networks and stages

    def generator(self) -> nn.Module:
        c = self.config
        return DnCNN(c.blocks, c.width) if c.generator == "dncnn" else CompactGenerator(1, c.blocks, c.width, UNSHUFFLE)

    def optimisers(self) -> Optimiser:
        return Adam(lr=Cosine(self.config.pretrain_lr, 0.0), betas=self.config.betas)

    def stages(self) -> list[Stage]:
        c = self.config
        return [
            Stage("pretrain", c.pretrain_steps, [
                Update("generator", trains=["G"], loss=self.pixel_loss),
            ], best=self.best("psnr", "max")),
        ]  # fmt: skip

    def pixel_loss(self, batch: Batch, step: Step) -> Terms:
        return {"pixel": self.pixel_error(self.G(self.inputs(batch, step)), self.targets(batch, step))}

    def pixel_error(self, fake: Tensor, reference: Tensor) -> Tensor:
        error = fake.to(reference.dtype) - reference
        if self.config.pixel == "charbonnier":
            return (error.square() + CHARBONNIER**2).sqrt().mean()
        return error.square().mean() if self.config.pixel == "mse" else error.abs().mean()


def _unchanged(image: Tensor, name: str) -> Tensor:
    return image


def generator_of(name: str) -> np.random.Generator:
    """Draws that follow from the name: the same each time, for test sets."""
    return np.random.default_rng(int.from_bytes(hash_of(name, 0)[:8]))


def noisy_named(image: Tensor, name: str, sigma: float) -> Tensor:
    """uint8 (3, H, W) with noise drawn by its name, float32 in 0..1 and beyond, as the literature measures: not clipped."""
    return noisy(image.float() / 255, sigma, generator_of(name))


def as_jpeg(image: Tensor, name: str, quality: float) -> Tensor:
    return compressed(image.float() / 255, quality)


def corrupted(whole: TestSet, name: str, grey: bool, corrupt: Degrade) -> TestSet:
    """The set of the same photographs, or their luma, whose inputs are corrupted ones."""
    targets = tuple(to_grey(target) for target in whole.targets) if grey else whole.targets
    return replace(whole, name=name, targets=targets, inputs=MadeInputs(whole.names, targets, corrupt))
