"""BLEU-2 to -5 of 500 hypotheses against 10,000 references: ours against NLTK.

    python -m benchmarks.bleu
    MULTIGEN_DATA=path python -m benchmarks.bleu            # on real captions

Ours is timed whole, preparation of the references included, and is the median of some repeats. NLTK
takes a good part of a second for each hypothesis, so it is timed on a few, spread evenly, and its
time is scaled to all; every hypothesis costs it about the same, since what takes the time is
counting the references' n-grams anew. NLTK is asked for the four orders in one call, which is three
times as fast as the customary call for each.
"""

import os
import random
import statistics
import time
from itertools import accumulate
from pathlib import Path
from typing import Any

import tyro

from multigen.text.bleu import ORDERS, References
from multigen.text.words import words

__all__ = ["compare", "main", "sentences"]

WORDS, LENGTHS = 5000, range(6, 18)
ALLOWED = "at least 500"


def sentences(count: int, seed: int) -> list[list[str]]:
    """Made-up sentences of 6 to 17 words, drawn from 5,000 by Zipf's law: the k-th word's frequency
    is as 1 / k."""
    rng = random.Random(seed)
    vocabulary = [f"w{k}" for k in range(WORDS)]
    cumulated = list(accumulate(1 / (k + 1) for k in range(WORDS)))
    return [rng.choices(vocabulary, cum_weights=cumulated, k=rng.choice(LENGTHS)) for _ in range(count)]


def captions(root: Path, hypotheses: int, references: int) -> tuple[list[list[str]], list[list[str]]]:
    """The first captions of the training and of the test file."""
    pairs = (("train", hypotheses), ("test", references))
    files = [((root / "text/captions" / f"{name}.txt").read_text("utf-8").splitlines(), n) for name, n in pairs]
    train, test = ([words(line) for line in lines[:n]] for lines, n in files)
    return train, test


def compare(hypotheses: list[list[str]], references: list[list[str]], sample: int, repeats: int) -> dict[str, float]:
    """Seconds of both for all hypotheses, their ratio, and the greatest difference of a score over
    NLTK's sample."""
    from nltk.translate.bleu_score import SmoothingFunction, sentence_bleu

    seconds = []
    for _ in range(repeats):
        began = time.perf_counter()
        ours = References(references, max(ORDERS)).bleu(hypotheses, ORDERS)
        seconds.append(time.perf_counter() - began)

    chosen = range(0, len(hypotheses), max(1, len(hypotheses) // sample))[:sample]
    weights, smoothing = [(1 / n,) * n for n in ORDERS], SmoothingFunction().method1
    began = time.perf_counter()
    theirs: list[Any] = [sentence_bleu(references, hypotheses[i], weights, smoothing) for i in chosen]  # 4 scores each
    scaled = (time.perf_counter() - began) / len(chosen) * len(hypotheses)

    gaps = [abs(ours[n][i] - row[k]) for i, row in zip(chosen, theirs, strict=True) for k, n in enumerate(ORDERS)]
    ratio = scaled / statistics.median(seconds)
    return {"ours": statistics.median(seconds), "nltk": scaled, "ratio": ratio, "difference": max(gaps)}


def main(hypotheses: int = 500, references: int = 10_000, sample: int = 4, repeats: int = 5) -> None:
    """Times BLEU-2 to -5 of hypotheses against references, ours and NLTK's.

    Args:
        hypotheses: how many; captions for training where MULTIGEN_DATA names the data, else made-up
            sentences.
        references: how many; captions for testing, or made-up sentences.
        sample: hypotheses that NLTK is timed on.
        repeats: of ours.
    """
    root = os.environ.get("MULTIGEN_DATA")
    if root:
        texts = captions(Path(root), hypotheses, references)
    else:
        texts = sentences(hypotheses, seed=0), sentences(references, seed=1)
    result = compare(*texts, sample, repeats)
    print(f"{len(texts[0])} hypotheses, {len(texts[1])} references ({'captions' if root else 'made-up sentences'})")
    print(f"ours, references prepared each time   {result['ours']:10.4f} s, median of {repeats}")
    print(f"NLTK, scaled from {sample:<3} hypotheses      {result['nltk']:10.1f} s")
    print(f"ratio ({ALLOWED})                  {result['ratio']:10.0f}")
    print(f"greatest difference of a score        {result['difference']:10.1e}")


if __name__ == "__main__":
    tyro.cli(main)
