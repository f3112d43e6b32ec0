"""Films through a trained recurrent generator: tiles, parts, cuts, images, depths, and the step to
export."""

from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from multigen.errors import CheckpointError, ConfigError, DataError
from multigen.image.decoding import Raster
from multigen.image.sizes import Size
from multigen.video.cuts import Cuts
from multigen.video.restoration.networks import RRN
from multigen.video.restoration.upscaler import FilmUpscaler
from tests import tiny
from tests.video.restoration.test_rrn import lively


def film(count: int = 9, seed: int = 0, height: int = 30, width: int = 42) -> np.ndarray:
    """uint8 (T, H, W, 3): a window that moves."""
    whole = tiny.pixels(height, width + 2 * count, seed)
    return np.stack([whole[:, 2 * i : 2 * i + width] for i in range(count)])


def model(recurrent: bool = True, tile: int | None = None) -> FilmUpscaler:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = lively(RRN(2, 1, 6, recurrent)).eval()
    return FilmUpscaler(network, tile)


def near(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether integers are the same but for rounding."""
    apart = np.abs(a.astype(int) - b)
    return apart.max() <= 1 and (apart > 0).mean() < 1e-3


@torch.no_grad()
def by_the_network(restorer: FilmUpscaler, frames: np.ndarray) -> np.ndarray:
    """As training runs it: a clip at once."""
    clip = torch.from_numpy(frames).permute(0, 3, 1, 2)[None].float() / 255
    large = restorer.network(clip)[0]
    return (large * 255).round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).numpy()


@pytest.mark.parametrize("recurrent", [True, False])
@pytest.mark.parametrize("tile", [None, 13])
def test_frames_one_by_one_are_what_the_network_makes_of_the_clip(recurrent: bool, tile: int | None) -> None:
    """In tiles too, though by the last frame a pixel depends on others 36 pixels away: the state is
    the whole frame's."""
    restorer, frames = model(recurrent, tile), film()
    assert near(restorer.upscale(frames), by_the_network(restorer, frames))


def test_the_state_matters() -> None:
    frames = film()
    assert not near(model().upscale(frames)[1:], model(False).upscale(frames)[1:])
    assert np.array_equal(model().upscale(frames)[0], model(False).upscale(frames)[0])


def test_a_film_in_parts_is_the_whole_film() -> None:
    frames, whole = [*film(9), *film(4, 5)], model().upscale(np.concatenate([film(9), film(4, 5)]))
    for ends in ([1], [4, 9], [8, 12], range(13)):
        state: dict[str, np.ndarray] = {}
        made = []
        for first, last in zip([0, *ends], [*ends, 13], strict=True):
            running = model().running()
            running.resume(state)
            made += [running(Raster(frame)).pixels for frame in frames[first:last]]
            state = {name: array.copy() for name, array in running.state().items()}
        assert np.array_equal(np.stack(made), whole)


def test_a_cut_empties_the_state() -> None:
    first, second = film(5), film(4, 9)
    made = model().upscale(np.concatenate([first, second]))
    assert np.array_equal(made[5:], model().upscale(second))
    assert not near(made[1:5], np.concatenate([model().upscale(frame[None]) for frame in first[1:]]))


def test_an_image_is_a_film_of_one_frame() -> None:
    frame = film(1)[0]
    assert near(model().upscale(frame), model().upscale(frame[None])[0])
    picture = model(tile=11).upscale(Image.fromarray(frame))
    assert picture.size == (84, 60) and near(np.asarray(picture), model().upscale(frame))


def test_kinds_of_films() -> None:
    frames = film(3)
    made = model().upscale(frames)
    tensor = torch.from_numpy(frames).permute(0, 3, 1, 2)
    assert np.array_equal(model().upscale(tensor).permute(0, 2, 3, 1).numpy(), made)
    assert model().upscale(tensor, scale=3).shape == (3, 3, 90, 126)
    assert model().upscale(frames, width=200).shape == (3, 143, 200, 3)
    halved = model().upscale(frames, scale=0.5)
    assert halved.shape == (3, 15, 21, 3)


def test_sixteen_bits_stay_and_grey_stays_grey() -> None:
    frames = film(3)
    running = model().running()
    deep = [running(Raster(frame.astype(np.uint16) * 257)).pixels for frame in frames]
    assert deep[0].dtype == np.uint16 and near(np.rint(np.stack(deep) / 257).astype(int), model().upscale(frames))
    grey = model().upscale(frames[..., :1].repeat(3, -1))
    assert (grey == grey[..., :1]).all()


def test_several_passes_have_a_state_each(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Cuts, "begins", lambda self, frame: False)  # wild weights may seem to cut
    frames = film(3, height=10, width=12)
    twice = model().running(Size(scale=4))
    once = model().running()
    again = model().running()
    for frame in frames:
        expected = again(once(Raster(frame)))
        assert np.array_equal(twice(Raster(frame)).pixels, expected.pixels)
    assert {name.partition("/")[0] for name in twice.state()} == {"0", "1", "cuts"}


def test_frames_of_another_size_are_another_scene() -> None:
    running = model().running()
    running(Raster(film(1)[0]))
    other = film(1, 0, 20, 24)[0]
    assert np.array_equal(running(Raster(other)).pixels, model().upscale(other[None])[0])


@pytest.mark.parametrize(
    "given",
    [np.zeros((2, 8, 8, 4), np.uint8), np.zeros((2, 8, 8, 3), np.float32), torch.zeros(2, 4, 8, 8, dtype=torch.uint8),
     torch.zeros(2, 3, 8, 8), np.zeros((0, 8, 8, 3), np.uint8), np.zeros((1, 1, 8, 8, 3), np.uint8), "film.mp4"],
)  # fmt: skip
def test_what_is_no_film_is_refused(given: Any) -> None:
    with pytest.raises(DataError, match=r"a film is uint8, a tensor|is expected"):
        model().upscale(given)
    with pytest.raises(ConfigError, match="scale -1"):
        model().upscale(film(2), scale=-1)


def test_weights_that_are_no_good_are_named() -> None:
    restorer = model()
    next(restorer.network.parameters()).data[0] = float("nan")
    with pytest.raises(CheckpointError, match="its output is not finite"):
        restorer.upscale(film(2))


def test_the_exported_step_is_the_recursion() -> None:
    restorer, frames = model(), film(4)
    graph = restorer.graph()
    (image, state), clip = graph.example(1, 8), torch.from_numpy(frames).permute(0, 3, 1, 2).float() / 255
    assert image.shape[1] == 3 and graph.network(image, state).shape == state.shape
    state = torch.cat([clip[:1], torch.zeros(1, state.shape[1] - 3, *clip.shape[-2:])], 1)
    made: list[Tensor] = []
    with torch.no_grad():
        for frame in clip:
            state = graph.network(frame[None], state)
            made.append(F.pixel_shuffle(state[:, -12:], 2)[0])
    assert near((torch.stack(made) * 255).round().clamp(0, 255).permute(0, 2, 3, 1).numpy(), restorer.upscale(frames))
