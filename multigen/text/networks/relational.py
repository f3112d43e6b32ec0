"""Relational memory: a recurrent network whose state is a matrix, the slots of which attend to one
another and to each new token. Santoro et al. 2018, arXiv:1806.01822; as the generator of RelGAN,
Nie et al. 2019."""

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import layer_norm

from multigen.errors import ConfigError
from multigen.text.networks.generators import Generator, shifted

__all__ = ["RelationalMemory", "scaled_normal_"]

FORGET = 1.0
"""Added to the logits of the forget gate: a memory is kept at first."""


def scaled_normal_(module: nn.Module) -> None:
    """The initial weights of RelGAN's authors: truncated normal numbers with a variance of 1 / V for
    embeddings, 1 / fan_in for linear layers and 2 / fan_in for convolutions; no biases."""
    for part in module.modules():
        if isinstance(part, nn.Embedding | nn.Linear | nn.Conv1d):
            fan = part.num_embeddings if isinstance(part, nn.Embedding) else part.weight[0].numel()
            deviation = math.sqrt((2 if isinstance(part, nn.Conv1d) else 1) / fan)
            nn.init.trunc_normal_(part.weight, 0.0, deviation, -2 * deviation, 2 * deviation)
        if isinstance(part, nn.Linear | nn.Conv1d) and part.bias is not None:
            nn.init.zeros_(part.bias)


class Norm(nn.Module):
    """Layer normalisation of a whole matrix per row of the batch, (B, N, H), with a gain and a bias
    for each of the H columns, as in the authors' code."""

    def __init__(self, width: int):
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(width)), nn.Parameter(torch.zeros(width))

    def forward(self, x: Tensor) -> Tensor:
        return layer_norm(x, x.shape[1:]) * self.weight + self.bias


class RelationalMemory(Generator):
    """p(token | memory): an embedding, the memory, a linear layer.

    The memory M (slots, width) and the token x are N = slots + 1 rows, which attend to one another
    with `heads` heads; each then passes a perceptron. Both have a skip connection and a
    normalisation after it. The rows of M that result go into the memory through gates:

        M <- sigmoid(i) tanh(M') + sigmoid(f + 1) M,   (i, f) = U x + W tanh(M)

    Raises:
        ConfigError: `width` does not divide into `heads`.
    """

    def __init__(self, vocabulary: int, embedding: int, width: int, heads: int, slots: int = 1, start: int = 0):
        super().__init__()
        if width % heads:
            raise ConfigError(f"width {width}: it does not divide into {heads} heads; take a multiple of {heads}")
        self.start, self.width, self.heads, self.slots = start, width, heads, slots
        self.embedding = nn.Embedding(vocabulary, embedding)
        self.input = nn.Linear(embedding, width)
        self.qkv, self.qkv_norm = nn.Linear(width, 3 * width, bias=False), Norm(3 * width)
        self.attended, self.mapped = Norm(width), Norm(width)  # the normalisations after the skip connections
        self.mlp = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width))
        self.gates_input = nn.Linear(width, 2 * width, bias=False)
        self.gates_memory = nn.Linear(width, 2 * width, bias=False)
        self.output = nn.Linear(slots * width, vocabulary)
        scaled_normal_(self)

    def begin(self, n: int, length: int, capacity: int = 0) -> Tensor:
        """The identity, cut to its shape or filled up with zeros: slots differ from the
        beginning."""
        weight = self.output.weight
        return torch.eye(self.slots, self.width, dtype=weight.dtype, device=weight.device).expand(n, -1, -1)

    def branch(self, state: Tensor, first: int, times: int) -> Tensor:
        return torch.cat([state, state[:first].repeat(times, 1, 1)])

    def size(self, state: Tensor) -> int:
        return state.nbytes

    def step(self, tokens: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        x = self.input(self.embedding(tokens))
        state = self._remember(x, self.gates_input(x), state)
        return state.flatten(1), state

    def logits(self, features: Tensor) -> Tensor:
        return self.output(features)

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.input(self.embedding(shifted(tokens, self.start)))  # (B, T, width)
        memory, features = self.begin(*tokens.shape), list[Tensor]()
        for each, gates in zip(x.unbind(1), self.gates_input(x).unbind(1), strict=True):
            memory = self._remember(each, gates, memory)
            features.append(memory.flatten(1))
        return self.output(torch.stack(features, 1))

    def _remember(self, x: Tensor, gates: Tensor, memory: Tensor) -> Tensor:
        """x (B, width), its share of the gates (B, 2 width), M (B, slots, width) -> the next M."""
        rows = torch.cat([memory, x[:, None]], 1)  # (B, N, width)
        rows = self.attended(rows + self._attention(rows))
        rows = self.mapped(rows + self.mlp(rows))
        i, f = (gates[:, None] + self.gates_memory(torch.tanh(memory))).chunk(2, -1)
        return torch.sigmoid(i) * torch.tanh(rows[:, :-1]) + torch.sigmoid(f + FORGET) * memory

    def _attention(self, rows: Tensor) -> Tensor:
        """Queries, keys and values are normalised together; the scale is that of all three, as in
        the authors' code."""
        each = self.qkv_norm(self.qkv(rows)).unflatten(2, (self.heads, -1)).transpose(1, 2)  # (B, heads, N, 3 size)
        q, k, v = each.chunk(3, -1)
        weights = (q * each.shape[-1] ** -0.5 @ k.transpose(2, 3)).softmax(-1)
        return (weights @ v).transpose(1, 2).flatten(2)
