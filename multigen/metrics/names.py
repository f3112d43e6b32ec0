"""What the names of an evaluation's rows and metrics say: which rows are trained models, and whether more or less is better.

A trained model's row is STAGE/last or STAGE/best, of several variants VARIANT/STAGE/last, with ` at T` behind it where it was
sampled at another temperature than 1. All other rows are floors and baselines: real data, noise, bicubic interpolation. A
metric on a named set is SET/METRIC. What each metric is: docs/metrics.md.
"""

import re

__all__ = ["direction", "real", "swept", "trained"]

AT = re.compile(r" at \d[\d.]*$")
LOWER = (
    *("fd_", "fid", "kd_", "kid", "class_kl"),
    *("efficientnet", "vgg", "lsd", "mcd", "multi_stft"),
    *("nll", "lm_score", "reverse_lm_score", "divergence_bits", "ungrammatical", "copied", "longest_copied"),
)
HIGHER = (
    *("is_", "inception_score", "precision", "recall", "coverage", "as_asked", "classes"),
    *("psnr", "ssim", "si_sdr", "snr", "pesq", "stoi"),
    *("grammatical", "bleu_", "rouge_", "corpus_bleu"),
)
"""Beginnings of metrics' names of which less, or more, is better. Neither is throughout where real data, or a value of them, are
best (memorisation, variety, density, self-BLEU, distinct and unique texts, grammar_bits), of d_overfit, which is D's, and of
recognised, which rises for samples that are all alike."""


def direction(metric: str) -> int:
    """1 where more of a metric, also of SET/METRIC, is better, -1 where less is, 0 where neither is throughout."""
    short = metric.rpartition("/")[2]
    return -1 if short.startswith(LOWER) else 1 if short.startswith(HIGHER) else 0


def trained(row: str) -> bool:
    """Whether a row has the figures of a trained model, at whatever temperature; else it is a floor or a baseline."""
    return AT.sub("", row).endswith(("/last", "/best"))


def real(row: str) -> bool:
    """Whether a row is of real data, which no model is expected to beat."""
    return row in ("real", "real_training")


def swept(row: str) -> bool:
    """Whether a row is of another temperature than 1."""
    return AT.search(row) is not None
