"""Discriminators of token sequences."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from multigen.errors import ConfigError
from multigen.text.networks.discriminators import (
    RELGAN_FILTERS,
    SEQGAN_FILTERS,
    Convolutional,
    Recurrent,
    Representations,
)

V = 11
FILTERS = ((1, 3), (2, 4), (5, 2))


def tokens(rows: int = 4, length: int = 6) -> Tensor:
    return torch.randint(V, (rows, length), generator=torch.Generator().manual_seed(0))


@pytest.fixture
def convolutional() -> Convolutional:
    torch.manual_seed(0)
    return Convolutional(V, 5, FILTERS, dropout=0.5).double()


@pytest.mark.parametrize("length", [1, 2, 5, 9])
def test_a_text_of_any_length_gets_one_logit(length: int, convolutional: Convolutional) -> None:
    """Also one that is shorter than the widest filter."""
    x = tokens(length=length)
    logits = convolutional.eval()(x)
    assert logits.shape == (4,) and logits.isfinite().all()
    torch.testing.assert_close(convolutional(x[1:2]), logits[1:2])  # rows do not touch each other


def test_the_formulas(convolutional: Convolutional) -> None:
    """Filters at each place, the greatest answer, the highway layer, from their weights."""
    x = convolutional.embedding(tokens())  # (4, 6, 5)
    features: list[Tensor] = []
    for conv, (width, _) in zip(convolutional.filters, FILTERS, strict=True):
        assert isinstance(conv, nn.Conv1d) and conv.bias is not None
        spans = torch.stack([x[:, i : i + width] for i in range(6 - width + 1)], 1)  # (4, places, width, 5)
        features.append((torch.einsum("nswe,oew->nso", spans, conv.weight) + conv.bias).relu().amax(1))
    h = torch.cat(features, 1)
    g = torch.sigmoid(convolutional.gate(h))
    expected = convolutional.output(g * convolutional.highway(h).relu() + (1 - g) * h)[:, 0]
    torch.testing.assert_close(convolutional.eval()(tokens()), expected)


def test_what_lies_behind_a_short_text_is_nothing(convolutional: Convolutional) -> None:
    """Beyond the text filters see zeros, not a token's embedding."""
    short = tokens(length=2)
    convolutional.eval().embedding.weight.data[0] = 0.0
    padded = nn.functional.pad(short, (0, 3))
    assert not (short == 0).all()
    torch.testing.assert_close(convolutional(short), convolutional(padded))


def test_a_score_is_a_probability_and_nothing_is_dropped(convolutional: Convolutional) -> None:
    expected = torch.sigmoid(convolutional.eval()(tokens()))
    convolutional.train()
    for _ in range(3):
        assert torch.equal(convolutional.score(tokens()), expected)
    torch.manual_seed(0)
    assert not torch.equal(convolutional(tokens()), convolutional(tokens()))
    assert not torch.allclose(torch.sigmoid(convolutional(tokens())), expected)


def test_a_score_is_exact_where_the_network_computes_in_bfloat16() -> None:
    network = Convolutional(V, 5, FILTERS)
    with torch.autocast("cpu", torch.bfloat16):
        assert network(tokens()).dtype == torch.bfloat16 and network.score(tokens()).dtype == torch.float32


def test_dropped_features_leave_the_mean_as_it_is(convolutional: Convolutional) -> None:
    torch.manual_seed(1)
    logits = convolutional(tokens(1).expand(4000, -1))
    assert abs(logits.mean() - convolutional.eval()(tokens(1))[0]) < 4 * logits.std() / 4000**0.5


def test_the_penalty_is_half_the_squared_norm_of_the_last_layer(convolutional: Convolutional) -> None:
    nn.init.constant_(convolutional.output.weight, 2.0)
    nn.init.constant_(convolutional.output.bias, 3.0)
    assert convolutional.penalty().item() == (9 * 4 + 9) / 2


def test_at_first_most_is_carried_through(convolutional: Convolutional) -> None:
    assert (convolutional.gate.bias == -2).all()


