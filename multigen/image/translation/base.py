"""Base trainer of image translation: settings, images of two domains, figures, images that show it.

A method derives from `ImageTranslationTrainer`, and states only what differs: networks, losses,
stages."""

import functools
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, TypeVar

import torch
from torch import Tensor, nn

from multigen.data.skipped import report_skipped
from multigen.engine import Batch, Best, Callback, DataInfo, Step
from multigen.engine.batches import Source
from multigen.engine.schedules import ConstantThenLinear, Schedule
from multigen.errors import ConfigError
from multigen.image.backbones import pooled_features
from multigen.image.perceptual import PerceptualDistance, given_weights, open_distances
from multigen.image.translation.classes import CLASS_KEPT, Classify, class_kept, open_classifier
from multigen.image.translation.domains import Domains, DomainSet, open_domains, task_of
from multigen.image.translation.evaluator import FEW, FRECHET, definitions, score, sheet
from multigen.image.translation.made import MADE, made_of
from multigen.image.translation.networks.discriminators import least_crop
from multigen.image.translation.translator import Translator
from multigen.metrics.classifier import STEPS
from multigen.runs.card import Card
from multigen.storage.files import fingerprint as hash_of_file
from multigen.storage.output import replacing
from multigen.tasks.translation.base import (
    RANGES,
    Direction,
    Translate,
    TranslationConfig,
    TranslationTrainer,
    other,
)

__all__ = ["ImageTranslationConfig", "ImageTranslationTrainer"]

ROWS = 6  # images of a preview, and of the comparison
SAMPLED = 200  # images of the training data whose mean and deviation are taken


@dataclass(frozen=True)
class ImageTranslationConfig(TranslationConfig):
    """Settings common to all methods."""

    data: str = "embedded"
    """Training images of domain A: a folder, a file, or "embedded"."""
    target: str = ""
    """Folder of the images of domain B; for methods that need pairs, under the same names."""
    task: Literal["none", "colour", "edges", "sketch", "blur", "segments", "swap", "night", "halves"] = "none"
    """How A is made of the images of `data`, which then are of domain B: their grey values, edges,
    a sketch, a blurred copy, a map of four colours, channels swapped, or night. halves: each is two
    images side by side, A to the left. Not used where `target` is given; nor are images made where
    `data` holds folders of A and of B."""
    size: int = 286
    """Shorter side to which images are resized, pixels; 0: as they are."""
    crop: int = 256
    """Side of the training crops, pixels."""
    mirror: bool = True
    """Mirror half of the crops left to right."""
    frames: Literal["first", "all"] = "first"
    """Of animations and of TIFF files with many pages: the first one, or each as an image."""
    generator: Literal["unet", "resnet"] = "resnet"
    """The network of pix2pix, or that of CycleGAN."""
    width: int = 64
    """Channels of the generator's first layer."""
    blocks: int = 9
    """Residual blocks of resnet."""
    shortcut: bool = False
    """Whether the last layer of resnet sees the image too, as that of unet does: detail stays where
    the network is narrow."""
    halvings: int = 8
    """Of height and width in unet."""
    discriminator_width: int = 64
    """Channels of the discriminator's first layer."""
    discriminator_layers: int = 3
    """Layers of the discriminator of stride 2: 3 for patches of 70 pixels, 2 for 34, 1 for 16."""
    lr: float = 2e-4
    """Learning rate; falls to 0 in the second half."""
    perceptual_weights: str = ""
    """Safetensors file of VGG19 (torchvision's keys); also measured with, if given."""
    squeezenet_weights: str = ""
    """Safetensors file of SqueezeNet 1.1 (torchvision's keys); if given, its distance is
    evaluated."""

    ranges = RANGES | {"size": 0, "crop": 8, "halvings": (1, 10), "discriminator_layers": (1, 5)}

    def __post_init__(self):
        super().__post_init__()
        multiple = 2**self.halvings if self.generator == "unet" else 4
        least = max(least_crop(self.discriminator_layers), multiple)
        if self.crop % multiple or self.crop < least:
            halvings = f", of which {self.halvings} halvings leave whole pixels" if self.generator == "unet" else ""
            raise ConfigError(
                f"crop {self.crop}: expected a multiple of {multiple}{halvings}, and for {self.discriminator_layers} "
                f"discriminator_layers at least {least}"
            )
        if 0 < self.size < self.crop:
            raise ConfigError(
                f"size {self.size}, crop {self.crop}: expected images not smaller than the crops, or size 0"
            )


C = TypeVar("C", bound=ImageTranslationConfig)


