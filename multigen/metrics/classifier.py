"""A small classifier that the package trains on the labelled data: it scores samples, and extracts
features for `multigen.metrics.distances`.

It needs no download, is specific to the data, and takes anything laid out as planes: images,
spectrograms. Features of two classifiers are not comparable, so values compare only within one data
set.
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
"""Default number of training steps."""

ToInput = Callable[[Tensor], Tensor]
"""Stored items (B, C, H, W), e.g. uint8 -> the classifier's input, e.g. floats in -1..1; same
shape."""


class Classifier(nn.Module):
    """Four convolutions of stride 2 with batch norm, the mean over positions, a linear layer: (B,
    C, H, W) -> (B, K) logits.

    Accepts any height and width; it is accurate only for those it was trained with.

    Args:
        channels: C.
        classes: K.
        width: channels of the first convolution; the next have 2, 4 and 4 times as many, so D = 4 *
            width.
    """

    def __init__(self, channels: int, classes: int, width: int = 32):
        super().__init__()
        widths = (channels, width, 2 * width, 4 * width, 4 * width)
        blocks = [_block(a, b) for a, b in pairwise(widths)]
        self.body = nn.Sequential(*blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.head = nn.Linear(4 * width, classes)

    def features(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, D), at least 0: the input of the last layer."""
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
    """Trains with AdamW and a one-cycle learning rate (Smith & Topin 2017, arXiv:1708.07120); on a
    CPU the same seed gives the same weights. Global random state is unchanged.

    Args:
        inputs: items (N, C, H, W), uint8 or float, on any device.
        labels: int64 (N,), 0..classes-1.
        classes: K, at least 2.
        to_input: see `ToInput`; applied to each batch on `device`.
        steps, batch: number of batches, and items per batch.
        seed: seed of the weights, the order of the items and their shifts.
        device: device to train on; in bfloat16 where the hardware supports it.
        lr: maximum learning rate.
        shift: maximum shift of an item in either direction, pixels (its border is repeated); 0:
            none.
        width: see `Classifier`.

    Returns:
        The classifier on `device`, in eval mode.

    Raises:
        ConfigError: fewer than 2 classes, no steps, or batches of fewer than 2 items.
        DataError: items or labels of an unexpected shape, dtype or number.
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
    """(B, C, H, W), each item shifted by its own number (B,) of pixels, its border repeated."""
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
            f"labels {labels.dtype} {tuple(labels.shape)} of {len(inputs)} items: expected int64 ({len(inputs)},), one per item"
        )
    if labels.min() < 0 or labels.max() >= classes:
        raise DataError(
            f"labels from {labels.min()} to {labels.max()}: expected 0..{classes - 1}; number the classes from 0"
        )
