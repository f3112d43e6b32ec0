"""Functions applied chunk by chunk give what they give of the whole."""

import pytest
import torch
from torch import Tensor, nn

from multigen.audio.streaming import in_parts, streamed

TAPS = torch.arange(1.0, 8)[None, None]  # reaches 3 to each side


def mean_of_neighbours(x: Tensor) -> Tensor:
    return nn.functional.conv1d(x[:, None], TAPS, padding=3)[:, 0]


def by_step(x: Tensor) -> Tensor:
    """Each sample has the sum of its group of 4, counted from where the input begins."""
    padded = nn.functional.pad(x, (0, -x.shape[1] % 4))
    return padded.view(len(x), -1, 4).sum(-1).repeat_interleave(4, 1)[:, : x.shape[1]]


def twice_as_long(x: Tensor) -> Tensor:
    return mean_of_neighbours(x).repeat_interleave(2, 1)


@pytest.mark.parametrize("size", [1, 3, 16, 1000])
@pytest.mark.parametrize(
    ("function", "radius", "step", "ratio"),
    [(mean_of_neighbours, 3, 1, 1), (by_step, 4, 4, 1), (twice_as_long, 3, 1, 2)],
)
def test_chunks_give_the_whole(size: int, function, radius: int, step: int, ratio: int) -> None:
    x = torch.randn(2, 57, generator=torch.Generator().manual_seed(0))
    parts = [*streamed(x.split(size, 1), function, radius, step, ratio)]
    torch.testing.assert_close(torch.cat(parts, 1), function(x))


def test_a_part_comes_as_soon_as_its_surroundings_are_there() -> None:
    came = []
    x = torch.zeros(1, 40)

    def chunks():
        for i, chunk in enumerate(x.split(4, 1)):
            came.append(("in", 4 * (i + 1)))
            yield chunk

    done = 0
    for part in streamed(chunks(), mean_of_neighbours, 3):
        done += part.shape[1]
        came.append(("out", done))
    assert came[:4] == [("in", 4), ("out", 1), ("in", 8), ("out", 5)] and came[-1] == ("out", 40)


def test_long_chunks_are_cut() -> None:
    assert [part.shape[1] for part in in_parts([torch.zeros(1, 10), torch.zeros(1, 3)], 4)] == [4, 4, 2, 3]


def test_too_small_a_radius_shows() -> None:
    x = torch.randn(1, 57, generator=torch.Generator().manual_seed(0))
    parts = torch.cat([*streamed(x.split(5, 1), mean_of_neighbours, 2)], 1)
    assert not torch.allclose(parts, mean_of_neighbours(x))
