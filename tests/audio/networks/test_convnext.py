"""ConvNeXt blocks over time."""

import torch

from multigen.audio.networks import ConvNeXt


def test_an_output_depends_on_its_radius_and_no_more() -> None:
    torch.manual_seed(0)
    network, x = ConvNeXt(5, 8, 2), torch.randn(1, 5, 40, requires_grad=True)
    y = network(x)
    assert y.shape == (1, 8, 40) and network.radius == 9
    y[0, :, 20].square().sum().backward()
    assert x.grad is not None
    seen = x.grad[0].abs().sum(0).nonzero().flatten()
    assert (int(seen.min()), int(seen.max())) == (11, 29)


def test_blocks_begin_with_a_share_of_themselves() -> None:
    network = ConvNeXt(5, 8, 4)
    assert all(torch.equal(block.state_dict()["scale"], torch.full((8,), 0.25)) for block in network.blocks)
    assert sum(p.numel() for p in network.blocks[0].parameters()) == 8 * 7 + 8 + 2 * 8 + 8 * 24 + 24 + 24 * 8 + 8 + 8
