"""Interpolation between two models of one network."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import multigen
from multigen.config import to_table
from multigen.errors import CheckpointError, ConfigError
from multigen.image.restoration.realesrgan import RealESRGANConfig, RealESRGANTrainer
from multigen.image.restoration.srgan import SRGANConfig, SRGANTrainer
from multigen.image.synthesis.base import ImageInfo
from multigen.image.synthesis.gan import GANConfig, GANTrainer
from multigen.storage.model_folder import write_model
from multigen.storage.tensors import load_tensors
from multigen.tasks.restoration.blending import blend, interpolated
from tests import tiny
from tests.tiny import pixels

SMALL: dict[str, Any] = {"blocks": 1, "width": 4, "scale": 2}


def saved(folder: Path, trainer: Any, seed: int) -> Path:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = trainer.generator()
        for layer in network.modules():
            if isinstance(layer, nn.BatchNorm2d):
                nn.init.uniform_(layer.running_mean)  # pyright: ignore[reportArgumentType]
                nn.init.uniform_(layer.running_var, 1, 2)  # pyright: ignore[reportArgumentType]
    write_model(folder / "model", trainer.name, to_table(trainer.config), {"G": network.state_dict()}, {})
    return folder


def pair(place: Path, trainer: Any) -> tuple[Path, Path]:
    return saved(place / "a", trainer, 1), saved(place / "b", trainer, 2)


@pytest.mark.parametrize("generator", ["srresnet", "compact"])
def test_weights_and_batch_statistics_are_mixed(generator: Any, tmp_path: Path) -> None:
    a, b = pair(tmp_path, SRGANTrainer(SRGANConfig(generator=generator, **SMALL)))
    one, other = (load_tensors(folder / "model" / "G.safetensors") for folder in (a, b))
    mixed = blend(a, b, 0.3, device="cpu").network.state_dict()
    floats = [name for name in one if one[name].is_floating_point()]
    assert any("running_var" in name for name in floats) == (generator == "srresnet")
    for name in floats:
        assert torch.allclose(mixed[name], 0.3 * one[name] + 0.7 * other[name], atol=1e-7), name


@pytest.mark.parametrize(("share", "which"), [(0.0, 1), (1.0, 0)])
def test_the_ends_are_the_models(share: float, which: int, tmp_path: Path) -> None:
    models = pair(tmp_path, SRGANTrainer(SRGANConfig(generator="compact", **SMALL)))
    image = pixels(9, 11)
    expected = multigen.load(models[which]).upscale(image)
    assert np.array_equal(blend(*models, share).upscale(image), expected)
    assert not np.array_equal(blend(*models, 0.5).upscale(image), expected)


def test_convolutions_are_mixed_before_they_are_merged(tmp_path: Path) -> None:
    trainer = RealESRGANTrainer(RealESRGANConfig(generator="span", **SMALL))
    a, b = pair(tmp_path, trainer)
    network = trainer.generator()
    weights = [load_tensors(folder / "model" / "G.safetensors") for folder in (a, b)]
    network.load_state_dict(interpolated(weights[0], weights[1], 0.4))
    image = torch.from_numpy(pixels(9, 11)).permute(2, 0, 1)
    with torch.no_grad():
        expected = (network.eval()(image[None] / 255)[0] * 255).round().clamp(0, 255)
    model = blend(a, b, 0.4, device="cpu")
    assert not any(".conv.0." in name for name in model.network.state_dict())  # merged
    assert (model.upscale(image) - expected).abs().max() <= 1


def test_files_say_both_models_and_the_share(tmp_path: Path) -> None:
    a, b = pair(tmp_path, SRGANTrainer(SRGANConfig(generator="compact", **SMALL)))
    origin = blend(a, b, 0.3).origin
    assert (origin["model"], origin["method"], origin["share"]) == (["a", "b"], ["srgan", "srgan"], 0.3)


def test_models_of_two_methods_may_share_a_network(tmp_path: Path) -> None:
    a = saved(tmp_path / "a", SRGANTrainer(SRGANConfig(generator="compact", **SMALL)), 1)
    b = saved(tmp_path / "b", RealESRGANTrainer(RealESRGANConfig(generator="compact", **SMALL)), 2)
    assert blend(a, b, 0.5).scale == 2


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (
            {"width": 8},
            r"width 4, 8; .* has the shape \(4,.*in the first, \(8,.* in the second; give two of one network",
        ),
        ({"scale": 3}, r"scale 2, 3; .*has the shape .* in the first, .* in the second"),
        ({"blocks": 2}, r"blocks 1, 2; .*is in the second only"),
        ({"generator": "srresnet"}, r"generator compact, srresnet; .*is in the first only"),
    ],
)
def test_what_differs_is_named(other: dict[str, Any], words: str, tmp_path: Path) -> None:
    config = SRGANConfig(generator="compact", **SMALL)
    a = saved(tmp_path / "a", SRGANTrainer(config), 1)
    b = saved(tmp_path / "b", SRGANTrainer(replace(config, **other)), 2)
    with pytest.raises(ConfigError, match=f"{a} and {b} are not of one network: .*{words}"):
        blend(a, b, 0.5)


def test_shares_and_models_that_cannot_be_are_named(tmp_path: Path) -> None:
    a, b = pair(tmp_path, SRGANTrainer(SRGANConfig(generator="compact", **SMALL)))
    for share in (-0.1, 1.5, float("nan")):
        with pytest.raises(ConfigError, match=rf"share {share:g}: expected 0 to 1"):
            blend(a, b, share)
    gan = tiny.untrained(tmp_path / "gan", GANTrainer(GANConfig(size=8)), ImageInfo(channels=1))
    with pytest.raises(ConfigError, match="gan: expected a model that restores, but it generates images from noise"):
        blend(a, gan, 0.5)
    with pytest.raises(CheckpointError, match="none"):
        blend(a, tmp_path / "none", 0.5)
    with pytest.raises(ConfigError, match="device 'tpu'"):
        blend(a, b, 0.5, device="tpu")
