"""Scene cuts of films that are made with known ones."""

from collections.abc import Iterable, Iterator

import numpy as np
import pytest

from multigen.video.cuts import Cuts
from tests.tiny import pixels


def scene(seed: int, count: int, step: int = 1) -> Iterator[np.ndarray]:
    """A window that moves over a picture."""
    whole = pixels(60, 60 + step * count, seed)
    yield from (whole[:, step * i : step * i + 60] for i in range(count))


def cuts(film: Iterable[np.ndarray]) -> list[bool]:
    result = Cuts()
    return [result.begins(frame) for frame in film]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_cuts_are_where_scenes_begin(dtype: type) -> None:
    film = [*scene(0, 7), *scene(1, 5), *scene(2, 6)]
    scaled = [frame.astype(dtype) * (np.iinfo(dtype).max // 255) for frame in film]
    assert [i for i, cut in enumerate(cuts(scaled)) if cut] == [0, 7, 12]


def test_motion_fades_and_noise_are_no_cuts() -> None:
    rng = np.random.default_rng(0)
    noisy = [np.clip(frame + rng.normal(0, 25, frame.shape), 0, 255).astype(np.uint8) for frame in scene(3, 12, 2)]
    fade = [(frame * (1 - i / 12)).astype(np.uint8) for i, frame in enumerate(noisy)]
    for film in (noisy, fade):
        assert [i for i, cut in enumerate(cuts(film)) if cut] == [0]


def test_a_film_of_one_frame() -> None:
    assert cuts([pixels(5, 7)]) == [True]
