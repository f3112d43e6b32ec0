"""Translators: images of any size and kind, tiles, directions, the exported graph."""

import copy
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageCms
from torch import Tensor, nn

from multigen.errors import ConfigError, DataError
from multigen.image.decoding import Raster
from multigen.image.translation.networks import ResNetGenerator, UNetGenerator
from multigen.image.translation.translator import SURROUNDINGS, InUnit, Translator
from tests.tiny import pixels


def network(halvings: int = 2) -> UNetGenerator:
    torch.manual_seed(0)
    net = UNetGenerator(4, halvings).eval()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.mul_(5)
    return net


class Negative(nn.Module):
    """-x: dark becomes light; sides must be multiples of 8."""

    multiple, least, whole, radius = 8, 8, True, None

    def __init__(self) -> None:
        super().__init__()
        self.sign = nn.Parameter(torch.tensor(-1.0))

    def forward(self, image: Tensor) -> Tensor:
        assert image.shape[2] % 8 == image.shape[3] % 8 == 0
        return self.sign * image


@pytest.fixture
def negative() -> Translator:
    return Translator({"AB": Negative()})


@pytest.mark.parametrize("size", [(1, 1), (3, 50), (8, 8), (17, 23), (300, 9)])
def test_images_of_any_size_are_continued_and_cut_back(negative: Translator, size: tuple[int, int]) -> None:
    image = torch.from_numpy(pixels(*size)).permute(2, 0, 1)
    assert torch.equal(negative.translate(image), 255 - image)


