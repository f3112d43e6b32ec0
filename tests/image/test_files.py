"""Image files of every kind, finding them, the embedded photographs, fingerprints."""

import os
import struct
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from multigen.errors import ConfigError, DataError
from multigen.image.decoding import read_raster
from multigen.image.files import (
    EMBEDDED,
    Photo,
    embedded_photos,
    find_images,
    fingerprint,
    open_photos,
    read_image,
)

GREY = np.array([[0, 60, 120], [180, 240, 255]], np.uint8)
COLOUR = np.stack([GREY, 255 - GREY, np.full_like(GREY, 40)], axis=-1)  # (2, 3, 3)
ALPHA = np.array([[0, 50, 103], [154, 205, 255]], np.uint8)


def planes(pixels: np.ndarray) -> Tensor:
    """(H, W) grey or (H, W, 3) colour -> (3, H, W)."""
    pixels = pixels if pixels.ndim == 3 else np.repeat(pixels[..., None], 3, axis=-1)
    return torch.from_numpy(pixels.copy()).permute(2, 0, 1)


def on_white(rgb: Tensor, alpha: Tensor) -> Tensor:
    return (255 - (255 - rgb.double()) * alpha / 255).round().to(torch.uint8)


def noise(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def saved(path: Path, pixels: np.ndarray, **options) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **options)
    return path


def read_image_with_alpha(path: Path) -> tuple[Tensor, Tensor | None]:
    """RGB (3, H, W) and opacity (1, H, W)."""
    raster = read_raster(path)
    colour = torch.from_numpy(raster.colour.copy()).permute(2, 0, 1).expand(3, -1, -1)
    return colour, None if raster.alpha is None else torch.from_numpy(raster.alpha.copy()).permute(2, 0, 1)


def mode(path: Path) -> str:
    with Image.open(path) as file:
        return file.mode


@pytest.mark.parametrize("suffix", ["png", "bmp", "tif", "ppm", "webp", "jp2"])
def test_colour(tmp_path: Path, suffix: str):
    options = {"lossless": True} if suffix == "webp" else {"irreversible": False} if suffix == "jp2" else {}
    image = read_image(saved(tmp_path / f"a.{suffix}", COLOUR, **options))
    assert image.dtype == torch.uint8
    assert torch.equal(image, planes(COLOUR))
    assert read_image_with_alpha(tmp_path / f"a.{suffix}")[1] is None


def test_grey_and_bilevel(tmp_path: Path):
    assert torch.equal(read_image(saved(tmp_path / "grey.png", GREY)), planes(GREY))
    bits = saved(tmp_path / "bits.png", GREY > 100)
    assert mode(bits) == "1"
    assert torch.equal(read_image(bits), planes((GREY > 100) * np.uint8(255)))


@pytest.mark.parametrize("pixels", [GREY, COLOUR])
def test_transparency_is_composited_on_white_or_returned(tmp_path: Path, pixels: np.ndarray):
    path = saved(tmp_path / "a.png", np.dstack([pixels, ALPHA]))
    assert mode(path) == ("LA" if pixels.ndim == 2 else "RGBA")
    rgb, alpha = read_image_with_alpha(path)
    assert torch.equal(rgb, planes(pixels))
    assert alpha is not None
    assert torch.equal(alpha, torch.from_numpy(ALPHA)[None])
    assert torch.equal(read_image(path), on_white(rgb, alpha))
    colour = 255 if pixels.ndim == 2 else tuple(pixels[1, 2].tolist())  # one colour may be declared transparent
    _, alpha = read_image_with_alpha(saved(tmp_path / "b.png", pixels, transparency=colour))
    assert alpha is not None
    assert alpha[0].tolist() == [[255, 255, 255], [255, 255, 0]]


