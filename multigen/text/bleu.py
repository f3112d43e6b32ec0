"""BLEU as papers on text GANs report it: each sample against thousands of references, and samples
against each other.

A score is the sentence BLEU of Papineni et al. 2002, "BLEU: a method for automatic evaluation of
machine translation", with uniform weights over the orders 1 to n and smoothing method 1 of Chen and
Cherry 2014, as NLTK computes it; papers report the mean over samples for n = 2 to 5. It rises with
the number of references (self-BLEU: of samples), so name that number.

N-grams are numbered: the number of the first n - 1 tokens and the last token are looked up in a
sorted list. The maximum count of each n-gram over the references is computed once, after which a
sample costs microseconds.

Texts are sequences of tokens: words (by `multigen.text.words`), characters or ids, also arrays and
tensors of ids. Padding counts as any token does, so cut it off first.
"""

from collections.abc import Hashable, Iterable, Sequence
from itertools import chain
from typing import Any

import numpy as np

from multigen.errors import ConfigError, DataError

__all__ = ["ORDERS", "References", "Texts", "Tokens", "as_lists", "self_bleu"]

ORDERS = (2, 3, 4, 5)
SMOOTHING = 0.1  # method 1: counted for an order without matches

Texts = Iterable[Iterable[Hashable]]


def as_lists(texts: Texts, name: str) -> list[list[Hashable]]:
    """Token sequences, arrays or tensors as lists. Raises DataError where there is none, or where
    one is a string or a number."""
    lists: list[list[Hashable]] = []
    text: Any
    for number, text in enumerate(texts):
        tokens = text.tolist() if hasattr(text, "tolist") else text
        if isinstance(tokens, str) or not isinstance(tokens, Iterable):
            raise DataError(
                f"{name}: text {number} is {tokens!r:.30}, expected a sequence of tokens; split strings with words()"
            )
        lists.append(list(tokens))
    if not lists:
        raise DataError(f"{name}: no text, expected at least one; make or read more")
    return lists


