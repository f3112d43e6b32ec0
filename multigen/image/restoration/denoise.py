"""Denoising: removes noise and JPEG artefacts of unknown strength.
Zhang et al. 2017 (DnCNN), arXiv:1608.03981.

    python -m multigen.recipes.denoise                           # embedded photographs (minutes)
    python -m multigen.recipes.denoise default --data photos/    # your own photographs
    python -m multigen.recipes.denoise paper --data photos/      # the paper's network

A generator learns the difference between a photograph and a corrupted copy, which is made again for
each crop: Gaussian noise, JPEG compression, or both, of strengths drawn from ranges. An adversarial
stage may follow (`steps`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from torch import Tensor, nn

from multigen.engine import Batch, Callback, Run, Step
from multigen.errors import ConfigError
from multigen.image.degrade import Degrade
from multigen.image.files import Photo
from multigen.image.restoration.adversarial import AdversarialRestorationConfig, AdversarialRestorationTrainer
from multigen.image.restoration.corruption import (
    compressed,
    draws_of,
    nl_means,
    noisy,
    to_bytes,
    to_grey,
    total_variation,
)
from multigen.image.restoration.crops import CropSource
from multigen.image.restoration.networks import CompactGenerator, UNetDiscriminator
from multigen.image.restoration.test_sets import MadeInputs, TestSet, open_test_sets
from multigen.image.restoration.upscaler import Restorer
from multigen.image.sheets import strip
from multigen.tasks.restoration.base import Restore, Skipped

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

__all__ = ["PRESETS", "DenoiseConfig", "DenoiseTrainer", "DnCNN"]

SIGMAS, QUALITIES = (15, 25, 50), (10, 20, 30, 40)
"""Noise and JPEG quality of the test sets: those of the literature."""
GRID = 16  # pixels after which JPEG's blocks of brightness and of colour repeat
UNSHUFFLE = 2  # side of the squares of pixels that the compact generator takes as channels
CHARBONNIER = 1e-3  # where the loss turns from a square to a line


@dataclass(frozen=True)
class DenoiseConfig(AdversarialRestorationConfig):
    crop: int = 64
    """Side of the crops, pixels, a multiple of 8. They are cut out of larger compressed ones, so
    that the JPEG block grid has a random offset."""
    corruption: Literal["noise", "jpeg", "both"] = "both"
    """Degradation of the inputs: Gaussian noise, JPEG compression, or one third each of noise,
    JPEG, and noise followed by JPEG."""
    sigma: tuple[float, float] = (0.0, 55.0)
    """Range of the noise's standard deviation, of 255 (0 to 55 in the paper)."""
    quality: tuple[float, float] = (5.0, 95.0)
    """Range of the JPEG quality, 1 to 100 (5 to 99 in the paper)."""
    grey: float = 0.25
    """Share of grey crops, with the same noise in all channels; 1: a model for grey images."""
    stored: float = 0.5
    """Share of noisy crops quantised to 8 bits, as in files (0 in the paper)."""
    generator: Literal["compact", "dncnn"] = "compact"
    """Generator: our network at half resolution, several times faster, or the paper's."""
    blocks: int = 12
    """Residual blocks of the generator; dncnn: convolutions (17 in the paper, 20 for unknown
    noise)."""
    width: int = 48
    """Channels of the generator (64 in the paper)."""
    discriminator_width: int = 32
    """Channels of the discriminator's first layer."""
    pixel: Literal["l1", "charbonnier", "mse"] = "l1"
    """Pixel loss (mse in the paper)."""
    pretrain_lr: float = 1e-3
    """Learning rate of the first stage; falls to 0 along half a cosine."""
    steps: int = 0
    """Steps of the adversarial stage, which adds texture at the cost of PSNR; 0: none."""

    ranges = AdversarialRestorationConfig.ranges | {
        "grey": (0, 1),
        "stored": (0, 1),
        "sigma": (0, 255),
        "quality": (1, 100),
    }
    crop_multiple = 8

    def __post_init__(self):
        super().__post_init__()
        for name in ("sigma", "quality"):
            low, high = getattr(self, name)
            if low > high:
                raise ConfigError(f"{name} {low:g} {high:g}: expected the smaller one first")
        if self.generator == "dncnn" and self.blocks < 2:
            raise ConfigError(f"blocks {self.blocks}: dncnn has a first and a last convolution, expected 2 or more")


