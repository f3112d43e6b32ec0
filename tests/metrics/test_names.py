"""What names of rows and metrics say."""

import json
from pathlib import Path

import pytest

from multigen.audio.metrics import DEFINITIONS as SOUNDS
from multigen.image.metrics import DEFINITIONS as PICTURES
from multigen.image.perceptual import DEFINITIONS as DISTANCES
from multigen.image.restoration.holes import DEFINITIONS as HOLES
from multigen.metrics import distances as features
from multigen.metrics.names import direction, features_of, headlines, other_setting, real, trained, without_features
from multigen.tasks.synthesis import evaluator
from multigen.text.synthesis.evaluator import DEFINITIONS as TEXTS

RESULTS = sorted((Path(__file__).resolve().parents[2] / "recipes" / "results").glob("*.json"))
NEITHER = {
    *("memorisation", "variety", "density", "d_overfit", "confident"),
    *("unique", "distinct_1", "distinct_2", "distinct_3", "distinct_tokens", "grammar_bits"),
    *("seq_rep_4", "saturation"),
    *("detail", "seam"),
    *("self_bleu_2", "self_bleu_3", "self_bleu_4", "self_bleu_5"),
}


def test_of_every_metric_it_is_decided() -> None:
    """One that is new is entered in NEITHER here, or in `multigen.metrics.names`."""
    measured = {name for path in RESULTS for name in json.loads(path.read_text())["definitions"]}
    generated = {*features.DEFINITIONS, *evaluator.LABELLED} - {"frechet", "kernel", "inception_score"}
    defined = measured | generated | {*SOUNDS, *PICTURES, *HOLES, *DISTANCES, *TEXTS}
    assert len(measured) > 40 and {"pesq", "psnr_y", "vgg22", "nll_oracle", "coverage"} <= defined
    assert {name for name in defined if not direction(name)} == NEITHER


@pytest.mark.parametrize("name", sorted(NEITHER))
def test_neither_more_nor_less_is_better(name: str) -> None:
    assert direction(name) == direction(f"set/{name}") == 0


def test_directions() -> None:
    for name in (
        "fd_x",
        "fid",
        "kid",
        "class_kl",
        "Set5/vgg54",
        "ungrammatical",
        "reverse_lm_score",
        "nll_word",
        "overlap_8",
        "detector_minilm",
        "mcd_dtw",
    ):
        assert direction(name) == -1, name
    for name in (
        "is_drums",
        "recall",
        "classes",
        "Set5/psnr_y",
        "grammatical",
        "bleu_5",
        "rouge_l",
        "similarity_minilm",
        "si_sdr",
    ):
        assert direction(name) == 1, name


def test_every_row_that_was_measured_is_a_model_or_a_floor() -> None:
    rows = {row for path in RESULTS for row in json.loads(path.read_text())["rows"]}
    baselines = {
        "real",
        "real_training",
        "bicubic",
        "start",
        "noise",
        "untrained",
        "griffin_lim",
        "shuffled",
        "moments",
        "input",
    }
    assert {row for row in rows if not trained(row)} == baselines
    assert {row for row in rows if real(row)} == {"real", "real_training"}
    assert {row for row in rows if other_setting(row)} == {row for row in rows if " at " in row} != set()
    assert trained("plain/adversarial/best") and not trained("plain/noise") and not trained("shuffled")


def test_a_row_at_a_temperature() -> None:
    for row in ("mle/best at 0.7", "mle/best at 1.1", "clip/mle/last at 2"):
        assert other_setting(row) and trained(row)
    assert not other_setting("mle/best") and not other_setting("look at me") and not trained("real at 0.7")


def test_headlines_are_few_and_say_most() -> None:
    pictures = [
        "kd_x",
        "fd_x",
        "fd_x_std",
        "fd_y",
        "precision",
        "recall",
        "coverage",
        "confident",
    ]
    assert headlines(pictures) == ["fd_x", "coverage", "confident", "precision"]
    photographs = [
        f"{name}/{metric}" for name in ("Set5", "B") for metric in ("psnr_y", "ssim_y", "efficientnet_lite0")
    ]
    assert headlines(photographs) == ["Set5/psnr_y", "B/psnr_y", "Set5/efficientnet_lite0", "B/efficientnet_lite0"]
    assert headlines(["nll_test", "lm_score", "unique"]) == ["lm_score", "nll_test", "unique"]
    assert headlines(["a", "a_std", "b", "c", "d", "e"]) == ["a", "b", "c", "d"]


def test_the_part_that_definitions_share_is_parted() -> None:
    definitions = {"fd": "a distance; biased; features: of a network; 9 samples", "d_overfit": "a share"}
    assert [without_features(text) for text in definitions.values()] == ["a distance; biased", "a share"]
    assert features_of({**definitions, "kd": "another; features: of a network; 9 samples"}) == [
        "of a network; 9 samples"
    ]