@pytest.mark.parametrize(
    ("transparency", "opacities"), [(None, None), (1, [255, 0, 255]), (bytes([51, 255, 204]), [51, 255, 204])]
)
def test_palette(tmp_path: Path, transparency: int | bytes | None, opacities: list[int] | None):
    colours = np.array([[255, 0, 0], [0, 128, 0], [10, 20, 30]], np.uint8)
    picture = Image.new("P", (3, 1))
    picture.putpalette(colours.ravel().tolist())
    for i in range(3):
        picture.putpixel((i, 0), i)
    picture.save(tmp_path / "a.png", transparency=transparency)
    assert mode(tmp_path / "a.png") == "P"
    rgb, alpha = read_image_with_alpha(tmp_path / "a.png")
    assert torch.equal(rgb, planes(colours[None]))
    assert opacities == (None if alpha is None else alpha[0, 0].tolist())
    assert torch.equal(read_image(tmp_path / "a.png"), on_white(rgb, torch.tensor([[opacities or [255] * 3]])))


@pytest.mark.parametrize(("suffix", "kind"), [("png", "<u2"), ("tif", "<u2"), ("tif", ">u2"), ("tif", "<i4")])
def test_16_bit_grey_is_scaled_not_clipped(tmp_path: Path, suffix: str, kind: str):
    values = np.array([[0, 128, 129], [257 * 100, 257 * 254 + 129, 65535]])
    path = saved(tmp_path / f"a.{suffix}", values.astype(kind))
    assert mode(path).startswith("I")
    assert torch.equal(read_image(path), planes(np.array([[0, 0, 1], [100, 255, 255]], np.uint8)))


def test_values_beyond_16_bits_are_refused(tmp_path: Path):
    for values, kind in (
        ([0, 1.5], np.float32),
        ([0, np.nan], np.float32),
        ([0, 65536], np.int32),
        ([-1, 5], np.int32),
    ):
        with pytest.raises(DataError, match=r"a\.tif.*8 or 16 bits"):
            read_image(saved(tmp_path / "a.tif", np.array([values], kind)))


def test_cmyk(tmp_path: Path):
    Image.fromarray(np.zeros((2, 3, 4), np.uint8), "CMYK").save(tmp_path / "white.tif")
    Image.merge("CMYK", [Image.new("L", (16, 16), v) for v in (0, 255, 255, 0)]).save(tmp_path / "red.jpg", quality=100)
    assert torch.equal(read_image(tmp_path / "white.tif"), torch.full((3, 2, 3), 255, dtype=torch.uint8))
    assert (read_image(tmp_path / "red.jpg") - torch.tensor([255.0, 0, 0])[:, None, None]).abs().max() <= 3


