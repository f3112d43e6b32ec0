"""Words that a speech recogniser reads in recordings, and how many of them are lost: PocketSphinx with
the model of US English that its package carries (Huggins-Daines et al. 2006,
doi:10.1109/ICASSP.2006.1659988)."""

import functools
import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from multigen.audio.checks import check_rate, checked, not_silent, require
from multigen.errors import DataError

__all__ = ["RATE", "edits", "word_error", "words_of"]

RATE = 16_000
"""Hz, of the recogniser."""
SHORTEST = 0.25  # seconds


def word_error(prediction: Tensor, target: Tensor, rate: int) -> Tensor:
    """Share of the words read in the target that are not read in the prediction: insertions,
    deletions and replacements over their number. The recordings may differ in length.

    Raises:
        ConfigError: a rate other than 16,000 Hz, or the package `pocketsphinx` (extra `speech`) is
            not installed.
        DataError: less than a quarter of a second, silence, or a target without a word.
    """
    check_rate("word_error", "the recogniser", rate, (RATE,))
    require("pocketsphinx")
    pair = checked(prediction, target, math.ceil(SHORTEST * rate), same_length=False)
    not_silent(pair[1], "target", "nobody speaks in it")
    rows = zip(*(x.reshape(-1, x.shape[-1]) for x in pair), strict=True)
    errors = []
    for made, reference in rows:
        words = words_of(reference)
        if not words:
            raise DataError("no word is read in the target; leave the recording out, or leave out word_error")
        errors.append(edits(words_of(made), words) / len(words))
    return torch.tensor(errors, dtype=torch.float64).reshape(pair[0].shape[:-1])


def words_of(sound: Tensor) -> tuple[str, ...]:
    """The words that are read in a recording (T,) at 16 kHz."""
    samples = (sound.clamp(-1, 1) * 32767).round().to(torch.int16)
    return _words(samples.cpu().numpy().astype("<i2").tobytes())


@functools.lru_cache(maxsize=256)  # references are read once for each row of an evaluation
def _words(samples: bytes) -> tuple[str, ...]:
    decoder = _decoder()
    decoder.start_utt()
    decoder.process_raw(samples, full_utt=True)
    decoder.end_utt()
    hypothesis = decoder.hyp()
    return tuple(hypothesis.hypstr.split()) if hypothesis else ()


@functools.lru_cache(maxsize=1)
def _decoder() -> Any:
    require("pocketsphinx")
    import pocketsphinx  # pyright: ignore[reportMissingImports]

    return pocketsphinx.Decoder(samprate=RATE, loglevel="FATAL")


def edits(words: Sequence[str], reference: Sequence[str]) -> int:
    """Insertions, deletions and replacements that turn one sequence into the other, at least."""
    before = list(range(len(reference) + 1))
    for i, word in enumerate(words, 1):
        row = [i]
        for j, other in enumerate(reference, 1):
            row.append(min(before[j] + 1, row[-1] + 1, before[j - 1] + (word != other)))
        before = row
    return before[-1]
