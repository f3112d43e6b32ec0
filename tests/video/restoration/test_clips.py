"""Clips of photographs that move and of films: places, alignment with their inputs, what each small
frame adds, and bad files."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from multigen.engine.batches import Rows
from multigen.errors import DataError
from multigen.image.degrade import reduced
from multigen.image.files import Photos, open_photos
from multigen.video.restoration.clips import ClipSource, moving, walk
from multigen.video.restoration.degradations import degrade
from multigen.video.restoration.footage import clips_of, find_footage, frames_of
from multigen.video.restoration.test_films import FilmSet, open_test_films
from tests import tiny
from tests.video import made


def by_bi(clip: Tensor, rng: np.random.Generator) -> Tensor:
    return degrade(clip, 4, "bi", rng)


def photo(side: int = 64, seed: int = 0) -> Tensor:
    return torch.from_numpy(tiny.pixels(side, side, seed)).permute(2, 0, 1).contiguous()


# ---------------------------------------------------------------------------------------------------- photographs that move


def test_a_window_at_whole_pixels_is_the_photograph_itself() -> None:
    image = photo()
    clip = moving(image, 20, np.array([[3.0, 5.0], [3.0, 6.0], [44.0, 0.0]]))
    for frame, (top, left) in zip(clip, [(3, 5), (3, 6), (44, 0)], strict=True):
        assert torch.equal(frame, image[:, top : top + 20, left : left + 20])


def test_between_pixels_a_straight_slope_is_exact() -> None:
    ramp = (4 * torch.arange(32.0)).to(torch.uint8).expand(3, 32, 32)
    (frame,) = moving(ramp, 10, np.array([[4.0, 6.25]]))
    assert torch.equal(frame, (4 * torch.arange(10.0) + 25).to(torch.uint8).expand(3, 10, 10))


@pytest.mark.parametrize("room", [(30, 40), (2, 0), (0, 0)])
def test_walks_stay_in_their_room_at_their_speed_and_between_pixels(room: tuple[int, int]) -> None:
    for seed in range(20):
        path = walk(9, 3.0, room, np.random.default_rng(seed))
        assert path.shape == (9, 2) and (path >= 0).all() and (path <= np.add(room, 1e-9)).all()
        steps = np.linalg.norm(np.diff(path, axis=0), axis=1)
        assert (steps < 3 + 4 * 0.3 * 3).all()
        if min(room) > 0:
            assert (path % 1 != 0).any() and steps.max() > 0


def new_samples(step: float) -> int:
    """How many independent measurements of a line of pixels the middles of 8 small frames are, 4
    small pixels of each."""
    line = torch.eye(64, dtype=torch.float64)[:, None, None, :].expand(-1, 1, 32, -1)  # each unknown pixel alone
    rows = []
    for number in range(8):
        place = number * step
        whole, part = int(place), place - int(place)
        frame = (1 - part) * line[..., whole : whole + 32] + part * line[..., whole + 1 : whole + 33]
        rows.append(reduced(frame.contiguous(), 4)[:, 0, 0, 2:-2].T)  # (4 small pixels, 64 unknown ones)
    return int(torch.linalg.matrix_rank(torch.cat(rows), tol=1e-6))


def test_steps_of_whole_small_pixels_add_nothing_and_smaller_ones_do() -> None:
    """With steps of 4 pixels only what comes in at the border is new, one small pixel a frame; with
    steps of 1.3 pixels nearly each small pixel is a measurement of its own, though the window sees
    less of the line."""
    assert new_samples(0.0) == 4 and new_samples(4.0) == 4 + 7
    assert new_samples(1.3) >= 2 * new_samples(4.0)


def test_a_walk_by_whole_small_pixels_gives_small_frames_that_are_copies() -> None:
    image = photo(96)
    for step, copies in ((4.0, True), (1.3, False)):
        places = np.array([[8.0, 8.0 + step * i] for i in range(3)])
        small = reduced(moving(image, 48, places), 4)[..., 2:-2, 2:-2].float()
        shifts = [(small[0][..., s:] - small[1][..., : 8 - s]).abs().max() for s in range(4)]
        assert bool(min(shifts) <= 1) is copies


# ---------------------------------------------------------------------------------------------------- batches


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Photos:
    return open_photos(str(tiny.photos(tmp_path_factory.mktemp("clips") / "photos", 2, 80)))


def rows_of(source: ClipSource, count: int = 3, first: int = 0) -> Rows:
    return Rows(np.arange(count) % len(source), first, ("a", 1))


def test_inputs_are_made_of_their_targets(photos: Photos) -> None:
    source = ClipSource(photos, 32, 4, 4, 3.0, by_bi)
    batch = source.batch(rows_of(source))
    assert batch["target"].shape == (3, 4, 3, 32, 32) and batch["input"].shape == (3, 4, 3, 8, 8)
    # What the reduction of a window alone gives is the same but near its borders.
    again = reduced(batch["target"], 4).float()
    assert (again - batch["input"])[..., 2:-2, 2:-2].abs().max() <= 1
    moves = (batch["target"][:, 1:].float() - batch["target"][:, :-1]).abs().mean((1, 2, 3, 4))
    assert (moves > 0.5).all()


def test_a_row_is_the_same_however_a_batch_is_divided(photos: Photos) -> None:
    source = ClipSource(photos, 32, 4, 3, 3.0, by_bi)
    whole = source.batch(rows_of(source, 4))
    part = source.batch(Rows(np.arange(4)[2:] % len(source), 2, ("a", 1)))
    assert all(torch.equal(whole[name][2:], part[name]) for name in whole)


def test_too_small_photographs_are_named_or_skipped(photos: Photos) -> None:
    with pytest.raises(DataError, match=r"80x88 pixels, expected 99x99 for clips of 80x80.*smaller --crop"):
        ClipSource(photos, 80, 4, 3, 3.0, by_bi)
    with pytest.raises(DataError, match="no clip is left of 2 files"):
        ClipSource(photos, 80, 4, 3, 3.0, by_bi, skip_bad=True)


# ---------------------------------------------------------------------------------------------------- films


@pytest.fixture(scope="module")
def numbered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders of numbered frames: two scenes of 6 and 5 frames, one scene of 4."""
    from PIL import Image

    root = tmp_path_factory.mktemp("films")
    scenes = {"cut": [(0, 6), (9, 5)], "short": [(3, 4)]}
    for name, parts in scenes.items():
        (root / name).mkdir()
        frames = [
            frame
            for seed, count in parts
            for frame in moving(photo(120, seed), 64, np.arange(2.0 * count).reshape(count, 2))
        ]
        for number, frame in enumerate(frames):
            Image.fromarray(frame.permute(1, 2, 0).numpy()).save(root / name / f"Frame {number:03}.png")
    return root


