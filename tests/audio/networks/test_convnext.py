"""ConvNeXt blocks: what they compute, what they see, how they begin."""

import torch
from torch.nn.functional import gelu

from multigen.audio.networks.convnext import KERNEL, ConvNeXtBlock, initialise


def block(scale: float = 0.5) -> ConvNeXtBlock:
    torch.manual_seed(0)
    made = ConvNeXtBlock(4, scale).double()
    initialise(made)
    return made


def test_parameters() -> None:
    width = 16
    linear = width * 3 * width * 2 + 3 * width + width
    expected = width * KERNEL + width + 2 * width + linear + width  # convolution, normalisation, linear layers, scales
    assert sum(p.numel() for p in ConvNeXtBlock(width, 1).parameters()) == expected


def test_the_block_is_what_its_description_says() -> None:
    network, x = block(), torch.randn(2, 4, 9, dtype=torch.float64)
    y = network.depthwise(x)
    y = (y - y.mean(1, keepdim=True)) / (y.var(1, keepdim=True, correction=0) + 1e-6).sqrt()
    y = network.contract(gelu(network.expand(y.mT))).mT
    torch.testing.assert_close(network(x), x + 0.5 * y)


def test_a_scale_of_zero_changes_nothing() -> None:
    x = torch.randn(2, 4, 9, dtype=torch.float64)
    assert torch.equal(block(0)(x), x)


def test_a_frame_sees_three_on_each_side() -> None:
    network, x = block(), torch.randn(1, 4, 15, dtype=torch.float64, requires_grad=True)
    (grad,) = torch.autograd.grad(network(x)[:, :, 7].sum(), x)
    assert grad.abs().sum((0, 1)).nonzero().flatten().tolist() == list(range(4, 11))


def test_weights_begin_small_and_biases_at_zero() -> None:
    network = block()
    assert 0.01 < float(network.expand.weight.detach().std()) < 0.03
    assert not any(p.any() for name, p in network.named_parameters() if name.endswith("bias"))
