"""`multigen restore`: any restoration model on images and folders, and what `restore` and `upscale`
say of other models."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from multigen.errors import OutOfMemory
from multigen.image.decoding import Raster
from multigen.image.restoration import realesrgan, srgan
from multigen.image.restoration.upscaler import Restorer
from multigen.image.synthesis import gan
from multigen.image.synthesis.base import ImageInfo
from multigen.storage.provenance import ENLARGED, read, source_type
from tests import tiny
from tests.tiny import pixels
from tests.video.made import film


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("models")
    same = realesrgan.RealESRGANConfig(scale=1, generator="srvgg", blocks=1, width=4)
    double = srgan.SRGANConfig(generator="compact", blocks=1, width=4, scale=2)
    return {
        "x1": tiny.untrained(folder / "x1", realesrgan.RealESRGANTrainer(same)),
        "x2": tiny.untrained(folder / "x2", srgan.SRGANTrainer(double)),
        "gan": tiny.untrained(folder / "gan", gan.GANTrainer(gan.GANConfig(size=8)), ImageInfo(channels=1)),
    }


@pytest.fixture
def album(tmp_path: Path) -> Path:
    (tmp_path / "album" / "deep").mkdir(parents=True)
    Image.fromarray(pixels(8, 10)).save(tmp_path / "album" / "a.jpg", exif=Image.Exif())
    Image.fromarray(pixels(9, 7)).convert("LA").save(tmp_path / "album" / "deep" / "b.png")
    return tmp_path / "album"


def test_a_folder_through_a_model_that_keeps_the_size(
    models: dict[str, Path], album: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (album / "bad.png").write_bytes(b"no image")
    words = ["restore", album, "--model", models["x1"], "--out", tmp_path / "new", "--skip-bad", "--json"]
    assert tiny.multigen(words) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["scale"] == 1 and [Path(each["path"]).name for each in printed["skipped"]] == ["bad.png"]
    assert {Path(file).name for file in printed["files"]} == {"a.png", "b.png"}
    for name, size, mode in (("a.png", (10, 8), "RGB"), ("deep/b.png", (7, 9), "LA")):
        with Image.open(tmp_path / "new" / name) as file:
            assert (file.size, file.mode) == (size, mode)
    made = tmp_path / "new" / "a.png"
    assert read(made)["model"] == "x1" and read(made)["source"] == "a.jpg"
    assert source_type(made.read_bytes()) == ENLARGED
    with Image.open(made) as new, Image.open(album / "a.jpg") as old:
        assert not np.array_equal(np.asarray(new), np.asarray(old))
    assert tiny.multigen(words[:-2]) == 2 and "bad.png" in capsys.readouterr().err


def test_a_model_that_enlarges_gives_its_own_scale(
    models: dict[str, Path], album: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for verb in ("restore", "upscale"):
        assert tiny.multigen([verb, album / "a.jpg", "--model", models["x2"], "--out", tmp_path / f"{verb}.webp"]) == 0
        assert f"1 image x2 in {tmp_path / verb}.webp" in capsys.readouterr().out
    with Image.open(tmp_path / "restore.webp") as one, Image.open(tmp_path / "upscale.webp") as other:
        assert one.size == (20, 16) and np.array_equal(np.asarray(one), np.asarray(other))


def test_a_model_of_another_kind_is_refused_with_its_command(
    models: dict[str, Path], album: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photo, out = album / "a.jpg", tmp_path / "up"
    for words, message in (
        (
            ["upscale", photo, "--model", models["x1"]],
            f"restores photographs: multigen restore photo.jpg --model {models['x1']}",
        ),
        (
            ["restore", photo, "--model", models["gan"]],
            f"generates images from noise: multigen sample --model {models['gan']}",
        ),
        (["sample", "--model", models["x1"]], "restores photographs: multigen restore"),
        (["write", "--model", models["x1"]], "restores photographs: multigen restore"),
    ):
        assert tiny.multigen([*words, "--out", out]) == 2
        printed = capsys.readouterr().err
        assert (
            message in printed and f"expected a model for `multigen {words[0]}`" in printed and printed.count("\n") == 1
        )
    assert not out.exists()


@pytest.mark.parametrize(("scale", "line"), [(1, "multigen restore photo.jpg"), (2, "multigen upscale photo.jpg")])
def test_import_names_the_verb_of_what_it_read(
    scale: int, line: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.save(realesrgan.GENERATORS["srvgg"](scale, 1, 4).state_dict(), tmp_path / "net.pth")
    assert tiny.multigen(["import", tmp_path / "net.pth", "--out", tmp_path / "net"]) == 0
    assert f"use it: {line} --model {tmp_path / 'net'}" in capsys.readouterr().out
    assert ("Enlarges images 2 times" in (tmp_path / "net" / "README.md").read_text()) == (scale == 2)


def test_a_run_records_the_task_of_its_scale() -> None:
    for scale, task in ((1, "image-restoration"), (2, "super-resolution")):
        config = realesrgan.RealESRGANConfig(scale=scale, blocks=1, width=4)
        assert realesrgan.RealESRGANTrainer(config).task == task
    assert realesrgan.RealESRGANTrainer.task == "super-resolution"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--model", "{album}"], "{album} holds no run with model"),
        (["--model", "{album}/a.jpg"], "{album}/a.jpg"),
        (["--model", "{model}", "--tile", "0"], "--tile 0: expected 1 pixel or more"),
    ],
)
def test_bad_input_is_named(
    words: list[str],
    said: str,
    models: dict[str, Path],
    album: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    given = [word.format(album=album, model=models["x1"]) for word in words]
    assert tiny.multigen(["restore", album, "--out", tmp_path / "new", *given]) == 2
    printed = capsys.readouterr().err
    assert said.format(album=album) in printed and printed.count("\n") == 1
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("name", ["%05d.jpg", "new.mp4", "new"])
@pytest.mark.parametrize("words", ["--quality 50", "--format jpg"])
def test_options_of_images_are_refused_where_there_are_only_films(
    name: str, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.mp4").write_bytes(b"a film")
    given = ["restore", tmp_path / "a.mp4", "--model", "none", "--out", tmp_path / name, *words.split()]
    assert tiny.multigen(given) == 2
    message = capsys.readouterr().err
    if name == "new.mp4" and "format" in words:
        assert "two formats" in message
    else:
        assert f"{words}: for images, not for films and their numbered frames; leave it out" in message
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]


def test_options_of_images_are_said_not_to_be_for_the_films_beside_them(
    models: dict[str, Path], album: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    film(album / "film.mp4", count=2)
    words = ["restore", album, "--model", models["x1"], "--out", tmp_path / "new", "--format", "jpg", "--quality", "50"]
    assert tiny.multigen(words) == 0
    message = capsys.readouterr().err
    assert "--quality 50, --format jpg: for the images alone; films keep their format" in message
    assert {path.suffix for path in (tmp_path / "new").rglob("*.*")} == {".jpg", ".mp4"}


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 8 bytes"),
        OutOfMemory("x"),
    ],
)
def test_an_image_that_memory_does_not_suffice_for_is_skipped(
    error: Exception,
    models: dict[str, Path],
    album: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    restore = Restorer.restore_raster

    def scarce(self: Restorer, raster: Raster, *more: Any, **named: Any) -> Raster:
        if raster.pixels.shape[1] == 13:
            raise error
        return restore(self, raster, *more, **named)

    monkeypatch.setattr(Restorer, "restore_raster", scarce)
    Image.fromarray(pixels(9, 13)).save(album / "0.png")
    words = ["restore", album, "--model", models["x1"], "--out", tmp_path / "new"]
    assert tiny.multigen(words) == 2
    assert tiny.multigen([*words, "--skip-bad", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    (skipped,) = printed["skipped"]
    assert skipped["path"] == str(album / "0.png") and "0.png: " in skipped["reason"]
    assert len(printed["files"]) == 2
