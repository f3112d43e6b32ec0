"""ESRGAN: the preset of the paper, its losses in closed form, its learning rates, settings, and a
run that is resumed."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn.functional import relu

import multigen
from multigen.engine import Callback, Run
from multigen.errors import CheckpointError, ConfigError
from multigen.image.perceptual import VGG19, VGG19_BLOCKS
from multigen.image.restoration.esrgan import PRESETS, ESRGANConfig, ESRGANTrainer
from multigen.image.restoration.networks import RRDB
from tests import tiny

SMALL: dict[str, Any] = {
    **{"crop": 32, "scale": 2, "blocks": 1, "width": 4, "growth": 2, "discriminator_width": 2, "batch": 4},
    **{"pretrain_steps": 2, "steps": 2, "ema": 0.5},
}


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.photos(tmp_path_factory.mktemp("esrgan") / "photos", count=3)


@pytest.fixture(scope="module")
def vgg19(tmp_path_factory: pytest.TempPathFactory) -> str:
    """VGG19's first two blocks with random weights, as a file."""
    draw, state, index, before = torch.Generator().manual_seed(0), {}, 0, 3
    for convolutions, width in VGG19_BLOCKS[:2]:
        for _ in range(convolutions):
            state[f"{index}.weight"] = torch.randn(width, before, 3, 3, generator=draw) / (3 * before**0.5)
            state[f"{index}.bias"] = torch.randn(width, generator=draw) / 10
            index, before = index + 2, width
        index += 1
    path = tmp_path_factory.mktemp("vgg19") / "vgg19.safetensors"
    save_file(state, path)
    return str(path)


def configured(photos: Path, **changes: Any) -> ESRGANConfig:
    return replace(PRESETS["tiny"], data=str(photos), test=(str(photos),), **{**SMALL, **changes})


def prepared(photos: Path, **changes: Any) -> ESRGANTrainer:
    trainer = ESRGANTrainer(configured(photos, **changes), Run(device="cpu", precision="fp32"))
    trainer.prepare()
    return trainer


