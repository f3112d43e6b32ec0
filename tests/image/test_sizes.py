"""Sizes of results: what they come to, how often the network runs, and the reduction."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from multigen.errors import ConfigError, OutOfMemory
from multigen.image.decoding import Raster
from multigen.image.restoration.upscaler import Upscaler
from multigen.image.sizes import OWN, Size, resized
from tests.tiny import pixels


class Nearest(nn.Module):
    """Repeats pixels, and counts how often it ran."""

    radius = 0

    def __init__(self, scale: int):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))
        self.scale, self.runs = scale, 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.runs += 1
        return x.repeat_interleave(self.scale, 2).repeat_interleave(self.scale, 3)


@pytest.mark.parametrize(
    ("size", "given", "result", "runs"),  # sizes (height, width), x2
    [
        (OWN, (8, 10), (16, 20), 1),
        (Size(scale=2), (8, 10), (16, 20), 1),
        (Size(scale=3), (8, 10), (24, 30), 2),
        (Size(scale=8), (8, 10), (64, 80), 3),
        (Size(scale=1.5), (7, 9), (11, 14), 1),  # halves are rounded up
        (Size(scale=1), (8, 10), (8, 10), 1),
        (Size(scale=0.5), (8, 10), (4, 5), 1),
        (Size(width=30), (8, 10), (24, 30), 2),
        (Size(width=5), (8, 10), (4, 5), 0),
        (Size(width=10), (8, 10), (8, 10), 0),
        (Size(height=9), (8, 10), (9, 11), 1),
        (Size(width=30, height=16), (8, 10), (16, 20), 1),
        (Size(width=15, height=160), (8, 10), (12, 15), 1),
        (Size(short=16), (8, 10), (16, 20), 1),
        (Size(short=16), (10, 8), (20, 16), 1),
        (Size(width=3), (1000, 2), (1500, 3), 1),
        (Size(width=1), (2, 1000), (1, 1), 0),
        (Size(short=5), (1, 1), (5, 5), 3),
    ],
)
def test_a_size_and_how_often_the_network_runs(
    size: Size, given: tuple[int, int], result: tuple[int, int], runs: int
) -> None:
    network = Nearest(2)
    upscaler = Upscaler(network, 2, tile=1 << 20)
    assert size.of(*given, 2) == result and len(size.inputs(*given, 2)) == runs
    made = upscaler.restore_raster(Raster(np.full((*given, 3), 7, np.uint8)), size)
    assert made.pixels.shape == (*result, 3) and network.runs == runs


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"scale": 3, "width": 800}, "scale 3 and width 800: each says how large"),
        ({"scale": 3, "short": 8, "height": 2}, "scale 3 and height 2 and short 8"),
        ({"short": 3, "width": 800}, "width 800 and short 3"),
        ({"scale": 0}, "scale 0: expected a factor above 0"),
        ({"scale": -2.5}, "scale -2.5: expected a factor above 0"),
        ({"scale": float("nan")}, "scale nan"),
        ({"scale": float("inf")}, "scale inf"),
        ({"width": 0}, "width 0: expected pixels above 0"),
        ({"height": -3}, "height -3: expected pixels above 0"),
        ({"short": 0}, "short 0"),
    ],
)
def test_sizes_that_cannot_be_are_named(given: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        Size(**given)


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_a_reduction_keeps_means_and_leaves_no_moire(channels: int, kind: type) -> None:
    most = np.iinfo(kind).max
    board = (np.indices((64, 96)).sum(0) % 2 * most).astype(kind)[..., None].repeat(channels, -1)
    small = resized(board, (20, 30))
    assert small.shape == (20, 30, channels) and small.dtype == kind
    inner = small[3:-3, 3:-3].astype(float)
    assert np.abs(inner / most - 0.5).max() < 0.01  # not black and white again
    flat = np.full((9, 9, channels), most // 3, kind)
    assert np.array_equal(resized(flat, (4, 7)), flat[:4, :7]) and resized(flat, (9, 9)) is flat


def test_16_bits_stay_finer_than_8() -> None:
    ramp = (np.arange(64, dtype=np.uint16) * 3)[None, :, None].repeat(8, 0)
    assert len(np.unique(Upscaler(Nearest(2), 2).restore_raster(Raster(ramp), Size(scale=1.5)).pixels)) > 64


@pytest.mark.parametrize("size", [Size(scale=1.5), Size(width=5)])
def test_hidden_colour_shows_in_no_size(size: Size) -> None:
    image = np.zeros((8, 10, 4), np.uint8)
    image[:, :5] = (200, 200, 200, 255)
    image[:, 5:] = (255, 0, 0, 0)  # transparent red
    made = Upscaler(Nearest(2), 2).restore_raster(Raster(image), size).pixels
    assert np.ptp(made[..., :3].astype(int), -1).max() <= 1 and made[..., 3].min() == 0 and made[..., 3].max() == 255


def test_in_python_a_size_is_given_by_name() -> None:
    upscaler = Upscaler(Nearest(2), 2)
    image = torch.from_numpy(pixels(8, 10)).permute(2, 0, 1)
    assert upscaler.upscale(image, scale=3).shape == (3, 24, 30)
    assert upscaler.upscale(pixels(8, 10), short=12).shape == (12, 15, 3)
    assert torch.equal(upscaler.upscale(image), upscaler(image))
    with pytest.raises(ConfigError, match="scale 2 and width 3"):
        upscaler.upscale(image, scale=2, width=3)


def test_memory_is_checked_for_what_is_between(monkeypatch: pytest.MonkeyPatch) -> None:
    """x9 by x2 is x16 on the way."""
    network = Nearest(2)
    monkeypatch.setattr("multigen.memory.available", lambda: 100 << 20)
    with pytest.raises(OutOfMemory, match=r"an image of 6,400 x 4,800 pixels, to be 3,600 x 2,700: 283 MB of memory"):
        Upscaler(network, 2).restore_raster(Raster(np.zeros((300, 400, 3), np.uint8)), Size(scale=9))
    assert network.runs == 0


def test_tiles_say_how_far_the_work_is() -> None:
    upscaler, seen = Upscaler(Nearest(2), 2, tile=5), []
    upscaler.on_tile = seen.append
    upscaler.restore_raster(Raster(pixels(8, 10)), Size(scale=4))
    assert len(seen) == 4 + 16 and sum(seen) == 80 + 320


@pytest.mark.parametrize("size", [{"scale": 1e308}, {"width": 10**400}, {"short": 1 << 41}])
def test_absurd_sizes_are_one_line(size: dict) -> None:
    with pytest.raises(ConfigError, match="at most 1,099,511,627,776"):
        Size(**size)
