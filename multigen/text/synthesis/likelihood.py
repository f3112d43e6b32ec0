"""Likelihood of texts under a trained model: `multigen evaluate --model RUN --texts FILE`."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from multigen.engine.evaluation import Evaluation
from multigen.errors import ConfigError
from multigen.text.decoding import log_probs, rows_within
from multigen.text.synthesis.writer import Writer

__all__ = ["evaluate_texts"]

TOGETHER = 64  # windows that the model reads at a time
EACH = 50  # texts, up to which each has a row

DEFINITIONS = {
    "nll": "mean -log p of a token under the model, nats, the end of each text included; texts longer than those that the model "
    "writes are read in windows, each from its own beginning",
    "perplexity": "exp of nll; depends on the tokens: compare models of one tokenizer only",
    "bits_per_character": "-log2 p of the texts divided by their characters; models of different tokenizers can be compared",
    "tokens": "tokens of the texts, with their ends",
    "unknown": "share of tokens that the model's vocabulary lacks; they are scored as one and the same word",
}


def evaluate_texts(writer: Writer, texts: Sequence[str]) -> Evaluation:
    """Negative log-likelihood and perplexity of texts: a row of all, and of few texts one of each.

    Raises ConfigError for a model of an oracle, whose texts are numbers.
    """
    tokenizer = writer.tokenizer
    if tokenizer is None or writer.end is None:
        raise ConfigError("a model of an oracle writes numbers, not words; give a model of texts")
    ids = [[*tokenizer.encode(text), writer.end] for text in texts]
    if writer.classes:  # marginal over classes, weighted by their probability under the model
        begun = [[[len(tokenizer) + c, *row] for row in ids] for c in range(len(writer.classes))]
        each = torch.tensor([_log_likelihoods(writer, rows) for rows in begun], dtype=torch.float64)
        sums = each.logsumexp(0).tolist()
    else:
        sums = _log_likelihoods(writer, ids)
    unknown = [sum(token == tokenizer.unknown for token in row) for row in ids]
    rows = {"texts": _figures(sum(sums), sum(map(len, ids)), sum(map(len, texts)), sum(unknown), tokenizer.unknown)}
    if 1 < len(texts) <= EACH:
        for i, (total, row, text, lacking) in enumerate(zip(sums, ids, texts, unknown, strict=True), 1):
            rows[f"text {i}"] = _figures(total, len(row), len(text), lacking, tokenizer.unknown)
    return Evaluation(rows, {metric: DEFINITIONS[metric] for metric in rows["texts"]})


def _figures(total: float, tokens: int, characters: int, lacking: int, unknown: int | None) -> dict[str, float]:
    nll = -total / tokens
    figures = {"nll": nll, "perplexity": math.exp(min(nll, 700.0))}
    figures |= {"bits_per_character": -total / math.log(2) / max(characters, 1), "tokens": float(tokens)}
    return figures | ({} if unknown is None else {"unknown": lacking / tokens})


@torch.no_grad()
def _log_likelihoods(writer: Writer, ids: Sequence[Sequence[int]]) -> list[float]:
    """log p of each text, nats."""
    length, device = writer.length, next(writer.G.parameters()).device
    windows = [(i, row[start : start + length]) for i, row in enumerate(ids) for start in range(0, len(row), length)]
    windows.sort(key=lambda window: len(window[1]))
    sums = [0.0] * len(ids)
    together = rows_within(len(writer.tokenizer or ()) + len(writer.classes), length, TOGETHER)
    for first in range(0, len(windows), together):
        some = windows[first : first + together]
        widest = max(len(row) for _, row in some)
        tokens = torch.tensor([[*row, *[writer.pad] * (widest - len(row))] for _, row in some], device=device)  # (B, T)
        token_log_probs: Tensor = log_probs(writer.G, tokens).double().cpu()
        for (i, row), scores in zip(some, token_log_probs, strict=True):
            sums[i] += scores[: len(row)].sum().item()
    return sums
