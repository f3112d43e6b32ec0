"""Figures of text models, against direct computation."""

import math
import random
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from multigen.text import fables
from multigen.text.datasets import Corpus, TextInfo, open_corpus
from multigen.text.decoding import sample, token_mask
from multigen.text.files import encode
from multigen.text.networks.generators import LSTM, Generator
from multigen.text.oracle import Oracle
from multigen.text.synthesis import evaluation, evaluator
from multigen.text.synthesis.evaluator import DEFINITIONS, Evaluator, split_words

PROMPT = 40  # tokens
LINES = [
    f"{who} {what} {where}" for who in ("the fox", "a hen") for what in ("sat", "ran") for where in ("by", "in", "on")
]


class Recites(Generator):
    """Writes given sequences (n, T), one a draw's first number; each token has probability 1 -
    e."""

    def __init__(self, sequences: Tensor, vocabulary: int, e: float = 1e-4):
        super().__init__()
        self.start, self.sequences, self.vocabulary, self.e = 0, sequences, vocabulary, e
        self.weight = nn.Parameter(torch.zeros(1))

    def begin(self, n: int, length: int, capacity: int = 0) -> tuple[Tensor, ...]:
        rows = torch.arange(n) % len(self.sequences)
        return torch.stack([rows, torch.zeros_like(rows)], 1).unbind(1)

    def step(self, tokens: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, tuple[Tensor, ...]]:
        row, t = state
        return self.sequences[row, t], (row, t + 1)

    def logits(self, features: Tensor) -> Tensor:
        p = torch.full((*features.shape, self.vocabulary), self.e / (self.vocabulary - 1))
        return p.scatter(-1, features[..., None], 1 - self.e).log()

    def forward(self, tokens: Tensor) -> Tensor:
        return self.logits(tokens)  # of whatever is read, the next token is known


def fable_evaluator(data: str = "fables:90", length: int = 330) -> tuple[Corpus, TextInfo, Evaluator]:
    corpus = open_corpus(data, length, tokenizer="characters")
    return corpus, corpus.info, Evaluator(corpus, samples=10, lm_steps=9, seed=0)


def encoded(corpus: Corpus, texts: list[str]) -> Tensor:
    assert corpus.tokenizer is not None
    return encode(texts, corpus.tokenizer, corpus.train.shape[1])[0]


# ---------------------------------------------------------------------------------------------------- fables


def test_the_grammatical_share_is_counted_by_the_grammar() -> None:
    corpus, _, result = fable_evaluator()
    texts = fables.sample(3, seed=5)
    spoilt = [texts[0].replace("The moral", "A moral"), texts[1] + " The end", "fox"]
    figures = result.quality(encoded(corpus, [*texts, *spoilt, texts[0]]))
    assert figures["grammatical"] == pytest.approx(4 / 7) and figures["ungrammatical"] == pytest.approx(3 / 7)
    bits = [-fables.log_prob(text) / math.log(2) for text in (*texts, texts[0])]
    assert figures["grammar_bits"] == pytest.approx(sum(bits) / 4)
    assert figures["quality_error"] == pytest.approx((4 / 7 * 3 / 7 / 6) ** 0.5)


def test_samples_of_which_none_is_grammatical_have_no_bits() -> None:
    corpus, _, result = fable_evaluator()
    assert "grammar_bits" not in result.quality(encoded(corpus, ["fox", "hen"]))


def test_the_divergence_is_that_of_the_model_from_the_grammar() -> None:
    corpus, info, result = fable_evaluator()
    G = LSTM(info.tokens, 4, 5, start=info.start)
    figures = result.measure(G, 1.0, whole=False)
    total = tokens = truth = 0.0
    for row, text in zip(corpus.test, corpus.test_texts, strict=True):
        length = row.tolist().index(info.end) + 1
        logits = G(row[None]).detach()[0, :length].log_softmax(-1)
        total += float(logits[torch.arange(length), row[:length]].sum())
        tokens += length
        truth += fables.log_prob(text)
    assert figures["nll_test"] == pytest.approx(-total / tokens, rel=1e-5)
    assert figures["divergence_bits"] == pytest.approx((truth - total) / math.log(2) / len(corpus.test), rel=1e-5)
    real = result.real()
    assert real["nll_test"] == pytest.approx(-truth / tokens) and real["divergence_bits"] == 0
    assert real["grammatical"] == 1