def batch_of(trainer: ESRGANTrainer) -> dict[str, Tensor]:
    """uint8 images, "input" (4, 3, 16, 16) and "target" (4, 3, 32, 32)."""
    draw = torch.Generator().manual_seed(1)
    sides = {"input": trainer.config.crop // trainer.scale, "target": trainer.config.crop}
    return {
        name: torch.randint(0, 256, (4, 3, side, side), generator=draw, dtype=torch.uint8)
        for name, side in sides.items()
    }


def step_of(trainer: ESRGANTrainer) -> Any:
    return trainer.updater.step_at((0, 0, "adversarial", "generator", 0, 0), 0.0, slice(0, 4))


def test_the_preset_paper_is_the_paper() -> None:
    c = PRESETS["paper"]
    assert (c.scale, c.crop, c.batch) == (4, 128, 16)
    assert (c.content, c.content_weight, c.adversarial_weight, c.pixel_weight) == ("vgg54_preactivation", 1, 5e-3, 1e-2)
    with torch.device("meta"):
        generator, discriminator = ESRGANTrainer(c).generator(), ESRGANTrainer(c).discriminator()
    assert sum(p.numel() for p in generator.parameters()) == 16_697_987
    assert discriminator(torch.empty(2, 3, 128, 128, device="meta")).shape == (2,)
    dense = discriminator.head[1]
    assert (dense.in_features, dense.out_features) == (512 * 8 * 8, 1024)


def test_learning_rates_are_halved_at_the_published_steps() -> None:
    trainer = ESRGANTrainer(PRESETS["paper"])
    trainer.validation = None
    first, second = trainer.stages()
    assert (first.steps, second.steps) == (1_000_000, 400_000)
    rates = {
        stage.name: {step: trainer.spec(stage, "G").settings(step / stage.steps)["lr"] for step in steps}
        for stage, steps in ((first, (0, 199_999, 200_000, 400_000, 600_000, 800_000, 999_999)),
                             (second, (0, 49_999, 50_000, 100_000, 200_000, 300_000, 399_999)))
    }  # fmt: skip
    assert list(rates["pretrain"].values()) == pytest.approx([2e-4, 2e-4, 1e-4, 5e-5, 2.5e-5, 1.25e-5, 1.25e-5])
    assert list(rates["adversarial"].values()) == pytest.approx([1e-4, 1e-4, 5e-5, 2.5e-5, 1.25e-5, 6.25e-6, 6.25e-6])


def test_d_and_g_minimise_the_relativistic_average_loss(photos: Path) -> None:
    """Equations 1 and 2 with sigmoids, halved as in the released code, and the weights of equation
    3."""
    trainer = prepared(photos, pixel_weight=1e-2)
    batch = batch_of(trainer)
    fake, real = trainer.G(batch["input"] / 255), batch["target"] / 255
    fake_logits, real_logits = trainer.D(fake), trainer.D(real)
    real_over_fake = (real_logits - fake_logits.mean()).sigmoid()
    fake_over_real = (fake_logits - real_logits.mean()).sigmoid()

    of_d = trainer.discriminator_loss(batch, step_of(trainer))
    assert of_d.keys() == {"adversarial"}
    expected = -(real_over_fake.log().mean() + (1 - fake_over_real).log().mean()) / 2
    torch.testing.assert_close(of_d["adversarial"], expected)

    of_g = trainer.generator_loss(batch, step_of(trainer))
    assert of_g.keys() == {"content", "adversarial", "pixel"}
    expected = -((1 - real_over_fake).log().mean() + fake_over_real.log().mean()) / 2
    torch.testing.assert_close(of_g["adversarial"], 5e-3 * expected)
    torch.testing.assert_close(of_g["pixel"], 1e-2 * (fake - real).abs().mean())
    torch.testing.assert_close(of_g["content"], trainer.distance(fake, real).mean())


def test_content_is_compared_before_the_activation(photos: Path, vgg19: str) -> None:
    trainer = prepared(photos, content="vgg22_preactivation", content_weight=0.5, perceptual_weights=vgg19)
    batch = batch_of(trainer)
    fake, real = trainer.G(batch["input"] / 255), batch["target"] / 255
    before, after = VGG19("vgg22_preactivation", vgg19), VGG19("vgg22", vgg19)
    (x,), (y,) = before(fake), before(real)
    assert (x < 0).any() and torch.equal(relu(x), after(fake)[0])
    terms = trainer.generator_loss(batch, step_of(trainer))
    torch.testing.assert_close(terms["content"], 0.5 * (x - y).abs().mean(), rtol=1e-4, atol=0)


def test_micro_batches_are_refused_since_the_loss_couples_a_batch(photos: Path) -> None:
    run = Run(device="cpu", precision="fp32", accumulate=2)
    with pytest.raises(ConfigError, match="update 'discriminator' couples rows: accumulate 2, expected 1"):
        ESRGANTrainer(configured(photos), run).prepare()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"scale": 3}, "scale 3: the network has x2, x4 and x8; give one of them"),
        ({"scale": 1}, "scale 1: the network has"),
        ({"scale": 0}, "scale 0: the network has"),
        ({"crop": 72}, "crop 72: expected a multiple of 16, and of the scale 4"),
        ({"growth": 0}, "growth 0: expected"),
        ({"blocks": 0}, "blocks 0: expected"),
        ({"pretrain_steps": 0, "steps": 0}, "nothing to train"),
        ({"content": "vgg54"}, "content"),
    ],
)
def test_settings_are_checked(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        ESRGANConfig(**change)


class Stop(Callback):
    """Ends a run after a number of steps, as a power cut would."""

    def __init__(self, after: int):
        self.after = after

    def on_step(self, trainer: Any) -> None:
        if trainer.step > self.after:
            raise KeyboardInterrupt


@pytest.mark.slow
def test_a_run_resumes_to_the_same_model_which_enlarges(photos: Path, tmp_path: Path) -> None:
    config = configured(photos)
    run = Run(device="cpu", precision="fp32", save_every=1)
    whole = ESRGANTrainer(config, replace(run, out=str(tmp_path / "whole"))).fit()
    assert list(whole.evaluate().rows) == ["bicubic", "pretrain/last", "adversarial/last"]

    stopped = ESRGANTrainer(config, replace(run, out=str(tmp_path / "part")))
    stopped.callbacks = [Stop(2)]
    with pytest.raises(KeyboardInterrupt):
        stopped.fit()
    ESRGANTrainer(config, replace(run, resume=str(tmp_path / "part"))).fit()
    one, other = (load_file(tmp_path / name / "model" / "G.safetensors") for name in ("whole", "part"))
    assert all(torch.equal(one[name], other[name]) for name in one)

    image = torch.randint(0, 256, (3, 17, 19), dtype=torch.uint8)
    assert multigen.load(tmp_path / "part").upscale(image).shape == (3, 34, 38)


def test_a_network_of_others_is_fine_tuned(photos: Path, tmp_path: Path) -> None:
    network = RRDB(2, 1, 4, 2)
    torch.save(network.state_dict(), tmp_path / "net.pth")
    run = Run(device="cpu", precision="fp32", start=str(tmp_path / "net.pth"))
    trainer = ESRGANTrainer(configured(photos, pretrain_steps=0), run)
    trainer.prepare()
    started = trainer.nets["G"].state_dict()
    assert all(torch.equal(value, started[name]) for name, value in network.state_dict().items())
    other = ESRGANTrainer(configured(photos, blocks=2), run)
    with pytest.raises(CheckpointError, match="G does not fit: missing"):
        other.prepare()
