"""Compares two sets of texts: `multigen evaluate --real A.txt --fake B.txt`."""

import math
from collections import Counter
from collections.abc import Sequence

import torch

from multigen.console import counted
from multigen.engine.evaluation import Evaluation
from multigen.errors import DataError
from multigen.text import detection, metrics
from multigen.text.bleu import References, self_bleu
from multigen.text.encoder import has_encoder
from multigen.text.files import read_texts
from multigen.text.metrics import sentence_distance, split_words
from multigen.text.units import Reading

__all__ = ["compare_data", "compare_texts", "word_divergence"]

SAMPLES = 2_000  # texts of a set that are measured, at most
SENTENCES = 1_000  # that the sentence encoder reads, at most
DETECTED = 500  # that the detector reads, at most
LEAST = 4

DEFINITIONS = {
    "word_js": "Jensen-Shannon divergence between the frequencies of words (and signs), bits, 0 to 1; falls with the number of "
    "texts"
}


def compare_data(
    real: str, fake: str, name: str, device: torch.device, skip_bad: bool, encoding: str = "", column: str = ""
) -> Evaluation:
    """As `compare_texts`, of two data arguments. `name` is `words`, what texts are compared by."""
    reading = Reading("auto", skip_bad, encoding, column)
    sets = [read_texts(data, reading).texts for data in (real, fake)]
    for data, texts in zip((real, fake), sets, strict=True):
        if len(texts) < LEAST:
            raise DataError(
                f"{data}: {counted(len(texts), 'texts')}, expected at least {LEAST}, to be compared; add some"
            )
    return compare_texts(sets[0], sets[1], device)


def compare_texts(real: Sequence[str], fake: Sequence[str], device: torch.device | str = "cpu") -> Evaluation:
    """Metrics of texts against all real ones; the baseline is every other real text against the
    rest of them."""
    n = min(len(fake), len(real) // 2, SAMPLES)
    rows = {"real": _measure(real[::2], real[1::2], n, device), "fake": _measure(fake, real, n, device)}
    about = (
        f"; words as for BLEU in the published tables; first {counted(n, 'texts')} of {len(fake):,}, against {len(real):,} real "
        f"ones; baseline: {n:,} of the real ones against {len(real[1::2]):,} others of them"
    )
    definitions = metrics.DEFINITIONS | detection.DEFINITIONS | DEFINITIONS
    return Evaluation(rows, {metric: definitions[metric] + about for metric in rows["fake"]})


def _measure(texts: Sequence[str], real: Sequence[str], n: int, device: torch.device | str) -> dict[str, float]:
    split, reference = [split_words(text) for text in texts[:n]], [split_words(text) for text in real]
    figures = {f"bleu_{k}": float(scores.mean()) for k, scores in References(reference).bleu(split).items()}
    figures |= {f"self_bleu_{k}": float(scores.mean()) for k, scores in self_bleu(split).items()} if n > 1 else {}
    longest = max(map(len, split))
    figures |= {f"distinct_{k}": metrics.distinct(split, k) for k in (2, 3) if k <= longest}
    figures |= {"unique": metrics.unique(split), "exact_copies": metrics.exact_copies(split, reference)}
    figures |= {"longest_copied": float(metrics.longest_copied(split, reference).mean())}
    figures |= {"seq_rep_4": metrics.seq_rep(split)} if longest >= 4 else {}
    words = metrics.Words().tokenize
    plain, others = ([words(text) for text in part] for part in (texts[:n], real))
    figures |= {"overlap_8": metrics.overlap(plain, others)} if max(map(len, plain)) >= 8 else {}
    figures["word_js"] = word_divergence(split, reference)
    if n > 1 and has_encoder():
        figures["fd_minilm"] = sentence_distance(texts[: min(n, SENTENCES)], real[: min(n, SENTENCES)], device)
        if n >= detection.LEAST:
            figures["detector_minilm"] = detection.detector_accuracy(real[:DETECTED], texts[: min(n, DETECTED)], device)
    return figures


def word_divergence(samples: Sequence[Sequence[str]], real: Sequence[Sequence[str]]) -> float:
    """Jensen-Shannon divergence between the frequencies of the words of two sets of texts, bits: 0
    for equal ones, 1 for ones without a common word."""
    counts = [Counter(word for text in texts for word in text) for texts in (samples, real)]
    totals = [max(count.total(), 1) for count in counts]
    divergence = 0.0
    for word in counts[0].keys() | counts[1].keys():
        p, q = (count[word] / total for count, total in zip(counts, totals, strict=True))
        for share in (p, q):
            if share:
                divergence += share / 2 * math.log2(2 * share / (p + q))
    return divergence