def test_metrics_of_truncated_stories_are_finite() -> None:
    """The grammar cannot write them."""
    _, info, result = fable_evaluator(length=40)
    figures = [result.measure(LSTM(info.tokens, 4, 5), 1.0, whole=True), result.real()]
    for row in figures:
        assert all(math.isfinite(v) for v in row.values()) and "divergence_bits" not in row
    assert "nll_test" not in figures[1]


def test_copies_are_known_and_held_out_stories_are_none() -> None:
    corpus, info, result = fable_evaluator()
    copied = result.measure(Recites(corpus.train[:10], info.tokens), 1.0, whole=True)
    assert copied["exact_copies"] == copied["unique"] == copied["grammatical"] == 1
    own = result.measure(Recites(corpus.test[:1].expand(10, -1), info.tokens), 1.0, whole=True)
    assert own["exact_copies"] == 0 and own["unique"] == pytest.approx(0.1) and own["grammatical"] == 1
    assert own["self_bleu_4"] == pytest.approx(1)
    assert 1 <= own["longest_copied"] < int((corpus.test[0] != info.pad).sum())
    assert "exact_copies" not in result.real()


def test_figures_of_one_held_out_story() -> None:
    """Nothing can be compared with another."""
    corpus, _, result = fable_evaluator(data="fables:12")
    assert len(corpus.test) == 1
    row = result.real()
    assert not any(name.startswith("self_bleu") for name in row) and row["unique"] == 1


# ---------------------------------------------------------------------------------------------------- an oracle


@pytest.fixture(scope="module")
def oracle() -> tuple[Corpus, Evaluator]:
    made = Oracle.seeded(1, vocabulary=25, width=6, length=7)
    parts = [made.sample(n, seed) for n, seed in ((50, 0), (20, 1), (900, 2))]
    corpus = Corpus(parts[0], parts[1], parts[2], TextInfo(tokens=25), oracle=made)
    return corpus, Evaluator(corpus, samples=900, lm_steps=9, seed=0)


def test_a_model_that_is_the_oracle_is_as_good_and_as_varied_as_it(oracle: tuple[Corpus, Evaluator]) -> None:
    corpus, result = oracle
    assert corpus.oracle is not None
    figures = result.measure(corpus.oracle.network, 1.0, whole=True)
    real = result.real()
    error = 4 * (figures["quality_error"] ** 2 + real["quality_error"] ** 2) ** 0.5
    assert abs(figures["nll_oracle"] - figures["nll_test"]) < error
    assert figures["nll_test"] == pytest.approx(real["nll_test"], rel=1e-5)
    assert real["nll_test"] == real["nll_oracle"]
    assert figures["unique"] > 0.99 and figures["distinct_tokens"] <= 25
    cold, warm = (result.measure(corpus.oracle.network, t, whole=False) for t in (0.7, 1.2))
    assert cold["nll_oracle"] < figures["nll_oracle"] < warm["nll_oracle"]  # better,
    assert min(cold["nll_test"], warm["nll_test"]) > figures["nll_test"]  # less like the whole


