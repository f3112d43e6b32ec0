"""Metrics of generated texts: quality and diversity of a model at a temperature.

Quality is the likelihood of samples under an oracle or a separate language model, or the share that
the grammar of the fables can write; diversity is how likely held-out texts are under the model.
`multigen.text.synthesis.evaluation` puts all models of a run on these two axes.
"""

import functools
import math
import random
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from multigen.engine.distributed import shared_rows
from multigen.text import detection, fables, forms, metrics
from multigen.text.bleu import References, self_bleu
from multigen.text.datasets import Corpus
from multigen.text.decoding import log_probs, rows_within, sample, token_mask
from multigen.text.encoder import has_encoder
from multigen.text.metrics import split_words
from multigen.text.networks.generators import LSTM, Generator
from multigen.text.scripts import is_spaceless
from multigen.text.synthesis.language_model import train_scorer
from multigen.text.units import count_words

__all__ = ["DEFINITIONS", "VALIDATED", "Evaluator", "shuffled", "split_words"]

LN2 = math.log(2)
SEED = 20_000  # of the samples
TOGETHER = 256  # texts that a network reads or writes at a time
VALIDATED = 1_000  # validation texts used for checkpoint selection, at most
TESTED = 1_000  # test texts whose likelihood is measured, at most; and at most as many as samples
SENTENCES = 1_000  # samples and test texts that the sentence encoder reads, at most: 10 ms each on a core
DETECTED = 500  # samples, and as many held-out texts, that the detector reads, at most

DEFINITIONS = {
    **metrics.DEFINITIONS,
    **detection.DEFINITIONS,
    **forms.DEFINITIONS,
    "grammatical": "share of samples that the grammar of the fables can write",
    "ungrammatical": "1 - grammatical",
    "grammar_bits": "mean -log2 p of the grammatical samples under the grammar, bits a story; real: its entropy",
    "divergence_bits": "mean over held-out stories of log2 of their probability under the grammar less that under the model, "
    "bits a story: an estimate of KL(grammar || model), 0 for the grammar itself",
    "distinct_tokens": "number of different tokens in all samples",
    "class_accuracy": "share of samples that a classifier of words (naive Bayes, trained on the training texts) assigns to the "
    "class that they begin with; real: of held-out texts",
}


