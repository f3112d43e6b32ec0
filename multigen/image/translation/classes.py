"""Whether a translated image is still of its class, by a classifier that knows both domains."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from multigen.engine.distributed import all_sum, rank, world
from multigen.image.translation.domains import DomainSet, DomainSource
from multigen.metrics.classifier import STEPS, train_classifier
from multigen.tasks.translation.base import Translate

__all__ = ["CLASS_KEPT", "Classify", "class_kept", "open_classifier"]

CLASS_KEPT = "class_kept"
Classify = Callable[[Tensor], str]
"""Image, uint8 (3, H, W) -> its class."""


def open_classifier(train: DomainSource, device: torch.device, steps: int = STEPS) -> Classify | None:
    """A classifier trained on the images of both domains; None where they have not the same
    classes, or not one size."""
    (a, b), images = train.labels, [*train.a, *train.b]
    names = sorted({*a, *b})
    if not a or {*a} != {*b} or len(names) < 2 or len({image.shape for image in images}) > 1:
        return None
    labels = torch.tensor([names.index(label) for label in (*a, *b)])
    network = train_classifier(torch.stack(images), labels, len(names), to_input=_to_input, steps=steps, device=device)

    @torch.no_grad()
    def classify(image: Tensor) -> str:
        return names[int(network(_to_input(image[None].to(device))).argmax())]

    return classify


def class_kept(
    translators: Mapping[str, Translate], items: DomainSet, classify: Classify, device: torch.device
) -> dict[str, float]:
    """Row -> share of the translated images of a set that are of the input's class. Ranks share the
    images; all get the result."""
    shares = {}
    for name, translate in translators.items():
        own = range(rank(), len(items.inputs), world())
        kept = sum(classify(translate(items.inputs[i])) == items.labels[i] for i in own)
        shares[name] = all_sum(torch.tensor(float(kept), device=device)).item() / len(items.inputs)
    return shares


def _to_input(image: Tensor) -> Tensor:
    return image.float() / 127.5 - 1