def test_the_published_filters() -> None:
    assert sum(count for _, count in SEQGAN_FILTERS) == 1720 and max(width for width, _ in SEQGAN_FILTERS) == 20
    assert Convolutional(V, 4, SEQGAN_FILTERS)(tokens(length=20)).shape == (4,)


@pytest.mark.parametrize("filters", [(), ((0, 3),), ((2, 0),), ((2, 3), (-1, 3))])
def test_filters_that_cannot_be_are_refused(filters: Any) -> None:
    with pytest.raises(ConfigError, match=r"filters .*: expected pairs \(tokens, how many\) of 1 or more"):
        Convolutional(V, 4, filters)


@pytest.mark.parametrize("before", [False, True])
def test_a_score_of_a_token_does_not_depend_on_what_follows(before: bool) -> None:
    torch.manual_seed(0)
    network = Recurrent(V, 4, 5, before).double()
    x = tokens()
    logits = network(x)
    assert logits.shape == x.shape
    for t in range(x.shape[1]):
        other = x.clone()
        other[:, t] = (x[:, t] + 1) % V
        changed = (network(other) != logits).any(0)
        first = t + 1 if before else t
        assert not changed[:first].any()
        assert changed[first:].all()


def test_a_critic_begins_alike_for_all_texts() -> None:
    assert len(Recurrent(V, 4, 5, before=True)(tokens())[:, 0].unique()) == 1


@pytest.fixture
def representations() -> Representations:
    torch.manual_seed(0)
    return Representations(V, 6, 3, FILTERS, dropout=0.5).double()


def test_each_representation_is_judged_on_its_own_by_the_same_network(representations: Representations) -> None:
    """From the weights: filters, the greatest answer, the highway layer, two linear layers."""
    D = representations.eval()
    embedded = D.embedding(tokens())  # (4, 6, 6): two dimensions for each of three representations
    expected = []
    for x in embedded.split(2, 2):
        features: list[Tensor] = []
        for conv, (width, _) in zip(D.filters, FILTERS, strict=True):
            assert isinstance(conv, nn.Conv1d) and conv.bias is not None
            spans = torch.stack([x[:, i : i + width] for i in range(6 - width + 1)], 1)
            features.append((torch.einsum("nswe,oew->nso", spans, conv.weight) + conv.bias).relu().amax(1))
        h = torch.cat(features, 1)
        g = torch.sigmoid(h @ D.gate.weight.T)
        expected.append(D.output(D.hidden(g * D.highway(h).relu() + (1 - g) * h))[:, 0])
    torch.testing.assert_close(D(tokens()), torch.stack(expected, 1))


def test_one_hot_texts_are_read_as_their_tokens(representations: Representations) -> None:
    D = representations.eval()
    one_hot = nn.functional.one_hot(tokens(), V).double().requires_grad_()
    torch.testing.assert_close(D(one_hot), D(tokens()))
    D(one_hot).sum().backward()
    assert one_hot.grad is not None and one_hot.grad.abs().sum() > 0


def test_features_are_dropped_in_training_alone(representations: Representations) -> None:
    assert not torch.equal(representations(tokens()), representations(tokens()))
    assert torch.equal(representations.eval()(tokens()), representations(tokens()))


def test_the_published_sizes_of_relgan() -> None:
    with torch.device("meta"):
        D = Representations(5_000, 64, 64)
    convolutions = sum(count * (width + 1) for width, count in RELGAN_FILTERS)
    assert sum(p.numel() for p in D.parameters()) == 5_000 * 64 + convolutions + 2 * 1_200**2 + 1_201 * 100 + 101


def test_embeddings_that_do_not_divide_are_refused() -> None:
    message = r"discriminator_embedding 7: it does not divide into 3 representations; take a multiple of 3"
    with pytest.raises(ConfigError, match=message):
        Representations(V, 7, 3)
    with pytest.raises(ConfigError, match="filters"):
        Representations(V, 6, 3, ())
