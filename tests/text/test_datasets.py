"""Corpora: texts of all kinds and an oracle as token sequences, in three parts."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from multigen.errors import ConfigError, DataError
from multigen.text import fables
from multigen.text.datasets import Corpus, TextInfo, check_prompt, open_corpus
from multigen.text.decoding import token_mask
from multigen.text.oracle import Oracle
from multigen.text.tokenizers import Tokenizer

NAMES = [
    "the fox",
    "the old fox",
    "a hen",
    "a crow saw",
    "two owls sang",
    "one goat",
    "some mice",
    "all day",
    "no one",
    "we ran",
]


def lines(path: Path, texts: list[str]) -> str:
    path.write_text("\n".join(texts) + "\n", encoding="utf-8")
    return str(path)


def sequences(corpus: Corpus) -> list[set[str]]:
    return [set(corpus.texts(part)) for part in (corpus.train, corpus.validation, corpus.test)]


def check(corpus: Corpus, length: int) -> None:
    """What holds of every corpus of texts."""
    info = corpus.info
    train, validation, test = sequences(corpus)
    assert not train & test and not train & validation and not validation & test
    assert corpus.tokenizer is not None and corpus.oracle is None
    assert info.vocabulary == corpus.tokenizer.fingerprint and info.tokens == len(corpus.tokenizer)
    about = (info.start, info.last, info.pad)
    assert about == (corpus.tokenizer.start, corpus.tokenizer.end, corpus.tokenizer.pad)
    for part in (corpus.train, corpus.validation, corpus.test):
        assert part.dtype == torch.int64 and part.shape[1] == length and len(part)
        assert (part[~token_mask(part, info.last)] == info.pad).all()
    assert corpus.texts(corpus.test) == list(corpus.test_texts)
    assert corpus.texts(torch.cat([corpus.train, corpus.validation])) == list(corpus.real_texts)


def test_fables_in_three_parts() -> None:
    corpus = open_corpus("fables:120", 400, tokenizer="characters")
    check(corpus, 400)
    assert corpus.kind == "fables"
    parts = (corpus.train, corpus.validation, corpus.test)
    assert sum(map(len, parts)) == 120
    together = [text for part in parts for text in corpus.texts(part)]
    assert sorted(together) == sorted(fables.sample(120))
    tokens, texts = corpus.real(7)
    assert corpus.texts(tokens) == texts == list(corpus.real_texts[:7])


@pytest.mark.parametrize("kind", ["words", "characters"])
def test_the_vocabulary_is_that_of_the_training_texts(kind: str, tmp_path: Path) -> None:
    """A word that only a held-out text has is unknown."""
    data = lines(tmp_path / "a.txt", NAMES)
    corpus = open_corpus(data, 20, tokenizer=kind)
    assert corpus.kind == "texts"
    tokenizer = Tokenizer.train([t for t in corpus.texts(corpus.train)], kind)  # pyright: ignore[reportArgumentType]
    assert corpus.info.vocabulary == tokenizer.fingerprint
    known = {word for text in corpus.texts(corpus.train) for word in text.split()}
    assert len(corpus.test) == len(corpus.validation) == 1
    (held_out,) = corpus.test_texts
    unknown = [word for word in held_out.split() if word not in known]
    if kind == "words":
        assert unknown and (corpus.test == tokenizer.unknown).sum() == len(unknown)


def test_texts_with_a_test_file_keep_all_others(tmp_path: Path) -> None:
    """Nothing but the validation texts is set aside then."""
    data, test = lines(tmp_path / "a.txt", NAMES), lines(tmp_path / "b.txt", ["the hen saw a fox", "no owls ran"])
    alone = open_corpus(data, 9)
    corpus = open_corpus(data, 9, test=test)
    assert list(corpus.test_texts) == ["the hen saw a fox", "no owls ran"] and len(corpus.test) == 2
    assert sorted(corpus.real_texts) == sorted(NAMES)
    assert torch.equal(corpus.validation, alone.validation) or len(alone.real_texts) == 9  # by the same hash
    assert len(corpus.train) == len(alone.train) + len(alone.test)


def test_a_test_text_that_is_among_the_data_is_not_trained_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, test = lines(tmp_path / "a.txt", NAMES), lines(tmp_path / "b.txt", [NAMES[2], "no owls ran"])
    corpus = open_corpus(data, 9, test=test)
    train, validation, tested = sequences(corpus)
    assert not tested & (train | validation)
    assert len(corpus.real_texts) == 9
    assert "1 of its texts left out, which" in capsys.readouterr().err
    with pytest.raises(DataError, match=r"a\.txt holds all texts of .*a\.txt; .*give another --test"):
        open_corpus(data, 9, test=data)


def test_a_given_tokenizer_takes_the_place_of_the_configured_one(tmp_path: Path) -> None:
    data = lines(tmp_path / "a.txt", NAMES)
    given = Tokenizer.train(["the fox and the hen", "a goat"], "words")
    corpus = open_corpus(data, 9, tokenizer="characters", given=given)
    assert corpus.tokenizer is given
    assert corpus.info.vocabulary == given.fingerprint and corpus.info.tokens == len(given)


def test_texts_that_are_cut_are_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = lines(tmp_path / "a.txt", [*NAMES, "the fox saw a hen and a crow"])
    corpus = open_corpus(data, 4, tokenizer="words")
    assert "1 of 11 texts cut at 4 tokens (--length)" in capsys.readouterr().err
    rows = torch.cat([corpus.train, corpus.validation, corpus.test])
    assert rows.shape == (11, 4) and (rows != corpus.info.end).all(1).sum() == 1  # the one without an end
    open_corpus(data, 9, tokenizer="words")
    assert "cut" not in capsys.readouterr().err


def oracle_file(folder: Path, vocabulary: int = 30) -> Path:
    oracle = Oracle.seeded(3, vocabulary, 6)
    w = {name: t.numpy() for name, t in oracle.network.state_dict().items()}
    arrays = {"embeddings": w["embedding.weight"], "Wo": w["output.weight"].T, "bo": w["output.bias"]}
    for i, gate in enumerate(("i", "f", "c", "og")):
        rows = slice(6 * i, 6 * i + 6)
        arrays |= {f"W{gate}": w["lstm.weight_ih_l0"][rows].T, f"U{gate}": w["lstm.weight_hh_l0"][rows].T}
        arrays[f"b{gate}"] = w["lstm.bias_ih_l0"][rows]
    np.savez(folder / "oracle.npz", **arrays)  # pyright: ignore[reportArgumentType]
    return folder / "oracle.npz"


def test_an_oracle_draws_three_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = oracle_file(tmp_path)
    corpus = open_corpus(str(path), 6, oracle_texts=50)
    assert [part.shape for part in (corpus.train, corpus.validation, corpus.test)] == [(50, 6), (10, 6), (50, 6)]
    assert corpus.oracle is not None and corpus.tokenizer is None and corpus.kind == "oracle"
    assert corpus.info == TextInfo("", tokens=30) and corpus.info.last is None
    assert corpus.texts(torch.tensor([[3, 12]])) == ["3 12"]
    assert not torch.equal(corpus.train, corpus.test) and not torch.equal(corpus.train[:10], corpus.validation)
    same = Oracle.seeded(3, 30, 6, length=6)
    assert torch.equal(corpus.train, same.sample(50, seed=0))
    monkeypatch.setenv("MULTIGEN_DATA", str(tmp_path))
    again = open_corpus("oracle.npz", 6, oracle_texts=50)
    assert torch.equal(again.train, corpus.train)


def test_the_fingerprint_is_that_of_the_training_texts(tmp_path: Path) -> None:
    first = open_corpus(lines(tmp_path / "a.txt", NAMES), 9).info
    assert open_corpus(lines(tmp_path / "b.txt", NAMES), 9).info == first
    turned = open_corpus(lines(tmp_path / "c.txt", NAMES[::-1]), 9).info
    assert turned.vocabulary == first.vocabulary and turned.fingerprint != first.fingerprint


@pytest.mark.parametrize("data", ["fables:40", "oracle"])
def test_a_prompt_longer_than_all_held_out_texts_is_refused(data: str) -> None:
    corpus = open_corpus(data, 60 if data == "fables:40" else 9, oracle_texts=10)
    longest = int(token_mask(corpus.test, corpus.info.last).sum(1).max())
    check_prompt(corpus, longest - 2, data)
    check_prompt(corpus, 0, data)
    with pytest.raises(DataError, match=rf"prompt {longest - 1}: .*{data} has {longest} tokens; .*--prompt"):
        check_prompt(corpus, longest - 1, data)


def test_a_prompt_without_its_metrics_is_refused_before_training(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rouge_score", None)
    corpus = open_corpus("oracle", 8, oracle_texts=10)
    check_prompt(corpus, 0, "oracle")
    with pytest.raises(
        ConfigError, match=r"rouge_score: pip install 'multigen\[text-metrics\]', or leave --prompt out"
    ):
        check_prompt(corpus, 2, "oracle")


def test_a_missing_oracle_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"gone\.npz: no such file.*expected an \.npz file"):
        open_corpus(str(tmp_path / "gone.npz"), 6)


def test_a_vocabulary_of_one_word_is_named_with_its_data(tmp_path: Path) -> None:
    path = tmp_path / "same.txt"
    path.write_text("fox\nfox fox\nfox fox fox\n")
    with pytest.raises(DataError, match=r"same\.txt: a vocabulary of one word 'fox': expected at least 2"):
        open_corpus(str(path), 6, tokenizer="words")
