"""BLEU and self-BLEU against NLTK's, and the benchmark that compares their speed."""

import random
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks import bleu as benchmark
from multigen.errors import ConfigError, DataError
from multigen.text.bleu import References, self_bleu
from multigen.text.words import words

ORDERS = (1, 2, 3, 4, 5)
LINES = """a man riding a wave on top of a surfboard.
a man riding a wave on a surfboard in the ocean.
a bathroom with a toilet, a sink and a bath tub.
a bathroom with a sink and a mirror, and a toilet.
the cat's bowl isn't empty; two cats are sitting next to it.
two cats are sitting next to each other on a couch.
a man riding a wave on top of a surfboard.
people.
a very very very very very long train is going down the very long tracks next to the train station."""
CAPTIONS = [words(line) for line in LINES.splitlines()]


def nltk(references: list[list], hypothesis: list) -> list[float]:
    """Smoothed BLEU-1 to -5."""
    from nltk.translate.bleu_score import SmoothingFunction, sentence_bleu

    smoothing = SmoothingFunction().method1
    return [float(sentence_bleu(references, hypothesis, (1 / n,) * n, smoothing)) for n in ORDERS]  # pyright: ignore


def assert_agrees(references: list[list], hypotheses: list[list]) -> None:
    result = References(references).bleu(hypotheses, ORDERS)
    expected = [nltk(references, hypothesis) for hypothesis in hypotheses]
    assert list(result) == list(ORDERS)
    np.testing.assert_allclose(np.stack(list(result.values()), 1), expected, rtol=1e-12, atol=1e-15)


def assert_self_agrees(samples: list[list]) -> None:
    result = self_bleu(samples, ORDERS)
    expected = [nltk(samples[:i] + samples[i + 1 :], sample) for i, sample in enumerate(samples)]
    np.testing.assert_allclose(np.stack(list(result.values()), 1), expected, rtol=1e-12, atol=1e-15)


def drawn(seed: int, count: int, vocabulary: int, longest: int) -> list[list[int]]:
    """Texts of 0 to `longest` ids; few ids, so many n-grams repeat within a text."""
    rng = random.Random(seed)
    return [[rng.randrange(vocabulary) for _ in range(rng.randint(0, longest))] for _ in range(count)]


# ---------------------------------------------------------------------------------------------------- closed forms


def test_closed_forms():
    references = References([words("the cat sat on the mat"), words("a cat is on it")])
    # 4 of 5 words; "the cat", "on the" of 4 pairs; no triple; a reference of 5 words is there.
    scores = references.bleu([words("the cat lay on the")], ORDERS)
    expected = [4 / 5, (4 / 5 * 2 / 4) ** (1 / 2), (4 / 5 * 2 / 4 * 0.1 / 3) ** (1 / 3)]
    assert [scores[n][0] for n in (1, 2, 3)] == pytest.approx(expected, rel=1e-12)
    # One reference has "the" twice, which is what counts; 2 words less than the nearest reference.
    assert references.bleu([["the"] * 3], [1])[1] == pytest.approx(2 / 3 * np.exp(1 - 5 / 3), rel=1e-12)


def test_self_bleu_leaves_out_the_sample_itself():
    samples = [list("abcdef"), list("abcxyz"), list("uvw")]
    expected = [(3 / 6 * 2 / 5) ** (1 / 2), (3 / 6 * 2 / 5) ** (1 / 2), 0]
    assert self_bleu(samples)[2] == pytest.approx(expected, rel=1e-12)
    for n, scores in self_bleu([*samples, list("abcdef")]).items():
        assert scores[[0, 3]].tolist() == [1, 1], n
    assert_self_agrees(samples)


# ---------------------------------------------------------------------------------------------------- against NLTK


@pytest.mark.parametrize("seed", range(6))
def test_agrees_with_nltk_on_random_ids(seed: int):
    size, length = ((2, 9), (3, 6), (12, 14))[seed % 3]
    assert_agrees(drawn(seed, 15, size, length), drawn(seed + 100, 25, size + 1, length + 2))
    assert_self_agrees(drawn(seed + 200, 20, size, length))


def test_agrees_with_nltk_on_captions():
    assert_agrees(CAPTIONS[::2], CAPTIONS[1::2])
    assert_agrees(CAPTIONS, CAPTIONS)
    assert_self_agrees(CAPTIONS)


@pytest.mark.parametrize(
    "references",
    [
        [list("abcabc")],
        [list("abcabc")] * 3,
        [[]],
        [[], list("ab")],
        [list("abcd"), list("ab"), list("abcdefgh"), list("abcd")],
    ],
    ids=["single", "copies", "empty", "empty and short", "lengths"],
)
def test_agrees_with_nltk_at_the_edges(references: list[list[str]]):
    """Empty and short hypotheses, none of whose words are known, between two lengths, beyond all of
    them."""
    hypotheses = [[], ["a"], ["z"], *(list("abcdefghij")[:n] for n in range(2, 10)), list("zzabczz"), list("aaaa")]
    assert_agrees(references, [*hypotheses, *hypotheses])
    assert References(references).bleu([[]])[2] == 0


@pytest.mark.parametrize(
    "samples",
    [
        [list("abc"), list("abc")],
        [list("abc"), []],
        [[], []],
        [["a"], ["b"]],
        [list("aab"), list("aaab"), list("ab"), list("aaab"), list("bbbbbb")],
        [list("a" * n) for n in (1, 2, 4, 5, 8, 8, 20)],
    ],
)
def test_self_bleu_agrees_with_nltk_at_the_edges(samples: list[list[str]]):
    assert_self_agrees(samples)


