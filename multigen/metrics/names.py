"""Names of rows and metrics: which rows are trained models, which metrics are better higher or lower, which come first.

A trained model's row is STAGE/last or STAGE/best, of several variants VARIANT/STAGE/last, with ` at T` behind it where it was
sampled at another temperature than 1. All other rows are baselines: real data, noise, bicubic interpolation. A metric on a
named set is SET/METRIC. What each metric is: docs/metrics.md.
"""

import re
from collections.abc import Iterable, Mapping

__all__ = ["direction", "features_of", "headlines", "real", "swept", "trained", "without_features"]

AT = re.compile(r" at \d[\d.]*$")
LOWER = (
    *("fd_", "fid", "kd_", "kid", "class_kl"),
    *("efficientnet", "vgg", "lsd", "mcd", "multi_stft"),
    *(
        "nll",
        "perplexity",
        "bits_per_character",
        "word_js",
        "lm_score",
        "reverse_lm_score",
        "divergence_bits",
        "ungrammatical",
        "exact_copies",
        "longest_copied",
    ),
)
HIGHER = (
    *("is_", "inception_score", "precision", "recall", "coverage", "class_accuracy", "classes"),
    *("psnr", "ssim", "si_sdr", "snr", "pesq", "stoi"),
    *("grammatical", "bleu_", "rouge_", "corpus_bleu"),
)
"""Beginnings of metrics' names of which less, or more, is better. Neither is throughout where real data, or a value of them, are
best (memorisation, variety, density, self-BLEU, distinct and unique texts, grammar_bits), of d_overfit, which is D's, and of
confident, which rises for samples that are all alike."""
FIRST = (
    *("psnr_y", "efficientnet_lite0"),
    *("ungrammatical", "nll_oracle", "lm_score", "nll_test", "divergence_bits"),
    *("fd_", "coverage", "confident", "memorisation", "precision", "unique"),
)
"""Beginnings of the names of metrics that say most of a model, the first of them first; of each but one on a set."""
MOST = 4
"""Headline metrics, at most."""
FEATURES = "; features: "
"""Where the definitions of several metrics go on alike: the extractor, and the numbers of items."""


def direction(metric: str) -> int:
    """1 where more of a metric, also of SET/METRIC, is better, -1 where less is, 0 where neither is throughout."""
    short = _short(metric)
    return -1 if short.startswith(LOWER) else 1 if short.startswith(HIGHER) else 0


def headlines(metrics: Iterable[str]) -> list[str]:
    """The few metrics of these that say most, on all sets that they are of; without a known one the first few."""
    known = [metric for metric in metrics if not metric.endswith("_std")]
    found: list[str] = []
    for beginning in FIRST:
        some = [metric for metric in known if _short(metric).startswith(beginning)]
        found += [metric for metric in some if _short(metric) == _short(some[0])]
    return (found or known)[:MOST]


def _short(metric: str) -> str:
    return metric.rpartition("/")[2]


def trained(row: str) -> bool:
    """Whether a row is of a trained model, at whatever temperature; else it is a baseline."""
    return AT.sub("", row).endswith(("/last", "/best"))


def real(row: str) -> bool:
    """Whether a row is of real data, which no model is expected to beat."""
    return row in ("real", "real_training")


def swept(row: str) -> bool:
    """Whether a row is of another temperature than 1."""
    return AT.search(row) is not None


def without_features(definition: str) -> str:
    """What a metric is, without the extractor and the numbers of items."""
    return definition.partition(FEATURES)[0]


def features_of(definitions: Mapping[str, str]) -> list[str]:
    """The extractors and numbers of items that definitions state, each once."""
    return [tail for tail in dict.fromkeys(text.partition(FEATURES)[2] for text in definitions.values()) if tail]
