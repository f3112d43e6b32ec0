"""The synthetic oracle, against an LSTM written by hand."""

import io
import math
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from multigen.errors import DataError
from multigen.text.oracle import Oracle

V, E, H, T = 7, 3, 4, 5  # tokens, dimensions of an embedding, units, length

Arrays = dict[str, np.ndarray]


def arrays(seed: int = 0) -> Arrays:
    rng = np.random.default_rng(seed)
    result = {"embeddings": rng.normal(size=(V, E)), "Wo": rng.normal(size=(H, V)), "bo": rng.normal(size=V)}
    for gate in ("i", "f", "c", "og"):
        result |= {
            f"W{gate}": rng.normal(size=(E, H)),
            f"U{gate}": rng.normal(size=(H, H)),
            f"b{gate}": rng.normal(size=H),
        }
    return {name: array.astype(np.float32) for name, array in result.items()}


def written(path: Path, held: Arrays) -> Path:
    np.savez(path, **held)  # pyright: ignore[reportArgumentType]
    return path


def log_p(held: Arrays, tokens: list[int]) -> float:
    """log p of a sequence, from the formulas of an LSTM, in float64."""
    w = {name: array.astype(np.float64) for name, array in held.items()}

    def gate(name: str, x: np.ndarray, h: np.ndarray) -> np.ndarray:
        return x @ w[f"W{name}"] + h @ w[f"U{name}"] + w[f"b{name}"]

    def sigmoid(x: np.ndarray) -> np.ndarray:
        return 1 / (1 + np.exp(-x))

    h, c, previous, total = np.zeros(H), np.zeros(H), 0, 0.0
    for token in tokens:
        x = w["embeddings"][previous]
        i, f, o = (sigmoid(gate(name, x, h)) for name in ("i", "f", "og"))
        c = f * c + i * np.tanh(gate("c", x, h))
        h = o * np.tanh(c)
        logits = h @ w["Wo"] + w["bo"]
        total += logits[token] - np.log(np.exp(logits).sum())
        previous = token
    return total


def test_the_likelihood_is_that_of_the_formulas(tmp_path: Path) -> None:
    held = arrays()
    oracle = Oracle.read(written(tmp_path / "oracle.npz", held), T)
    assert (oracle.vocabulary, oracle.length) == (V, T)
    tokens = torch.randint(V, (6, T), generator=torch.Generator().manual_seed(0))
    expected = [-log_p(held, row) / T for row in tokens.tolist()]
    torch.testing.assert_close(oracle.nll(tokens), torch.tensor(expected, dtype=torch.float32), rtol=1e-5, atol=1e-5)


def test_all_sequences_have_probability_one_together(tmp_path: Path) -> None:
    oracle = Oracle.read(written(tmp_path / "oracle.npz", arrays(1)), 3)
    every = torch.cartesian_prod(*[torch.arange(V)] * 3)
    assert math.isclose((-3 * oracle.nll(every).double()).exp().sum().item(), 1.0, abs_tol=1e-5)


def test_samples_are_those_of_the_distribution(tmp_path: Path) -> None:
    """The mean nll of samples, against the entropy as a sum over all sequences."""
    oracle = Oracle.read(written(tmp_path / "oracle.npz", arrays(2)), 3)
    nll = oracle.nll(torch.cartesian_prod(*[torch.arange(V)] * 3)).double()
    entropy = ((-3 * nll).exp() * nll).sum().item()
    result = oracle.nll(oracle.sample(4000, seed=3)).double()
    assert abs(result.mean().item() - entropy) < 4 * result.std().item() / 4000**0.5


def test_more_samples_begin_with_the_same() -> None:
    oracle = Oracle.seeded(0, vocabulary=20, width=4, length=T)
    many = oracle.sample(600, seed=5)  # more than are drawn at a time
    assert many.shape == (600, T) and many.min() >= 0 and many.max() < 20
    assert torch.equal(oracle.sample(7, seed=5), many[:7]) and torch.equal(oracle.sample(513, seed=5), many[:513])
    assert not torch.equal(oracle.sample(7, seed=6), many[:7])
    torch.testing.assert_close(oracle.nll(many)[520:523], oracle.nll(many[520:523]))


def test_a_seed_is_an_oracle_with_weights_of_the_normal_distribution() -> None:
    one, same, other = (Oracle.seeded(seed, vocabulary=300, width=8) for seed in (4, 4, 5))
    tokens = one.sample(3, seed=0)
    assert torch.equal(one.nll(tokens), same.nll(tokens)) and not torch.equal(one.nll(tokens), other.nll(tokens))
    named = dict(one.network.named_parameters())
    assert not named.pop("lstm.bias_hh_l0").any()
    weights = torch.cat([p.flatten() for p in named.values()])
    assert abs(weights.mean().item()) < 0.05 and abs(weights.std().item() - 1) < 0.05
    assert not any(p.requires_grad for p in one.network.parameters())


def test_global_random_numbers_are_of_no_account() -> None:
    oracle = Oracle.seeded(0, vocabulary=20, width=4)
    torch.manual_seed(1)
    first = oracle.sample(3, seed=0)
    torch.manual_seed(2)
    assert torch.equal(oracle.sample(3, seed=0), first)


class Pickled:
    """What would run if it were unpickled."""

    def __reduce__(self):
        return (pytest.fail, ("a pickle was opened",))


HEADERS = {"huge": b"'shape': (99999999999,)", "torn": b"'shape': (7,"}


def unfit(name: str) -> bytes:
    """Content of a file that is no oracle."""
    held: dict[str, object] = dict(arrays())
    file = io.BytesIO()
    if name == "pickle":
        return pickle.dumps(Pickled())
    if name == "one array":
        np.save(file, held["Wo"])  # pyright: ignore[reportArgumentType]
        return file.getvalue()
    if name == "pickle inside":
        held["bo"] = np.array(Pickled(), dtype=object)
    elif name == "another .npz":
        held = {"images": np.zeros(3)}
    elif name == "words":
        held["bo"] = np.array(["a"] * V)
    elif name == "other shapes":
        held["Wo"] = np.zeros((H + 1, V), np.float32)
    elif name == "no matrix":
        held["embeddings"] = np.zeros(V, np.float32)
    np.savez(file, **held)  # pyright: ignore[reportArgumentType]
    if name in HEADERS:
        with zipfile.ZipFile(file, "a") as opened:
            content = opened.read("bo.npy").replace(b"'shape': (7,)", HEADERS[name])
            opened.writestr("again.npy", content)
    return file.getvalue()[: None if name != "cut short" else 900]


@pytest.mark.parametrize(
    "name",
    [
        "another .npz",
        "pickle",
        "pickle inside",
        "one array",
        "words",
        "other shapes",
        "no matrix",
        "cut short",
        "empty",
        *HEADERS,
    ],
)
def test_another_file_is_refused_in_one_line(name: str, tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    path.write_bytes(b"" if name == "empty" else unfit(name))
    with pytest.raises(DataError, match=r"holds no oracle .*expected an \.npz with embeddings") as result:
        Oracle.read(path)
    assert str(path) in str(result.value) and "\n" not in str(result.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"gone\.npz holds no oracle"):
        Oracle.read(tmp_path / "gone.npz")


@pytest.mark.data
def test_the_published_oracle_has_its_entropy(data_root: Path) -> None:
    oracle = Oracle.read(data_root / "text" / "seqgan_oracle" / "oracle.npz")
    assert oracle.vocabulary == 5000
    assert abs(oracle.nll(oracle.sample(4000, seed=0)).mean().item() - 5.76) < 0.03
