"""Metrics of generated texts: quality, diversity and copying; BLEU and self-BLEU are in
`multigen.text.bleu`.

A text is a string where the metric splits words itself (`rouge`, `corpus_bleu`,
`sentence_features`), else a sequence of tokens: words, characters or ids, also arrays and tensors
of ids. Padding counts as any token does, so cut it off first.
"""

import importlib.util
import re
from collections.abc import Sequence
from statistics import fmean
from typing import Any

import numpy as np
import torch
from torch import Tensor

from multigen.errors import ConfigError, DataError
from multigen.metrics.distances import Moments, frechet_distance
from multigen.text.bleu import ORDERS, Texts, Tokens, as_lists
from multigen.text.encoder import ENCODER, hidden_means
from multigen.text.scripts import JOINED, is_spaceless
from multigen.text.words import words

__all__ = [
    "DEFINITIONS",
    "corpus_bleu",
    "distinct",
    "exact_copies",
    "longest_copied",
    "overlap",
    "require_pair_metrics",
    "rouge",
    "sentence_distance",
    "sentence_features",
    "sentence_similarity",
    "seq_rep",
    "split_words",
    "unique",
]

DEFINITIONS = {
    **{
        f"bleu_{n}": f"mean over samples of sentence BLEU-{n} against all texts of the reference set (uniform weights over "
        f"1- to {n}-grams, brevity penalty to the nearest reference length, NLTK's smoothing method 1), 0 to 1; rises with the "
        "number of references; depends on the tokens"
        for n in ORDERS
    },
    **{
        f"self_bleu_{n}": f"mean over samples of sentence BLEU-{n} (as bleu_{n}) against all other samples (Zhu et al. 2018), "
        "0 to 1, high where samples repeat each other; rises with the number of samples: compare equal numbers only, and with "
        "real texts"
        for n in ORDERS
    },
    **{
        f"rouge_{n}": f"ROUGE-{n} (Lin 2004), F-measure of the {what} of a prediction and its reference (rouge-score, no "
        "stemmer; lower case, letters and digits of any script, Chinese and Japanese characters one by one), mean over pairs, "
        "0 to 1"
        for n, what in (("1", "words"), ("2", "pairs of words"), ("l", "longest common subsequence of words"))
    },
    "corpus_bleu": "BLEU-4 of all predictions together, one reference each (sacrebleu: case kept, exponential smoothing; its "
    "tokenizer 13a, for Chinese zh, for other scripts without spaces, such as kana and Thai, char), 0 to 100",
    **{
        f"distinct_{n}": f"number of different {n}-grams in all samples divided by the number of all their {n}-grams (after Li "
        "et al. 2016), above 0 to 1; falls with the number of samples: compare equal numbers only"
        for n in (1, 2, 3)
    },
    "unique": "number of different samples divided by the number of samples; falls with the number of samples",
    "exact_copies": "share of samples that equal a training text token for token",
    "longest_copied": "tokens of a sample's longest span that occurs in a training text, mean over samples; rises with the size "
    "of the training set: compare with held-out texts",
    "fd_minilm": "Fréchet distance (unbiased covariances) between the sentence embeddings of samples and of real texts "
    f"({ENCODER}, mean over tokens, length 1), of a run's first 1,000 of both; falls with the number of samples: compare equal "
    "numbers only",
    "similarity_minilm": "cosine of the sentence embeddings "
    f"({ENCODER}, mean over tokens) of a continuation and the true one, mean over pairs, -1 to 1",
    "overlap_8": "share of the 8-grams of words (letters and digits, lower case) of samples that occur in the data, be they "
    "trained on or held out; real: of held-out texts (passages of long ones), in the rest of the data",
    "seq_rep_4": "1 - different 4-grams / all 4-grams of words of a sample (seq-rep-4, Welleck et al. 2020), mean over samples "
    "of 4 words or more, 0 to 1, high where a text repeats itself; rises with the length of samples",
    "nll_word": "-log p of held-out texts under the model, all tokens together, divided by their number of words (white space "
    "apart, characters of scripts without spaces one by one), nats; comparable between tokenizers",
    "nll_oracle": "mean -log p of samples under the oracle that made the training data, nats a token; low for few and "
    "likely samples too: read it beside nll_test",
    "nll_test": "mean -log p of held-out texts under the model, nats a token",
    "lm_score": "mean -log p of samples under a language model trained on real texts, nats a token; low for few and likely "
    "samples too: read it beside reverse_lm_score",
    "reverse_lm_score": "mean -log p of held-out real texts under a language model trained on samples, nats a token; high where "
    "samples are poor or lack variety",
}
"""Metric name -> what exactly it measures, for reports; callers add the tokens and the numbers of
texts."""


