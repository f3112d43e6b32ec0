"""FastGAN: its layers, its two halves of D, and what D decodes. What all methods of the task share
is tested in test_gans."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from multigen import losses
from multigen.image.synthesis import fastgan
from multigen.image.synthesis.base import ImageInfo
from tests import tiny


def networks(
    size: int | tuple[int, int], width: int = 8, channels: int = 3
) -> tuple[fastgan.Generator, fastgan.Discriminator]:
    torch.manual_seed(0)
    return fastgan.Generator(6, width, size, channels), fastgan.Discriminator(width, size, channels)


def test_excitation_scales_channels_by_an_earlier_layer() -> None:
    torch.manual_seed(0)
    layer: Any = fastgan.Excitation(3, 5)
    x, y = torch.randn(2, 3, 8, 8), torch.randn(2, 5, 16, 16)
    pooled = x.unflatten(2, (4, 2)).unflatten(4, (4, 2)).mean((3, 5))
    hidden = torch.einsum("bchw,ochw->bo", pooled, layer.conv1.weight)
    scale = (nn.functional.silu(hidden) @ layer.conv2.weight[:, :, 0, 0].T).sigmoid()
    torch.testing.assert_close(layer.eval()(x, y), y * scale[:, :, None, None])


@pytest.mark.parametrize(
    ("size", "of_g", "of_d"),
    [
        (32, {32: 4}, {}),
        (64, {64: 4}, {8: 64}),
        (1024, {64: 4, 128: 8, 256: 16, 512: 32}, {32: 256, 16: 128, 8: 64}),
    ],
)
def test_excitations_join_layers_as_in_the_paper(size: int, of_g: dict[int, int], of_d: dict[int, int]) -> None:
    made, taken = networks(size)
    assert {int(s): int(s) // made.jump for s in made.excitations} == of_g
    assert {int(s): 8 * int(s) for s in taken.excitations} == of_d
    for side, source in of_g.items():
        layer: Any = made.excitations[str(side)]
        assert layer.conv1.in_channels == 8 * fastgan.WIDTHS[source]
        assert layer.conv2.out_channels == 8 * fastgan.WIDTHS[side]


@pytest.mark.slow
@pytest.mark.parametrize("size", [256, 512, 1024])
def test_large_images_are_made_and_taken(size: int) -> None:
    made, taken = networks(size)
    with torch.no_grad():
        image = made(torch.randn(2, 6))
        logits, whole, part = taken(image, None, torch.tensor([0, 3]))
    assert image.shape == (2, 3, size, size) and logits.shape == (2, 2 * 25)
    assert whole.shape == part.shape == (2, 3, 128, 128)


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_d_decodes_the_image_and_a_quarter_of_it(channels: int) -> None:
    made, taken = networks(32, channels=channels)
    with torch.no_grad():
        image = made(torch.randn(2, 6))
        logits, whole, part = taken(image, None, torch.tensor([1, 2]))
    assert image.shape == whole.shape == (2, channels, 32, 32) and part.shape == (2, channels, 16, 16)
    assert logits.shape == (2, 2 * 25)


def test_quarters_are_those_asked_for() -> None:
    x = torch.arange(16.0).view(1, 1, 4, 4).expand(4, 1, 4, 4)
    corners = fastgan.quarters(x, torch.arange(4))[:, 0, 0, 0]
    assert corners.tolist() == [0, 2, 8, 10]


def test_every_convolution_has_spectral_norm_one() -> None:
    for network, arguments in zip(
        networks(32, width=4), ((torch.randn(2, 6),), (torch.randn(2, 3, 32, 32),)), strict=True
    ):
        for _ in range(30):  # a power iteration each
            network(*arguments)
        if isinstance(network, fastgan.Discriminator):
            for _ in range(30):
                network(*arguments, None, torch.tensor([0, 1]))
        for module in [m for m in network.modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d)]:
            first = 1 if isinstance(module, nn.ConvTranspose2d) else 0
            largest = torch.linalg.matrix_norm(module.weight.transpose(0, first).flatten(1), 2).item()
            assert abs(largest - 1) < 0.05, module


def test_noise_is_new_in_training_and_fixed_in_use() -> None:
    made, _ = networks(32)
    z = torch.randn(2, 6)
    with torch.no_grad():
        for module in made.modules():
            if isinstance(module, fastgan.Noise):
                module.strength.fill_(1.0)
        assert not torch.equal(made(z), made(z))
        made.eval()
        assert torch.equal(made(z), made(z))
        alone = made(z[:1])
    torch.testing.assert_close(made(z)[:1], alone)  # whatever else is in the batch


class Draws:
    """A step whose uniform numbers ask for the last quarter."""

    def rand(self, stream: str, *shape: int) -> Tensor:
        return torch.full((2, *shape), 0.99)


def test_the_losses_are_the_hinge_and_what_d_decodes() -> None:
    made: Any = fastgan.FastGANTrainer(replace(fastgan.PRESETS["tiny"], reconstruction_weight=3.0))
    real, fake = torch.rand(2, 3, 32, 32), -torch.rand(2, 3, 32, 32)
    whole, part = torch.zeros(2, 3, 32, 32), torch.ones(2, 3, 16, 16)

    def answers(image: Tensor, label: Tensor | None, quarter: Tensor | None = None) -> Any:
        logits = image.mean((1, 2, 3))[:, None].expand(-1, 50)
        assert quarter is None or quarter.tolist() == [3, 3]
        return logits if quarter is None else (logits, whole, part)

    made.D, made.pairs = answers, lambda batch, step: (real, fake, None)
    made.fakes = lambda batch, step: (fake, None)
    terms = made.discriminator_loss({}, Draws())
    torch.testing.assert_close(terms["hinge"], losses.hinge.discriminator(*(answers(x, None) for x in (real, fake))))
    decoded = real.square().mean() + (1 - real[:, :, 16:, 16:]).square().mean()
    torch.testing.assert_close(terms["reconstruction"], 3 * decoded)
    torch.testing.assert_close(made.generator_loss({}, Draws())["hinge"], -fake.mean())


def test_a_perceptual_reconstruction_is_nought_for_equal_images() -> None:
    made: Any = fastgan.FastGANTrainer(replace(fastgan.PRESETS["tiny"], reconstruction="efficientnet_lite0"))
    made.device = torch.device("cpu")
    x = torch.rand(2, 1, 16, 16) * 2 - 1
    assert made.difference(x, x).item() < 1e-6 < made.difference(x, -x).item()


def test_classes_fit() -> None:
    made: Any = fastgan.FastGANTrainer(replace(fastgan.PRESETS["tiny"], conditional=True))
    made.data_info = ImageInfo(classes=("a", "b", "c"), channels=1)
    head = made.discriminator().head
    assert head.classes.weight.shape == (3, 64) and head.conv.out_channels == 64


# ---------------------------------------------------------------------------------------------------- sizes


@pytest.mark.parametrize("sides", [(16, 24), (64, 28), (20, 20)])
def test_networks_of_another_shape_than_a_square(sides: tuple[int, int]) -> None:
    """Every layer is a doubled grid, and what is pooled to the grid too."""
    height, width = sides
    made: Any = networks(sides)[0].eval()
    taken = networks(sides)[1]
    with torch.no_grad():
        image = made(torch.randn(2, 6))
        logits, whole, part = taken(image, None, torch.tensor([0, 3]))
    assert image.shape == whole.shape == (2, 3, height, width) and part.shape == (2, 3, height // 2, width // 2)
    assert logits.dim() == 2 and len(logits) == 2
    rows, columns, last = fastgan.grid_for(sides)
    assert (rows * last // 4, columns * last // 4) == sides and made.first.weight.shape[2:] == (rows, columns)
    assert all(m.grid == (rows, columns) for m in made.modules() if isinstance(m, fastgan.Excitation))


def test_quarters_of_an_image_that_is_no_square() -> None:
    x = torch.arange(24.0).view(1, 1, 4, 6).expand(4, 1, 4, 6)
    assert fastgan.quarters(x, torch.arange(4))[:, 0, 0, 0].tolist() == [0, 3, 12, 15]


SIZES = {
    "size": (["--size", "50"], "size 50: the network doubles .*; the nearest it has are 48 and 56"),
    "a size too small": (["--size", "15"], "size 15: .* nearest it has are 16 and 20"),
    "a size too large": (["--size", "2000"], "size 2000: .* nearest it has are 896 and 1024"),
    "aspect": (["--size", "64", "--image-width", "100"], "size 64 x 100: .* nearest it has are 64 x 96 and 64 x 112"),
}


@pytest.mark.parametrize("method", ["fastgan", "projected"])
@pytest.mark.parametrize("name", SIZES)
def test_sizes_that_do_not_fit_are_refused_with_the_nearest(
    method: str, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """As StyleGAN2 does."""
    words, message = SIZES[name]
    assert tiny.multigen(["train", method, "tiny", *words]) == 2
    assert re.fullmatch(f"error: {message}\n", capsys.readouterr().err)


def test_a_method_of_squares_alone_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert tiny.multigen(["train", "dcgan", "tiny", "--image-width", "96"]) == 2
    assert "--image-width: no such option; expected --size N, whose images are squares" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("method", ["fastgan", "projected"])
def test_a_run_of_images_that_are_no_squares_and_its_export(
    method: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    data = tmp_path / "pictures"
    data.mkdir()
    for i in range(8):
        Image.fromarray(tiny.pixels(24, 20, seed=i)).save(data / f"{i}.png")
    words = ["--size", "16", "--image-width", "24", "--batch", "2", "--steps", "1", "--samples", "4", "--device", "cpu"]
    words += ["--validation-size", "0", "--precision", "fp32", "--out", tmp_path / "run"]
    assert tiny.multigen(["train", method, "tiny", "--data", data, *words]) == 0
    assert tiny.multigen(["export", "--model", tmp_path / "run", "--out", tmp_path / "g.onnx"]) == 0
    assert "float32 (batch, 3, 16, 24)" in capsys.readouterr().out
    session = onnxruntime.InferenceSession(str(tmp_path / "g.onnx"), providers=["CPUExecutionProvider"])
    (z,) = session.get_inputs()
    for count in (1, 3):
        (images,) = session.run(None, {z.name: torch.randn(count, 16).numpy()})
        assert images.shape == (count, 3, 16, 24)
