"""pix2pix: its networks and losses, and a run."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from multigen.engine import Run
from multigen.engine.batches import Stream
from multigen.engine.plan import Step
from multigen.errors import ConfigError
from multigen.image.translation.pix2pix import PRESETS, Pix2PixConfig, Pix2PixTrainer
from tests import tiny

SMALL: dict[str, Any] = {"size": 0, "crop": 16, "width": 4, "halvings": 2, "discriminator_width": 4, "batch": 2}


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.photos(tmp_path_factory.mktemp("pix2pix") / "photos", count=4, side=24)


def prepared(photos: Path, **changes: Any) -> Pix2PixTrainer:
    config = replace(PRESETS["tiny"], data=str(photos), **{**SMALL, **changes})
    trainer = Pix2PixTrainer(config, Run(device="cpu", precision="fp32"))
    trainer.prepare()
    return trainer


def step_of(size: int = 2) -> Step:
    return Step((0, 0, "", "", 0, 0), 0.0, slice(0, size), size, torch.device("cpu"), torch.float32, lambda *_: None)


class Constant(nn.Module):
    """Gives a number everywhere."""

    def __init__(self, value: float, channels: int = 3):
        super().__init__()
        self.value, self.channels = value, channels

    def forward(self, image: Tensor) -> Tensor:
        return torch.full_like(image[:, : self.channels], self.value)


def test_the_losses_are_the_papers(photos: Path) -> None:
    trainer = prepared(photos, l1_weight=10.0)
    batch = Stream(trainer.data, 2, slice(0, 2), ("a",)).at(0)
    real = batch["B"].float() / 127.5 - 1
    trainer.G, trainer.G_l1, trainer.D = Constant(0.25), Constant(0.5), Constant(0.3, 1)
    step = step_of()
    assert trainer.discriminator_loss(batch, step)["adversarial"] == pytest.approx(
        (math.log(1 + math.exp(-0.3)) + math.log(1 + math.exp(0.3))) / 2
    )
    terms = trainer.generator_loss(batch, step)
    assert terms["adversarial"] == pytest.approx(math.log(1 + math.exp(-0.3)))
    assert terms["l1"] == pytest.approx(10 * (real - 0.25).abs().mean().item(), rel=1e-5)
    assert trainer.l1_loss(batch, step)["l1"] == pytest.approx((real - 0.5).abs().mean().item(), rel=1e-5)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"crop": 20, "halvings": 3}, "crop 20: expected a multiple of 8, of which 3 halvings leave whole pixels"),
        ({"crop": 16, "discriminator_layers": 3, "halvings": 2}, "for 3 discriminator_layers at least 24"),
        ({"crop": 22, "generator": "resnet"}, "crop 22: expected a multiple of 4"),
        ({"size": 20, "crop": 32, "halvings": 2}, "size 20, crop 32: expected images not smaller than the crops"),
        ({"dropout": 2.0}, "dropout"),
    ],
)
def test_settings_that_do_not_fit(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        replace(PRESETS["tiny"], **changes)


def test_the_default_is_the_papers_loss() -> None:
    c = Pix2PixConfig()
    assert (c.l1_weight, c.lr, c.betas, c.batch, c.width, c.halvings, c.crop) == (
        100,
        2e-4,
        (0.5, 0.999),
        1,
        64,
        8,
        256,
    )