class Tokens:
    """Texts end to end, their n-grams numbered.

    Args:
        texts: token sequences.
        vocabulary: token -> number from 0 up; tokens that are not in it belong to no n-gram. That
            of the texts by default.

    Attributes:
        lengths: (N,), tokens of each text.
        owners: (L,), the text that each token stands in.
    """

    def __init__(self, texts: list[list[Hashable]], vocabulary: dict[Hashable, int] | None = None):
        if vocabulary is None:
            vocabulary = {token: number for number, token in enumerate(dict.fromkeys(chain.from_iterable(texts)))}
        self.vocabulary = vocabulary
        self.lengths = np.array([len(text) for text in texts])  # (N,)
        self.owners = np.repeat(np.arange(len(texts)), self.lengths)  # (L,)
        total = len(self.owners)
        numbers = (vocabulary.get(token, -1) for token in chain.from_iterable(texts))
        self._tokens = np.fromiter(numbers, np.int64, total)  # (L,)
        ends = np.repeat(self.lengths.cumsum(), self.lengths)
        self._room = ends - np.arange(total)  # (L,), tokens up to the text's end, this one counted

    def unigrams(self) -> tuple[np.ndarray, np.ndarray]:
        """Start positions and keys of the 1-grams: `longer` of the empty n-gram, number 0."""
        everywhere = np.arange(len(self._tokens))
        return self.longer(everywhere, np.zeros_like(everywhere), 1)

    def longer(self, starts: np.ndarray, numbers: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
        """Extends (n-1)-grams, given by start and number, by the next token where it is in the same
        text and in the vocabulary: start positions of the n-grams, and a key unique to each
        n-gram."""
        fits = self._room[starts] >= n
        starts, numbers = starts[fits], numbers[fits]
        last = self._tokens[starts + n - 1]
        in_vocabulary = last >= 0
        return starts[in_vocabulary], (numbers * len(self.vocabulary) + last)[in_vocabulary]

    def counts(self, starts: np.ndarray, numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Counts of n-grams per text: text, number of the n-gram, count."""
        size = numbers.max(initial=0) + 1
        pairs, counts = np.unique(self.owners[starts] * size + numbers, return_counts=True)
        return pairs // size, pairs % size, counts


class References:
    """Reference texts, prepared once to score any number of hypotheses against all of them.

        references = References([words(line) for line in lines])
        references.bleu([words("a cat on a mat")])[4].mean()            # BLEU-4

    Args:
        texts: token sequences, at least one.
        orders: the largest n, at least 1.

    Raises:
        DataError: no text, or one that is a string.
        ConfigError: orders below 1.
    """

    def __init__(self, texts: Texts, orders: int = 5):
        if orders < 1:
            raise ConfigError(f"orders {orders}: expected at least 1, the longest n-grams to count")
        tokens = Tokens(as_lists(texts, "references"))
        self.orders = orders
        self._vocabulary = tokens.vocabulary
        self._lengths = np.sort(tokens.lengths)
        self._keys: list[np.ndarray] = []  # per order: sorted keys of its n-grams; their positions are their numbers
        self._most: list[np.ndarray] = []  # per order and number: the maximum count in one reference
        starts, keys = tokens.unigrams()
        for n in range(1, orders + 1):
            unique, numbers = np.unique(keys, return_inverse=True)
            _, ngrams, counts = tokens.counts(starts, numbers)
            most = np.zeros(len(unique), np.int64)
            np.maximum.at(most, ngrams, counts)
            self._keys.append(unique)
            self._most.append(most)
            starts, keys = tokens.longer(starts, numbers, n + 1)

    def bleu(self, hypotheses: Texts, orders: Sequence[int] = ORDERS) -> dict[int, np.ndarray]:
        """BLEU-n of each hypothesis against all references, for each n of the orders.

        A hypothesis without a word of the references, so also an empty one, gets 0; one shorter
        than n tokens counts as a tenth of a match of one n-gram in each order that it is too short
        for; of two references equally near in length the shorter counts. Agrees with
        nltk.translate.bleu_score.sentence_bleu and SmoothingFunction().method1.

        Returns:
            n -> float64 (N,), 0..1.

        Raises:
            DataError: no hypothesis, or one that is a string.
            ConfigError: an order below 1, or above those that were counted.
        """
        _check(orders, self.orders)
        tokens = Tokens(as_lists(hypotheses, "hypotheses"), self._vocabulary)
        matches = np.zeros((max(orders), len(tokens.lengths)))
        starts, keys = tokens.unigrams()
        for n, (order_keys, most) in enumerate(zip(self._keys[: max(orders)], self._most, strict=False), start=1):
            numbers = np.searchsorted(order_keys, keys)
            matched = np.append(order_keys, -1)[numbers] == keys
            starts, numbers = starts[matched], numbers[matched]
            owners, ngrams, counts = tokens.counts(starts, numbers)
            matches[n - 1] = np.bincount(owners, np.minimum(counts, most[ngrams]), len(tokens.lengths))
            starts, keys = tokens.longer(starts, numbers, n + 1)
        around = np.concatenate([[-np.inf], self._lengths, [np.inf]])
        place = np.searchsorted(self._lengths, tokens.lengths)
        nearest = _nearer(tokens.lengths, around[place], around[place + 1])
        return _scores(matches, tokens.lengths, nearest, orders)


def self_bleu(samples: Texts, orders: Sequence[int] = ORDERS) -> dict[int, np.ndarray]:
    """BLEU-n of each sample with all *other* samples as its references: Zhu et al. 2018, "Texygen",
    arXiv:1802.01886.

    High where samples repeat each other. A sample's copies are others: with one, a sample of n
    tokens or more scores 1.

    Args:
        samples: token sequences, at least two.
        orders: the values of n, each at least 1.

    Returns:
        n -> float64 (N,), 0..1, as `References.bleu` of the others would give.

    Raises:
        DataError: fewer than two samples, or one that is a string.
        ConfigError: an order below 1.
    """
    _check(orders)
    tokens = Tokens(as_lists(samples, "samples"))
    if len(tokens.lengths) < 2:
        raise DataError("self-BLEU of 1 sample: expected at least 2, each is compared with the others; make more")
    matches = np.zeros((max(orders), len(tokens.lengths)))
    starts, keys = tokens.unigrams()
    for n in range(1, max(orders) + 1):
        _, numbers = np.unique(keys, return_inverse=True)
        owners, ngrams, counts = tokens.counts(starts, numbers)
        matches[n - 1] = np.bincount(owners, np.minimum(counts, _most_of_others(ngrams, counts)), len(tokens.lengths))
        starts, keys = tokens.longer(starts, numbers, n + 1)
    order = np.argsort(tokens.lengths)
    around = np.concatenate([[-np.inf], tokens.lengths[order], [np.inf]])
    nearest = np.empty(len(order))
    nearest[order] = _nearer(tokens.lengths[order], around[:-2], around[2:])
    return _scores(matches, tokens.lengths, nearest, orders)


def _most_of_others(ngrams: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """For each text and n-gram (K,): the maximum count of this n-gram in one other text.

    That is the largest count of the n-gram, and for the text that holds it the second largest.
    """
    order = np.lexsort((counts, ngrams))
    ngrams, counts = ngrams[order], counts[order]
    last = np.append(ngrams[1:] != ngrams[:-1], True)[: len(ngrams)]  # position of the largest count of an n-gram
    first = np.append(True, last)[:-1]
    second = np.where(first, 0, np.append(0, counts)[:-1])  # at the largest itself: the count before it
    largest = counts[last].repeat(np.diff(np.flatnonzero(last), prepend=-1))
    others = np.where(last, second, largest)
    maxima = np.empty_like(others)
    maxima[order] = others
    return maxima


def _nearer(lengths: np.ndarray, below: np.ndarray, above: np.ndarray) -> np.ndarray:
    """The nearer of the two lengths around each; the shorter one in a tie."""
    return np.where(lengths - below <= above - lengths, below, above)


def _scores(
    matches: np.ndarray, lengths: np.ndarray, nearest: np.ndarray, orders: Sequence[int]
) -> dict[int, np.ndarray]:
    """BLEU-n from the clipped matches (max(orders), N), the lengths (N,) and the nearest
    references' lengths (N,)."""
    possible = np.maximum(lengths - np.arange(len(matches))[:, None], 1)  # (max(orders), N)
    logs = np.log(np.where(matches == 0, SMOOTHING, matches) / possible).cumsum(0)
    penalty = np.exp(np.minimum(1 - nearest / np.maximum(lengths, 1), 0))
    penalty[matches[0] == 0] = 0
    return {n: penalty * np.exp(logs[n - 1] / n) for n in orders}


def _check(orders: Sequence[int], most: int | None = None) -> None:
    wrong = [n for n in orders if n < 1 or (most is not None and n > most)]
    if wrong or not orders:
        until = "up" if most is None else f"to {most}, to which the references were counted"
        raise ConfigError(f"orders {tuple(orders)}: expected numbers from 1 {until}; give others, or References more")
