"""Real-ESRGAN: its discriminator, what its batches hold, its losses, and a run."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn.functional import softplus

from multigen.engine import Run
from multigen.engine.batches import Stream
from multigen.errors import ConfigError
from multigen.image.restoration.blind import sharpened
from multigen.image.restoration.networks import UNetDiscriminator
from multigen.image.restoration.realesrgan import PRESETS, RealESRGANConfig, RealESRGANTrainer
from tests import tiny

SMALL: dict[str, Any] = {
    **{"crop": 32, "blocks": 1, "width": 4, "discriminator_width": 2, "batch": 2, "pretrain_steps": 2, "steps": 2},
    **{"scale": 2, "ema": 0.5},
}


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.photos(tmp_path_factory.mktemp("realesrgan") / "photos", count=3)


def prepared(photos: Path, **changes: Any) -> RealESRGANTrainer:
    config = replace(PRESETS["tiny"], data=str(photos), test=(str(photos),), **{**SMALL, **changes})
    trainer = RealESRGANTrainer(config, Run(device="cpu", precision="fp32"))
    trainer.prepare()
    return trainer


def test_the_discriminator_is_the_published_one() -> None:
    """4.38 million parameters; a logit for each pixel; weights of spectral norm 1."""
    network = UNetDiscriminator()
    assert sum(p.numel() for p in network.parameters()) == 4_376_897
    small: Any = UNetDiscriminator(4).train()
    for _ in range(30):
        logits = small(torch.rand(2, 3, 24, 32))
    assert logits.shape == (2, 1, 24, 32)
    norms = [
        torch.linalg.matrix_norm(layer.weight.flatten(1), 2).item() for layer in (*small.down, *small.up, *small.last)
    ]
    assert norms == pytest.approx([1.0] * 8, abs=0.05)


def test_batches_hold_photographs_their_sharpened_form_and_degraded_inputs(photos: Path) -> None:
    trainer = prepared(photos)
    batch = Stream(trainer.data, 2, slice(0, 2), ("a",)).at(0)
    assert {name: tuple(value.shape) for name, value in batch.items()} == {
        "target": (2, 3, 32, 32),
        "sharp": (2, 3, 32, 32),
        "input": (2, 3, 16, 16),
    }
    assert torch.equal(batch["sharp"][0], sharpened(batch["target"][0]))
    again = Stream(trainer.data, 2, slice(0, 2), ("a",)).at(0)
    assert all(torch.equal(batch[name], again[name]) for name in batch)
    assert not torch.equal(batch["input"], Stream(trainer.data, 2, slice(0, 2), ("b",)).at(0)["input"])
    plain = Stream(prepared(photos, sharpen=False).data, 2, slice(0, 2), ("a",)).at(0)
    assert torch.equal(plain["sharp"], plain["target"])


def test_the_discriminator_sees_photographs_and_the_pixel_loss_sharpened_ones(photos: Path) -> None:
    trainer = prepared(photos, pixel_weight=3.0, adversarial_weight=0.5)
    batch = Stream(trainer.data, 2, slice(0, 2), ("a",)).at(0)
    step = trainer.updater.step_at((0, 0, "adversarial", "generator", 0, 0), 0.0, slice(0, 2))
    D, G = trainer.nets["D"].eval(), trainer.nets["G"]
    with torch.no_grad():
        fake = G(batch["input"] / 255)
        real_logits, fake_logits = D(batch["target"] / 255), D(fake)
        terms = trainer.generator_loss(batch, step)
        assert terms["pixel"] == pytest.approx(3 * (fake - batch["sharp"] / 255).abs().mean().item(), rel=1e-5)
        assert terms["adversarial"] == pytest.approx(0.5 * softplus(-fake_logits).mean().item(), rel=1e-5)
        of_d = trainer.discriminator_loss(batch, step)["adversarial"]
    assert of_d == pytest.approx((softplus(-real_logits).mean() + softplus(fake_logits).mean()).item(), rel=1e-5)


def test_a_run_is_measured_clean_mild_and_strong(photos: Path, tmp_path: Path) -> None:
    config = replace(PRESETS["tiny"], data=str(photos), test=(str(photos),), **SMALL)
    run = Run(out=str(tmp_path / "run"), device="cpu", precision="fp32")
    rows = RealESRGANTrainer(config, run).fit().evaluate().rows
    assert list(rows) == ["bicubic", "pretrain/last", "adversarial/last"]
    bicubic = [rows["bicubic"][f"photos{name}/psnr_y"] for name in ("", "-mild", "-strong")]
    assert bicubic[0] > bicubic[1] > bicubic[2]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"generator": "rrdb", "scale": 3}, "scale 3: the network has x1, x2, x4 and x8; give one of them"),
        ({"scale": 5}, "scale 5: the network has x1, x2, x3, x4 and x8"),
        ({"unshuffle": 2}, "unshuffle 2: expected 1, and of rrdb 1, 2 or 4"),
        ({"generator": "rrdb", "unshuffle": 3}, "unshuffle 3: expected 1"),
        ({"crop": 100}, "crop 100: expected a multiple of 8, at least 16, and of the scale 4"),
        ({"crop": 8}, "crop 8: expected"),
        ({"pretrain_steps": 0, "steps": 0}, "nothing to train"),
        ({"degradation": "hard"}, "degradation"),
    ],
)
def test_settings_are_checked(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        RealESRGANConfig(**change)
