"""Metrics of films against closed cases."""

from itertools import pairwise

import numpy as np
import pytest

from multigen.errors import DataError
from multigen.metrics import temporal
from tests.tiny import pixels


def moving(steps: list[int], seed: int = 0) -> list[np.ndarray]:
    """Windows 40 x 48 of a smooth picture, each moved by `steps` columns in all."""
    from skimage.filters import gaussian

    whole = gaussian(pixels(40, 80, seed), 2, channel_axis=-1, preserve_range=True).astype(np.uint8)
    return [whole[:, start : start + 48] for start in np.cumsum([10, *steps])]


def test_flow_of_a_known_motion() -> None:
    first, second = map(temporal.luma, moving([2]))
    motion = temporal.flow(first, second)[:, 8:-8, 8:-8]
    assert np.median(motion[1]) == pytest.approx(-2, abs=0.2) and np.median(motion[0]) == pytest.approx(0, abs=0.1)


def test_tof_of_the_film_itself_is_zero_and_of_one_that_stands_the_motion() -> None:
    true = moving([1, 1, 1])
    assert temporal.tof_tvl1(true, true) == 0
    motions = [temporal.flow(temporal.luma(a), temporal.luma(b)) for a, b in pairwise(true)]
    expected = np.mean([np.hypot(*motion).mean() for motion in motions])
    assert temporal.tof_tvl1(true, [true[0]] * 4) == pytest.approx(expected, rel=1e-5)


def test_tlp_is_the_difference_of_distances() -> None:
    def distance(a: np.ndarray, b: np.ndarray) -> float:
        return float(np.abs(a.astype(float) - b).mean() / 255)

    true = [np.full((8, 8, 3), value, np.uint8) for value in (0, 51, 51)]
    made = [np.full((8, 8, 3), value, np.uint8) for value in (0, 0, 102)]
    assert temporal.tlp(true, true, distance) == 0
    assert temporal.tlp(true, made, distance) == pytest.approx(100 * np.mean([0.2, 0.4]))


def test_warping_of_whole_pixels() -> None:
    frame = np.arange(30, dtype=np.float32).reshape(5, 6)
    motion = np.stack([np.ones((5, 6)), -np.ones((5, 6))])
    np.testing.assert_allclose(temporal.warped(frame, motion)[:-1, 1:], frame[1:, :-1])


def test_occlusions_of_closed_motions() -> None:
    still = np.zeros((2, 6, 8))
    right = np.stack([np.zeros((6, 8)), np.full((6, 8), 2.0)])
    assert not temporal.occluded(still, still).any()
    there = temporal.occluded(right, -right)  # consistent, but the last two columns leave the frame
    assert not there[:, :6].any() and there[:, 6:].all()
    assert temporal.occluded(right, still).all()


def test_warping_error_of_motion_and_of_flicker() -> None:
    true = moving([1, 1, 1])
    flicker = [np.clip(frame.astype(int) + 12 * (i % 2), 0, 255).astype(np.uint8) for i, frame in enumerate(true)]
    assert temporal.warping_error([true[0]] * 3) == 0
    steady, unsteady = temporal.warping_error(true, true), temporal.warping_error(flicker, true)
    assert steady < 2e-4 and unsteady == pytest.approx((12 / 255) ** 2, rel=0.1)


def test_a_blurred_film_stands_beside_and_wins_the_warping_error() -> None:
    true = [np.clip(frame + np.random.default_rng(i).normal(0, 6, frame.shape), 0, 255).astype(np.uint8)
            for i, frame in enumerate(moving([1, 1]))]  # fmt: skip

    def psnr(a: np.ndarray, b: np.ndarray) -> float:
        return float(10 * np.log10(255**2 / max(((a.astype(float) - b) ** 2).mean(), 1e-9)))

    rows = temporal.temporal_metrics(
        true, true, {"l2": lambda a, b: float(((a / 255 - b / 255) ** 2).mean())}, {"psnr": psnr}
    )
    assert list(rows) == ["film", "blurred"] and list(rows["film"]) == ["psnr", "tof_tvl1", "tlp_l2", "warping_error"]
    assert rows["film"]["tof_tvl1"] == rows["film"]["tlp_l2"] == 0
    assert (
        rows["blurred"]["warping_error"] < rows["film"]["warping_error"]
        and rows["blurred"]["psnr"] < rows["film"]["psnr"]
    )


@pytest.mark.parametrize(("true", "made"), [(1, 1), (3, 2), (0, 0)])
def test_films_that_do_not_fit_are_refused(true: int, made: int) -> None:
    frame = np.zeros((8, 8, 3), np.uint8)
    with pytest.raises(DataError, match="expected the same number, two or more, and one size"):
        temporal.tof_tvl1([frame] * true, [frame] * made)
