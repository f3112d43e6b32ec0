"""Crops of photographs: aligned with their inputs, the same in whatever parts they are made, bad
files left out."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from multigen.engine.batches import Rows
from multigen.errors import ConfigError, DataError
from multigen.image.degrade import Degrade, imresize, reduced
from multigen.image.files import Photo, open_photos, read_image
from multigen.image.restoration.crops import CropSource
from tests.image.test_files import bad_files, noise, planes, saved


def reduce(scale: int) -> Degrade:
    return lambda image, name: reduced(image, scale)


def rows(indices: list[int] | range, number: int = 7, first: int = 0) -> Rows:
    return Rows(np.array(indices, dtype=np.int64), first, (number,))


def ways(crop: Tensor) -> list[Tensor]:
    """The eight symmetries of a square."""
    return [turned.rot90(k, (1, 2)) for turned in (crop, crop.flip(2)) for k in range(4)]


def place_of(target: Tensor, given: Tensor, image: Tensor, scale: int) -> tuple[int, int, int]:
    """(top, left, way) of the aligned windows that a pair was cut from, in pixels of the input;
    fails if none."""
    height, width = (side - side % scale for side in image.shape[1:])
    low = imresize(image[:, :height, :width], 1 / scale)
    side, crop = given.shape[1], target.shape[1]
    for top, left in np.ndindex(low.shape[1] - side + 1, low.shape[2] - side + 1):
        high = image[:, top * scale : top * scale + crop, left * scale : left * scale + crop]
        few = low[:, top : top + side, left : left + side]
        for way, (a, b) in enumerate(zip(ways(high), ways(few), strict=True)):
            if torch.equal(a, target) and torch.equal(b, given):
                return top, left, way
    raise AssertionError("no aligned pair of windows gives this crop")


@pytest.mark.parametrize("scale", [1, 2, 3, 4])
def test_crops_are_aligned_windows_of_whole_images(tmp_path: Path, scale: int):
    pixels = noise(8 * scale + 1, 6 * scale + scale - 1)  # no multiples of the scale
    source = CropSource(open_photos(str(saved(tmp_path / "a.png", pixels))), 5 * scale, scale, reduce(scale))
    batch = source.batch(rows([0] * 12))
    assert batch["target"].dtype == batch["input"].dtype == torch.uint8
    assert batch["target"].shape == (12, 3, 5 * scale, 5 * scale)
    assert batch["input"].shape == (12, 3, 5, 5)
    for target, given in zip(batch["target"], batch["input"], strict=True):
        place_of(target, given, planes(pixels), scale)


@pytest.mark.slow
def test_every_place_and_every_way_is_drawn_about_equally_often(tmp_path: Path):
    pixels = noise(10, 12)
    source = CropSource(open_photos(str(saved(tmp_path / "a.png", pixels))), 8, 2, reduce(2))  # 2 x 3 places, 8 ways
    batch = source.batch(rows([0] * 960))
    seen = [
        place_of(target, given, planes(pixels), 2)
        for target, given in zip(batch["target"], batch["input"], strict=True)
    ]
    counts = np.unique(np.array(seen), axis=0, return_counts=True)[1]
    assert len(counts) == 48
    assert ((counts - 20) ** 2 / 20).sum() < 47 + 4 * np.sqrt(2 * 47)  # chi-square, 47 degrees of freedom


def test_a_row_is_the_same_however_the_batch_is_divided(tmp_path: Path):
    saved(tmp_path / "a.png", noise(40, 50, seed=1))
    saved(tmp_path / "b.png", noise(30, 36, seed=2))
    source = CropSource(open_photos(str(tmp_path)), 16, 4, reduce(4))
    whole = source.batch(rows([0, 5, 9, 11, 3]))
    parts = [source.batch(rows([0, 5])), source.batch(rows([9, 11, 3], first=2))]
    for name in ("target", "input"):
        assert torch.equal(whole[name], torch.cat([part[name] for part in parts]))
    assert not torch.equal(whole["target"], source.batch(rows([0, 5, 9, 11, 3], number=8))["target"])


def test_photographs_are_weighted_by_their_area(tmp_path: Path):
    for value, (height, width) in enumerate([(16, 16), (32, 64), (16, 40)]):
        saved(tmp_path / f"{value}.png", np.full((height, width, 3), value, np.uint8))
    source = CropSource(open_photos(str(tmp_path)), 16, 4, reduce(4))
    assert len(source) == 1 + 8 + 2  # 2.5 rounds to even
    assert source.batch(rows(range(11)))["target"][:, 0, 0, 0].tolist() == [0] + [1] * 8 + [2] * 2


@pytest.mark.parametrize("photos_in_memory", [0, 1, 2, 3])
def test_memory_limit_changes_speed_only(tmp_path: Path, photos_in_memory: int, monkeypatch: pytest.MonkeyPatch):
    for i in range(3):
        saved(tmp_path / f"{i}.png", noise(20, 24, seed=i))
    photos = open_photos(str(tmp_path))
    expected = CropSource(photos, 8, 4, reduce(4)).batch(rows(range(len(CropSource(photos, 8, 4, reduce(4))))))
    source = CropSource(photos, 8, 4, reduce(4), cache_bytes=photos_in_memory * 3 * (20 * 24 + 5 * 6))
    decoded = []
    monkeypatch.setattr(
        "multigen.image.restoration.crops.read_image",
        lambda path, frame: decoded.append(path) or read_image(path, frame),
    )
    result = source.batch(rows(range(len(source))))
    assert all(torch.equal(result[name], expected[name]) for name in ("target", "input"))
    assert {path.name for path in decoded} == {f"{i}.png" for i in range(photos_in_memory, 3)}


def test_images_smaller_than_the_crop_are_refused_or_skipped(tmp_path: Path):
    saved(tmp_path / "small.png", noise(15, 40))
    saved(tmp_path / "well.png", noise(16, 16))
    photos = open_photos(str(tmp_path))
    with pytest.raises(DataError, match=r"small\.png: 15x40 pixels.*16x16; .*--crop.*--skip-bad"):
        CropSource(photos, 16, 4)
    source = CropSource(photos, 16, 4, skip_bad=True)
    assert [photo.name for photo in source.photos] == ["well.png"]
    assert [path.name for path, _ in source.skipped] == ["small.png"]
    with pytest.raises(DataError, match=r"no image is left of 1 .*small\.png: 15x40"):
        CropSource(photos[:1], 16, 4, skip_bad=True)


@pytest.mark.parametrize("cache_bytes", [0, 1 << 20])
def test_damaged_bodies_are_found_at_construction_if_decoded_then(tmp_path: Path, cache_bytes: int):
    saved(tmp_path / "good.png", noise(64, 64))
    bad = [path for path in bad_files(tmp_path) if path.name in ("cut.png", "cut.jpg")]
    photos = [p for path in [*bad, tmp_path / "good.png"] for p in open_photos(str(path))]  # the headers are whole
    source = CropSource(photos, 16, 4, skip_bad=True, cache_bytes=cache_bytes)
    assert [photo.name for photo in source.photos] == ["good.png"]
    assert {path for path, _ in source.skipped} == set(bad)
    with pytest.raises(DataError, match=r"cut\.\w+: .*--skip-bad"):
        CropSource(photos, 16, 4, cache_bytes=cache_bytes).batch(rows(range(48)))


def test_a_crop_must_be_a_multiple_of_the_scale():
    for crop, scale in ((10, 4), (0, 4), (2, 4), (16, 0)):
        with pytest.raises(ConfigError, match=f"crop {crop} with scale {scale}"):
            CropSource([Photo("a", Path("a"), 10, 10)], crop, scale)


def test_without_degradation_batches_have_the_same_targets_alone(tmp_path: Path):
    photos = open_photos(str(saved(tmp_path / "a.png", noise(41, 33))))
    batch = CropSource(photos, 16, 4).batch(rows([0, 1, 2]))
    assert list(batch) == ["target"]
    assert torch.equal(batch["target"], CropSource(photos, 16, 4, reduce(4)).batch(rows([0, 1, 2]))["target"])


def test_degradations_know_the_name_and_may_have_other_channels(tmp_path: Path):
    for i in range(2):
        saved(tmp_path / f"{i}.png", noise(16, 16))

    def masked(image: Tensor, name: str) -> Tensor:
        return torch.cat([image, torch.full_like(image[:1], int(name[0]))])

    batch = CropSource(open_photos(str(tmp_path)), 16, degrade=masked).batch(rows([0, 1]))
    assert batch["input"].shape == (2, 4, 16, 16)
    assert torch.equal(batch["input"][:, :3], batch["target"])
    assert batch["input"][:, 3].amax((1, 2)).tolist() == [0, 1]
