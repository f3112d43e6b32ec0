"""`multigen upscale`: names of results, --out as a file, animations, what it says."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageSequence

import multigen.console.messages
from multigen.image.files import read_image
from multigen.image.restoration import srgan
from multigen.storage.provenance import ENLARGED, source_type
from tests import tiny
from tests.cli.test_sample import model
from tests.image.test_depth import png, values
from tests.tiny import pixels


@pytest.fixture(scope="module")
def upscaler(tmp_path_factory: pytest.TempPathFactory) -> Path:
    config = srgan.SRGANConfig(generator="compact", blocks=1, width=4, scale=2)
    return model(tmp_path_factory.mktemp("model") / "run", config)


@pytest.fixture(autouse=True)
def said_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(multigen.console.messages.output, "once", set())


def upscale(upscaler: Path, *words: str | Path) -> int:
    return tiny.multigen(["upscale", *words, "--model", upscaler])


def saved(path: Path, seed: int = 0, **options) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels(8, 10, seed)).save(path, **options)
    return path


def names(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


# ---------------------------------------------------------------------------------------------------- names


def test_images_that_share_a_name_get_results_of_distinct_names(
    upscaler: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = "IMG_1.jpg IMG_1.png img_1.bmp IMG_1.png.png deep/IMG_1.jpg other.jpg x.jpg.png x.jpg x.png"
    for name in given.split():
        saved(tmp_path / "in" / name)
    runs = []
    for _ in range(2):
        assert upscale(upscaler, tmp_path / "in", "--out", tmp_path / "up") == 0
        runs.append(names(tmp_path / "up"))
    made = "IMG_1.jpg.png IMG_1.png-2.png IMG_1.png.png deep/IMG_1.png img_1.bmp.png other.png x.jpg-2.png x.jpg.png x.png.png"
    assert runs[0] == runs[1] == made.split()
    assert "5 images share a name up to the suffix" in capsys.readouterr().err


def test_folders_whose_files_share_names(upscaler: Path, tmp_path: Path) -> None:
    one, two = saved(tmp_path / "a" / "x.png", 1), saved(tmp_path / "b" / "x.png", 2)
    assert upscale(upscaler, tmp_path / "a", tmp_path / "b", one, "--out", tmp_path / "up") == 0
    assert names(tmp_path / "up") == ["x.png-2.png", "x.png.png"]  # and `one` once
    assert two.exists()


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".tif", ".gif", ".PNG"])
def test_out_may_be_a_file_whose_suffix_says_the_format(upscaler: Path, tmp_path: Path, suffix: str) -> None:
    given, out = saved(tmp_path / "x.png"), tmp_path / "new" / f"big{suffix}"
    for _ in range(2):  # the second replaces its own result
        assert upscale(upscaler, given, "--out", out) == 0
    with Image.open(out) as file:
        kind = {".jpg": "JPEG", ".webp": "WEBP", ".tif": "TIFF", ".gif": "GIF"}.get(suffix, "PNG")
        assert file.format == kind and file.size == (20, 16)
        file.load()
    assert source_type(out.read_bytes()) == ENLARGED


def test_a_folder_of_such_a_name_is_a_folder(upscaler: Path, tmp_path: Path) -> None:
    (tmp_path / "up.png").mkdir()
    assert upscale(upscaler, saved(tmp_path / "x.jpg"), "--out", tmp_path / "up.png") == 0
    assert names(tmp_path / "up.png") == ["x.png"]


def test_a_foreign_file_is_not_replaced(upscaler: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mine = saved(tmp_path / "big.jpg", 3)
    before = mine.read_bytes()
    assert upscale(upscaler, saved(tmp_path / "x.png"), "--out", mine) == 2
    assert "--overwrite" in capsys.readouterr().err and mine.read_bytes() == before


# ---------------------------------------------------------------------------------------------------- frames


def moving(path: Path, count: int = 3) -> Path:
    frames = [Image.fromarray(pixels(8, 10, seed)) for seed in range(count)]
    lossless: dict[str, Any] = {"lossless": True} if path.suffix == ".webp" else {}
    motion: dict[str, Any] = {} if path.suffix == ".tif" else {"duration": [40, 80, 200][:count], "loop": 2}
    frames[0].save(path, save_all=True, append_images=frames[1:], **motion, **lossless)
    return path


def duration(frame: Image.Image) -> float:
    frame.load()  # which a WebP needs to know it
    return frame.info["duration"]


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".png", ".tif"])
def test_all_frames_on_request(upscaler: Path, tmp_path: Path, suffix: str) -> None:
    given = moving(tmp_path / f"a{suffix}")
    assert upscale(upscaler, given, "--frames", "all", "--out", tmp_path / "up") == 0
    with Image.open(tmp_path / "up" / f"a{suffix}") as made, Image.open(given) as source:
        assert getattr(made, "n_frames", 1) == 3 and made.size == (20, 16)
        if suffix != ".tif":
            durations = [[duration(frame) for frame in ImageSequence.Iterator(each)] for each in (made, source)]
            assert durations[0] == durations[1] == [40, 80, 200] and made.info["loop"] == source.info["loop"]
    for frame in range(3):  # each is the enlarged frame, roughly: GIF has 256 colours
        large, small = read_image(tmp_path / "up" / f"a{suffix}", frame), read_image(given, frame)
        assert (large[:, ::2, ::2].float() - small.float()).abs().mean() < 60 and large.float().std() > 20


def test_the_first_frame_is_used_with_one_message(
    upscaler: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("a.gif", "b.gif", "c.tif"):
        moving(tmp_path / name)
    saved(tmp_path / "still.gif")
    assert (
        upscale(upscaler, *(tmp_path / n for n in ("still.gif", "a.gif", "b.gif", "c.tif")), "--out", tmp_path / "up")
        == 0
    )
    lines = [line for line in capsys.readouterr().err.splitlines() if "frames" in line]
    assert len(lines) == 1 and "a.gif: the first of several frames" in lines[0] and "--frames all" in lines[0]
    with Image.open(tmp_path / "up" / "a.png") as file:
        assert getattr(file, "n_frames", 1) == 1


def test_thumbnails_in_a_tiff_are_no_pages(upscaler: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small = Image.fromarray(pixels(4, 5))
    small.encoderinfo = {"tiffinfo": {254: 1}}
    Image.fromarray(pixels(8, 10)).save(tmp_path / "a.tif", save_all=True, append_images=[small])
    with Image.open(tmp_path / "a.tif") as file:
        file.seek(1)
        assert file.tag_v2[254] == 1  # pyright: ignore[reportAttributeAccessIssue]
    assert upscale(upscaler, tmp_path / "a.tif", "--frames", "all", "--out", tmp_path / "up") == 0
    assert names(tmp_path / "up") == ["a.png"]


# ---------------------------------------------------------------------------------------------------- kinds of images


def test_kinds_stay(upscaler: Path, tmp_path: Path) -> None:
    grey = Image.fromarray(pixels(8, 10)).convert("L")
    grey.save(tmp_path / "grey.png")
    grey.convert("1").save(tmp_path / "bits.tif")
    grey.convert("P").save(tmp_path / "palette.gif")
    png(tmp_path / "deep.png", values(3))
    assert upscale(upscaler, tmp_path, "--out", tmp_path / "up") == 0
    for name, mode in (("grey", "L"), ("bits", "L"), ("palette", "L"), ("deep", "RGB")):
        with Image.open(tmp_path / "up" / f"{name}.png") as file:
            assert file.mode == mode
    assert (tmp_path / "up" / "deep.png").read_bytes()[24] == 16  # bits a channel


def test_without_metadata_the_place_is_gone_and_colours_stay(upscaler: Path, tmp_path: Path) -> None:
    from tests.image.test_colour import ADOBE, profile_of
    from tests.image.test_metadata import source

    path = source(tmp_path, ".jpg")
    with Image.open(path) as file:
        file.load()
        saved_again = tmp_path / "b.jpg"
        file.save(saved_again, exif=file.getexif(), icc_profile=profile_of(ADOBE))
    assert upscale(upscaler, saved_again, "--out", tmp_path / "with") == 0
    assert upscale(upscaler, saved_again, "--out", tmp_path / "without", "--no-metadata") == 0
    for folder in ("with", "without"):
        with Image.open(tmp_path / folder / "b.png") as file:
            file.load()
            assert bool(file.getexif()) == (folder == "with") and file.info["icc_profile"] == profile_of(ADOBE)
            assert "dpi" in file.info if folder == "with" else "dpi" not in file.info


def test_heic_images_are_read_with_the_extra(upscaler: Path, tmp_path: Path) -> None:
    pillow_heif = pytest.importorskip("pillow_heif")
    pillow_heif.register_heif_opener()
    picture = Image.fromarray(np.full((64, 64, 3), (200, 60, 30), np.uint8))
    picture.save(tmp_path / "a.heic", quality=90)
    (tmp_path / "b.jpg").write_bytes((tmp_path / "a.heic").read_bytes())  # as some programs name them
    assert upscale(upscaler, tmp_path / "a.heic", tmp_path / "b.jpg", "--out", tmp_path / "up") == 0
    assert names(tmp_path / "up") == ["a.png", "b.png"]
    assert (read_image(tmp_path / "a.heic").float().mean((1, 2)).numpy() - (200, 60, 30)).__abs__().max() < 4


def test_avif_and_psd_are_read(upscaler: Path, tmp_path: Path) -> None:
    saved(tmp_path / "in" / "a.avif", quality=90)
    head = b"8BPS\0\1" + bytes(6) + b"\0\3" + (8).to_bytes(4) + (10).to_bytes(4) + b"\0\x08\0\3"
    planes = pixels(8, 10).transpose(2, 0, 1).tobytes()
    (tmp_path / "in" / "b.psd").write_bytes(head + bytes(12) + b"\0\0" + planes)
    assert np.array_equal(read_image(tmp_path / "in" / "b.psd").permute(1, 2, 0).numpy(), pixels(8, 10))
    assert upscale(upscaler, tmp_path / "in", "--out", tmp_path / "up") == 0
    assert names(tmp_path / "up") == ["a.png", "b.png"]