# ---------------------------------------------------------------------------------------------------- against references


# Characters that are written without spaces between words: Chinese, Japanese, Thai and others.
CHARACTERS = r"\u3005-\u3007\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff" + JOINED


class Words:
    """Words for ROUGE: runs of letters and digits, in lower case, but each character of scripts
    without spaces by itself.

    The same as rouge-score's own tokenizer on ASCII text; that one drops all but a-z and 0-9.
    """

    _pattern = re.compile(rf"(?=[^\W_])[{CHARACTERS}]|[^\W_{CHARACTERS}]+")

    def tokenize(self, text: str) -> list[str]:
        return self._pattern.findall(text.lower())


def split_words(text: str) -> list[str]:
    """Words as BLEU counts them: those of `multigen.text.words`; each character of scripts without
    spaces is a word."""
    return words(re.sub(rf"([\u3040-\u30ff\u3400-\u9fff{JOINED}])", r" \1 ", text))


def require_pair_metrics() -> None:
    """Raises ConfigError where the packages of `rouge` and `corpus_bleu` are not installed."""
    missing = [name for name in ("rouge_score", "sacrebleu") if importlib.util.find_spec(name) is None]
    if missing:
        raise ConfigError(
            f"ROUGE and BLEU of continuations need what is not installed, {' and '.join(missing)}: pip install "
            "'multigen[text-metrics]', or leave --prompt out"
        )


def rouge(predictions: Sequence[str], references: Sequence[str]) -> dict[str, float]:
    """ROUGE-1, -2 and -L: Lin 2004, "ROUGE: a package for automatic evaluation of summaries". No
    stemmer.

    Words are runs of letters and digits of any script, in lower case, punctuation left out; each
    Chinese or Japanese character is a word. On ASCII text that is what rouge-score does by itself.

    Args:
        predictions, references: strings, in pairs.

    Returns:
        {"rouge_1", "rouge_2", "rouge_l"} -> F-measure, mean over pairs, 0..1; a pair without common
            words counts as 0.

    Raises:
        ConfigError: the extra `text-metrics` is not installed.
        DataError: no pair, or unequal numbers.
    """
    require_pair_metrics()
    from rouge_score.rouge_scorer import RougeScorer

    _paired(predictions, references)
    scorer = RougeScorer(["rouge1", "rouge2", "rougeL"], tokenizer=Words())
    pairs = [scorer.score(target, text) for text, target in zip(predictions, references, strict=True)]
    return {f"rouge_{n.lower()}": fmean(float(pair[f"rouge{n}"].fmeasure) for pair in pairs) for n in "12L"}


def corpus_bleu(predictions: Sequence[str], references: Sequence[str]) -> float:
    """BLEU-4 of all predictions together, each against its reference, 0..100: Papineni et al. 2002,
    as sacrebleu has it.

    Strings as they are, case counts. By the letters of the references one of sacrebleu's tokenizers
    splits them: 13a, or zh where most are Chinese, or char where most are of other scripts without
    spaces. Raises ConfigError without the extra `text-metrics`, DataError for no pair or unequal
    numbers.
    """
    require_pair_metrics()
    from sacrebleu import corpus_bleu

    _paired(predictions, references)
    score = corpus_bleu(
        list(predictions),
        [list(references)],
        force=True,  # no warning of split full stops
        tokenize=_bleu_tokenizer(references),
        use_effective_order=True,  # where all texts are shorter than 4 tokens, BLEU of fewer
    )
    return score.score