PRESETS = {
    "tiny": DenoiseConfig(
        validation_size=0, crop=32, blocks=2, width=16, discriminator_width=8, batch=4, pretrain_steps=20, steps=4, ema=0.9
    ),
    "laptop": DenoiseConfig(validation_size=0, blocks=6, width=32, pretrain_steps=2_000),
    "default": DenoiseConfig(),
    "paper": DenoiseConfig(
        crop=40, corruption="noise", grey=1.0, stored=0.0, generator="dncnn", blocks=17, width=64, batch=64,
        pretrain_steps=1_000_000, pretrain_lr=1e-4, ema=0.0,
    ),
}  # fmt: skip


class DnCNN(nn.Module):
    """The network of figure 1: RGB (B, 3, H, W) in 0..1 -> the image minus the predicted
    noise. Grey images have three equal channels.

    Args:
        depth: number of convolutions: in the paper 17 for one noise level, 20 for a range.
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


class DenoiseTrainer(AdversarialRestorationTrainer[DenoiseConfig]):
    """Trains G to recover photographs from corrupted copies."""

    name = "denoise"
    task = "image-restoration"
    metrics = ("psnr", "ssim")

    def __init__(self, config: DenoiseConfig, run: Run | None = None, callbacks: Sequence[Callback] = ()):
        super().__init__(config, run, callbacks)
        self.degrades_whole = bool(config.low)  # pairs are trained on as they are

    # ---------------------------------------------------------------------------------- data

    def to_source(self, items: Sequence[Photo]) -> CropSource:
        c = self.config
        if c.low:
            return super().to_source(items)
        return CropSource(items, c.crop + self.margin, corrupt=self.corrupt, skip_bad=c.skip_bad)

    @property
    def margin(self) -> int:
        """Extra pixels of the crops that are corrupted, before they are cut to the size of
        batches."""
        return 0 if self.config.corruption == "noise" else GRID

    def corrupt(self, crop: Tensor, rng: np.random.Generator) -> dict[str, Tensor]:
        """Target and input from a crop larger by `margin`: the same random window of both, so that
        the offset of the JPEG block grid carries no information."""
        c = self.config
        target = to_grey(crop) if rng.random() < c.grey else crop
        image = self.corrupted(target, rng)
        top, left = rng.integers(max(1, self.margin), size=2)
        window = (slice(None), slice(top, top + c.crop), slice(left, left + c.crop))
        return {"target": target[window].contiguous(), "input": image[window].contiguous()}

    def corrupted(self, image: Tensor, rng: np.random.Generator) -> Tensor:
        """uint8 (3, H, W) with noise, JPEG artefacts, or both, drawn at random: float32 in 0..1,
        which noise may exceed."""
        c, x = self.config, image.float() / 255
        kind = rng.choice(("noise", "jpeg", "noise, jpeg")) if c.corruption == "both" else c.corruption
        if "noise" in kind:
            x = noisy(x, rng.uniform(*c.sigma), rng)
        if "jpeg" in kind:
            return compressed(x, rng.uniform(*c.quality))
        return to_bytes(x).float() / 255 if rng.random() < c.stored else x

    def inputs(self, batch: Batch, step: Step) -> Tensor:
        return super().inputs(batch, step) if self.config.low else batch["input"].to(step.dtype)

    def to_set(self, name: str, items: Sequence[Photo], skipped: Skipped | None) -> TestSet | None:
        """Test photographs with the training corruption, seeded by name; or given pairs."""
        if self.config.low:
            return super().to_set(name, items, skipped)
        whole = TestSet.of(name, items, 1, _unchanged, skipped)
        if whole is None:
            return None
        return _set_of(whole, name, self.config.grey == 1, lambda image, name: self.corrupted(image, draws_of(name)))

    def open_tests(self) -> list[TestSet]:
        """Each set in colour, and in grey (NAME-grey), with noise (NAME-noise15, ...) and as JPEG
        (NAME-jpeg10, ...)."""
        c = self.config
        makers: dict[str, Degrade] = {}
        if c.corruption != "jpeg":
            makers |= {f"noise{sigma}": partial(_with_noise, sigma=sigma) for sigma in SIGMAS}
        if c.corruption != "noise":
            makers |= {f"jpeg{quality}": partial(_as_jpeg, quality=quality) for quality in QUALITIES}
        colours = (*[False] * (c.grey < 1), *[True] * (c.grey > 0))
        return [
            _set_of(whole, f"{whole.name}{'-grey' * grey}-{kind}", grey, make)
            for whole in open_test_sets([*c.test, *self.own_tests()], 1, _unchanged)
            for grey in colours
            for kind, make in makers.items()
        ]

    def compare(self, restorers: Mapping[str, Restore], sets: Sequence[TestSet], path: Path) -> None:
        """One photograph of each of several sets, and one more."""
        if len(sets) > 1:
            sets = [test.only(i % len(test.names)) for i, test in enumerate(sets)]
        super().compare(restorers, sets, path)

    def restorer_of(self, network: nn.Module) -> "Denoiser":
        c = self.config
        return Denoiser(
            network, partial(_as_jpeg, quality=10) if c.corruption == "jpeg" else partial(_with_noise, sigma=25)
        )

    def baselines(self) -> dict[str, Restore]:
        """The input itself; for noise also non-local means, for JPEG total variation."""
        rows, corruption = super().baselines(), self.config.corruption
        rows |= {"nl_means": nl_means} if corruption != "jpeg" else {}
        return rows | ({"total_variation": total_variation} if corruption != "noise" else {})

    # ---------------------------------------------------------------------------------- networks and losses

    def generator(self) -> nn.Module:
        c = self.config
        return DnCNN(c.blocks, c.width) if c.generator == "dncnn" else CompactGenerator(1, c.blocks, c.width, UNSHUFFLE)

    def discriminator(self) -> UNetDiscriminator | None:
        return UNetDiscriminator(self.config.discriminator_width) if self.config.steps else None

    def pixel_error(self, fake: Tensor, reference: Tensor) -> Tensor:
        error = fake - reference
        if self.config.pixel == "charbonnier":
            return (error.square() + CHARBONNIER**2).sqrt().mean()
        return error.square().mean() if self.config.pixel == "mse" else error.abs().mean()


class Denoiser(Restorer):
    """A trained generator as a function of images, as `Restorer`. `corrupt` makes the
    inputs of its sheet."""

    def __init__(self, network: nn.Module, corrupt: Degrade):
        super().__init__(network)
        self.corrupt = corrupt

    def sheet(self, n: int, seed: int = 0) -> "Picture":
        return strip(self, 1, n, degrade=self.corrupt)


def _set_of(whole: TestSet, name: str, grey: bool, corrupt: Degrade) -> TestSet:
    """A test set of the same photographs, or of their luma, with corrupted inputs."""
    targets = tuple(map(to_grey, whole.targets)) if grey else whole.targets
    return replace(whole, name=name, targets=targets, inputs=MadeInputs(whole.names, targets, corrupt))


def _unchanged(image: Tensor, name: str) -> Tensor:
    return image


def _with_noise(image: Tensor, name: str, sigma: float) -> Tensor:
    """uint8 (3, H, W) with noise seeded by the name: float32, not clipped to 0..1, as in the
    literature."""
    return noisy(image.float() / 255, sigma, draws_of(name))


def _as_jpeg(image: Tensor, name: str, quality: float) -> Tensor:
    return compressed(image.float() / 255, quality)
