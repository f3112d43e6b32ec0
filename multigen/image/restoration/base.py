"""Base trainer of image restoration: settings, data, degradations, perceptual distances, evaluation
and figures.

A method derives from `ImageRestorationTrainer`, and states its networks, losses and stages.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import ClassVar, Literal, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from multigen.console import say
from multigen.data.folders import NoTestSplit
from multigen.data.locate import locate
from multigen.data.parts import Parts, find_parts
from multigen.data.unread import report_unread
from multigen.engine import Batch, Callback, DataInfo, Step
from multigen.engine.batches import Source
from multigen.errors import ConfigError, DataError, MultigenError
from multigen.image.degrade import imresize, reduced
from multigen.image.files import (
    EMBEDDED_NAMES,
    IMAGE,
    Photo,
    Photos,
    find_images,
    fingerprint,
    open_photos,
    read_image,
)
from multigen.image.pairs import match_pairs
from multigen.image.perceptual import PerceptualDistance, given_weights, open_distances
from multigen.image.restoration.crops import CropSource
from multigen.image.restoration.evaluator import comparison, definitions, score
from multigen.image.restoration.test_sets import TestSet, open_test_photos, open_test_sets
from multigen.image.restoration.upscaler import Restorer, Upscaler
from multigen.runs.card import Card
from multigen.storage.files import fingerprint as hash_of_file
from multigen.storage.output import replacing
from multigen.tasks.loading import load
from multigen.tasks.restoration.base import RestorationConfig, RestorationTrainer, Restore, Skipped

__all__ = ["ImageRestorationConfig", "ImageRestorationTrainer", "to_unit"]

HELD_OUT = ("embedded-held-out",)


@dataclass(frozen=True)
class ImageRestorationConfig(RestorationConfig):
    """Settings common to all methods."""

    data: str = "embedded"
    """Training photographs: a folder, a file, or "embedded"."""
    test: tuple[str, ...] = HELD_OUT
    """Test sets for the final evaluation, never trained on: names or folders. Default: the test
    split of the data folder, if it has one."""
    splits: bool = True
    """Keep a data folder's own train, validation and test splits; off: train on all of its images,
    whatever their folders are called (name other test sets then)."""
    frames: Literal["first", "all"] = "first"
    """Frames of animations and of multi-page TIFF files: the first one, or each as an image."""
    low: str = ""
    """Folder of degraded inputs, paired with the photographs of `data` by name; empty: inputs are
    synthesised from the photographs."""
    crop: int = 96
    """Side of the training crops, pixels."""
    perceptual_weights: str = ""
    """Safetensors file of VGG19 (torchvision's keys); empty: torchvision's own, downloaded. If
    given, its distances are also evaluated."""
    squeezenet_weights: str = ""
    """Safetensors file of SqueezeNet 1.1 (torchvision's keys); if given, its distance is
    evaluated."""

    @property
    def distance(self) -> str:
        """The perceptual distance of the evaluation: a name of
        `multigen.image.perceptual.DEFINITIONS`."""
        return "efficientnet_lite0"


C = TypeVar("C", bound=ImageRestorationConfig)


class ImageRestorationTrainer(RestorationTrainer[C]):
    """Trains G to restore images: (B, 3, H, W) in 0..1 -> (B, 3, scale H, scale W). A generator
    states in `radius` the reach of its receptive field, pixels of the input on each side."""

    task = "super-resolution"
    sizes = ("crop", "width")
    degrades_whole: bool = True
    """Whether inputs are made by `degrade` from whole photographs, once each. If not, the method
    makes them from crops, again for each batch: in the data loader (`corrupt`) or on the device
    (`inputs`)."""
    metrics: ClassVar[tuple[str, ...]] = ("psnr_y", "ssim_y")
    """Full-reference metrics of `multigen.image.metrics`; the first selects checkpoints of the
    pixel-loss stage."""
    data: CropSource
    pairs: Mapping[str, Photo] = MappingProxyType({})
    """Name of a photograph -> its paired input, if the configuration names `low`."""
    distances: Sequence[PerceptualDistance]
    """Perceptual distances of the evaluation, the configured one first."""

    def default_callbacks(self) -> Sequence[Callback]:
        return [Card()]

    # ---------------------------------------------------------------------------------- what a method may state

    @property
    def scale(self) -> int:
        """Upscaling factor of G."""
        return 1

    def degrade(self, image: Tensor, name: str) -> Tensor:
        """The input, uint8 (3, H / scale, W / scale), for a whole photograph, uint8 (3, H, W), H
        and W multiples of the scale; by default bicubic downsampling. Deterministic, given
        photograph and name."""
        return reduced(image, self.scale)

    def input_of(self, image: Tensor, name: str) -> Tensor:
        """The input for a photograph of the training data, uint8 (3, H / scale, W / scale): its
        pair, or `degrade`."""
        if not self.config.low:
            return self.degrade(image, name)
        height, width = (side // self.scale for side in image.shape[1:])
        return read_image(self.pairs[name].path, self.pairs[name].frame)[:, :height, :width]

    def corrupt(self, crop: Tensor, rng: np.random.Generator) -> dict[str, Tensor]:
        """Additional batch entries for a target, uint8 (3, crop, crop), by name; used where
        `degrades_whole` is false."""
        return {}

    def inputs(self, batch: Batch, step: Step) -> Tensor:
        """Inputs of G, (B, 3, crop / scale, crop / scale) in 0..1."""
        return to_unit(batch["input"], step)

    # ---------------------------------------------------------------------------------- data

    def items(self) -> int:
        """Number of training photographs (batches are crops of them)."""
        return len(self.data.photos)

    def open_data(self) -> Source:
        """Opens photographs, test sets and perceptual distances."""
        source = super().open_data()
        c = self.config
        weights = given_weights(vars(c))
        self.files = {name: hash_of_file(file) for name, file in weights.items()}
        self.check_data()
        dtype = torch.float64 if self.precision == "fp64" else torch.float32
        self.distances = open_distances(c.distance, weights, self.device, dtype)
        return source

    @property
    def distance(self) -> PerceptualDistance:
        """The configured distance, for losses."""
        return self.distances[0]

    def open_items(self) -> Photos:
        """The training photographs. Reports the splits of a folder, and files that are not read."""
        c = self.config
        if parts := self.parts():
            report_unread(parts.root, IMAGE)
            parts.report_left("images")
            if parts.divided:
                own = self.own_tests()
                uses = [f"{parts.folders('train')} is trained on ({len(parts.train):,} photographs)"]
                uses += [f"{parts.folders('validation')} gives the best checkpoint"] if parts.validation else []
                uses += [f"{parts.folders('test')} is {'for the final evaluation' if own else 'not used'}"] * bool(
                    parts.test
                )
                say(f"{c.data}: {', '.join(uses)}")
        return self._open_split("train")

    def open_validation(self) -> Photos | None:
        if not self.config.splits:
            return None
        try:
            return self._open_split("validation")
        except NoTestSplit:
            return None

    def _open_split(self, split: Literal["train", "validation", ""]) -> Photos:
        """The photographs of a split, with their paired inputs if the configuration names `low`."""
        c = self.config
        split = split if c.splits else ""
        photos = open_photos(c.data, split=split, skip_bad=c.skip_bad, frames=c.frames)
        if c.low and not self.degrades_whole:
            raise ConfigError(
                f"low {c.low}: {self.name} makes its inputs itself; leave it out, or train srgan, or denoise"
            )
        if c.low:
            photos = self._paired(photos, open_photos(c.low, split=split, skip_bad=c.skip_bad, frames=c.frames))
        return photos

    def _paired(self, photos: Photos, low: Photos) -> Photos:
        """The photographs with an input among `low`, which `pairs` then has."""
        c = self.config
        skipped = [*photos.skipped, *low.skipped]
        remedy = f" in {c.low}, or leave out those without: --skip-bad"
        pairs = match_pairs(photos, low, self.scale, "low", skipped if c.skip_bad else None, remedy)
        if not pairs:
            raise DataError(f"low {c.low}: no image has the name and size of one in {c.data}; give each a pair")
        self.pairs = {**self.pairs, **pairs}
        return Photos((photo for photo in photos if photo.name in pairs), skipped)

    def parts(self) -> Parts | None:
        """The files of a data folder by their use; None if the data are not a folder, or one whose
        splits do not count."""
        data = self.config.data
        if not self.config.splits or data in EMBEDDED_NAMES:
            return None
        if not (place := locate(data, "a folder of images, or an image")).is_dir():
            return None
        return find_parts(place, find_images(place))

    def own_tests(self) -> tuple[str, ...]:
        """The data themselves, if they have a test split and no other test set is named."""
        c = self.config
        parts = self.parts() if c.test == HELD_OUT else None
        return (c.data,) if parts and parts.test else ()

    def open_tests(self) -> list[TestSet]:
        return open_test_sets([*self.config.test, *self.own_tests()], self.scale, self.degrade)

    def to_source(self, items: Sequence[Photo]) -> CropSource:
        degrade, corrupt = (self.input_of, None) if self.degrades_whole else (None, self.corrupt)
        return CropSource(items, self.config.crop, self.scale, degrade, corrupt=corrupt, skip_bad=self.config.skip_bad)

    def to_set(self, name: str, items: Sequence[Photo], skipped: Skipped | None) -> TestSet | None:
        return TestSet.of(name, items, self.scale, self.input_of, skipped)

    def describe_data(self, source: CropSource) -> DataInfo:
        c = self.config
        photos = [*source.photos, *(self.pairs[photo.name] for photo in source.photos if c.low)]
        return DataInfo(fingerprint(photos, contents=c.data not in EMBEDDED_NAMES))

    def fingerprint_held_out(self, held: Sequence[Photo]) -> str:
        c = self.config
        sets = [(held, c.data), *((open_test_photos(name), name) for name in (*c.test, *self.own_tests()))]
        return " ".join(fingerprint(photos, contents=name not in EMBEDDED_NAMES) for photos, name in sets)

    def targets(self, batch: Batch, step: Step) -> Tensor:
        """Crops of photographs (B, 3, crop, crop) in 0..1."""
        return to_unit(batch["target"], step)

    # ---------------------------------------------------------------------------------- evaluation

    def restorer_of(self, network: nn.Module) -> Restorer:
        return Restorer(network) if self.scale == 1 else Upscaler(network, self.scale)

    def baselines(self) -> dict[str, Restore]:
        """Bicubic interpolation, or the input itself at scale 1; and the model that training
        started from."""
        start = self._start() if self.run.start else {}
        if self.scale == 1:
            return {"input": lambda image: image, **start}
        return {"bicubic": lambda image: imresize(image, self.scale), **start}

    def _start(self) -> dict[str, Restore]:
        """The model that training started from, as {row name: model}; empty if it no longer
        exists."""
        try:
            model = load(self.run.start)
        except MultigenError as error:
            say(f"the model that training started from is not measured: {error}")
            return {}
        return {"start": model} if model.task == self.task and model.scale == self.scale else {}

    def measure(
        self, restorers: Mapping[str, Restore], sets: Sequence[TestSet], needed: Collection[str] | None = None
    ) -> dict[str, dict[str, float]]:
        """Evaluates `metrics` and those perceptual distances that are `needed`."""
        distances = [d for d in self.distances if needed is None or d.name in needed]
        return score(restorers, sets, distances, self.device, self.metrics)

    def definitions(self) -> dict[str, str]:
        return definitions(self.distances, self.metrics)

    def compare(self, restorers: Mapping[str, Restore], sets: Sequence[TestSet], path: Path) -> None:
        with replacing(path.with_name(f"{path.name}.png")) as file:
            comparison(restorers, *sets).save(file)


def to_unit(image: Tensor, step: Step) -> Tensor:
    """uint8 pixels to 0..1."""
    return image.to(step.dtype) / 255
