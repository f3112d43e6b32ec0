"""Quality against diversity: where a model lies beside the curve of maximum likelihood."""

import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from multigen.tasks.synthesis.curves import Point, draw_curves
from multigen.text.synthesis.quality_diversity import advantage, verdict


def point(diversity: float, quality: float, error: float = 0.0, temperature: float = 1.0) -> Point:
    return Point(temperature, diversity, quality, error)


# Less diverse and better from left to right: from (1, 4) down to (3, 0).
CURVE = [point(1, 4, 0.3), point(2, 2, 0.4), point(3, 0, 0.4)]


@pytest.mark.parametrize(
    ("diversity", "quality", "gain"),
    [
        (2, 1.5, 0.5),  # on a point's place
        (2, 2, 0.0),
        (1.5, 3.5, -0.5),  # between two
        (2.25, 0.5, 1.0),
        (0.5, 3.0, 1.0),  # more diverse than the whole curve: better only with better quality than its end
        (0.5, 6.0, 0.0),
        (3.5, -1.0, 0.0),  # less diverse than the whole curve: worse only with worse quality than its end
        (3.5, 0.5, -0.5),
    ],
)
def test_the_advantage_is_the_distance_at_equal_diversity(diversity: float, quality: float, gain: float) -> None:
    for curve in (CURVE, CURVE[::-1]):
        assert advantage(point(diversity, quality), curve)[0] == pytest.approx(gain)


def test_the_errors_of_both_count() -> None:
    assert advantage(point(2, 1, error=0.3), CURVE)[1] == pytest.approx(0.5)
    assert advantage(point(1.5, 1, error=0.0), CURVE)[1] == pytest.approx(0.35)
    assert advantage(point(9, 1, error=0.3), CURVE)[1] == pytest.approx(0.5)


def test_points_that_another_surpasses_do_not_count() -> None:
    """Such as a high temperature, whose samples are no more diverse than those of a lower one, and
    worse."""
    worse = [*CURVE, point(1.5, 9), point(2.5, 3)]
    for d in (1.2, 1.5, 2.5, 2.9):
        assert advantage(point(d, 1), worse) == advantage(point(d, 1), CURVE)
    assert advantage(point(3.5, 0.5), [*CURVE, point(5, 3)])[0] == pytest.approx(-0.5)


def test_a_curve_of_one_point() -> None:
    assert advantage(point(2, 1), [point(2, 3)])[0] == 2
    assert advantage(point(1, 1), [point(2, 3)])[0] == 2
    assert advantage(point(3, 1), [point(2, 3)])[0] == 0


def said(*points: Point) -> str:
    return verdict(CURVE, {"adversarial/best": points}, "nll_oracle")


BETTER = [Point(0.9, 2, 0.5, 0.3), Point(1.0, 1.5, 0.0, 0.3)]  # by 1.5 and 3, each with a standard error near .5
WORSE = [Point(1.1, 2.5, 3.0, 0.3)]  # by 2
SAME = [Point(0.8, 2, 1.2, 0.3), Point(1.2, 1.5, 3.6, 0.3)]  # less than two standard errors off


def test_every_kind_of_sentence() -> None:
    assert said(*SAME) == "adversarial/best does not leave the maximum-likelihood curve."
    assert said(*BETTER, *SAME) == (
        "adversarial/best dominates it at 2 of 4 temperatures, by up to 3 in nll_oracle (at temperature 1, diversity 1.500)."
    )
    assert said(*WORSE, *SAME) == (
        "adversarial/best is never better than the maximum-likelihood curve, and worse at 1 of 3 temperatures, by up to "
        "2 in nll_oracle (at temperature 1.1, diversity 2.500)."
    )
    assert said(*BETTER, *WORSE) == (
        "adversarial/best crosses the maximum-likelihood curve: better at 2 of 3 temperatures, by up to 3 in nll_oracle (at "
        "temperature 1, diversity 1.500); worse at 1 of 3 temperatures, by up to 2 in nll_oracle (at temperature 1.1, "
        "diversity 2.500)."
    )


def test_one_sentence_a_model() -> None:
    text = verdict(CURVE, {"constant/last": SAME, "adversarial/best": BETTER}, "lm_score")
    first, second = text.split(". ", 1)
    assert first.startswith("constant/last does not leave") and second.startswith("adversarial/best dominates")


def test_a_curve_lies_on_itself() -> None:
    assert "does not leave the maximum-likelihood curve." in said(*CURVE)
    assert "does not" in said(point(2, math.nan, math.nan))  # nothing follows from what could not be measured


def test_the_picture_shows_all_curves(tmp_path: Path) -> None:
    path = tmp_path / "curves.png"
    draw_curves(path, {"mle/best": CURVE, "adversarial/best": BETTER}, point(2, -1), ("nll_test", "nll_oracle"))
    with Image.open(path) as picture:
        assert picture.format == "PNG" and min(picture.size) > 400
        pixels = np.asarray(picture.convert("RGB")).reshape(-1, 3)
    coloured = pixels[np.ptp(pixels.astype(int), axis=1) > 60]
    assert len(np.unique(coloured, axis=0)) > 2 and len(coloured) > 500
    draw_curves(tmp_path / "without.png", {"mle/best": CURVE}, None, ("nll_test", "nll_oracle"))
    assert (tmp_path / "without.png").stat().st_size != path.stat().st_size > 10_000


def test_a_model_may_get_better_than_the_curve_where_that_does_not_reach() -> None:
    curve = [Point(1.0, 2.0, 0.30, 0.01), Point(0.8, 2.5, 0.20, 0.01), Point(0.7, 3.0, 0.22, 0.01)]
    message = verdict(curve, {"new": [Point(0.8, 2.7, 0.10, 0.01)]}, "errors")
    assert message.startswith("new does not leave the maximum-likelihood curve. At less diversity it gets better than")
    assert "errors 0.1 at temperature 0.8, diversity 2.700, against 0.2 at 2.500" in message
    unsure = verdict(curve, {"new": [Point(0.8, 2.7, 0.18, 0.01)]}, "errors")
    assert unsure == "new does not leave the maximum-likelihood curve."
