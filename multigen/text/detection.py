"""A classifier that tells generated texts from real ones, as a metric: how often it is right."""

from collections.abc import Sequence

import numpy as np
import torch

from multigen.errors import DataError
from multigen.text.encoder import ENCODER, hidden_means

__all__ = ["DEFINITIONS", "LEAST", "detector_accuracy"]

LAYER = 4  # of 6: middle layers know most of syntax, and tell random sentences best
FOLDS = 5
LEAST = 2 * FOLDS  # pairs of texts
DEFINITIONS = {
    "detector_minilm": "share of texts that a classifier rightly calls real or generated (logistic regression on the mean of "
    f"{ENCODER}'s hidden states after layer {LAYER}, {FOLDS}-fold cross-validation; a classifier two-sample test, Lopez-Paz and "
    "Oquab 2017), of held-out texts and as many samples, each two cut to the same number of words, 0 to 1, .5 by guessing; "
    "rises with their number: compare with real, training texts in place of samples",
}


def detector_accuracy(real: Sequence[str], fake: Sequence[str], device: torch.device | str = "cpu") -> float:
    """Cross-validated accuracy of a classifier of real and generated texts, 0..1: a classifier
    two-sample test (Lopez-Paz and Oquab 2017, arXiv:1610.06545) by logistic regression on hidden
    states of the sentence encoder.

    The first texts of both are compared, as many as the smaller set has, in pairs that are cut to
    the words of the shorter one: length tells nothing. A fold is a run of neighbouring pairs, so
    that what windows of one book share is on one side.

    Raises:
        ConfigError: the package that carries the encoder is not installed.
        DataError: fewer than 10 pairs.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    pairs = [_cut_alike(*pair) for pair in zip(real, fake, strict=False)]
    if len(pairs) < LEAST:
        raise DataError(f"{len(pairs)} pairs of real and generated texts: expected at least {LEAST}; make or read more")
    features = hidden_means([text for pair in pairs for text in pair], LAYER, device).numpy()  # (2 N, 384)
    labels, folds = np.tile([1, 0], len(pairs)), np.arange(2 * len(pairs)) // 2 * FOLDS // len(pairs)
    right = 0
    for fold in range(FOLDS):
        train, test = folds != fold, folds == fold
        classifier = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=1_000))
        classifier.fit(features[train], labels[train])
        right += int((classifier.predict(features[test]) == labels[test]).sum())
    return right / len(labels)


def _cut_alike(*pair: str) -> list[str]:
    words = [text.split() for text in pair]
    return [" ".join(text[: min(map(len, words))]) for text in words]
