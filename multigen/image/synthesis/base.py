"""What all methods that make pictures from noise share: settings, data, augmentation, what is looked at.

A method derives from `PictureTrainer`, and states only what differs: networks, losses, stages.
"""

import functools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Literal, TypeVar

import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from multigen.data.datasets import Sets
from multigen.engine import Batch, Callback, Step
from multigen.errors import ConfigError
from multigen.image.datasets import ImageSet, open_sets
from multigen.image.synthesis.augment import diff_augment, mirror, parse_policy
from multigen.image.synthesis.evaluator import nearest_picture, open_judge
from multigen.image.synthesis.sampler import Sampler, to_unit
from multigen.runs.card import Card
from multigen.tasks.synthesis import base as generation
from multigen.tasks.synthesis import sampler as sampling
from multigen.tasks.synthesis.base import RANGES, GenerationConfig, GenerationTrainer
from multigen.tasks.synthesis.evaluator import Judge

__all__ = ["PictureConfig", "PictureTrainer", "doublings", "load_sampler"]


@dataclass(frozen=True)
class PictureConfig(GenerationConfig):
    """Settings that all methods have."""

    data: str = "digits"
    """Training pictures: digits, mnist, cifar10, a folder (of folders, one a class), or an .npz file."""
    size: int = 32
    """Height and width of a picture, pixels."""
    channels: int = 0
    """1: grey, 3: colour, 0: as the pictures are."""
    mirror: bool = False
    """Show half of the pictures mirrored."""
    augment: str = ""
    """DiffAugment (arXiv:2006.10738) of what D sees: color, translation, cutout, joined by commas."""
    features: Literal["", "classifier", "efficientnet_lite0", "inception"] = ""
    """Network whose features are compared: a classifier trained on the labels, EfficientNet-lite0, or FID's Inception (extra
    fid). Empty: the classifier where there are labels, else EfficientNet-lite0."""

    any_size: ClassVar[bool] = False
    """Whether the networks take pictures of any size; the others double 4 pixels."""
    ranges = RANGES | {"size": 1}

    def __post_init__(self):
        super().__post_init__()
        if not self.any_size:
            doublings(self.size)


def doublings(size: int) -> int:
    """How often 4 pixels are doubled to give `size`. Raises ConfigError for sizes that are no power of two from 16 to 256."""
    if size not in (legal := [16, 32, 64, 128, 256]):
        nearest = sorted(sorted(legal, key=lambda s: abs(s - size))[:2])
        raise ConfigError(
            f"size {size}: the network doubles 4 pixels; the nearest it has are {nearest[0]} and {nearest[1]}"
        )
    return size.bit_length() - 3


C = TypeVar("C", bound=PictureConfig)


TOGETHER = 1_000  # pictures that are made smaller at a time


class PictureTrainer(GenerationTrainer[C]):
    """Trains G to make pictures (B, C, size, size) in -1..1 that D takes for real ones."""

    sampler = Sampler
    noun = Sampler.noun

    def default_callbacks(self) -> Sequence[Callback]:
        return [Card()]

    def open_sets(self) -> Sets[ImageSet]:
        parse_policy(self.config.augment)
        sets = open_sets(self.config)
        self.config = replace(self.config, channels=sets.train.images.shape[1])
        return sets

    def open_judge(self, sets: Sets[ImageSet]) -> Judge[ImageSet]:
        return open_judge(sets, self.config.samples, self.device, self.config.features, self.classifier_steps)

    def reals(self, batch: Batch, step: Step) -> Tensor:
        """Real pictures (B, C, H, W) in -1..1, some of them mirrored if so configured."""
        image = to_unit(batch["image"].to(step.dtype))
        return mirror(image, step.rand("mirror", 1, 1, 1)) if self.config.mirror else image

    def augmented(self, items: Tensor, step: Step, stream: str) -> Tensor:
        """Pictures (B, C, H, W) through the configured DiffAugment."""
        policy = parse_policy(self.config.augment)
        return diff_augment(items, policy, step.rand, stream, self.augment_share(step)) if policy else items

    def augment_share(self, step: Step) -> float:
        """Probability of each transformation of DiffAugment."""
        return 1.0

    def coarse(self, items: Tensor) -> Tensor:
        """Pixels averaged to 16 x 16: (N, C, H, W) -> (N, 256 C)."""
        return adaptive_avg_pool2d(items, 16).flatten(1)

    def outlines(self, items: ImageSet) -> Tensor:
        """Pixels averaged to 16 x 16: (N, 256 C)."""
        return torch.cat([self.coarse(to_unit(images.float())) for images in items.images.split(TOGETHER)])

    def illustrate(self, samples: sampling.Sampler) -> None:
        """Writes `nearest.png`: samples above the training pictures nearest to them."""
        nearest_picture(samples.sample(16), self.judge).save(self.folder / "nearest.png")


load_sampler = functools.partial(generation.load_sampler, Sampler)
"""`multigen.tasks.synthesis.base.load_sampler` of pictures."""
