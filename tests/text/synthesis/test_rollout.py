"""Roll-outs from cached states against a literal implementation that reads everything again, under
the same random numbers."""

import pytest
import torch
from torch import Tensor

from multigen.text.decoding import draw, sample, token_mask
from multigen.text.networks.generators import LSTM, Generator, Transformer
from multigen.text.synthesis.rollout import continued, rewards

VOCABULARY, T, N, B, END, PAD = 11, 7, 3, 5, 2, 0


@pytest.fixture(params=["lstm", "two layers", "transformer"])
def generator(request) -> Generator:
    torch.manual_seed(0)
    if request.param == "transformer":
        network = Transformer.gpt2(VOCABULARY, 8, 2, 2, T, start=1)
    else:
        network = LSTM(VOCABULARY, 6, 8, layers=2 if request.param == "two layers" else 1, start=1)
    for p in network.parameters():  # far from uniform
        p.data = 0.5 * torch.randn(p.shape)
    return network.double()


def by_hand(G: Generator, tokens: Tensor, uniform: Tensor, end: int | None) -> Tensor:
    """(B, N, T - 1, T): every token of every continuation from a new reading of all before it."""
    out = torch.empty(B, N, T - 1, T, dtype=torch.int64)
    for b in range(B):
        for n in range(N):
            for i in range(T - 1):
                text = tokens[b, : i + 1].tolist()
                while len(text) < T:
                    if end is not None and end in text:
                        text.append(PAD)
                        continue
                    logits = G(torch.tensor([[*text, 0]]))[:, -1]
                    text.append(int(draw(logits, uniform[b, n, i, len(text)].view(1, 1))))
                out[b, n, i] = torch.tensor(text)
    return out


def score(texts: Tensor) -> Tensor:
    """Something that depends on every token and its place."""
    weights = torch.arange(1.0, T + 1, dtype=torch.float64)
    return torch.sin(texts.double() * weights).sum(1)


@pytest.mark.parametrize("end", [None, END])
@torch.no_grad()
def test_continuations_are_those_of_a_literal_reading(generator: Generator, end: int | None):
    rng = torch.Generator().manual_seed(1)
    tokens = sample(generator, torch.rand(B, T, generator=rng, dtype=torch.float64), end, PAD)
    uniform = torch.rand(B, N, T - 1, T, generator=rng, dtype=torch.float64)
    expected = by_hand(generator, tokens, uniform, end)
    ((rows, result),) = continued(generator, tokens, uniform, end, PAD)
    assert rows == slice(0, B)
    assert torch.equal(result, expected)
    if end is not None:
        assert (token_mask(tokens, end).sum(1) < T).any()  # some sequences of the test end early

    values = rewards(generator, score, tokens, uniform, end, PAD)
    for b in range(B):
        length = int(token_mask(tokens[b : b + 1], end).sum())
        for t in range(T):
            if t >= length:
                wanted = torch.zeros((), dtype=torch.float64)
            elif t == length - 1:
                wanted = score(tokens[b : b + 1])[0]
            else:
                wanted = score(expected[b, :, t]).mean()
            torch.testing.assert_close(values[b, t], wanted, rtol=0, atol=1e-6)


@torch.no_grad()
def test_parts_that_fit_into_memory_change_nothing(generator: Generator):
    rng = torch.Generator().manual_seed(2)
    tokens = sample(generator, torch.rand(B, T, generator=rng, dtype=torch.float64), END, PAD)
    uniform = torch.rand(B, N, T - 1, T, generator=rng, dtype=torch.float64)
    whole = rewards(generator, score, tokens, uniform, END, PAD)
    parts = 2 * T if isinstance(generator, Transformer) else generator.lstm.num_layers  # pyright: ignore
    state = 2 * 8 * 8 * int(parts)  # bytes of a row, by hand  # pyright: ignore
    for together in (0, 1, 2, 4, 7):  # continuations: parts of a sentence's, one sentence's, two sentences'
        limit = together * T * state
        sizes = [(rows, part.shape[1]) for rows, part in continued(generator, tokens, uniform, END, PAD, limit)]
        assert len(sizes) == {0: 15, 1: 15, 2: 10, 4: 5, 7: 3}[together]
        torch.testing.assert_close(
            rewards(generator, score, tokens, uniform, END, PAD, limit), whole, rtol=0, atol=1e-12
        )


@torch.no_grad()
def test_one_token_needs_no_continuation(generator: Generator):
    tokens = torch.tensor([[3], [4]])
    values = rewards(generator, lambda x: x[:, 0].double(), tokens, torch.rand(2, N, 0, 1))
    assert values.tolist() == [[3.0], [4.0]]
