"""Features of real and of generated items: by a network that a modality gives, a part at a time, so
that features are kept, and not the items.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from multigen.console import say
from multigen.data.datasets import ItemSet
from multigen.metrics.classifier import STEPS, Classifier, train_classifier
from multigen.storage.cache import cached

__all__ = ["BATCH", "Extractor", "Made", "by_classifier", "embed", "embed_all", "embed_real"]

BATCH = 100  # items whose features are taken at a time


class Extractor(NamedTuple):
    """A feature extractor."""

    run: Callable[[Tensor], tuple[Tensor, Tensor | None]]
    """Items (B, ...), as stored in sets -> features (B, D), and class probabilities (B, K) where
    the network has classes."""
    key: Sequence[str | Tensor] = ()
    """What features depend on besides the items, as key of the cache: weights trained here, or a
    version."""


def by_classifier(
    kind: str,
    train: ItemSet,
    planes: Callable[[Tensor], Tensor],
    to_input: Callable[[Tensor], Tensor],
    device: torch.device,
    key: Sequence[str] = (),
    steps: int = STEPS,
) -> Extractor:
    """An extractor of a classifier's features, which is trained on labelled items once: the cache
    stores its weights.

    Args:
        kind: prefix of the file in the cache.
        train: items with labels.
        planes: items (B, ...), as stored in the set -> (B, C, H, W).
        to_input: planes -> the classifier's input, floats of the same shape.
        key: what `planes` depends on besides the items.
        steps: training steps.
    """
    labels, classes = train.labels, len(train.classes)
    assert labels is not None

    def train_weights() -> dict[str, Tensor]:
        say(f"training a classifier of {classes} classes on {train.name} to extract features")
        inputs = planes(train.items)
        return train_classifier(inputs, labels, classes, to_input=to_input, steps=steps, device=device).state_dict()

    network = Classifier(planes(train.items[:1]).shape[1], classes)
    weights = cached(kind, [train.items, labels, *key, steps], train_weights, like=network.state_dict())
    network.load_state_dict(weights)
    network.to(device).eval()

    def extract(items: Tensor) -> tuple[Tensor, Tensor | None]:
        h = network.features(to_input(planes(items)))
        return h, network.head(h).softmax(1)

    return Extractor(extract, [weights[name] for name in sorted(weights)])


class Made(NamedTuple):
    """Items that are made when their features are taken, so that never all of them are in
    memory."""

    count: int
    rows: Callable[[slice], Iterable[Tensor]]
    """The items of a slice, in tensors (n, ...) of any number."""

    def parts(self, rows: slice, size: int) -> Iterator[Tensor]:
        """The items of a slice, `size` in each part but the last."""
        held = torch.empty(0)
        for result in self.rows(rows):
            held = torch.cat([held, result]) if len(held) else result
            while len(held) >= size:
                yield held[:size]
                held = held[size:]
        if len(held):
            yield held


def embed(extract: Extractor, items: Tensor, device: torch.device, batch: int = BATCH) -> tuple[Tensor, Tensor | None]:
    """Features (N, D) and probabilities (N, K) or None of items (N, ...), on the CPU."""
    return embed_all([extract], items.split(batch), len(items), device)[0]


@torch.no_grad()
def embed_all(
    extractors: Sequence[Extractor], parts: Iterable[Tensor], count: int, device: torch.device
) -> list[tuple[Tensor, Tensor | None]]:
    """Features and probabilities by each extractor, of `count` items in parts (B, ...)."""
    # Written in their places at once: in lists, features would lie between the large tensors of the work on the next part, and
    # the C library would not use that memory again (of an hour of sound 1.8 GB).
    result, at = list[list[Tensor]](), 0
    for part in parts:
        outputs = [[t.float().cpu() for t in extract.run(part.to(device)) if t is not None] for extract in extractors]
        if not at:
            result = [[t.new_empty(count, *t.shape[1:]) for t in output] for output in outputs]
        for wholes, output in zip(result, outputs, strict=True):
            for whole, t in zip(wholes, output, strict=True):
                whole[at : at + len(part)] = t
        at += len(part)
    return [(wholes[0], wholes[1] if len(wholes) > 1 else None) for wholes in result]


def embed_real(
    name: str, extract: Extractor, items: Tensor, device: torch.device, batch: int = BATCH
) -> tuple[Tensor, Tensor | None]:
    """As `embed`, for real items: stored in the cache."""

    def compute() -> dict[str, Tensor]:
        h, probabilities = embed(extract, items, device, batch)
        return {"features": h} if probabilities is None else {"features": h, "probabilities": probabilities}

    with torch.no_grad():
        first = zip(("features", "probabilities"), extract.run(items[:1].to(device)), strict=True)
    like = {name: part.float().expand(len(items), -1) for name, part in first if part is not None}
    features_and_probabilities = cached(f"embedded-{name}", [items, *extract.key], compute, like)
    return features_and_probabilities["features"], features_and_probabilities.get("probabilities")
