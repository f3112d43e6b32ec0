"""The benchmark of writing compares what it says it compares. No time is asserted."""

import pytest
import torch
from torch import Tensor

from benchmarks import writing
from benchmarks.writing import Generating, lines, network, rollouts
from multigen.text.decoding import sample


def test_both_write_as_many_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    G = network("", 6)
    theirs = Generating(G, 5)
    assert [len(text.split()) for text in theirs.texts(3)] == [5] * 3
    tokens = sample(G, torch.rand(3, 5))
    made: list[tuple[int, ...]] = []
    generate = G.model.generate

    def counted(first: Tensor, **settings: object) -> Tensor:
        out = generate(first, **settings)
        assert torch.equal(out[:, 1 : first.shape[1]], tokens.repeat(2, 1)[:, : first.shape[1] - 1])
        made.append((*first.shape, out.shape[1]))
        return out

    monkeypatch.setattr(G.model, "generate", counted)
    theirs.rollouts(tokens, 2)
    assert made == [(6, given + 1, 6) for given in range(1, 5)]  # each beginning, with the start token
    drawn: list[int] = []
    monkeypatch.setattr(writing, "continued", lambda G, tokens, uniform: drawn.append(uniform[..., 0].numel()) or [])
    rollouts(G, tokens, 2)
    assert drawn == [3 * 2 * 4]


def test_nothing_is_truncated() -> None:
    settings = Generating(G := network("", 6), 5).G.model.generation_config
    assert settings.do_sample and not settings.top_k and settings.use_cache and G is not None


def test_ratios_are_of_the_rounds() -> None:
    head, ours, theirs = lines("writing", 10, {"ours": [1.0, 2.0, 4.0], "transformers": [2.0, 4.0, 4.0]})
    assert "ours is" in head and ours.split() == ["ours", "5.0", "2.5", "10.0", "1.00"]
    assert theirs.split() == ["transformers", "2.5", "2.5", "5.0", "2.00"]
