"""Degradations of clips: closed forms, draws that wander, H.264, and the published rows of bicubic
interpolation."""

import sys
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from multigen.errors import ConfigError
from multigen.image.metrics import psnr_y
from multigen.video.restoration.degradations import Wandering, compressed, cubic, degrade, interpolated
from multigen.video.restoration.test_films import BORDER, open_test_films
from tests import tiny

NAMES: Any = ("bi", "bd", "mild", "strong")


def clip(count: int = 3, side: int = 48) -> Tensor:
    frames = [tiny.pixels(side, side + 4 * count, 0)[:, 4 * i : 4 * i + side] for i in range(count)]
    return torch.from_numpy(np.stack(frames)).permute(0, 3, 1, 2).contiguous()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("scale", [2, 4])
def test_sizes_and_repetition(name: Any, scale: int) -> None:
    small = degrade(clip(), scale, name, np.random.default_rng(0))
    assert small.shape == (3, 3, 48 // scale, 48 // scale) and small.dtype == torch.uint8
    assert torch.equal(small, degrade(clip(), scale, name, np.random.default_rng(0)))
    assert interpolated(small, scale, name).shape == clip().shape


@pytest.mark.parametrize("name", ["bi", "bd"])
def test_a_plain_frame_stays(name: Any) -> None:
    plain = torch.full((2, 3, 16, 16), 77, dtype=torch.uint8)
    small = degrade(plain, 4, name, np.random.default_rng(0))
    assert (small == 77).all() and (interpolated(small, 4, name) == 77).all()


def test_bd_keeps_the_first_pixel_of_a_square_and_its_interpolation_is_there() -> None:
    ramp = (2 * torch.arange(64.0)).to(torch.uint8).expand(1, 3, 64, 64).contiguous()
    small = degrade(ramp, 4, "bd", np.random.default_rng(0))
    inner = slice(3, 13)
    assert torch.equal(small[0, 0, 5, inner], ramp[0, 0, 5, 12:52:4])
    assert torch.equal(interpolated(small, 4, "bd")[0, 0, 20, 16:44], ramp[0, 0, 20, 16:44])


def test_cubic_weights() -> None:
    assert cubic(0.0).tolist() == [0, 1, 0, 0]
    torch.testing.assert_close(cubic(0.5), torch.tensor([-1, 9, 9, -1], dtype=torch.float64) / 16)


def test_parameters_wander_and_decisions_stay() -> None:
    draws = Wandering(np.random.default_rng(0))
    frames = []
    for _ in range(30):
        frames.append(
            (draws.random(), draws.choice([1, 2, 3]), draws.uniform(5, 9), draws.standard_normal(), draws.poisson(9.0))
        )
        draws.wander()
    decisions, chosen, parameters, noise, shots = zip(*frames, strict=True)
    assert len({*decisions}) == len({*chosen}) == 1 and len({*noise}) == 30 and len({*shots}) > 3
    steps = np.abs(np.diff(parameters))
    assert min(parameters) >= 5 and max(parameters) <= 9 and 0 < steps.mean() < 0.1 * 4 and len({*parameters}) > 20


def test_h264_gives_back_frames_of_the_same_size_and_loses_more_at_lower_rates() -> None:
    pytest.importorskip("av")
    film = clip(4, 37)  # odd sides
    errors = [(compressed(film, crf).float() - film).abs().mean() for crf in (20, 36)]
    assert 0 < errors[0] < errors[1] < 40
    expected = compressed(film, 30)
    assert all(torch.equal(compressed(film, 30), expected) for _ in range(200))


def test_without_pyav_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(ConfigError, match=r"h264: compressing clips needs PyAV; pip install 'multigen\[media\]'"):
        compressed(clip(), 20)


@pytest.mark.data
@pytest.mark.parametrize(("name", "rows"), [("bi", (20.36, 25.25)), ("bd", (20.09, 25.03))])
def test_bicubic_rows_of_vid4_are_the_published_ones(name: Any, rows: tuple[float, float]) -> None:
    sets = open_test_films(["video/vid4"], 4, lambda film, rng: degrade(film, 4, name, rng), 8)
    assert [(each.name, len(each.targets[0])) for each in sets] == [("calendar", 8), ("city", 8)]
    for each, published in zip(sets, rows, strict=True):
        result = psnr_y(interpolated(each.inputs[0], 4, name), each.targets[0], BORDER)
        assert result.mean().item() == pytest.approx(published, abs=0.02)