def test_neither_the_batches_nor_a_second_look_change_a_figure(
    oracle: tuple[Corpus, Evaluator], monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus, result = oracle
    torch.manual_seed(0)
    G = LSTM(25, 4, 5).double()
    first = result.measure(G, 0.9, whole=True)
    assert result.measure(G, 0.9, whole=True) == first
    monkeypatch.setattr(evaluator, "TOGETHER", 101)
    again = Evaluator(corpus, samples=900, lm_steps=9, seed=3)
    assert torch.equal(again.sample(G, 300), result.sample(G, 900)[:300])
    other = again.measure(G, 0.9, whole=True)
    assert other == pytest.approx(first, rel=1e-12)
    assert result.validation_nll(G) == pytest.approx(-result.log_likelihood(G, corpus.validation)[0].mean().item() / 7)


# ---------------------------------------------------------------------------------------------------- texts


@pytest.fixture
def texts(tmp_path: Any) -> tuple[Corpus, Evaluator]:
    (tmp_path / "a.txt").write_text("\n".join(LINES * 4))
    corpus = open_corpus(str(tmp_path / "a.txt"), 7)
    return corpus, Evaluator(corpus, samples=12, lm_steps=5, seed=0)


def test_texts_are_scored_by_language_models_of_their_own(texts: tuple[Corpus, Evaluator]) -> None:
    corpus, result = texts
    G = Recites(corpus.train[:12], corpus.info.tokens)
    torch.manual_seed(1)
    figures = result.measure(G, 1.0, whole=True)
    torch.manual_seed(2)
    again = Evaluator(corpus, 12, 5, seed=0).measure(G, 1.0, whole=True)
    assert again == figures
    totals, counts = result.log_likelihood(result.scorer, corpus.train[:12])
    assert figures["lm_score"] == pytest.approx(-(totals.sum() / counts.sum()).item())
    scorer = result.train_scorer(corpus.train[:12])
    totals, counts = result.log_likelihood(scorer, corpus.test)
    assert figures["reverse_lm_score"] == pytest.approx(-(totals.sum() / counts.sum()).item())
    assert Evaluator(corpus, 12, 5, seed=1).measure(G, 1.0, whole=True)["lm_score"] != figures["lm_score"]
    real = result.real()
    assert (
        real.keys() - {"quality_error"} <= DEFINITIONS.keys()
        and {"bleu_2", "self_bleu_5", "distinct_3", "lm_score"} <= real.keys()
    )
    assert "nll_test" not in real


def test_texts_are_compared_with_all_of_the_data(tmp_path: Any) -> None:
    rng = random.Random(0)
    books = [" ".join(rng.choices([f"w{i}" for i in range(30)], k=900)) for _ in range(2)]
    for name, book in zip("ab", books, strict=True):
        (tmp_path / f"{name}.txt").write_text(book)
    corpus = open_corpus(str(tmp_path), 24, unit="file")
    assert sorted(" ".join(part.split()) in " ".join(books) for texts in corpus.whole for part in texts)[0]
    result = Evaluator(corpus, samples=12, lm_steps=2, seed=0)
    held_out = result.variety(corpus.test[:12], result.corpus.test_texts[:12])
    assert held_out["overlap_8"] == 1 and held_out["seq_rep_4"] < 0.1  # held-out texts are copies too
    real, baseline = result.real(), result.shuffled()
    assert real["overlap_8"] == baseline["overlap_8"] == 0 and "seq_rep_4" in real.keys() & baseline.keys()
    figures = result.measure(Recites(corpus.test[:1].repeat(12, 1), corpus.info.tokens), 1.0, whole=False)
    ratio = (
        sum(len(t.split()) for t in corpus.texts(result.test)) / token_mask(result.test, corpus.info.last).sum().item()
    )
    assert figures["nll_word"] * ratio == pytest.approx(figures["nll_test"])


def test_the_form_of_verse_is_measured(tmp_path: Any) -> None:
    rng = random.Random(0)
    poems = {
        "".join(chr(0x4E00 + rng.randrange(50)) + ("" if i % 5 else "。") for i in range(1, 21)) for _ in range(40)
    }
    (tmp_path / "poems.txt").write_text("\n".join(sorted(poems)))
    corpus = open_corpus(str(tmp_path / "poems.txt"), 26, tokenizer="characters")
    result = Evaluator(corpus, samples=10, lm_steps=2, seed=0)
    broken = corpus.train[:10].clone()
    broken[:3, 0] = broken[:3, 5]  # a sign in place of a character
    assert result.real()["form"] == 1
    assert result.variety(broken, corpus.texts(broken))["form"] == pytest.approx(0.7)


def test_texts_of_one_word_have_no_pairs(tmp_path: Any) -> None:
    """Names by their characters, say."""
    (tmp_path / "a.txt").write_text("\n".join(["Anna", "Bruno", "Clara", "Dora", "Emil", "Felix", "Hugo", "Ida"]))
    corpus = open_corpus(str(tmp_path / "a.txt"), 8, tokenizer="characters")
    result = Evaluator(corpus, samples=10, lm_steps=2, seed=0)
    assert not any(name.startswith("distinct") for name in result.real())
    texts = ["", *result.corpus.texts(corpus.train)]  # a model may also write nothing
    figures = result.variety(torch.cat([torch.full((1, 8), corpus.info.end), corpus.train]), texts)
    assert figures["unique"] == 1 and all(math.isfinite(v) for v in figures.values())


def test_words_of_chinese_and_japanese_are_characters() -> None:
    assert split_words("The old fox's 老狐狸 ran.") == ["The", "old", "fox", "'s", "老", "狐", "狸", "ran", "."]
    assert split_words("かな") == ["か", "な"]


# ---------------------------------------------------------------------------------------------------- prompts


def test_shuffled_texts_have_their_words_or_characters() -> None:
    rng = random.Random(0)
    assert sorted(evaluation.shuffled("the old fox ran home", rng).split()) == ["fox", "home", "old", "ran", "the"]
    han = "床前明月光疑是地上霜"
    mixed = evaluation.shuffled(han, rng)
    assert mixed != han and sorted(mixed) == sorted(han)


def test_a_model_that_knows_what_follows_is_above_the_floor_of_shuffled_words() -> None:
    corpus, info, result = fable_evaluator()
    true = evaluation.continuations(result, Recites(corpus.test, info.tokens, e=1e-6), PROMPT)
    floor = evaluation.continuations(result, None, PROMPT)
    assert true["rouge_l"] > 0.99 and true["corpus_bleu"] > 99
    assert evaluation.continuations(result, None, PROMPT) == floor
    assert 0.02 < floor["rouge_l"] < 0.5 and floor["corpus_bleu"] < 20
    assert floor["rouge_1"] > floor["rouge_2"]
    assert floor.keys() == true.keys() <= DEFINITIONS.keys()


def test_prompts_are_given_and_their_numbers_not_used() -> None:
    corpus, info, result = fable_evaluator()
    G = LSTM(info.tokens, 4, 5)
    figures = evaluation.continuations(result, G, PROMPT)
    assert figures["corpus_bleu"] < 1
    uniform = torch.rand(2, 330, generator=torch.Generator().manual_seed(0))
    written = sample(G, uniform, info.last, info.pad, corpus.test[:2, :PROMPT])
    assert torch.equal(written[:, :PROMPT], corpus.test[:2, :PROMPT])


def test_a_model_that_ends_each_text_at_once_is_measured_too() -> None:
    _, info, result = fable_evaluator()
    ends = torch.full((10, 330), info.end)
    assert evaluation.continuations(result, Recites(ends, info.tokens, e=1e-9), PROMPT)["corpus_bleu"] == 0
    figures = result.measure(Recites(ends, info.tokens, e=1e-9), 1.0, whole=True)
    assert figures["grammatical"] == 0 and figures["unique"] == pytest.approx(0.1)


def test_changes_are_reported_with_their_direction() -> None:
    base = {"nll_test": 2.0, "grammatical": 0.5, "unique": 0.9, "self_bleu_2": 0.3}
    rows = {"mle/best": base, "adversarial/last": {**base, "nll_test": 2.5, "grammatical": 0.75, "self_bleu_2": 0.9}}
    message = evaluation.change(rows)
    assert "gained grammatical 0.5 -> 0.75;" in message and message.endswith("lost nll_test 2 -> 2.5")
    assert evaluation.change({"mle/best": base}) == "no adversarial stage"
    rows["real"] = {"self_bleu_2": 0.5, "unique": 1.0}  # nearer to real texts is better, where neither more nor less is
    assert evaluation.change(rows).endswith("lost nll_test 2 -> 2.5, self_bleu_2 0.3 -> 0.9 (real 0.5)")