def _bleu_tokenizer(references: Sequence[str]) -> str:
    """sacrebleu's tokenizer for the scripts that texts are in."""
    whole = "".join(references)
    if not is_spaceless(whole):
        return "13a"
    spaceless = len(re.findall(rf"[\u3040-\u30ff{JOINED}]", whole))
    return "char" if spaceless * 20 > len(whole) else "zh"


def _paired(predictions: Sequence[str], references: Sequence[str]) -> None:
    if len(predictions) != len(references) or not len(predictions):
        raise DataError(
            f"{len(predictions)} predictions and {len(references)} references: expected pairs, at least one; give each "
            "prediction its reference"
        )


# ---------------------------------------------------------------------------------------------------- variety and copies


def distinct(samples: Texts, n: int) -> float:
    """Different n-grams / all n-grams of the samples: after Li et al. 2016, arXiv:1510.03055, who
    divide by all words.

    Args:
        samples: token sequences.
        n: tokens of an n-gram, at least 1.

    Raises:
        DataError: no sample has n tokens, or one is a string.
        ConfigError: n below 1.
    """
    texts = as_lists(samples, "samples")
    total = _grams(texts, n)
    return len({gram for text in texts for gram in zip(*(text[i:] for i in range(n)), strict=False)}) / total


def unique(samples: Texts) -> float:
    """Share of different samples, above 0 to 1: their number / the number of samples. Raises
    DataError for none, or a string."""
    texts = as_lists(samples, "samples")
    return len(set(map(tuple, texts))) / len(texts)


def exact_copies(samples: Texts, train: Texts) -> float:
    """Share of samples (token sequences) that equal a training text, 0..1. Raises DataError for an
    empty set, or a string."""
    training = set(map(tuple, as_lists(train, "training texts")))
    return fmean(tuple(text) in training for text in as_lists(samples, "samples"))


def longest_copied(samples: Texts, train: Texts) -> np.ndarray:
    """Length in tokens of each sample's longest span that occurs verbatim in a training text.

    Args:
        samples, train: token sequences.

    Returns:
        int64 (N,), 0 for a sample without a token of the training texts.

    Raises:
        DataError: no sample, no training text, or one that is a string.
    """
    texts = as_lists(samples, "samples")
    count = len(texts)
    tokens = Tokens([*texts, *as_lists(train, "training texts")])
    longest = np.zeros(count, np.int64)
    starts, keys = tokens.unigrams()
    n = 1
    while len(starts):
        # Only a shared n-gram can be the beginning of a longer shared one.
        unique_keys, numbers = np.unique(keys, return_inverse=True)
        sampled = tokens.owners[starts] < count
        on_sides = np.zeros((2, len(unique_keys)), bool)
        on_sides[sampled.astype(int), numbers] = True
        common = (on_sides[0] & on_sides[1])[numbers]
        longest[tokens.owners[starts[common & sampled]]] = n
        n += 1
        starts, keys = tokens.longer(starts[common], numbers[common], n)
    return longest


