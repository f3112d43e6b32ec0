"""`multigen restore --mask`: one mask, a folder of masks, and what does not fit, named in one
line."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import multigen
from multigen.cli import restoring
from multigen.cli.masks import Holes
from multigen.image.restoration import inpainting, realesrgan, srgan
from multigen.image.restoration.inpainter import Inpainter
from tests import tiny
from tests.tiny import pixels


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("models")
    small = inpainting.InpaintingConfig(crop=32, blocks=1, width=4, halvings=1)
    same = realesrgan.RealESRGANConfig(scale=1, generator="srvgg", blocks=1, width=4)
    return {
        "fills": tiny.untrained(folder / "fills", inpainting.InpaintingTrainer(small)),
        "x1": tiny.untrained(folder / "x1", realesrgan.RealESRGANTrainer(same)),
        "x2": tiny.untrained(folder / "x2", srgan.SRGANTrainer(srgan.SRGANConfig(blocks=1, width=4, scale=2))),
    }


def save_mask(path: Path, height: int, width: int, value: int = 255) -> Path:
    mask = np.zeros((height, width), np.uint8)
    mask[4:10, 5:12] = value
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(mask).save(path)
    return path


@pytest.fixture
def album(tmp_path: Path) -> Path:
    """Two photographs in two folders, and their masks."""
    for name, size in (("a.png", (20, 24)), ("deep/a.png", (22, 26))):
        (tmp_path / "album" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels(*size)).save(tmp_path / "album" / name)
        save_mask(tmp_path / "masks" / Path(name).with_suffix(".bmp"), *size)
    return tmp_path / "album"


def test_the_hole_alone_changes(models: dict[str, Path], album: Path, tmp_path: Path) -> None:
    words = ["restore", album / "a.png", "--model", models["fills"], "--mask", tmp_path / "masks" / "a.bmp"]
    assert tiny.multigen([*words, "--out", tmp_path / "new.png", "--dilate", "1", "--feather", "0"]) == 0
    with Image.open(tmp_path / "new.png") as file:
        changed = (np.asarray(file) != pixels(20, 24)).any(-1)
    assert changed[3:11, 4:13].mean() > 0.9
    changed[3:11, 4:13] = False
    assert not changed.any()


def test_a_folder_of_masks_is_matched_by_name(
    models: dict[str, Path], album: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["restore", album, "--model", models["fills"], "--mask", tmp_path / "masks", "--out", tmp_path / "new"]
    assert tiny.multigen([*words, "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["files"]) == 2
    with Image.open(tmp_path / "new" / "deep" / "a.png") as file:
        assert file.size == (26, 22)
    (tmp_path / "masks" / "deep" / "a.bmp").unlink()
    Image.fromarray(pixels(20, 24)).save(album / "b.png")
    (album / "deep" / "a.png").unlink()
    assert tiny.multigen([*words, "--overwrite"]) == 2
    assert f"{album / 'b.png'}: {tmp_path / 'masks'} has no mask of this name; add b.png" in capsys.readouterr().err
    assert tiny.multigen([*words, "--overwrite", "--skip-bad"]) == 0
    assert "1 image in" in capsys.readouterr().out


def test_the_mask_of_another_folder_is_not_taken(album: Path, tmp_path: Path) -> None:
    masks, sources = tmp_path / "masks", [album / "a.png", album / "deep" / "a.png"]
    holes = Holes(masks)
    assert holes.of(sources, [album]).found == {sources[0]: masks / "a.bmp", sources[1]: masks / "deep" / "a.bmp"}
    (masks / "deep" / "a.bmp").unlink()
    assert holes.of(sources, [album]).found == {sources[0]: masks / "a.bmp"}
    assert holes.of(sources[1:], [sources[1], album]).found == {sources[1]: masks / "a.bmp"}  # by itself
    assert holes.of(sources[1:], [album, sources[1]]).found == {}


def test_all_missing_masks_are_named_before_anything_is_loaded(
    models: dict[str, Path], album: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for i in range(6):
        Image.fromarray(pixels(20, 24)).save(album / f"b{i}.png")
    (tmp_path / "masks" / "deep" / "a.bmp").unlink()
    words = ["restore", album, "--mask", tmp_path / "masks", "--out", tmp_path / "new", "--model"]
    assert tiny.multigen([*words, "no-such-model"]) == 2
    message = capsys.readouterr().err
    assert f"7 of 8 images have no mask of their name in {tmp_path / 'masks'}: {album / 'b0.png'}, " in message
    assert " and 2 more; add them" in message and message.count("\n") == 1
    assert tiny.multigen([*words, models["fills"], "--skip-bad", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert [Path(each).name for each in printed["files"]] == ["a.png"] and len(printed["skipped"]) == 7
    (tmp_path / "masks" / "a.bmp").rename(tmp_path / "masks" / "other.bmp")
    assert tiny.multigen([*words, models["fills"], "--skip-bad", "--overwrite"]) == 0
    assert "0 images in" in capsys.readouterr().out


def test_two_masks_of_one_name(album: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    masks = tmp_path / "masks"
    save_mask(masks / "a.png", 20, 24)
    words = ["restore", album, "--model", "no-such-model", "--mask", masks, "--out", tmp_path / "new", "--skip-bad"]
    assert tiny.multigen(words) == 2
    message = capsys.readouterr().err
    assert f"{masks / 'a.bmp'} and {masks / 'a.png'} are masks of one name" in message and message.count("\n") == 1


@pytest.mark.parametrize(
    ("name", "size", "value", "said"),
    [
        (
            "other.png",
            (24, 20),
            255,
            "other.png: mask of 20x24 pixels, the image has 24x20; give a mask of the image's size",
        ),
        ("black.png", (20, 24), 0, "black.png: the mask is empty: nothing to fill; paint white what is to be filled"),
    ],
)
def test_a_mask_that_does_not_fit(
    name: str,
    size: tuple[int, int],
    value: int,
    said: str,
    models: dict[str, Path],
    album: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    mask = save_mask(tmp_path / name, *size, value)
    words = ["restore", album / "a.png", "--model", models["fills"], "--mask", mask, "--out", tmp_path / "new"]
    assert tiny.multigen(words) == 2
    printed = capsys.readouterr().err
    assert said in printed and printed.count("\n") == 1 and not (tmp_path / "new").exists()


def test_a_mask_of_everything(
    models: dict[str, Path], album: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Image.new("L", (24, 20), 255).save(tmp_path / "white.png")
    words = ["restore", album / "a.png", "--model", models["fills"], "--mask", tmp_path / "white.png"]
    assert tiny.multigen([*words, "--out", tmp_path / "new"]) == 2
    printed = capsys.readouterr().err
    assert "white.png: the mask covers the whole image: nothing is known" in printed and printed.count("\n") == 1


@pytest.mark.parametrize(
    ("model", "words", "said"),
    [
        ("fills", [], "fills holes of photographs: say which, --mask MASK"),
        ("fills", ["--mask", "{}/nothing.png"], "--mask {}/nothing.png: no such file or folder"),
        ("fills", ["--mask", "{}/masks/a.bmp", "--dilate", "-1"], "dilate -1, feather"),
        ("fills", ["--mask", "{}/masks/a.bmp", "--dilate", "1", "--feather", "2"], "not more feather than dilate"),
        ("x1", ["--mask", "{}/masks/a.bmp"], "--mask: only for models that fill holes, but --model"),
        ("x2", ["--mask", "{}/masks/a.bmp"], "enlarges photographs; leave it out"),
        ("x1", ["--dilate", "3"], "--dilate: only for models that fill holes"),
    ],
)
def test_masks_and_models_that_do_not_go_together(
    model: str,
    words: list[str],
    said: str,
    models: dict[str, Path],
    album: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    given = [word.format(tmp_path) for word in words]
    out = tmp_path / "new"
    assert tiny.multigen(["restore", album / "a.png", "--model", models[model], "--out", out, *given]) == 2
    printed = capsys.readouterr().err
    assert said.format(tmp_path) in printed and printed.count("\n") == 1 and not out.exists()


def test_other_verbs_name_the_command(
    models: dict[str, Path], album: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert tiny.multigen(["upscale", album / "a.png", "--model", models["fills"], "--out", tmp_path / "new"]) == 2
    assert f"multigen restore photo.jpg --mask mask.png --model {models['fills']}" in capsys.readouterr().err


def test_the_time_is_said_before_it_begins(
    models: dict[str, Path],
    album: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """It follows from the parts of images that the network is given: those around the holes."""
    given: list[tuple[int, int]] = []

    def seconds(self: Inpainter, sizes: list[tuple[int, int]]) -> float:
        given.extend(sizes)
        return 3661.0

    monkeypatch.setattr(Inpainter, "seconds", seconds)
    monkeypatch.setattr(restoring, "NOTABLE", 1)
    Image.fromarray(pixels(200, 300)).save(album / "large.png")
    save_mask(tmp_path / "masks" / "large.png", 200, 300)
    words = ["restore", album, "--model", models["fills"], "--mask", tmp_path / "masks", "--out", tmp_path / "new"]
    assert tiny.multigen(words) == 0
    assert "3 images: about 1:01:01\n" in capsys.readouterr().err
    assert sorted(given) == [(20, 24), (22, 26), (28, 30)], (
        "16 pixels around the hole and its dilation, as far as there are"
    )


def test_parts_of_holes_move_the_bar(models: dict[str, Path]) -> None:
    model: Any = multigen.load(models["fills"])
    mask = np.zeros((90, 80), bool)
    mask[4:10, 5:12] = mask[70:80, 60:64] = True
    done: list[float] = []
    model.on_tile = done.append
    model.inpaint(pixels(90, 80), mask)
    assert done == [3600, 3600]
    sizes = model.windows(mask)
    assert len(sizes) == 2 and model.seconds(sizes) > 0
