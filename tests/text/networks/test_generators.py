"""Generators: step by step as all at once, branching, sampling, and models of the transformers
library."""

import math
from collections.abc import Callable

import pytest
import torch

from multigen.errors import ConfigError
from multigen.text.decoding import draw, log_probs, sample, token_mask, truncated
from multigen.text.networks.generators import LSTM, Generator, Transformer
from multigen.text.networks.pretrained import load_pretrained
from multigen.text.networks.relational import RelationalMemory

V, T = 9, 6


GENERATORS: dict[str, Callable[[], Generator]] = {
    "lstm": lambda: LSTM(V, 5, 7, layers=2, start=1),
    "transformer": lambda: Transformer.gpt2(V, 8, 2, 2, T, start=1),
    "relational": lambda: RelationalMemory(V, 5, 8, heads=2, slots=3, start=1),
}


@pytest.fixture(params=GENERATORS)
def generator(request) -> Generator:
    torch.manual_seed(0)
    network = GENERATORS[request.param]()
    for p in network.parameters():
        p.data = 0.5 * torch.randn(p.shape)
    return network.double()


@torch.no_grad()
def test_step_by_step_gives_the_logits_of_all_at_once(generator: Generator):
    tokens = torch.randint(V, (4, T), generator=torch.Generator().manual_seed(0))
    whole = generator(tokens)
    assert whole.shape == (4, T, V)
    previous, state = torch.full((4,), generator.start), generator.begin(4, T)
    for t in range(T):
        h, state = generator.step(previous, state)
        torch.testing.assert_close(generator.logits(h), whole[:, t], rtol=1e-9, atol=1e-10)
        previous = tokens[:, t]


@torch.no_grad()
def test_branches_go_on_from_the_first_rows(generator: Generator):
    tokens = torch.randint(V, (3, T), generator=torch.Generator().manual_seed(1))
    whole = generator(tokens)
    previous, state = torch.full((3,), generator.start), generator.begin(3, T, capacity=7)
    for t in range(3):
        _, state = generator.step(previous, state)
        previous = tokens[:, t]
    rows = [0, 1, 2, 0, 1, 0, 1]
    state = generator.branch(state, first=2, times=2)
    for t in (3, 4):
        h, state = generator.step(previous[rows], state)
        torch.testing.assert_close(generator.logits(h), whole[rows, t], rtol=1e-9, atol=1e-10)
        previous = tokens[:, t]


@torch.no_grad()
def test_log_probabilities_of_all_short_sequences_add_up_to_one(generator: Generator):
    everything = torch.cartesian_prod(torch.arange(V), torch.arange(V), torch.arange(V))
    for temperature in (1.0, 0.7):
        assert log_probs(generator, everything, temperature).sum(1).exp().sum().item() == pytest.approx(1.0, abs=1e-9)


def test_draws_invert_the_distribution_function():
    p = torch.tensor([[0.2, 0.0, 0.3, 0.5], [0.0, 1.0, 0.0, 0.0]], dtype=torch.float64)
    numbers = torch.tensor([[0.0, 0.19, 0.21, 0.499, 0.501, 0.999999]], dtype=torch.float64).expand(2, -1)
    assert draw(p.log(), numbers).tolist() == [[0, 0, 2, 2, 3, 3], [1] * 6]


def test_draws_have_the_probabilities_of_torchs():
    logits = torch.randn(1, 50, generator=torch.Generator().manual_seed(3))
    n = 200_000
    counts = torch.bincount(draw(logits, torch.rand(1, n, generator=torch.Generator().manual_seed(4)))[0], minlength=50)
    expected = n * logits[0].softmax(0)
    chi_square = ((counts - expected).square() / expected).sum().item()
    assert chi_square < 49 + 4 * math.sqrt(2 * 49)  # four deviations above the mean


def test_truncation():
    logits = torch.tensor([[0.1, 0.4, 0.2, 0.3]]).log()
    torch.testing.assert_close(truncated(logits, 0.5), logits / 0.5)
    assert truncated(logits, top_k=2).exp().tolist()[0] == pytest.approx([0, 0.4, 0, 0.3])
    assert truncated(logits, top_p=0.5).exp().tolist()[0] == pytest.approx([0, 0.4, 0, 0.3])
    assert truncated(logits, top_p=0.39).exp().tolist()[0] == pytest.approx([0, 0.4, 0, 0])
    assert truncated(logits, top_p=0.71).exp().tolist()[0] == pytest.approx([0, 0.4, 0.2, 0.3])
    assert torch.equal(truncated(logits, top_k=9), logits)


@pytest.mark.parametrize(
    ("settings", "words"),
    [({"temperature": -0.5}, "temperature -0.5: expected a number above 0"), ({"top_k": -1}, "top_k -1: expected a number of"),
     ({"top_p": 0.0}, "top_p 0.0: expected a share"), ({"top_p": 1.5}, "top_p 1.5: expected a share")],
)  # fmt: skip
def test_settings_of_sampling_out_of_range(settings, words):
    with pytest.raises(ConfigError, match=words):
        truncated(torch.zeros(1, 3), **settings)


@torch.no_grad()
def test_samples_end_and_begin_as_asked(generator: Generator):
    uniform = torch.rand(64, T, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    tokens = sample(generator, uniform, end=2, pad=0)
    inside = token_mask(tokens, 2)
    assert (tokens[~inside] == 0).all()
    assert (inside.sum(1) < T).any() and (tokens == 2).sum(1).max() == 1
    assert torch.equal(sample(generator, uniform[:10], 2, 0), tokens[:10])  # a row does not depend on those beside it
    prompted = sample(generator, uniform, end=2, prompt=torch.tensor([2, 5]))  # an end within the prompt ends nothing
    assert (prompted[:, :2] == torch.tensor([2, 5])).all() and (prompted[:, 2] != 0).any()
    cold = sample(generator, uniform, temperature=1e-6)
    assert torch.equal(sample(generator, uniform, temperature=0.0), cold)
    assert (cold == cold[0]).all()  # the most probable sequence
    assert torch.equal(sample(generator, uniform, top_k=1), cold)


def test_a_pretrained_model_is_read_from_its_folder(tmp_path):
    torch.manual_seed(0)
    model = Transformer.gpt2(V, 8, 2, 2, T, start=1)
    model.model.save_pretrained(tmp_path)
    again = load_pretrained(str(tmp_path), start=1, tokens=V, length=T)
    tokens = torch.randint(V, (2, T))
    torch.testing.assert_close(again(tokens), model(tokens))
    assert all(m.p == 0 for m in again.modules() if isinstance(m, torch.nn.Dropout))


def test_a_folder_without_a_model(tmp_path):
    with pytest.raises(ConfigError, match="no causal model there"):
        load_pretrained(str(tmp_path), start=0, tokens=V, length=T)


def test_a_width_that_does_not_divide_into_heads():
    with pytest.raises(ConfigError, match="width 10: it does not divide into 4 heads"):
        Transformer.gpt2(V, 10, 1, 4, T, start=0)