def overlap(samples: Texts, texts: Texts, n: int = 8, others: bool = False) -> float:
    """Share of the samples' n-grams that occur in texts, 0..1: GPT-3's and PaLM's measure of
    contamination (Brown et al. 2020, arXiv:2005.14165; Chowdhery et al. 2022, arXiv:2204.02311).

    Args:
        samples, texts: token sequences.
        n: tokens of an n-gram.
        others: n-grams that another sample holds too count as well: of held-out texts, all texts
            but the one itself.

    Raises:
        DataError: no sample has n tokens; no text; or one that is a string.
        ConfigError: n below 1.
    """
    own = as_lists(samples, "samples")
    count, total = len(own), _grams(own, n)
    tokens = Tokens([*own, *as_lists(texts, "texts")])
    starts, keys = tokens.unigrams()
    for longer in range(2, n + 2):
        unique_keys, numbers = np.unique(keys, return_inverse=True)
        owners = tokens.owners[starts]
        first, last = np.full(len(unique_keys), len(tokens.lengths)), np.zeros(len(unique_keys), np.int64)
        np.minimum.at(first, numbers, owners)
        np.maximum.at(last, numbers, owners)
        # Only a shared n-gram can be the beginning of a longer shared one.
        common = ((first < count) & (last > first if others else last >= count))[numbers]
        starts, numbers = starts[common], numbers[common]
        if longer <= n:
            starts, keys = tokens.longer(starts, numbers, longer)
    return int((tokens.owners[starts] < count).sum()) / total


def seq_rep(samples: Texts, n: int = 4) -> float:
    """1 - different n-grams / all n-grams of each sample, mean over those of n tokens or more,
    0..1: seq-rep-n of Welleck et al. 2020, arXiv:1908.04319. Raises DataError where there is none,
    ConfigError for n below 1."""
    texts = as_lists(samples, "samples")
    _grams(texts, n)
    return fmean(1 - distinct([text], n) for text in texts if len(text) >= n)


def _grams(texts: Sequence[Sequence[Any]], n: int) -> int:
    """Number of the n-grams of texts, at least one."""
    if n < 1:
        raise ConfigError(f"n {n}: expected at least 1, the tokens of an n-gram")
    if total := sum(max(len(text) - n + 1, 0) for text in texts):
        return total
    raise DataError(f"no sample has {n} tokens: expected one at least; take a smaller n, or check the samples")


# ---------------------------------------------------------------------------------------------------- sentence embeddings


def sentence_features(
    texts: Sequence[str], encoder: str = ENCODER, device: torch.device | str = "cpu", batch: int = 128
) -> Tensor:
    """Sentence embeddings: the mean of the encoder's last hidden states over a text's tokens,
    scaled to length 1.

    The encoder is all-MiniLM-L6-v2 (Wang et al. 2020, arXiv:2002.10957, tuned as in Reimers and
    Gurevych 2019, arXiv:1908.10084), which knows English; it reads the first 256 word pieces. Equal
    to what sentence-transformers gives.

    Args:
        texts: strings.
        encoder: all-MiniLM-L6-v2.
        device: where the encoder runs.
        batch: texts per batch, sorted by length.

    Returns:
        float32 (N, 384), on the CPU.

    Raises:
        ConfigError: another encoder, or the package that carries it is not installed.
        DataError: no text.
    """
    if encoder != ENCODER:
        raise ConfigError(f"encoder {encoder!r}: expected {ENCODER}, the one that there is; leave the setting out")
    return torch.nn.functional.normalize(hidden_means(texts, -1, device, batch), dim=1)


def sentence_distance(samples: Sequence[str], real: Sequence[str], device: torch.device | str = "cpu") -> float:
    """Fréchet distance between the sentence features of samples and of real texts, at least two of
    each; at least 0.

    It falls with the number of samples: compare equal numbers only. Raises ConfigError as
    `sentence_features` does, and DataError for fewer than two texts.
    """
    features = sentence_features([*samples, *real], device=device)
    a, b = Moments(features.shape[1]), Moments(features.shape[1])
    a.add(features[: len(samples)])
    b.add(features[len(samples) :])
    return frechet_distance(a, b)


def sentence_similarity(texts: Sequence[str], references: Sequence[str], device: torch.device | str = "cpu") -> float:
    """Cosine of the sentence features of each text and its reference, mean over pairs, -1..1.

    Raises ConfigError as `sentence_features` does, and DataError for no pair or unequal numbers.
    """
    _paired(texts, references)
    features = sentence_features([*texts, *references], device=device)
    return float((features[: len(texts)] * features[len(texts) :]).sum(1).mean())
