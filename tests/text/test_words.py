"""Words are those of NLTK's tokenizer."""

import random

import pytest

from multigen.text.fables import sample
from multigen.text.words import words
from tests.cases import few

PIECES = (
    *"abtsd09 .,:;'\"`()[]{}<>-*?!@#$%&«»\u201c\u201d\u2018\u2019\u201e…\u2014\u2013\n\t\\/_漢é",
    *(
        "can",
        "not",
        "Cannot",
        "d'ye",
        "gimme",
        "gonna",
        "gotta",
        "lemme",
        "more'n",
        "wanna",
        "'tis",
        "'Twas",
        "n't",
        "N'T",
    ),
    *(
        "'s",
        "'S",
        "'ll",
        "'re",
        "'ve",
        "'m",
        "'d",
        "''",
        "``",
        "--",
        "...",
        "3.88",
        "3,36",
        "e.g.",
        " the ",
        " fox ",
        "  ",
    ),
)
"""What the rules are about."""


def test_a_sentence() -> None:
    assert words("It's 3.88 (at most).") == ["It", "'s", "3.88", "(", "at", "most", ")", "."]
    assert words("") == words(" \n") == []


@pytest.mark.parametrize("seed", few(range(8), 0))
def test_agrees_with_nltk_on_random_texts(seed: int) -> None:
    from nltk.tokenize.destructive import NLTKWordTokenizer

    rng, tokenizer = random.Random(seed), NLTKWordTokenizer()
    for _ in range(1_000):
        text = "".join(rng.choices(PIECES, k=rng.randrange(1, 25)))
        assert words(text) == tokenizer.tokenize(text), text


def test_agrees_with_nltk_on_fables() -> None:
    from nltk.tokenize.destructive import NLTKWordTokenizer

    tokenizer = NLTKWordTokenizer()
    for text in sample(300, seed=1):
        assert words(text) == tokenizer.tokenize(text), text
