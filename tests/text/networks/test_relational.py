"""The relational memory: its formulas, sizes, initial weights and first state."""

import pytest
import torch
from torch import Tensor, nn

from multigen.errors import ConfigError
from multigen.text.networks.relational import RelationalMemory, scaled_normal_

V, EMBEDDING, WIDTH, HEADS, SLOTS = 9, 5, 6, 2, 3


@pytest.fixture
def memory() -> RelationalMemory:
    torch.manual_seed(0)
    network = RelationalMemory(V, EMBEDDING, WIDTH, HEADS, SLOTS, start=1).double()
    for p in network.parameters():
        p.data = 0.5 * torch.randn(p.shape, dtype=torch.float64)
    return network


def normalised(rows: Tensor, gain: Tensor, bias: Tensor) -> Tensor:
    """Over the whole matrix of one text."""
    return (rows - rows.mean()) / (rows.var(unbiased=False) + 1e-5).sqrt() * gain + bias


def by_hand(net: RelationalMemory, token: Tensor, M: Tensor) -> Tensor:
    """The next memory of one text from M (slots, width), one head and one row at a time."""
    x = net.input.weight @ net.embedding.weight[token] + net.input.bias
    rows = torch.stack([*M, x])
    qkv = normalised(rows @ net.qkv.weight.T, net.qkv_norm.weight, net.qkv_norm.bias)
    size = WIDTH // HEADS
    heads = []
    for head in qkv.split(3 * size, 1):
        q, k, v = head.split(size, 1)
        heads.append(torch.stack([(q[n] @ k.T / (3 * size) ** 0.5).softmax(0) @ v for n in range(SLOTS + 1)]))
    rows = normalised(rows + torch.cat(heads, 1), net.attended.weight, net.attended.bias)
    rows = normalised(rows + net.mlp(rows), net.mapped.weight, net.mapped.bias)[:SLOTS]
    gates = x @ net.gates_input.weight.T + M.tanh() @ net.gates_memory.weight.T
    i, f = gates.split(WIDTH, 1)
    return torch.sigmoid(i) * rows.tanh() + torch.sigmoid(f + 1) * M


@torch.no_grad()
def test_a_step_is_the_published_one(memory: RelationalMemory) -> None:
    tokens = torch.tensor([3, 7])
    state = torch.randn(2, SLOTS, WIDTH, dtype=torch.float64)
    features, after = memory.step(tokens, state)
    expected = torch.stack([by_hand(memory, token, M) for token, M in zip(tokens, state, strict=True)])
    torch.testing.assert_close(after, expected)
    assert torch.equal(features, after.flatten(1))
    torch.testing.assert_close(memory.logits(features)[1], memory.output.weight @ features[1] + memory.output.bias)


def test_slots_differ_from_the_beginning(memory: RelationalMemory) -> None:
    assert torch.equal(memory.begin(2, 20)[1], torch.eye(SLOTS, WIDTH, dtype=torch.float64))


def test_the_published_size() -> None:
    """One slot, two heads of 256, an embedding of 32, 5,000 words."""
    with torch.device("meta"):
        net = RelationalMemory(5_000, 32, 512, 2)
    inner = 32 * 512 + 512 + 3 * 512**2 + 2 * (512**2 + 512) + 2 * 2 * 512**2 + 2 * (3 * 512 + 512 + 512)
    assert sum(p.numel() for p in net.parameters()) == 5_000 * 32 + inner + 5_000 * 512 + 5_000
    assert net.size(net.begin(1, 20)) == 4 * 512


def test_initial_weights_are_the_published_ones() -> None:
    torch.manual_seed(0)
    layers = nn.Embedding(900, 64), nn.Linear(400, 99), nn.Conv1d(8, 99, 4)
    scaled_normal_(nn.ModuleList(layers))
    cut = 0.8796  # the deviation of normal numbers that are cut at two deviations
    for layer, deviation in zip(layers, (1 / 30, 1 / 20, 1 / 4), strict=True):
        weight = layer.weight
        assert weight.std().item() == pytest.approx(cut * deviation, rel=0.03)
        assert weight.abs().max() <= 2 * deviation
    assert all(layer.bias is not None and not layer.bias.any() for layer in layers[1:])


def test_a_width_that_does_not_divide_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"width 9: it does not divide into 2 heads; take a multiple of 2"):
        RelationalMemory(V, 4, 9, 2)
