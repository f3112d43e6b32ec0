"""Sample-quality metrics of images: distances to real ones in a feature space, coverage, copies of
training data.

Networks give features, and each distance carries its network's name: `efficientnet_lite0`
(ImageNet, installed with the package), `classifier` (trained here on the labelled training images),
`inception` (of the FID of the literature, by torch-fidelity: extra `fid`), `squeezenet1_1` and
`vgg34` (whose weights the user gives).
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from multigen.data.datasets import Splits, report_compared, with_skipped
from multigen.engine.device import choose_device
from multigen.engine.evaluation import Evaluation
from multigen.errors import ConfigError
from multigen.image.backbones import POOLED, colour_squares, pooled_features
from multigen.image.datasets import ImageSet, open_images
from multigen.image.perceptual import WEIGHTS_OF, given_weights, open_perceptual
from multigen.image.synthesis.sampler import grid, to_unit
from multigen.metrics import distances as features
from multigen.metrics.classifier import STEPS
from multigen.storage.cache import private_folder
from multigen.storage.files import fingerprint, sha256_of
from multigen.storage.reading import UnreadableFile
from multigen.tasks.synthesis import evaluator as evaluator
from multigen.tasks.synthesis.evaluator import Evaluator
from multigen.tasks.synthesis.extractors import Extractor, by_classifier, embed

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

__all__ = ["EXTRACTORS", "compare", "compare_data", "nearest_picture", "open_evaluator", "open_extractor"]

EXTRACTORS = {
    "efficientnet_lite0": POOLED,
    "classifier": "a small convolutional network trained here on the labelled training images, 128 features",
    "inception": "Inception v3 of the FID of Heusel et al. 2017, 2,048 features, through torch-fidelity",
    "squeezenet1_1": "SqueezeNet 1.1 (ImageNet), the mean over positions of its last 512 features as the distance of that name "
    "compares them, of images resized to 96 x 96",
    "vgg34": "VGG19 (ImageNet) at conv3_4, the mean over positions of 256 features as the distance of that name compares "
    "them, of images resized to 64 x 64",
}
POOLED_SIDES = {"squeezenet1_1": 96, "vgg34": 64}  # pixels that images have for these networks
SIZE = 64  # pixels, where no size is given
INCEPTION = (
    "https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/weights-inception-2015-12-05-6726825d.pth",
    "6726825d",  # first digits of its SHA-256
)


# ---------------------------------------------------------------------------------------------------- extractors


def open_extractor(
    name: str,
    train: ImageSet | None,
    device: torch.device,
    steps: int = STEPS,
    weights: Mapping[str, Path] = MappingProxyType({}),
) -> Extractor:
    """An extractor by its name in `EXTRACTORS`.

    Args:
        train: has the labelled images for `classifier`, trained for `steps`.
        weights: files of `squeezenet1_1` and `vgg34`, by the settings that name them.
    """
    if name == "classifier":
        if train is None or train.labels is None:
            raise ConfigError("extractor classifier: the images have no labels; take efficientnet_lite0")
        return by_classifier(
            "classifier", train, lambda image: image, lambda image: to_unit(image.float()), device, steps=steps
        )
    if name == "inception":
        return _inception(device)
    if name in POOLED_SIDES:
        return _pooled(name, weights.get(WEIGHTS_OF[name]), device)
    if name != "efficientnet_lite0":
        raise ConfigError(f"extractor {name!r}: expected one of {', '.join(EXTRACTORS)}")
    return _efficientnet(device)


def _efficientnet(device: torch.device) -> Extractor:
    features_of = pooled_features(device)
    return Extractor(lambda image: (features_of(_on_white(image)), None), ["96 pixels"])


def _pooled(name: str, file: Path | None, device: torch.device) -> Extractor:
    """The last features of a perceptual distance; without a file as `open_perceptual`."""
    distance, side = open_perceptual(name, str(file) if file else None).to(device), POOLED_SIDES[name]

    def extract(image: Tensor) -> tuple[Tensor, None]:
        return distance.features(colour_squares(_on_white(image), side) / 255)[-1].mean((2, 3)), None

    return Extractor(extract, [f"{side} pixels", fingerprint(file) if file else "torchvision"])


def _inception(device: torch.device) -> Extractor:
    try:
        from torch_fidelity.feature_extractor_inceptionv3 import (  # pyright: ignore[reportMissingImports]
            FeatureExtractorInceptionV3,
        )

        weights = private_folder() / INCEPTION[0].rpartition("/")[2]
        if not weights.exists():
            torch.hub.download_url_to_file(INCEPTION[0], str(weights), hash_prefix=INCEPTION[1])
        if not sha256_of(weights).startswith(INCEPTION[1]):  # a pickle, so only the published file is accepted
            raise UnreadableFile(f"{weights} is not the published file; remove it to download it again")
        network = FeatureExtractorInceptionV3("inception", ["2048", "logits_unbiased"], str(weights)).to(device)
    except (ImportError, OSError, RuntimeError) as error:
        raise ConfigError(
            f"extractor inception: not available ({error}); pip install 'multigen[fid]' and connect to a network, once, or "
            "take efficientnet_lite0"
        ) from error

    def extract(image: Tensor) -> tuple[Tensor, Tensor | None]:
        h, logits = network(_on_white(image).expand(-1, 3, -1, -1))
        return h, logits.softmax(1)

    return Extractor(extract, ["torch-fidelity's resizing"])


def _on_white(image: Tensor) -> Tensor:
    """Images uint8 (B, C, H, W); those of four channels laid on white, (B, 3, H, W)."""
    if image.shape[1] != 4:
        return image
    colours, opacity = image[:, :3].float(), image[:, 3:].float() / 255
    return (colours * opacity + 255 * (1 - opacity)).round().to(torch.uint8)


# ---------------------------------------------------------------------------------------------------- measures


def compare(
    name: str,
    real: ImageSet,
    fake: ImageSet,
    device: torch.device,
    weights: Mapping[str, Path] = MappingProxyType({}),
) -> Evaluation:
    """Two sets of images of one size in the features of the extractor `name` (see
    `evaluator.compare` of the task); `weights` as for `open_extractor`."""

    def opened(name: str, train: ImageSet, device: torch.device) -> Extractor:
        return open_extractor(name, train, device, STEPS, weights)

    return evaluator.compare(name, real, fake, device, opened, _about([name], real))


def compare_data(
    real: str,
    fake: str,
    name: str,
    device: str,
    skip_bad: bool,
    size: int = SIZE,
    frames: str = "first",
    perceptual_weights: str = "",
    squeezenet_weights: str = "",
) -> Evaluation:
    """As `compare`, of two data arguments, whose images are cut and resized to squares of `size`
    pixels first.

    Raises ConfigError for a file of weights that the extractor `name` does not use.
    """
    weights = given_weights({"perceptual_weights": perceptual_weights, "squeezenet_weights": squeezenet_weights})
    for setting in weights:
        if WEIGHTS_OF.get(name) != setting:
            takers = " or ".join(each for each in POOLED_SIDES if WEIGHTS_OF[each] == setting)
            flag = f"--{setting.replace('_', '-')}"
            raise ConfigError(f"{flag}: not for --features {name}; give --features {takers}, or leave it out")
    labels = ("" if name == "classifier" else "none", "none")
    sets = [
        open_images(data, size, channels=3, labels=which, skip_bad=skip_bad, frames=frames)
        for data, which in zip((real, fake), labels, strict=True)
    ]
    for data, images in zip((real, fake), sets, strict=True):
        report_compared(data, images)
    return with_skipped(compare(name, sets[0], sets[1], choose_device(device), weights), *sets)


def open_evaluator(
    sets: Splits[ImageSet],
    samples: int,
    device: torch.device,
    name: str = "",
    steps: int = STEPS,
    weights: Mapping[str, Path] = MappingProxyType({}),
) -> Evaluator[ImageSet]:
    """Measures generators on the images of one run (see
    `multigen.tasks.synthesis.evaluator.Evaluator`).

    Args:
        name: of `EXTRACTORS`; empty: `classifier` where there are labels, else
            `efficientnet_lite0`.
        steps: of the classifier's training.
        weights: as for `open_extractor`; the networks whose weights are given measure as well, and
            beside them `efficientnet_lite0`.
    """
    name = name or ("efficientnet_lite0" if sets.train.labels is None else "classifier")
    given = [each for each in POOLED_SIDES if WEIGHTS_OF[each] in weights]
    names = dict.fromkeys([name, *["efficientnet_lite0"] * bool(given), *given])
    extract, *others = [open_extractor(each, sets.train, device, steps, weights) for each in names]
    also = dict(zip([*names][1:], others, strict=True))
    return Evaluator(sets, samples, device, name, extract, _about([*names], sets.test), _to_input, also)


def nearest_picture(images: Tensor, by: Evaluator[ImageSet]) -> "Picture":
    """Samples (N, C, H, W) uint8 in the upper row, the training image nearest to each, in features,
    below it."""
    neighbours = features.nearest(embed(by.extract, images, by.device)[0], by.features_of(by.splits.train))[1]
    return grid(torch.cat([images, by.splits.train.images[neighbours]]), columns=len(images))


def _about(names: Sequence[str], images: ImageSet) -> str:
    """Description of one extractor, or of several with their names, and of the images."""
    texts = [EXTRACTORS.get(name, name) for name in names]
    named = texts if len(texts) == 1 else [f"{name}, {text}" for name, text in zip(names, texts, strict=True)]
    return f"features: {'; '.join(named)}; cut to {_shape(images)}"


def _shape(images: ImageSet) -> str:
    """ "squares of 64 pixels", or "64 x 96 pixels"."""
    height, width = images.images.shape[2:]
    opacity = ", on white" if images.images.shape[1] == 4 else ""
    return (f"squares of {height} pixels" if height == width else f"{height} x {width} pixels") + opacity


def _to_input(image: Tensor) -> Tensor:
    return to_unit(image).contiguous(memory_format=torch.channels_last)