class ImageTranslationTrainer(TranslationTrainer[C]):
    """Trains generators of images (B, 3, H, W) in -1..1. They say in `multiple` of what their sides
    are multiples, and with `whole` and `radius` None that an output pixel may depend on all of the
    input."""

    task = "image-translation"
    sizes = ("crop", "width")
    paired: ClassVar[bool] = False
    """Whether batches hold pairs; else images of A and of B drawn each for itself."""
    domains: Domains
    distances: Sequence[PerceptualDistance]
    """Perceptual distances to evaluate with. No loss uses them."""
    features_of: Callable[[Tensor], Tensor]
    """Images (B, 3, H, W), 0..255 -> features by which sets of images are compared."""

    classifier_steps: int = STEPS
    """Training steps of the classifier that finds out whether classes are kept."""

    def default_callbacks(self) -> Sequence[Callback]:
        return [Card()]

    # ---------------------------------------------------------------------------------- what methods use

    def domain(self, name: str, batch: Batch, step: Step) -> Tensor:
        """Crops of domain "A" or "B", (B, 3, crop, crop) in -1..1."""
        return batch[name].to(step.dtype) / 127.5 - 1

    def rate(self) -> Schedule:
        """The learning rate of the papers: constant, and in the second half in a line to 0."""
        return ConstantThenLinear(self.config.lr, 0.0)

    # ---------------------------------------------------------------------------------- data

    def items(self) -> int:
        return len(self.domains.train)

    def open_data(self) -> Source:
        """Opens the images of both domains, and the distances that are measured."""
        c = self.config
        self.domains = open_domains(c, self.paired)
        report_skipped(list(self.domains.skipped), "images")
        self.validation, self.tests = self.domains.validation, self.domains.tests
        self.data_info = DataInfo(self.domains.fingerprint)
        self.held_out = self.domains.held_out
        weights = given_weights(vars(c))
        self.files = {name: hash_of_file(file) for name, file in weights.items()}
        dtype = torch.float64 if self.precision == "fp64" else torch.float32
        self.distances = open_distances("efficientnet_lite0", weights, self.device, dtype)
        self.features_of = pooled_features(self.device)
        return self.domains.train

    # ---------------------------------------------------------------------------------- evaluation

    def best_distance(self) -> Best | None:
        """Checkpoint selection of methods without pairs, to which the truth is hidden: by the
        Fréchet distance to the other domain; None with fewer validation images than it takes."""
        enough = self.validation is not None and len(self.validation.inputs) >= FEW
        return self.best(FRECHET) if enough else None

    def seen_from(self, items: DomainSet, direction: Direction) -> DomainSet:
        turned = items if direction == "AB" else items.turned()
        return turned if direction == self.config.direction else turned.named(f"{items.name}-{direction}")

    def translator_of(self, networks: Mapping[str, nn.Module]) -> Translator:
        c = self.config
        task = task_of(c)
        return Translator(networks, made_of(task) if task in MADE else None, side=c.size)

    def baselines(self, direction: Direction) -> dict[str, Translate]:
        """The input, and the input with mean and deviation of the other domain."""
        images = self.domains.train.b if direction == "AB" else self.domains.train.a
        some = range(min(SAMPLED, len(images)))
        moments = [torch.var_mean(images[i].flatten(1).double(), 1, correction=0) for i in some]  # one image at a time
        variances, means = (torch.stack(each) for each in zip(*moments, strict=True))
        mean = means.mean(0)
        deviation = (variances + (means - mean).square()).mean(0).sqrt()

        def matched(image: Tensor) -> Tensor:
            x = image.double()
            own = x.std((1, 2), correction=0).clamp(min=1)[:, None, None]
            x = (x - x.mean((1, 2), keepdim=True)) / own * deviation[:, None, None] + mean[:, None, None]
            return x.round().clamp(0, 255).to(torch.uint8)

        return {"input": lambda image: image, "moments": matched}

    def measure(
        self, translators: Mapping[str, Translate], sets: Sequence[DomainSet], needed: Collection[str] | None = None
    ) -> dict[str, dict[str, float]]:
        rows = score(translators, sets, self.distances, self.features_of, self.device, needed)
        for items in sets:
            if needed is None and items.labels and (classify := self.classify):
                for name, share in class_kept(translators, items, classify, self.device).items():
                    rows[name][f"{items.name}/{CLASS_KEPT}"] = share
        return rows

    @functools.cached_property
    def classify(self) -> Classify | None:
        """A classifier of the data's classes, where both domains have the same."""
        return open_classifier(self.domains.train, self.device, self.classifier_steps)

    def definitions(self) -> dict[str, str]:
        return definitions(self.distances)

    def compare(self, translators: Mapping[str, Translate], items: DomainSet, path: Path) -> None:
        inputs, truth = _shown(items)
        columns = {name: [translate(image) for image in inputs] for name, translate in translators.items()}
        self._write(columns | truth, path)

    def show(self, translator: Any, items: DomainSet, path: Path) -> None:
        """A, B(A), and the truth, where there is one, else A(B(A)), where both directions are
        trained."""
        ways: dict[str, Translator] = {way: translator.turned(way) for way in translator.networks}
        (first, second), (inputs, truth) = self.config.direction, _shown(items)
        there = [ways[self.config.direction](image) for image in inputs]
        columns = {first: inputs, f"{second}({first})": there}
        if other(self.config.direction) in ways:
            back = ways[other(self.config.direction)]
            columns[f"{first}({second}({first}))"] = [back(image) for image in there]
        self._write(columns | truth, path)

    def _write(self, columns: Mapping[str, Sequence[Tensor]], path: Path) -> None:
        with replacing(path.with_name(f"{path.name}.png")) as file:
            sheet(columns).save(file)


def _shown(items: DomainSet) -> tuple[list[Tensor], dict[str, list[Tensor]]]:
    """Inputs from all over a set, whose neighbours are often of one class or film, and the column
    of their truth, where there is one."""
    places = (
        [i * len(items.inputs) // ROWS for i in range(ROWS)] if len(items.inputs) > ROWS else range(len(items.inputs))
    )
    truth = {"truth": [items.targets[i] for i in places]} if items.paired else {}
    return [items.inputs[i] for i in places], truth
