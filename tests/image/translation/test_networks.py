"""Networks of image translation: sizes, parameters, and that an image is translated alike in any
batch, in training and in use."""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import nn

from multigen.image.translation.networks import PatchDiscriminator, ResNetGenerator, UNetGenerator
from multigen.image.translation.networks.discriminators import least_crop

GENERATORS = {
    "resnet": (lambda: ResNetGenerator(4, 1), 4, 8),
    "resnet, shortcut": (lambda: ResNetGenerator(4, 1, shortcut=True), 4, 8),
    "unet": (lambda: UNetGenerator(4, 3), 8, 8),
    "unet, 1 halving": (lambda: UNetGenerator(4, 1), 2, 2),
}


def count(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def test_generators_have_the_parameters_of_the_papers_layers() -> None:
    """CycleGAN's ResNet of 9 blocks has 11.378 million with the biases that instance norm removes;
    the U-Net has 3x3 in place of 4x4 convolutions in its decoder, the last of which sees the
    image."""
    blocks, widths = 9, (64, 128, 256)
    inner = 2 * 9 * widths[2] ** 2 * blocks + 2 * 9 * (widths[0] * widths[1] + widths[1] * widths[2])
    with torch.device("meta"):
        assert count(ResNetGenerator()) == 49 * 3 * 64 + inner + 49 * 64 * 3 + 3 == 11_372_931
        assert count(ResNetGenerator(64, 6)) == 11_372_931 - 3 * 2 * 9 * 256**2
        assert count(ResNetGenerator(shortcut=True)) == 11_372_931 + 49 * 3 * 3
    down = [3, 64, 128, 256, 512, 512, 512, 512, 512]
    up = [(512, 512), (1024, 512), (1024, 512), (1024, 512), (1024, 256), (512, 128), (256, 64), (128 + 3, 3)]
    weights = sum(16 * a * b for a, b in pairwise(down)) + sum(9 * a * b for a, b in up)
    with torch.device("meta"):
        assert count(UNetGenerator()) == weights + 64 + 512 + 3


@pytest.mark.parametrize("build", [lambda: ResNetGenerator(4, 1, shortcut=True), lambda: UNetGenerator(4, 3)])
def test_generators_that_see_the_image_last_begin_near_it(build: Callable[[], nn.Module]) -> None:
    torch.manual_seed(0)
    image = torch.rand(1, 3, 32, 32)
    near, far = (
        torch.corrcoef(torch.stack([net(image).flatten(), image.flatten()]))[0, 1]
        for net in (build(), ResNetGenerator(4, 1))
    )
    assert near > 0.7 > 0.3 > far.abs()


@pytest.mark.parametrize("name", GENERATORS)
def test_a_flat_image_stays_flat(name: str) -> None:
    torch.manual_seed(0)
    build, _, least = GENERATORS[name]
    result = build()(torch.full((1, 3, 4 * least, 4 * least), 0.3))
    assert (result - result.mean((2, 3), keepdim=True)).abs().max() < 1e-4


@pytest.mark.parametrize(("layers", "patch"), [(1, 16), (2, 34), (3, 70)])
def test_a_discriminator_sees_patches_of_the_papers_size(layers: int, patch: int) -> None:
    """The logits that a pixel reaches, from the pixels that a logit depends on."""
    torch.manual_seed(0)
    net = PatchDiscriminator(3, 2, layers)
    for module in net.modules():
        if isinstance(module, nn.InstanceNorm2d):  # which looks at all of the image
            module.forward = lambda x: x  # pyright: ignore[reportAttributeAccessIssue]
    image = torch.rand(1, 3, 128, 128, requires_grad=True)
    logits = net(image)
    logits[0, 0, logits.shape[2] // 2, logits.shape[3] // 2].backward()
    assert image.grad is not None
    rows = image.grad.abs().sum((0, 1, 3)).nonzero()[:, 0]
    assert int(rows.max() - rows.min()) + 1 == patch


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_a_discriminator_takes_crops_from_its_least_on(layers: int) -> None:
    least = least_crop(layers)
    assert PatchDiscriminator(6, 2, layers)(torch.rand(2, 6, least, least)).shape == (2, 1, 1, 1)
    with pytest.raises(ValueError, match="more than 1 spatial element"):
        PatchDiscriminator(6, 2, layers)(torch.rand(2, 6, least - 2**layers, least - 2**layers))


@pytest.mark.parametrize("name", GENERATORS)
def test_generators_take_any_size_of_their_multiple(name: str) -> None:
    build, multiple, least = GENERATORS[name]
    net: Any = build()
    assert (net.multiple, net.least) == (multiple, least)
    for height, width in ((least, least), (least, 5 * multiple), (7 * multiple, 2 * least)):
        out = net(torch.rand(1, 3, height, width) * 2 - 1)
        assert out.shape == (1, 3, height, width) and out.abs().max() <= 1


@pytest.mark.parametrize("name", GENERATORS)
def test_an_image_is_translated_alike_in_any_batch_and_mode(name: str) -> None:
    """Which batch norm at a batch of 1, in training and in use, does not do."""
    torch.manual_seed(0)
    net = GENERATORS[name][0]()
    images = torch.rand(3, 3, 16, 16) * 2 - 1
    together = net(images)
    assert torch.allclose(net.eval()(images[1:2]), together[1:2], atol=1e-5)
    assert not torch.allclose(together[0], together[1], atol=1e-3)


def test_dropout_is_in_the_inner_layers_and_in_training_alone() -> None:
    def dropped(halvings: int) -> list[int]:
        return [
            i
            for i, layer in enumerate(UNetGenerator(2, halvings, 0.5).up)
            if isinstance([*layer.children()][-1], nn.Dropout)
        ]

    assert (dropped(8), dropped(6), dropped(5)) == ([1, 2, 3], [1], [])
    net, image = UNetGenerator(2, 6, 0.5), torch.rand(1, 3, 64, 64)
    assert not torch.equal(net(image), net(image))
    assert torch.equal(net.eval()(image), net(image))


def test_the_unet_begins_near_the_image() -> None:
    """And so with its detail, which enlarged features do not have."""
    torch.manual_seed(0)
    image = torch.rand(1, 3, 32, 32) * 2 - 1
    for halvings in (1, 3, 5):
        assert (UNetGenerator(8, halvings)(image) - image.tanh()).abs().mean() < 0.25 * image.tanh().abs().mean()