@pytest.mark.data
def test_published_values_of_captions(data_root: Path):
    folder = data_root / "text/captions"
    train, test = ([words(x) for x in (folder / f"{n}.txt").read_text("utf-8").splitlines()] for n in ("train", "test"))
    assert (len(train), len(test)) == (10_000, 10_000)
    against_test, within = References(test).bleu(train), self_bleu(train)
    assert [x.mean() for x in against_test.values()] == pytest.approx([0.740, 0.520, 0.337, 0.218], abs=0.001)
    assert [x.mean() for x in within.values()] == pytest.approx([0.892, 0.747, 0.574, 0.416], abs=0.001)


# ---------------------------------------------------------------------------------------------------- what is given


def test_words_are_split_as_in_the_penn_treebank():
    assert words("A dog's bed (red), isn't it?") == [
        "A",
        "dog",
        "'s",
        "bed",
        "(",
        "red",
        ")",
        ",",
        "is",
        "n't",
        "it",
        "?",
    ]
    assert words("") == words(" \n") == []


def test_orders_are_those_asked_for():
    references = References(CAPTIONS[:4], orders=3)
    every = References(CAPTIONS[:4]).bleu(CAPTIONS)
    assert list(every) == [2, 3, 4, 5]
    for n, scores in references.bleu(CAPTIONS, (3, 2)).items():
        np.testing.assert_array_equal(scores, every[n])
    assert list(references.bleu(CAPTIONS, (3, 2))) == [3, 2]
    assert list(self_bleu(CAPTIONS, [4])) == [4]


def test_ids_may_lie_in_tensors_and_arrays():
    """And a hypothesis scores the same alone as among others."""
    ids = torch.randint(4, (8, 6), generator=torch.Generator().manual_seed(0))
    expected = References(ids.tolist()[:5]).bleu(ids.tolist()[5:])[3]
    assert expected.min() < expected.max()
    for texts in (ids, ids.numpy(), [*ids], [tuple(row) for row in ids.tolist()]):
        np.testing.assert_array_equal(References(texts[:5]).bleu(texts[5:])[3], expected)
        np.testing.assert_array_equal(self_bleu(texts)[3], self_bleu(ids.tolist())[3])
    alone = [References(ids[:5]).bleu(ids[i : i + 1])[3][0] for i in (5, 6, 7)]
    np.testing.assert_array_equal(alone, expected)


def test_wrong_texts_are_named():
    references = References(CAPTIONS)
    for act, message in (
        (lambda: References([]), "references: no text, expected at least one"),
        (lambda: references.bleu([]), "hypotheses: no text"),
        (lambda: self_bleu([]), "samples: no text"),
        (lambda: self_bleu([["a"]]), "self-BLEU of 1 sample: expected at least 2"),
        (lambda: references.bleu([["a"], "a cat"]), r"hypotheses: text 1 is 'a cat', expected .* with words\(\)"),
        (lambda: References(torch.tensor([7, 8])), "references: text 0 is 7, expected a sequence of tokens"),
    ):
        with pytest.raises(DataError, match=message):
            act()


def test_wrong_orders_are_named():
    references = References(CAPTIONS, orders=2)
    for act, message in (
        (lambda: References(CAPTIONS, orders=0), "orders 0: expected at least 1"),
        (lambda: references.bleu(CAPTIONS), r"orders \(2, 3, 4, 5\): expected numbers from 1 to 2, to which"),
        (lambda: references.bleu(CAPTIONS, []), r"orders \(\): expected"),
        (lambda: self_bleu(CAPTIONS, [0, 2]), r"orders \(0, 2\): expected numbers from 1 up"),
    ):
        with pytest.raises(ConfigError, match=message):
            act()


# ---------------------------------------------------------------------------------------------------- the benchmark


def test_made_up_sentences_follow_zipf():
    texts = benchmark.sentences(2000, seed=3)
    assert texts == benchmark.sentences(2000, seed=3) != benchmark.sentences(2000, seed=4)
    assert {len(text) for text in texts} == set(range(6, 18))
    tokens = [token for text in texts for token in text]
    assert tokens.count("w0") / tokens.count("w3") == pytest.approx(4, rel=0.2)


def test_the_benchmark_compares_the_two(monkeypatch: pytest.MonkeyPatch):
    texts = benchmark.sentences(9, seed=0), benchmark.sentences(40, seed=1)
    result = benchmark.compare(*texts, sample=3, repeats=2)
    assert result["ratio"] == pytest.approx(result["nltk"] / result["ours"])
    assert result["difference"] < 1e-12
    bleu = References.bleu
    monkeypatch.setattr(References, "bleu", lambda *args: {n: x + n / 100 for n, x in bleu(*args).items()})
    assert benchmark.compare(*texts, sample=3, repeats=1)["difference"] == pytest.approx(0.05)


def test_the_benchmark_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.delenv("MULTIGEN_DATA", raising=False)
    benchmark.main(hypotheses=6, references=20, sample=2, repeats=1)
    assert "6 hypotheses, 20 references (made-up sentences)" in capsys.readouterr().out
    (tmp_path / "text/captions").mkdir(parents=True)
    for name in ("train", "test"):
        (tmp_path / f"text/captions/{name}.txt").write_text(LINES)
    monkeypatch.setenv("MULTIGEN_DATA", str(tmp_path))
    benchmark.main(hypotheses=3, references=8, sample=2, repeats=1)
    assert "3 hypotheses, 8 references (captions)" in capsys.readouterr().out
