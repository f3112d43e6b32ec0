"""The generators that methods of restoration share: sizes as published, how far an output looks,
merged layers."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from multigen.image.restoration.networks import RRDB, SPAN, SRVGG, CompactGenerator, ResizeGenerator


def count(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def test_numbers_of_parameters_are_the_published_ones() -> None:
    """Wang et al. 2021's three releases, and SPAN's table, whose networks are merged."""
    with torch.device("meta"):
        assert count(RRDB(4, 23)) == 16_697_987
        assert count(RRDB(4, 6)) == 4_467_779
        assert count(SRVGG(4, 16)) == 621_424
    assert count(SPAN(4, width=48).merge()) == 426_288


@pytest.mark.parametrize(
    ("network", "side"),
    [
        (lambda: RRDB(4, 1, 4, 2), 64),
        (lambda: RRDB(1, 1, 4, 2), 64),
        (lambda: RRDB(2, 1, 4, 2, unshuffle=2), 128),
        (lambda: RRDB(1, 1, 4, 2, unshuffle=4), 256),
        (lambda: SRVGG(4, 3, 8), 32),
        (lambda: SPAN(2, 2, 8), 32),
        (lambda: CompactGenerator(2, 2, 8), 32),
        (lambda: ResizeGenerator(1, 2, 8), 32),
        (lambda: ResizeGenerator(3, 2, 8), 32),
        (lambda: ResizeGenerator(4, 2, 8), 32),
        (lambda: ResizeGenerator(8, 2, 8), 32),
        (lambda: CompactGenerator(1, 2, 8, unshuffle=2), 64),
    ],
)
def test_an_output_depends_on_no_pixel_beyond_the_radius(network: Any, side: int) -> None:
    net = network().double()
    image = torch.rand(1, 3, side, side, dtype=torch.float64, requires_grad=True)
    out = net(image)
    scale = out.shape[-1] // side
    middle = out[0, :, scale * side // 2 : scale * (side // 2 + 1), scale * side // 2 : scale * (side // 2 + 1)].sum()
    (gradient,) = torch.autograd.grad(middle, image)
    reach = int((gradient[0].abs().sum(0).nonzero() - side // 2).abs().max())
    assert 0.8 * net.radius <= reach <= net.radius


@pytest.mark.parametrize("unshuffle", [1, 2, 4])
def test_images_of_any_size_are_enlarged(unshuffle: int) -> None:
    scale = 4 // unshuffle
    for network in (RRDB(scale, 1, 4, 2, unshuffle), CompactGenerator(scale, 1, 4, unshuffle)):
        assert network(torch.rand(2, 3, 7, 9)).shape == (2, 3, scale * 7, scale * 9)


def test_a_network_without_a_residual_gives_its_input_at_the_same_size() -> None:
    network = CompactGenerator(1, 1, 4, unshuffle=2)
    torch.nn.init.zeros_(network.tail.weight)
    torch.nn.init.zeros_(network.tail.bias)  # pyright: ignore[reportArgumentType]
    image = torch.rand(1, 3, 7, 9)
    assert torch.equal(network(image), image)
    assert count(network) == (12 * 9 + 1) * 4 + 3 * (4 * 9 + 1) * 4 + (4 * 9 + 1) * 12


def test_merged_layers_give_the_same() -> None:
    torch.manual_seed(0)
    network = SPAN(2, 2, 8).double()
    image = torch.rand(1, 3, 9, 11, dtype=torch.float64)  # borders too
    with torch.no_grad():
        before = network(image)
        after = network.merge()(image)
    assert torch.allclose(before, after, atol=1e-12)
    assert not any("sk" in name or "conv.0" in name for name in network.state_dict())


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("size", [(1, 1), (7, 9), (8, 5), (21, 4)])
def test_span_gives_the_same_in_use_and_in_training(size: tuple[int, int], layout: torch.memory_format) -> None:
    """In use it computes in place, in pieces of eight rows, and joins maps without a copy."""
    torch.manual_seed(0)
    network = SPAN(2, 3, 8).merge().double().to(memory_format=layout)  # pyright: ignore[reportCallIssue]
    image = torch.rand(2, 3, *size, dtype=torch.float64).contiguous(memory_format=layout)
    trained = network(image)
    with torch.no_grad():
        assert torch.allclose(network(image), trained, atol=1e-12)
        with torch.autocast("cpu", torch.bfloat16):
            assert torch.allclose(network(image.float()).double(), trained, rtol=0.1, atol=0.1 * trained.abs().max())


def test_span_is_the_published_one() -> None:
    """Against the formulas of the paper, written out on one block: out = (conv3 + x) *
    (sigmoid(conv3) - 1/2)."""
    torch.manual_seed(0)
    network = SPAN(2, 1, 4)
    image = torch.rand(1, 3, 6, 6)

    def conv(layer: Any, x: Tensor) -> Tensor:
        return layer.merged()(x)

    with torch.no_grad():
        head = conv(network.conv_1, (image - network.mean) * 255)
        block: Any = network.get_submodule("block_1")
        one = nn.functional.silu(conv(block.c1_r, head))
        three = conv(block.c3_r, nn.functional.silu(conv(block.c2_r, one)))
        out = (three + head) * (three.sigmoid() - 0.5)
        expected = network.upsampler(network.conv_cat(torch.cat([head, conv(network.conv_2, out), out, one], 1)))
        assert torch.allclose(network(image), expected, rtol=1e-3, atol=1e-3)
