"""Evaluation of a run on conversations: how likely held-out answers are, and how many the model
gives exactly."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import torch
from torch import Tensor

from multigen.console import if_slow
from multigen.engine.distributed import rank
from multigen.engine.evaluation import Evaluation
from multigen.storage.files import write_whole
from multigen.storage.lines import optional
from multigen.text.datasets import Corpus
from multigen.text.decoding import sample, token_mask
from multigen.text.networks.generators import Generator
from multigen.text.synthesis.evaluator import Evaluator

__all__ = ["answers", "evaluate_answers"]

ANSWERED = 500  # held-out answers that are compared, at most
SHOWN = 8  # of them in samples.txt
DEFINITIONS = {
    "nll_test": "mean -log p of a token of held-out answers, given what was said before them, nats, their ends included",
    "right": "share of held-out answers that the model gives exactly, white space apart, when it always takes the most "
    "probable token; shuffled: of the answers of other conversations",
}


def answers(G: Generator, corpus: Corpus, tokens: Tensor, given: Tensor) -> list[str]:
    """The most probable answers in place of those of the rows (N, T) of a corpus."""
    device = next(G.parameters()).device
    prompts, uniform = tokens.to(device), torch.zeros(tokens.shape, device=device)
    written = sample(G, uniform, corpus.info.last, corpus.info.pad, prompts, temperature=0.0, given=given.to(device))
    return written_answers(corpus, written.cpu(), given)


def written_answers(corpus: Corpus, tokens: Tensor, given: Tensor) -> list[str]:
    """The texts of the answers in rows (N, T)."""
    end, pad = corpus.info.last, corpus.info.pad
    answered = torch.full_like(tokens, pad)
    for out, row, mask, first in zip(answered, tokens, token_mask(tokens, end, given), given.tolist(), strict=True):
        part = row[mask]
        assert first + len(part) <= len(row)
        out[: len(part)] = part
    return [text.strip() for text in corpus.texts(answered)]


def evaluate_answers(
    evaluator: Evaluator, models: Iterable[tuple[Sequence[str], Generator]], folder: Path
) -> Evaluation:
    """Measures models on the held-out answers, and writes `samples.txt` into `folder`."""
    corpus = evaluator.corpus
    tokens, given = corpus.test[:ANSWERED], corpus.given[2][:ANSWERED]
    truth = written_answers(corpus, tokens, given)
    rows = {"shuffled": {"right": _right(truth[1:] + truth[:1], truth)}}
    excerpts: list[str] = []
    for names, G in models:
        with if_slow(f"measuring {names[0]}"):
            totals, counts = evaluator.log_likelihood(G, tokens, given=given)
            written = answers(G, corpus, tokens, given)
        figures = {"nll_test": -totals.sum().item() / counts.sum().item(), "right": _right(written, truth)}
        rows |= {name: dict(figures) for name in names}
        shown = zip(written[:SHOWN], truth[:SHOWN], strict=True)
        excerpts += [f"{' = '.join(names)}\n", *(f"  {text!r}, expected {true!r}" for text, true in shown), ""]
    if rank() == 0:
        with optional(f"{folder}: samples"):
            write_whole(folder / "samples.txt", "\n".join(excerpts) + "\n")
    remarks = {"chosen": "the best model has the lowest nll of the validation answers; last is the last step"}
    return Evaluation(rows, DEFINITIONS, remarks)


def _right(written: Sequence[str], truth: Sequence[str]) -> float:
    """Share of equal texts, white space apart."""
    pairs = [(a.split(), b.split()) for a, b in zip(written, truth, strict=True)]
    return sum(a == b for a, b in pairs) / len(pairs)
