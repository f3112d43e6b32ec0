"""Base trainer of image synthesis: settings, data, augmentation, evaluation.

A method derives from `ImageSynthesisTrainer`, and states only what differs: networks, losses,
optimisers.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, TypeVar

import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from multigen.engine import Batch, Callback, Step
from multigen.errors import ConfigError
from multigen.image.datasets import ImageSet, open_images
from multigen.image.perceptual import given_weights
from multigen.image.synthesis.augment import diff_augment, mirror, parse_policy
from multigen.image.synthesis.evaluator import nearest_picture, open_evaluator
from multigen.image.synthesis.sampler import ImageSampler, to_unit
from multigen.runs.card import Card
from multigen.storage.files import fingerprint
from multigen.storage.output import replacing
from multigen.tasks.synthesis.base import SynthesisTrainer
from multigen.tasks.synthesis.evaluator import Evaluator
from multigen.tasks.synthesis.sampler import Sampler
from multigen.tasks.synthesis.settings import RANGES, SynthesisConfig, SynthesisInfo

__all__ = ["ImageInfo", "ImageSynthesisConfig", "ImageSynthesisTrainer", "doublings"]

TOGETHER = 1_000  # images that are made smaller at a time


@dataclass(frozen=True)
class ImageSynthesisConfig(SynthesisConfig):
    """Settings common to all methods."""

    data: str = "digits"
    """Training images: digits, mnist, cifar10, a folder (of folders, one per class), or an .npz
    file."""
    size: int = 32
    """Height and width of an image, pixels."""
    channels: int = 0
    """1: grey, 3: colour, 4: colour with opacity, 0: as the images are, on white."""
    frames: Literal["first", "all"] = "first"
    """Of animations and of TIFF files with many pages: the first one, or each as an image."""
    mirror: bool = False
    """Mirror half of the real images."""
    augment: str = ""
    """Augmentations of what D sees, joined by commas: DiffAugment's color, translation, cutout
    (arXiv:2006.10738); ADA's blit, bg, bgc (arXiv:2006.06676)."""
    features: Literal["", "classifier", "efficientnet_lite0", "inception", "squeezenet1_1", "vgg34"] = ""
    """Network whose features are compared: a classifier trained on the labels, EfficientNet-lite0,
    FID's Inception (extra fid), or one whose weights are given. Empty: the classifier where there
    are labels, else EfficientNet-lite0."""
    perceptual_weights: str = ""
    """Safetensors file of VGG19 (torchvision's keys); if given, the distance and the coverage in
    its features (`vgg34`) are also evaluated."""
    squeezenet_weights: str = ""
    """Safetensors file of SqueezeNet 1.1 (torchvision's keys); likewise (`squeezenet1_1`)."""

    any_size: ClassVar[bool] = False
    """Whether the networks take images of any size; the others double 4 pixels."""
    ranges = RANGES | {"size": 1}

    def __post_init__(self):
        super().__post_init__()
        parse_policy(self.augment)
        if not self.any_size:
            doublings(self.size)

    @property
    def sides(self) -> tuple[int, int]:
        """Height and width of an image, pixels."""
        return self.size, self.size


def doublings(size: int) -> int:
    """Number of doublings from 4 pixels to `size`. Raises ConfigError for sizes that are no power
    of two from 16 to 256."""
    if size not in (legal := [16, 32, 64, 128, 256]):
        nearest = sorted(sorted(legal, key=lambda s: abs(s - size))[:2])
        raise ConfigError(
            f"size {size}: the network doubles 4 pixels; the nearest it has are {nearest[0]} and {nearest[1]}"
        )
    return size.bit_length() - 3


@dataclass(frozen=True)
class ImageInfo(SynthesisInfo):
    """Properties of the opened images."""

    channels: int = 3
    """1: grey, 3: colour, 4: colour with opacity."""

    def __post_init__(self):
        if self.channels not in (1, 3, 4):
            raise ConfigError(f"channels {self.channels}: expected 1, grey, 3, colour, or 4, colour with opacity")


C = TypeVar("C", bound=ImageSynthesisConfig)


class ImageSynthesisTrainer(SynthesisTrainer[C]):
    """Trains G to generate images (B, C, H, W) in -1..1 that D takes for real ones."""

    task = "image-synthesis"
    sampler = ImageSampler
    data_info: ImageInfo = ImageInfo()

    def default_callbacks(self) -> Sequence[Callback]:
        return [Card()]

    def open_items(self, data: str, split: str, labels: str, like: ImageSet | None) -> ImageSet:
        c = self.config
        channels = c.channels if like is None else like.images.shape[1]
        return open_images(
            data, c.sides, split=split, channels=channels, labels=labels, skip_bad=c.skip_bad, frames=c.frames
        )

    def describe_data(self) -> ImageInfo:
        train = self.splits.train
        return ImageInfo(train.fingerprint(), train.classes, channels=train.images.shape[1])

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape that networks are built for: side in pixels, channels, and number of classes or
        clusters."""
        return self.config.size, self.data_info.channels, self.conditions

    def open_evaluator(self) -> Evaluator[ImageSet]:
        c = self.config
        weights = given_weights(vars(c))
        self.files = {name: fingerprint(file) for name, file in weights.items()}
        return open_evaluator(self.splits, c.samples, self.device, c.features, self.extractor_steps, weights)

    def to_network(self, batch: Batch, step: Step) -> Tensor:
        """Real images (B, C, H, W) in -1..1, some of them mirrored if so configured."""
        image = to_unit(batch["image"].to(step.dtype))
        return mirror(image, step.rand("mirror", 1, 1, 1)) if self.config.mirror else image

    def augment(self, items: Tensor, step: Step, stream: str) -> Tensor:
        """Images (B, C, H, W) through the configured augmentations."""
        policy = parse_policy(self.config.augment)
        return diff_augment(items, policy, step.rand, stream, self.augment_share(step)) if policy else items

    def augment_share(self, step: Step) -> float:
        """Probability of each transformation of `augment`."""
        return 1.0

    def collapse_features(self, items: Tensor) -> Tensor:
        """Pixels averaged to 16 x 16: (N, C, H, W) -> (N, 256 C)."""
        return adaptive_avg_pool2d(items, 16).flatten(1)

    def cluster_features(self, items: ImageSet) -> Tensor:
        """Pixels averaged to 16 x 16: (N, 256 C)."""
        parts = items.images.split(TOGETHER)
        return torch.cat([self.collapse_features(to_unit(images.float())) for images in parts])

    def save_figures(self, samples: Sampler) -> None:
        """Writes `nearest.png`: samples above the training images nearest to them."""
        with replacing(self.folder / "nearest.png") as file:
            nearest_picture(samples.sample(16), self.evaluator).save(file)
