"""Curves of several runs: which are shared, how they are smoothed, what is drawn."""

import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from multigen.runs.comparison.curves import curve, draw, shared, smooth
from multigen.runs.facts import Stage


def test_shared_metrics_are_in_two_runs_at_least() -> None:
    point = [(1.0, 1.0)]
    runs = [
        [Stage("one", 0, 1, {"a": point, "b": point, "items_per_second": point}, {"fd": point})],
        [Stage("one", 0, 1, {"b": point, "items_per_second": point}), Stage("two", 1, 2, {"c": point}, {"fd": point})],
        [Stage("two", 0, 1, {"c": point})],
    ]
    assert shared(runs) == ["b", "validation/fd", "c"]
    assert curve(runs[0][0], "validation/fd") == point and curve(runs[0][0], "fd") == []


def test_smoothing_keeps_lines_ends_and_means() -> None:
    assert smooth([3.0, 1.0, 2.0]) == [3.0, 1.0, 2.0]  # few values stay as they are
    line = [0.5 * i for i in range(90)]
    assert smooth(line) == pytest.approx(line)
    noise = np.random.default_rng(0).normal(size=300)
    result = np.array(smooth(noise.tolist()))
    assert np.std(result) < np.std(noise) / 3 and result[0] == noise[0] and result[-1] == noise[-1]
    gap = smooth([1.0] * 45 + [math.nan] + [1.0] * 45)
    assert math.isnan(gap[45]) and gap[44] == gap[46] == 1


def test_the_picture_has_a_line_for_each_run(tmp_path: Path) -> None:
    runs = {
        name: [
            Stage("first", 0, 20, {"loss": [(i, value + i / 10) for i in range(1, 21)]}),
            Stage("second", 20, 40, {"loss": [(i, value) for i in range(21, 41)], "end": [(40, value)]}),
        ]
        for name, value in (("a", 1.0), ("b", math.inf), ("c", 1.05))
    }
    assert draw(tmp_path / "a.png", runs)
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.width > 2 * picture.height  # two panels side by side
        colours = {tuple(c) for c in np.asarray(picture.convert("RGB")).reshape(-1, 3)}
    assert {(0x1F, 0x5F, 0xBF), (0x2E, 0x8B, 0x57)} <= colours  # those of a and c; b has nothing finite
    assert not draw(tmp_path / "none.png", {"a": runs["a"], "b": []})
    assert not (tmp_path / "none.png").exists()
