"""A small classifier that the package trains itself on labelled data: an evaluator of samples, and an extractor of features for
`multigen.metrics.distances`.

It needs no download, knows the data at hand, and takes whatever can be laid out as planes: images, spectrograms. Features of
two of them are not comparable, so figures compare only within one set of data.
"""

from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from multigen.engine.batches import Stream, TensorSource
from multigen.engine.device import autocast, choose_precision
from multigen.engine.randomness import key, seed_everything
from multigen.errors import ConfigError, DataError

__all__ = ["STEPS", "Classifier", "train_classifier"]

STEPS = 600
"""Of training, by default."""

ToInput = Callable[[Tensor], Tensor]
"""What items are held as (B, C, H, W), e.g. uint8 -> what the classifier takes, e.g. floats in -1..1; same layout."""


class Classifier(nn.Module):
    """Four convolutions of stride 2 with batch norm, the mean over positions, a linear layer: (B, C, H, W) -> (B, K) logits.

    Any height and width; those it was trained with give the results to be expected.

    Args:
        channels: C.
        classes: K.
        width: channels of the first convolution; the next have 2, 4 and 4 times as many, so D = 4 * width.
    """

    def __init__(self, channels: int, classes: int, width: int = 32):
        super().__init__()
        widths = (channels, width, 2 * width, 4 * width, 4 * width)
        blocks = [_block(a, b) for a, b in pairwise(widths)]
        self.body = nn.Sequential(*blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.head = nn.Linear(4 * width, classes)

    def features(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, D), at least 0: what the last layer sees."""
        return self.body(x)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.features(x))


def _block(channels: int, width: int) -> nn.Sequential:
    conv = nn.Conv2d(channels, width, 3, stride=2, padding=1, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(width), nn.ReLU(inplace=True))


def train_classifier(
    inputs: Tensor,
    labels: Tensor,
    classes: int,
    *,
    to_input: ToInput,
    steps: int = STEPS,
    batch: int = 128,
    seed: int = 0,
    device: torch.device | str = "cpu",
    lr: float = 5e-3,
    shift: int = 2,
    width: int = 32,
) -> Classifier:
    """Trains with AdamW and a one-cycle learning rate (Smith & Topin 2017, arXiv:1708.07120); on a CPU the same seed gives the
    same weights. Global random state is left as it was.

    Args:
        inputs: items (N, C, H, W), uint8 or float, on any device.
        labels: int64 (N,), 0..classes-1.
        classes: K, at least 2.
        to_input: see `ToInput`; applied to each batch on `device`.
        steps, batch: number of batches and items in each.
        seed: of the weights, the order of the items and their shifts.
        device: where to train; where the hardware has it, in bfloat16.
        lr: the highest learning rate.
        shift: largest shift of an item in either direction, pixels (its border is repeated); 0: none.
        width: see `Classifier`.

    Returns:
        The classifier on `device`, in eval mode.

    Raises:
        ConfigError: fewer than 2 classes, no steps, or batches of fewer than 2 items.
        DataError: items or labels of another shape, kind or number than expected.
    """
    _check(inputs, labels, classes)
    if classes < 2 or steps < 1 or batch < 2 or shift < 0:
        raise ConfigError(
            f"a classifier of {classes} classes, {steps} steps of {batch} items, shift {shift}: expected at least 2 classes, "
            "1 step, 2 items and shift 0; give larger numbers"
        )
    device = torch.device(device)
    with torch.random.fork_rng(devices=[]):
        seed_everything(key(seed, "classifier", "weights"), torch.device("cpu"))
        model = Classifier(inputs.shape[1], classes, width)
    model.to(device, memory_format=torch.channels_last).train()  # pyright: ignore[reportCallIssue]
    optimiser = torch.optim.AdamW(model.parameters(), lr, weight_decay=0.01, fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, lr, total_steps=steps)
    precision = choose_precision("auto", device)
    batches = Stream(TensorSource({"input": inputs, "label": labels}), batch, slice(0, batch), (seed, "classifier"))
    for step in range(steps):
        items = {name: t.to(device) for name, t in batches.at(step).items()}
        draw = torch.Generator().manual_seed(key(seed, "classifier", "shift", step))
        by = torch.randint(-shift, shift + 1, (2, batch), generator=draw).to(device)
        with autocast(device, precision):
            logits = model(to_input(_shifted(items["input"], *by)))
        optimiser.zero_grad()
        F.cross_entropy(logits.float(), items["label"]).backward()
        optimiser.step()
        schedule.step()
    return model.eval()


def _shifted(items: Tensor, down: Tensor, right: Tensor) -> Tensor:
    """(B, C, H, W), each item moved by its own number (B,) of pixels, its border repeated."""
    count, channels, height, width = items.shape
    rows = (torch.arange(height, device=items.device) - down[:, None]).clamp(0, height - 1)  # (B, H)
    columns = (torch.arange(width, device=items.device) - right[:, None]).clamp(0, width - 1)  # (B, W)
    which = torch.arange(count, device=items.device)[:, None, None, None]
    planes = torch.arange(channels, device=items.device)[:, None, None]
    return items[which, planes, rows[:, None, :, None], columns[:, None, None, :]]


def _check(inputs: Tensor, labels: Tensor, classes: int) -> None:
    if inputs.ndim != 4 or not len(inputs):
        raise DataError(
            f"items of shape {tuple(inputs.shape)}: expected (N, C, H, W), at least one; lay them out as planes"
        )
    if labels.dtype != torch.int64 or labels.shape != inputs.shape[:1]:
        raise DataError(
            f"labels {labels.dtype} {tuple(labels.shape)} of {len(inputs)} items: expected int64 ({len(inputs)},), one an item"
        )
    if labels.min() < 0 or labels.max() >= classes:
        raise DataError(
            f"labels from {labels.min()} to {labels.max()}: expected 0..{classes - 1}; number the classes from 0"
        )
