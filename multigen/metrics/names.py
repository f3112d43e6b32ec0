"""Names of rows and metrics: which rows are trained models, which metrics are better higher or
lower, which come first.

A trained model's row is STAGE/last or STAGE/best, with several variants VARIANT/STAGE/last, with
the suffix ` at T` where it was sampled at a temperature other than 1, or truncated. All other rows
are baselines: real data (VARIANT/real where variants have data of their own), noise, bicubic
interpolation. A metric on a named set is SET/METRIC. Definitions: docs/metrics.md.
"""

import re
from collections.abc import Iterable, Mapping

__all__ = ["direction", "features_of", "headlines", "other_setting", "real", "trained", "without_features"]

AT = re.compile(r" at \d[\d.]*$")
LOWER = (
    *("fd_", "fid", "kd_", "kid", "class_kl"),
    *("efficientnet", "squeezenet", "vgg", "lsd", "mcd", "multi_stft", "f0_error", "voicing_error", "grid"),
    *("f0_mean_error", "source_similarity", "word_error", "formant_error"),
    "chroma_error",
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
        "overlap_",
        "detector_",
    ),
)
HIGHER = (
    *("is_", "inception_score", "precision", "recall", "coverage", "class_accuracy", "class_kept", "classes"),
    *(
        "psnr",
        "ssim",
        "gradient_correlation",
        "si_sdr",
        "snr",
        "pesq",
        "stoi",
        "speaker_similarity",
        "dnsmos",
        "distillmos",
        "target_similarity",
        "similarity_gain",
        "same_pesq",
        "same_si_sdr",
        "vowels_kept",
    ),
    *("grammatical", "form", "bleu_", "rouge_", "corpus_bleu", "similarity_minilm"),
)
"""Prefixes of metrics for which lower, or higher, is better. Neither holds where the value of real
data is best (memorisation, variety, density, detail, saturation, seam, self-BLEU, seq_rep, distinct
and unique texts, grammar_bits), for d_overfit, which describes D, and for confident, which rises
when all samples are alike."""
HEADLINES = (
    *("psnr", "efficientnet_lite0", "class_kept"),
    *("ungrammatical", "nll_oracle", "lm_score", "nll_test", "divergence_bits"),
    *("fd_", "coverage", "confident", "memorisation", "precision", "unique"),
)
"""Prefixes of headline metrics, the most important first; only one metric per prefix and set."""
MAX_HEADLINES = 4
"""Maximum number of headline metrics."""
FEATURES = "; features: "
"""Separates a metric's definition from the extractor and the numbers of items, which several
metrics share."""


def direction(metric: str) -> int:
    """1 for a metric (also SET/METRIC) where higher is better, -1 where lower is, 0 where neither
    is."""
    short = _short(metric)
    return -1 if short.startswith(LOWER) else 1 if short.startswith(HIGHER) else 0


def headlines(metrics: Iterable[str]) -> list[str]:
    """The most important of these metrics, on all their sets; if none is known, the first few."""
    candidates = [metric for metric in metrics if not metric.endswith("_std")]
    selected: list[str] = []
    for beginning in HEADLINES:
        matching = [metric for metric in candidates if _short(metric).startswith(beginning)]
        selected += [metric for metric in matching if _short(metric) == _short(matching[0])]
    return (selected or candidates)[:MAX_HEADLINES]


def _short(metric: str) -> str:
    return metric.rpartition("/")[2]


def trained(row: str) -> bool:
    """Whether a row is a trained model's, at any temperature or truncation; else it is a
    baseline."""
    return AT.sub("", row).endswith(("/last", "/best"))


def real(row: str) -> bool:
    """Whether a row is real data, of all variants or of one, which no model is expected to beat."""
    return row.rpartition("/")[2] in ("real", "real_training")


def other_setting(row: str) -> bool:
    """Whether a row was sampled at a temperature other than 1, or truncated."""
    return AT.search(row) is not None


def without_features(definition: str) -> str:
    """A metric's definition without the extractor and the numbers of items."""
    return definition.partition(FEATURES)[0]


def features_of(definitions: Mapping[str, str]) -> list[str]:
    """The distinct extractors and numbers of items in definitions."""
    return [tail for tail in dict.fromkeys(text.partition(FEATURES)[2] for text in definitions.values()) if tail]