@pytest.mark.parametrize("suffix", ["png", "tif", "webp"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_camera_orientation_is_applied_and_known_from_the_header(tmp_path: Path, orientation: int, suffix: str):
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"lossless": True} if suffix == "webp" else {}
    path = saved(tmp_path / f"a.{suffix}", COLOUR, exif=exif, **options)
    # From 5 on rows and columns are exchanged; then 2, 3, 4 (6, 7, 8) start at another corner than the top left.
    image = planes(COLOUR) if orientation <= 4 else planes(COLOUR).mT
    expected = image.flip([(), (2,), (1, 2), (1,)][(orientation - 1) % 4])
    assert torch.equal(read_image(path), expected)
    (photo,) = open_photos(str(path))
    assert (3, photo.height, photo.width) == expected.shape


def test_damaged_orientations_are_ignored(tmp_path: Path):
    nine = struct.pack(">2sHIHHHIHH", b"MM", 42, 8, 1, 0x0112, 3, 1, 9, 0)  # there are eight orientations
    for exif in (b"garbage", nine[:6], nine):
        path = saved(tmp_path / "a.png", COLOUR, exif=b"Exif\0\0" + exif)
        assert torch.equal(read_image(path), planes(COLOUR))
        assert len(open_photos(str(path))) == 1


def test_of_an_animation_the_first_frame_is_read(tmp_path: Path):
    for suffix in ("gif", "png"):
        frames = [Image.new("RGB", (3, 2), colour) for colour in ((255, 0, 0), (0, 0, 255))]
        frames[0].save(tmp_path / f"a.{suffix}", save_all=True, append_images=frames[1:])
        assert read_image(tmp_path / f"a.{suffix}")[:, 1, 2].tolist() == [255, 0, 0]


def bad_files(folder: Path) -> list[Path]:
    """A missing file, and one file for each way to be damaged."""
    whole = saved(folder / "cut.png", noise(64, 64)).read_bytes()
    jpeg = saved(folder / "cut.jpg", noise(64, 64)).read_bytes()
    contents = {
        "empty.png": b"",
        "text.jpg": b"this is no image",
        "cut.png": whole[: len(whole) // 2],
        "cut.jpg": jpeg[: len(jpeg) // 2],
        "header-only.png": whole[:33],
        "broken-body.png": whole[:100] + bytes(200) + whole[300:],
        "broken-size.png": whole[:16] + struct.pack(">II", 0, 64) + whole[24:],
    }
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    return [folder / "missing.png", *(folder / name for name in contents)]


def test_bad_files_are_named(tmp_path: Path):
    for path in bad_files(tmp_path):
        for read in (read_image, read_image_with_alpha):
            with pytest.raises(DataError) as error:
                read(path)
            message = str(error.value)
            assert message.startswith(f"{path}: ")
            assert "check the path" in message if path.name == "missing.png" else "--skip-bad" in message
    with pytest.raises(DataError, match="expected an image"):
        read_image(tmp_path)


def test_large_images_are_read_up_to_a_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = saved(tmp_path / "a.png", noise(10, 15))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)  # Pillow warns above, refuses twice that
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert read_image(path).shape == (3, 10, 15)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 70)
    for act in (read_image, lambda p: open_photos(str(p))):
        with pytest.raises(DataError, match=r"a\.png.*150 pixels.*140 pixels.*shrink"):
            act(path)


def test_find_images(tmp_path: Path):
    for name in ("b.PNG", "a.jpg", "deep/er/c.Tiff", "deep/d.webp", "e.txt", ".f.png", ".git/g.png", "deep/._h.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "folder.png").mkdir()
    result = [path.relative_to(tmp_path).as_posix() for path in find_images(tmp_path)]
    assert result == ["a.jpg", "b.PNG", "deep/d.webp", "deep/er/c.Tiff"]
    assert find_images(tmp_path / ".git") == [tmp_path / ".git" / "g.png"]  # a hidden folder may be named itself


def test_a_folder_without_images_is_named(tmp_path: Path):
    with pytest.raises(DataError, match=r"missing: no such folder"):
        find_images(tmp_path / "missing")
    with pytest.raises(DataError, match=r"no images in this folder.*\.png"):
        find_images(tmp_path)
    with pytest.raises(DataError, match=r"a\.png: no such folder"):
        find_images(saved(tmp_path / "a.png", COLOUR))


def test_open_a_folder_and_a_file(tmp_path: Path):
    saved(tmp_path / "b" / "one.png", noise(10, 20))
    saved(tmp_path / "two.png", noise(30, 5))
    one = Photo("b/one.png", tmp_path / "b" / "one.png", 10, 20)
    two = Photo("two.png", tmp_path / "two.png", 30, 5)
    assert open_photos(str(tmp_path)) == [one, two]
    assert open_photos(str(tmp_path / "two.png")) == [two]


def test_relative_paths_are_sought_here_then_in_multigen_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    data = tmp_path / "data"
    for path in (tmp_path / "here" / "both" / "a.png", data / "both" / "b.png", data / "there" / "c.png"):
        saved(path, COLOUR)
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.delenv("MULTIGEN_DATA", raising=False)
    with pytest.raises(DataError, match=r"there: no such file or folder .*MULTIGEN_DATA"):
        open_photos("there")
    monkeypatch.setenv("MULTIGEN_DATA", str(data))
    assert [photo.name for photo in open_photos("there")] == ["c.png"]
    assert [photo.name for photo in open_photos("both")] == ["a.png"]
    with pytest.raises(DataError, match=rf"nowhere.*sought nowhere and {data / 'nowhere'}"):
        open_photos("nowhere")
    with pytest.raises(DataError, match=f"sought {tmp_path / 'nowhere'}\\)"):
        open_photos(str(tmp_path / "nowhere"))


def test_files_that_are_no_images_are_refused_or_skipped(tmp_path: Path):
    saved(tmp_path / "good.png", COLOUR)
    (tmp_path / "empty.png").touch()
    with pytest.raises(DataError, match=r"empty\.png.*--skip-bad"):
        open_photos(str(tmp_path))
    photos = open_photos(str(tmp_path), skip_bad=True)
    assert [photo.name for photo in photos] == ["good.png"]
    assert [path for path, reason in photos.skipped if "cannot be decoded" in reason] == [tmp_path / "empty.png"]
    (tmp_path / "good.png").unlink()
    with pytest.raises(DataError, match=r"none of 1 images can be used; .*empty\.png"):
        open_photos(str(tmp_path), skip_bad=True)


def test_embedded_photographs():
    train, held_out = open_photos("embedded"), open_photos("embedded-held-out")
    assert {photo.name for photo in train} == {"astronaut", "coffee", "flower", "motorcycle_left", "rocket"}
    assert {photo.name for photo in held_out} == {"chelsea", "china"}
    for photo in [*train, *held_out]:
        assert read_image(photo.path).shape == (3, photo.height, photo.width)
        assert min(photo.height, photo.width) >= 300


def test_embedded_photographs_that_are_missing_are_named(monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(ConfigError, match="'test'; choose from train, held_out"):
        embedded_photos("test")
    for entry in ("skimage/data/nothing.png", "no_such_package/a.png"):
        monkeypatch.setitem(EMBEDDED, "train", (entry,))
        with pytest.raises(DataError, match=f"{entry} is missing: install"):
            embedded_photos()


# -- fingerprints ------------------------------------------------------------------------------------------------


def test_a_fingerprint_is_of_names_and_contents_not_of_places_or_times(tmp_path: Path):
    for place in ("one", "two"):
        for i in range(3):
            saved(tmp_path / place / "deep" / f"{i}.png", noise(20, 24, seed=i))
    one, two = (open_photos(str(tmp_path / place)) for place in ("one", "two"))
    os.utime(two[0].path, (0, 0))
    print_of = fingerprint(one)
    assert fingerprint(two) == fingerprint(one[::-1]) == print_of
    assert len({print_of, fingerprint(one[:2]), fingerprint(one, contents=False)}) == 3
    assert fingerprint(two, contents=False) == fingerprint(one, contents=False)
    two[0].path.rename(two[0].path.with_name("other.png"))
    assert fingerprint(open_photos(str(tmp_path / "two"))) != print_of


@pytest.mark.parametrize("size", [1, 100, 1 << 16, (1 << 17) - 1, 1 << 18])
def test_a_fingerprint_covers_both_ends_and_the_size(tmp_path: Path, size: int):
    path = tmp_path / "a"
    photo = Photo("a", path, 1, 1)

    def print_of(content: bytes) -> str:
        path.write_bytes(content)
        return fingerprint([photo])

    content = np.random.default_rng(0).bytes(size)
    changed = [content[:i] + bytes([content[i] ^ 1]) + content[i + 1 :] for i in {0, size // 3, size - 1}]
    whole = size < 1 << 17
    prints = {print_of(content), print_of(content + b"0"), *map(print_of, changed)}
    # The middle of a large file is not read.
    assert len(prints) == 2 + len(changed) - (not whole)


def test_a_file_that_is_gone_is_named(tmp_path: Path):
    with pytest.raises(DataError, match=r"gone\.png: cannot be read .*check the file"):
        fingerprint([Photo("gone.png", tmp_path / "gone.png", 1, 1)])
