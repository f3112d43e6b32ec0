"""FastGAN: its layers, its two halves of D, and what D decodes. What all methods of the task share
is tested in test_gans."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from multigen import losses
from multigen.errors import ConfigError
from multigen.image.synthesis import fastgan
from multigen.image.synthesis.base import ImageInfo
from tests import tiny


def networks(size: int, width: int = 8, channels: int = 3) -> tuple[fastgan.Generator, fastgan.Discriminator]:
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


def test_sizes_to_1024_and_classes_fit() -> None:
    assert fastgan.FastGANConfig(size=1024).size == 1024
    with pytest.raises(ConfigError, match=r"size 768: .* nearest it has are 512 and 1024"):
        fastgan.FastGANConfig(size=768)
    made: Any = fastgan.FastGANTrainer(replace(fastgan.PRESETS["tiny"], conditional=True))
    made.data_info = ImageInfo(classes=("a", "b", "c"), channels=1)
    head = made.discriminator().head
    assert head.classes.weight.shape == (3, 64) and head.conv.out_channels == 64


def test_images_that_are_no_squares_are_refused_by_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert tiny.multigen(["train", "fastgan", "tiny", "--image-width", "96"]) == 2
    assert "--image-width: no such option; expected --size N, whose images are squares" in capsys.readouterr().err
    assert tiny.multigen(["train", "fastgan", "tiny", "--size", "96"]) == 2
    assert "the nearest it has are 64 and 128" in capsys.readouterr().err
