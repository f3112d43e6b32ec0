"""Projected GAN: frozen features, mixtures that stay as they were drawn, and metrics that say that
D has used their network. What all methods of the task share is tested in test_gans."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from torch.nn.functional import interpolate

from multigen.engine import Run
from multigen.engine.evaluation import Evaluation
from multigen.errors import ConfigError
from multigen.image.backbones import PYRAMID, PYRAMID_CHANNELS, EfficientNetLite0
from multigen.image.synthesis import projected
from multigen.image.synthesis.base import ImageInfo
from multigen.runs.report.table import evaluation_table
from multigen.tasks.loading import load_network
from tests.tiny import pixels


@pytest.fixture(scope="module")
def features() -> projected.Features:
    torch.manual_seed(0)
    return projected.Features(4, 64)


def test_the_pyramid_has_four_strides() -> None:
    taps = EfficientNetLite0(PYRAMID)(torch.rand(1, 3, 64, 64))
    assert [tuple(x.shape[1:]) for x in taps] == [
        (c, side, side) for c, side in zip(PYRAMID_CHANNELS, (16, 8, 4, 2), strict=True)
    ]


def test_features_are_mixed_across_channels_and_scales(features: Any) -> None:
    """From the smallest: mixed, doubled, mixed, added to the next."""
    image = torch.rand(2, 3, 32, 32) * 2 - 1
    seen = interpolate((image + 1) / 2, size=(64, 64), mode="bilinear")
    mixed = [mix(h) for mix, h in zip(features.channel_mixing, features.network(seen), strict=True)]
    expected, below = [], torch.zeros(())
    for i in (3, 2, 1, 0):
        double = interpolate(mixed[i] + below, scale_factor=2, mode="bilinear", align_corners=True)
        below = features.scale_mixing[i](double)
        expected.insert(0, below)
    result = features(image)
    for x, y in zip(result, expected, strict=True):
        torch.testing.assert_close(x, y, rtol=1e-4, atol=1e-5)
    assert [tuple(x.shape[1:]) for x in result] == [(4, 32, 32), (4, 16, 16), (8, 8, 8), (16, 4, 4)]


def test_grey_images_are_repeated_and_opacity_is_refused(features: Any) -> None:
    grey = torch.rand(1, 1, 64, 64) * 2 - 1
    for x, y in zip(features(grey), features(grey.repeat(1, 3, 1, 1)), strict=True):
        torch.testing.assert_close(x, y)
    message = r"channels 4: EfficientNet-lite0 takes colour images, or grey .*--channels 3"
    with pytest.raises(ConfigError, match=message):
        projected.ProjectedConfig(channels=4)
    with pytest.raises(ConfigError, match=message):
        projected.Discriminator(4, 64, 4)


@pytest.mark.parametrize("size", [80, 100])
def test_the_networks_input_is_a_multiple_of_its_stride(size: int) -> None:
    with pytest.raises(
        ConfigError, match=rf"input_size {size}: expected a multiple of 32, such as (64|96) or (96|128)$"
    ):
        projected.ProjectedConfig(input_size=size)


@pytest.mark.parametrize(("size", "halvings", "patches"), [(64, [2, 1, 0, 0], 76), (224, [4, 3, 2, 1], 4 * 16)])
def test_four_discriminators_end_at_eight_or_less(size: int, halvings: list[int], patches: int) -> None:
    network: Any = projected.Discriminator(4, size, 3)
    assert [len(layers) for layers in network.discriminators] == halvings
    with torch.no_grad():
        assert network(torch.rand(1, 3, 32, 32)).shape == (1, patches)
    trained = {name for name, p in network.named_parameters() if p.requires_grad}
    assert {name.partition(".")[0] for name in trained} == {"discriminators", "heads"}
    for module in [m for part in (network.discriminators, network.heads) for m in part.modules()]:
        assert not isinstance(module, nn.Conv2d) or hasattr(module, "parametrizations")  # spectral norm


def test_images_that_are_no_squares_keep_their_shape(features: Any) -> None:
    """To a multiple of the network's stride."""
    assert [features.shape_of(*sides) for sides in ((16, 24), (48, 32), (64, 112), (32, 32))] == [
        (64, 96), (96, 64), (64, 128), (64, 64),
    ]  # fmt: skip
    assert [tuple(x.shape[1:]) for x in features(torch.rand(1, 3, 16, 24))] == [
        (4, 32, 48), (4, 16, 24), (8, 8, 12), (16, 4, 6),
    ]  # fmt: skip
    scores = projected.Discriminator(4, 64, 3)(torch.rand(1, 3, 16, 24))
    assert scores.shape == (1, 5 * 9 + 5 * 9 + 5 * 9 + 1 * 3)