def test_clips_of_films_cross_no_cut(numbered: Path) -> None:
    cut, short = find_footage(str(numbered))
    assert (cut.name, short.name, cut.height) == ("cut", "short", 64)
    clips = clips_of(cut, 4, 1 << 30)
    frames = frames_of(cut, 100)
    assert len(frames) == 11 and [clip.shape for clip in clips] == [(4, 3, 64, 64)] * 2
    starts = [int((frames == torch.from_numpy(clip[0])).flatten(1).all(1).nonzero()[0]) for clip in clips]
    assert starts == [0, 6]
    assert len(clips_of(cut, 4, 1)) == 1
    with pytest.raises(DataError, match="no 7 frames of one scene in it; choose fewer: --length"):
        clips_of(cut, 7, 1 << 30)


def test_films_give_windows_that_stand_still(numbered: Path) -> None:
    source = ClipSource(find_footage(str(numbered)), 32, 4, 4, 0.0, by_bi, skip_bad=True)
    assert len(source.pieces) == 3
    batch = source.batch(rows_of(source, 6))
    assert batch["target"].shape == (6, 4, 3, 32, 32)
    assert (batch["target"][:, 0].float() - batch["target"][:, 1]).abs().flatten(1).mean(
        1
    ).min() > 0.5  # the scene moves


def test_a_film_file_is_read(tmp_path: Path) -> None:
    pytest.importorskip("av")
    made.film(tmp_path / "a.mp4", 5, (64, 64))
    (film,) = find_footage(str(tmp_path))
    assert (film.name, film.height, film.width) == ("a.mp4", 64, 64) and frames_of(film, 9).shape == (5, 3, 64, 64)
    assert torch.equal(frames_of(film, 2), frames_of(film, 9)[:2])


def test_bad_films_are_named_or_skipped(tmp_path: Path) -> None:
    pytest.importorskip("av")
    (tmp_path / "bad.mp4").write_bytes(b"no film")
    with pytest.raises(DataError, match=re.escape("bad.mp4: not a video file")):
        find_footage(str(tmp_path))
    result = find_footage(str(tmp_path), skip_bad=True)
    assert result == [] and [path.name for path, _ in result.skipped] == ["bad.mp4"]
    with pytest.raises(DataError, match="no films in it"):
        find_footage(str(tiny.photos(tmp_path / "one", 1)))


def test_films_to_measure_on(numbered: Path, photos: Photos) -> None:
    sets = open_test_films([str(numbered), "embedded-held-out"], 4, by_bi, 6)
    assert [each.name for each in sets] == ["cut", "short", "chelsea", "china"]
    assert all(each.targets[0].shape[-2:] == tuple(4 * n for n in each.inputs[0].shape[-2:]) for each in sets)
    assert max(len(each.targets[0]) for each in sets) == 6  # of a film no more is read
    again = open_test_films(["embedded-held-out"], 4, by_bi, 6)
    assert torch.equal(again[0].targets[0], sets[2].targets[0])
    skipped: list[Any] = []
    assert (
        FilmSet.of("x", open_photos(str(tiny.photos(numbered.parent / "small", 1, 20))), 4, by_bi, 6, skipped) is None
    )
    assert "too few to be measured, expected 2 of 27x27" in skipped[0][1]