@pytest.mark.parametrize(("size", "given"), [((512, 512), (512, 512)), ((300, 20), (512, 256)), ((8, 8), (256, 256))])
def test_the_time_of_images_is_that_of_what_the_network_is_given(
    size: tuple[int, int], given: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a clock that goes on by a second for a million pixels."""
    clock = [0.0]

    class Timed(Negative):
        multiple = least = 256

        def forward(self, image: Tensor) -> Tensor:
            clock[0] += image.shape[2] * image.shape[3] / 1e6
            return image

    monkeypatch.setattr("time.perf_counter", lambda: clock[0])
    model = Translator({"AB": Timed()})
    estimated = model.seconds([size] * 4)
    clock[0] = 0.0
    for _ in range(4):
        model(torch.zeros(3, *size, dtype=torch.uint8))
    assert estimated == pytest.approx(clock[0]) == 4 * given[0] * given[1] / 1e6


@pytest.mark.parametrize("build", [lambda: network(3), lambda: ResNetGenerator(4, 1)])
@pytest.mark.parametrize("size", [(1, 1), (2, 9), (13, 21)])
def test_an_image_smaller_than_the_networks_halvings_is_translated(build: Any, size: tuple[int, int]) -> None:
    image = torch.from_numpy(pixels(*size)).permute(2, 0, 1)
    assert Translator({"AB": build()})(image).shape == (3, *size)


def test_what_is_continued_is_the_reflection() -> None:
    net = network()
    image = torch.from_numpy(pixels(9, 14)).permute(2, 0, 1)
    whole = torch.from_numpy(np.pad(pixels(9, 14), ((0, 3), (0, 2), (0, 0)), mode="reflect")).permute(2, 0, 1)
    with torch.no_grad():
        expected = InUnit(net)(whole[None] / 255)[0, :, :9, :14]
    assert (Translator({"AB": net})(image) - expected * 255).abs().max() <= 1
    assert len(expected.unique()) > 50


def test_kinds_of_images(negative: Translator) -> None:
    array = pixels(10, 12)
    for given, mode in ((array, "RGB"), (array[..., :1].repeat(3, -1), "RGB")):
        assert np.array_equal(negative.translate(given), 255 - given)
        assert np.array_equal(np.asarray(negative.translate(Image.fromarray(given, mode))), 255 - given)
    grey = negative.translate(Image.fromarray(array[..., 0]))
    assert grey.mode == "RGB" and np.array_equal(np.asarray(grey)[..., 2], 255 - array[..., 0])
    with pytest.raises(DataError, match="a uint8 image"):
        negative.translate(torch.rand(3, 8, 8))


def test_opacity_and_depth_are_kept(negative: Translator) -> None:
    array = pixels(10, 12)
    alpha = np.arange(120, dtype=np.uint8).reshape(10, 12, 1) + 1
    made = negative.restore_raster(Raster(np.concatenate([array, alpha], -1))).pixels
    assert np.array_equal(made[..., :3], 255 - array) and np.array_equal(made[..., 3:], alpha)
    made = negative.restore_raster(Raster(np.concatenate([array[..., :1], alpha], -1))).pixels
    assert made.shape == (10, 12, 4) and np.array_equal(made[..., 3:], alpha)
    deep = array[..., :1].astype(np.uint16) * 257 + 3
    made = negative.restore_raster(Raster(deep.clip(0, 65535).astype(np.uint16))).pixels
    assert made.dtype == np.uint16 and np.abs(made[..., 1].astype(int) - (65535 - deep[..., 0])).max() <= 1


def test_hidden_colours_do_not_show(negative: Translator) -> None:
    array, alpha = np.full((16, 16, 3), 90, np.uint8), np.full((16, 16, 1), 255, np.uint8)
    array[:4], alpha[:4] = 255, 0  # white, but fully transparent
    made = negative.restore_raster(Raster(np.concatenate([array, alpha], -1))).pixels
    assert set(np.unique(made[..., :3])) == {255 - 90}


def test_the_profile_of_a_grey_image_does_not_fit_its_colours(negative: Translator) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    assert negative.restore_raster(Raster(pixels(8, 8), profile)).profile == profile
    assert negative.restore_raster(Raster(pixels(8, 8)[..., :1], profile)).profile == b""


def test_tiles_begin_at_multiples_and_have_surroundings() -> None:
    translator = Translator({"AB": Negative()}, tile=20)
    seen = []
    run = translator._network
    translator._network = lambda window: seen.append(window.shape[:2]) or run(window)
    image = torch.from_numpy(pixels(20, 300)).permute(2, 0, 1)
    assert torch.equal(translator(image), 255 - image)
    assert translator.radius == SURROUNDINGS and translator.step == 8
    assert max(width for _, width in seen) == 24 + 2 * SURROUNDINGS and len(seen) == 13


def test_an_image_is_translated_whole_unless_told() -> None:
    """Instance norm looks at all of it: tiles have colours of their own."""
    image = torch.from_numpy(pixels(40, 700)).permute(2, 0, 1)
    whole, tiled = (Translator({"AB": network()}, tile=tile)(image) for tile in (None, 64))
    again = Translator({"AB": network()}, tile=4096)(image)
    assert torch.equal(whole, again) and not torch.equal(whole, tiled)


def test_directions() -> None:
    there, back = network(2), network(2)
    with torch.no_grad():
        back.tail.weight.mul_(-1)
    both = Translator({"BA": back, "AB": there})
    image = torch.from_numpy(pixels(12, 16)).permute(2, 0, 1)
    assert both.direction == "BA" and torch.equal(both(image), Translator({"BA": back})(image))
    assert torch.equal(both.translate(image, "AB"), Translator({"AB": there})(image))
    assert both.turned("BA") is both and both.turned("AB").turned("BA").direction == "BA"
    with pytest.raises(ConfigError, match=r"direction BA: the model was trained for AB; .*--direction BA, or cyclegan"):
        Translator({"AB": there}).translate(image, "BA")
    with pytest.raises(ConfigError, match="direction CD: the model was trained for BA, AB"):
        both.turned("CD")


def test_a_turned_model_keeps_its_tile_and_origin() -> None:
    both = Translator({"AB": network(), "BA": network()}, tile=32)
    both.origin = {"model": "mine"}  # pyright: ignore[reportAttributeAccessIssue]
    assert (both.turned("BA").tile, both.turned("BA").origin) == (32, {"model": "mine"})


def test_the_graph_is_the_network_in_0_to_1() -> None:
    translator = Translator({"AB": network(2)})
    graph = translator.graph()
    (given,) = graph.example(2, 40)
    assert given.shape[0] == 2 and given.shape[2] % 4 == given.shape[3] % 4 == 0 and given.shape[2] != given.shape[3]
    with torch.no_grad():
        out = graph.network(given)
    assert out.shape == given.shape and out.min() >= 0 and out.max() <= 1
    assert "multiples of 4, at least 4" in graph.says["image"] and "domain B" in graph.says["translated"]
    before = copy.deepcopy(graph.network.state_dict())
    translator(torch.zeros(3, 8, 8, dtype=torch.uint8))
    assert all(torch.equal(before[name], t) for name, t in graph.network.state_dict().items())


def test_a_sheet_shows_what_the_model_was_made_for() -> None:
    made = []

    def make(image: Tensor, name: str) -> Tensor:
        made.append(name)
        return image // 2

    translator = Translator({"AB": Negative(), "BA": Negative()}, make)
    assert translator.sheet(2).size == (322, 160) and made == ["chelsea", "china"]
    translator.turned("BA").sheet(1)
    assert len(made) == 2
    with pytest.raises(ConfigError, match="n 0: expected 1 crop or more"):
        translator.sheet(0)


def test_images_much_larger_than_those_of_training_are_reported(capsys: pytest.CaptureFixture[str]) -> None:
    for side, height, said in (
        (8, 31, ""),
        (8, 32, "an image of 40 x 32 pixels: the model was trained on images of 8"),
        (0, 99, ""),
    ):
        Translator({"AB": Negative()}, side=side).restore_raster(Raster(pixels(height, 40)))
        printed = capsys.readouterr().err
        assert printed.startswith(said) if said else not printed