def test_checkpoints_hold_the_mixtures_and_not_the_pretrained_network() -> None:
    names = projected.Discriminator(4, 64, 3).state_dict()
    assert not [name for name in names if ".network." in name]
    assert {f"features.{part}_mixing.{i}.weight" for part in ("channel", "scale") for i in range(4)} <= names.keys()


def test_g_learns_through_the_frozen_network() -> None:
    made: Any = projected.ProjectedTrainer(projected.PRESETS["tiny"])
    made.data_info = ImageInfo(channels=1)
    nets = made.networks()
    nets["D"](nets["G"](torch.randn(2, 16))).mean().backward()
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in nets["G"].first.parameters())
    assert all(p.grad is None for p in nets["D"].features.parameters())


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Evaluation]:
    """A run of two steps on 20 images without labels."""
    from PIL import Image

    folder = tmp_path_factory.mktemp("projected")
    (folder / "pictures").mkdir()
    for i in range(20):
        Image.fromarray(pixels(16, 16, seed=i)).save(folder / "pictures" / f"{i}.png")
    small = {"size": 16, "batch": 4, "steps": 2, "samples": 10, "validation_size": 2}
    config = replace(projected.PRESETS["tiny"], data=str(folder / "pictures"), **small)  # pyright: ignore[reportArgumentType]
    made = projected.ProjectedTrainer(
        config, Run(device="cpu", precision="fp32", out=str(folder / "run"), save_every=1)
    )
    return folder / "run", made.fit().evaluate()


def test_training_leaves_the_mixtures_as_they_were_drawn(run: tuple[Path, Evaluation]) -> None:
    saved = [load_file(file) for file in sorted(run[0].glob("checkpoints/*/D.safetensors"))]
    assert len(saved) > 1
    mixing = [name for name in saved[0] if "_mixing" in name]
    assert len(mixing) == 16
    assert all(torch.equal(saved[0][name], saved[-1][name]) for name in mixing)
    assert not torch.equal(
        *(each["discriminators.0.0.layers.0.parametrizations.weight.original"] for each in saved[:2])
    )


def test_every_table_marks_what_d_has_used(run: tuple[Path, Evaluation]) -> None:
    folder, evaluation = run
    marked = {m for m in evaluation.definitions if evaluation.label(m) == f"{m} (used by D)"}
    assert {"fd_efficientnet_lite0", "kd_efficientnet_lite0", "memorisation"} <= marked
    assert "d_overfit" not in marked
    assert "fd_efficientnet_lite0 (used by D)" in evaluation.table() and "used by D" in evaluation.remarks
    assert "`fd_efficientnet_lite0 (used by D)`" in (folder / "model" / "README.md").read_text()
    kept = json.loads((folder / "evaluation.json").read_text())
    page = evaluation_table(kept["rows"], kept["definitions"])
    assert "fd_<wbr>efficientnet_<wbr>lite0 (used by D)" in page


def test_a_discriminator_that_is_kept_is_built_beside_the_network_of_a_package() -> None:
    """Whose weights are not in its file, and need no permission."""
    c = projected.PRESETS["tiny"]

    def build() -> projected.Discriminator:
        return projected.Discriminator(c.discriminator_width, c.input_size, 3)

    made, image = build().eval(), torch.rand(2, 3, 32, 32)
    loaded = load_network(build, made.state_dict(), "model, D", "cpu")
    torch.testing.assert_close(loaded(image), made(image))