class Evaluator:
    """Measures models on one corpus. All samples are drawn from the same random numbers, so models
    are compared without the noise of different draws.

    Args:
        corpus: what the models were trained on.
        samples: number of samples that are measured.
        lm_steps: training steps of the language models that score texts.
        seed: of those language models.
        validated: validation texts used for checkpoint selection, at most.
    """

    def __init__(self, corpus: Corpus, samples: int, lm_steps: int, seed: int, validated: int = VALIDATED):
        self.corpus, self.info, self.samples = corpus, corpus.info, samples
        self.lm_steps, self.seed = lm_steps, seed
        self.validated = min(validated, VALIDATED)
        self.test = corpus.test[: min(TESTED, samples)]
        rng = torch.Generator().manual_seed(SEED)
        self.uniform = torch.rand(samples, corpus.train.shape[1], generator=rng)

    # ------------------------------------------------------------------------------------------ samples and likelihoods

    def sample(self, G: Generator, n: int, temperature: float = 1.0) -> Tensor:
        """The first n samples, (n, T), on the CPU."""
        return self._draw(G, self.uniform[:n], temperature)

    def _draw(self, G: Generator, uniform: Tensor, temperature: float) -> Tensor:
        info, device = self.info, next(G.parameters()).device
        parts = [part.to(device) for part in uniform.split(TOGETHER)]
        return torch.cat([sample(G, part, info.last, info.pad, temperature=temperature).cpu() for part in parts])

    @torch.no_grad()
    def log_likelihood(
        self, G: Generator, tokens: Tensor, temperature: float = 1.0, given: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """log p of each text (n, T), nats, and its number of tokens: (n,) each, on the CPU; of
        conversations, of the answers after the `given` tokens (n,). Ranks share the work, so all
        must call it."""
        device = next(G.parameters()).device

        def some(rows: slice) -> list[Tensor]:
            sums, some = [], rows_within(self.info.tokens, tokens.shape[1], TOGETHER)
            parts = tokens[rows].split(some)
            for part, before in zip(
                parts, [None] * len(parts) if given is None else given[rows].split(some), strict=True
            ):
                mask = token_mask(part, self.info.last, before)
                sums.append(((log_probs(G, part.to(device), temperature).cpu() * mask).sum(1), mask.sum(1)))
            return [torch.cat(parts) for parts in zip(*sums, strict=True)]

        totals, counts = shared_rows(len(tokens), some, device)
        return totals, counts

    def validation_nll(self, G: Generator) -> float:
        """-log p of the validation texts, nats per token."""
        given = self.corpus.given[1][: self.validated] if self.corpus.given else None
        totals, counts = self.log_likelihood(G, self.corpus.validation[: self.validated], given=given)
        return -totals.sum().item() / counts.sum().item()

    def texts(self, G: Generator, n: int) -> list[str]:
        """The first n samples as texts."""
        return self.corpus.texts(self.sample(G, n))

    # ------------------------------------------------------------------------------------------ figures

    @functools.cached_property
    def true_bits(self) -> Tensor:
        """-log2 p of the test fables under the grammar, bits a story: (N,); inf for one that was
        cut."""
        return torch.tensor([-fables.log_prob(t) / LN2 for t in self.corpus.texts(self.test)], dtype=torch.float64)

    @functools.cached_property
    def test_words(self) -> int:
        """Number of words of the test texts whose likelihood is measured."""
        return sum(map(count_words, self.corpus.texts(self.test)))

    @functools.cached_property
    def held_out_texts(self) -> list[str]:
        """Test and validation texts, of which the detector reads as many as there are samples."""
        texts = [*self.corpus.test_texts, *self.corpus.texts(self.corpus.validation)]
        return texts[: min(self.samples, DETECTED)]

    @functools.cached_property
    def usual_forms(self) -> set[forms.Form]:
        """The forms of the training texts, where they are verse in strict forms; else none."""
        return forms.usual_forms(self.corpus.whole[0])

    @functools.cached_property
    def references(self) -> References:
        return References([split_words(text) for text in self.corpus.test_texts])

    @functools.cached_property
    def scorer(self) -> LSTM:
        """The language model of the training texts, which scores samples."""
        return self.train_scorer(self.corpus.train)

    def train_scorer(self, tokens: Tensor) -> LSTM:
        return train_scorer(tokens, self.info, steps=self.lm_steps, seed=self.seed + 1)

    def measure(self, G: Generator, temperature: float, whole: bool) -> dict[str, float]:
        """Metrics of a model at a temperature: all of them, or those of the curves only. Ranks
        share the work, so all must call it."""
        device = next(G.parameters()).device
        (tokens,) = shared_rows(self.samples, lambda rows: [self._draw(G, self.uniform[rows], temperature)], device)
        totals, counts = self.log_likelihood(G, self.test, temperature)
        figures = {"nll_test": -totals.sum().item() / counts.sum().item()}
        if self.corpus.kind == "texts" and self.test_words:
            figures["nll_word"] = -totals.sum().item() / self.test_words
        if self.corpus.kind == "fables" and self.true_bits.isfinite().all():
            figures["divergence_bits"] = (-totals.double() / LN2 - self.true_bits).mean().item()
        figures |= self.quality(tokens)
        return figures | (self.variety(tokens, self.corpus.texts(tokens)) if whole else {})

    def quality(self, tokens: Tensor) -> dict[str, float]:
        """Mean quality of samples (n, T), and its standard error, `quality_error`."""
        if self.corpus.oracle:
            scores = self.corpus.oracle.nll(tokens)  # (n,)
            return {"nll_oracle": scores.mean().item(), "quality_error": _error(scores)}
        if self.corpus.kind == "fables":
            texts = self.corpus.texts(tokens)
            bits = torch.tensor([-fables.log_prob(text) / LN2 for text in texts], dtype=torch.float64)
            good = bits.isfinite()
            figures = {"grammatical": good.double().mean().item(), "ungrammatical": 1 - good.double().mean().item()}
            figures |= {"grammar_bits": bits[good].mean().item()} if good.any() else {}
            return figures | {"quality_error": _error(good.double())}
        totals, counts = self.log_likelihood(self.scorer, tokens)
        scores = -totals / counts
        return {"lm_score": -totals.sum().item() / counts.sum().item(), "quality_error": _error(scores)}

    def variety(self, tokens: Tensor, texts: Sequence[str], real: bool = False) -> dict[str, float]:
        """Metrics of a set of samples (n, T) and their `texts`: repetition, copies of training
        texts, BLEU. Copies are not counted for `real` texts."""
        rows, train = (_unpadded(part, self.info.last) for part in (tokens, self.corpus.train))
        figures = {"unique": metrics.unique(rows)}
        if not real:
            longest = float(metrics.longest_copied(rows, train).mean())
            figures |= {"exact_copies": metrics.exact_copies(rows, train), "longest_copied": longest}
        if self.corpus.oracle:
            return figures | {"distinct_tokens": float(len(tokens.unique()))}
        split = [split_words(text) for text in texts]
        if self.info.classes and not real:
            figures["class_accuracy"] = self.class_accuracy(tokens, texts)
        if len(split) > 1:
            figures |= {f"self_bleu_{n}": float(scores.mean()) for n, scores in self_bleu(split).items()}
        if self.corpus.kind == "texts":
            figures |= {f"bleu_{n}": float(scores.mean()) for n, scores in self.references.bleu(split).items()}
            if not real:
                totals, counts = self.log_likelihood(self.train_scorer(tokens), self.test)
                figures["reverse_lm_score"] = -totals.sum().item() / counts.sum().item()
            figures |= self.against_all(texts, real)
            figures |= {"form": forms.share_in_form(texts, self.usual_forms)} if self.usual_forms else {}
            texts = texts[:SENTENCES]
            references = self.corpus.test_texts[: len(texts)]
            if len(references) > 1 and has_encoder():
                figures["fd_minilm"] = metrics.sentence_distance(texts, references)
        longest = max(map(len, split))
        return figures | {f"distinct_{n}": metrics.distinct(split, n) for n in (2, 3) if n <= longest}

    def against_all(self, texts: Sequence[str], real: bool = False) -> dict[str, float]:
        """Repetition within texts, their overlap with all texts of the data, and how well a
        classifier separates them from held-out ones. `real`: training texts; the overlap is that of
        the test texts."""
        split, words = [split_words(text) for text in texts], metrics.Words().tokenize
        figures = {"seq_rep_4": metrics.seq_rep(split)} if max(map(len, split)) >= 4 else {}
        trained, tested = ([words(text) for text in part] for part in self.corpus.whole)
        samples, others = (tested, trained) if real else ([words(text) for text in texts], [*trained, *tested])
        if max(map(len, samples)) >= 8:
            figures["overlap_8"] = metrics.overlap(samples, others, others=real)
        held_out = self.held_out_texts
        if real:  # any of them, since neighbours have a subject of their own
            texts = random.Random(SEED).sample(texts, len(texts))
        if min(len(texts), len(held_out)) >= detection.LEAST and has_encoder():
            figures["detector_minilm"] = detection.detector_accuracy(held_out, texts)
        return figures

    def shuffled(self) -> dict[str, float]:
        """A baseline: metrics of test texts whose words are in random order."""
        rng = random.Random(SEED)
        texts = [shuffled(text, rng) for text in self.corpus.test_texts[: self.samples]]
        split = [split_words(text) for text in texts]
        return self.against_all(texts) | {
            f"distinct_{n}": metrics.distinct(split, n) for n in (2, 3) if n <= max(map(len, split))
        }

    @functools.cached_property
    def classifier(self) -> Any:
        """Naive Bayes classifier of texts by their words, trained on the training texts."""
        from sklearn.feature_extraction.text import CountVectorizer
        from sklearn.naive_bayes import MultinomialNB
        from sklearn.pipeline import make_pipeline

        train = self.corpus.train
        analyzer: Any = split_words  # its annotation is narrower than what it takes
        pipeline = make_pipeline(CountVectorizer(analyzer=analyzer), MultinomialNB())
        return pipeline.fit(self.corpus.texts(train), train[:, 0].numpy())

    def class_accuracy(self, tokens: Tensor, texts: Sequence[str]) -> float:
        """Share of texts classified as the class that they begin with."""
        return float((self.classifier.predict(list(texts)) == tokens[:, 0].numpy()).mean())

    def real(self) -> dict[str, float]:
        """The same metrics of real texts: of test texts, or, for BLEU against those, of training
        texts."""
        held_out = self.corpus.test[: self.samples]
        figures = self.quality(held_out)
        if self.corpus.oracle:
            figures["nll_test"] = figures["nll_oracle"]
        elif self.corpus.kind == "fables" and self.true_bits.isfinite().all():
            tokens = token_mask(self.test, self.info.last).sum().item()
            figures |= {"nll_test": self.true_bits.sum().item() * LN2 / tokens, "divergence_bits": 0.0}
        tokens, texts = held_out, self.corpus.texts(held_out)
        if self.corpus.kind == "texts":
            tokens, texts = self.corpus.real(self.samples)
        if self.info.classes:
            figures["class_accuracy"] = self.class_accuracy(held_out, self.corpus.texts(held_out))
        return figures | self.variety(tokens, texts, real=True)


def shuffled(text: str, rng: random.Random) -> str:
    """The words of a text in another order, or its characters where it has no spaces between
    words."""
    between, units = ("", [*text]) if is_spaceless(text) else (" ", text.split())
    rng.shuffle(units)
    return between.join(units)


def _unpadded(tokens: Tensor, end: int | None) -> list[list[int]]:
    """Sequences (N, T) as lists without the padding."""
    return [row[:n] for row, n in zip(tokens.tolist(), token_mask(tokens, end).sum(1).tolist(), strict=True)]


def _error(scores: Tensor) -> float:
    """Standard error of the mean; NaN for a single score."""
    return scores.double().std().item() / len(scores) ** 0.5 if len(scores) > 1 else math.nan
