"""`multigen translate`: files and folders through a model of two domains, and what is refused."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from multigen.engine import Run
from multigen.image.translation import pix2pix
from multigen.storage.provenance import ENLARGED, read, source_type
from tests import tiny
from tests.tiny import pixels
from tests.video.made import film

SMALL = replace(pix2pix.PRESETS["tiny"], width=4, halvings=4)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of an untrained generator, whose halvings leave one pixel of 16."""
    return tiny.untrained(tmp_path_factory.mktemp("model") / "colours", pix2pix.Pix2PixTrainer(SMALL, Run()))


@pytest.fixture
def album(tmp_path: Path) -> Path:
    (tmp_path / "album" / "deep").mkdir(parents=True)
    Image.fromarray(pixels(17, 21)).save(tmp_path / "album" / "a.jpg", dpi=(50, 50))
    Image.fromarray(pixels(9, 7)).convert("LA").save(tmp_path / "album" / "deep" / "b.png")
    Image.fromarray(pixels(1, 1)).save(tmp_path / "album" / "one.png")
    Image.fromarray(pixels(8, 10)[..., 0].astype(np.uint16) * 257).save(tmp_path / "album" / "deep.png")
    return tmp_path / "album"


def test_a_folder_with_images_of_all_kinds(
    model: Path, album: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (album / "bad.png").write_bytes(b"no image")
    words = ["translate", album, "--model", model, "--out", tmp_path / "new", "--skip-bad", "--json"]
    assert tiny.multigen(words) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["direction"] == "AB" and "scale" not in printed
    assert [Path(each["path"]).name for each in printed["skipped"]] == ["bad.png"]
    expected = {
        "a.png": ((21, 17), "RGB"),
        "deep/b.png": ((7, 9), "RGBA"),
        "one.png": ((1, 1), "RGB"),
        "deep.png": ((10, 8), "RGB"),
    }
    assert {str(Path(file).relative_to(tmp_path / "new")) for file in printed["files"]} == expected.keys()
    for name, (size, mode) in expected.items():
        with Image.open(tmp_path / "new" / name) as file:
            assert (file.size, file.mode) == (size, mode)
    assert (tmp_path / "new" / "deep.png").read_bytes()[24] == 16  # bits a channel
    made = tmp_path / "new" / "a.png"
    assert read(made)["method"] == "pix2pix" and read(made)["source"] == "a.jpg"
    assert source_type(made.read_bytes()) == ENLARGED
    assert tiny.multigen(words[:-2]) == 2 and "bad.png" in capsys.readouterr().err


def test_a_film_and_an_animation(model: Path, tmp_path: Path) -> None:
    pytest.importorskip("av", reason="needs the extra media")
    film(tmp_path / "film.mp4", count=2)
    words = ["translate", tmp_path / "film.mp4", "--model", model, "--out", tmp_path / "frames" / "%05d.png"]
    assert tiny.multigen(words) == 0
    assert sorted(path.name for path in (tmp_path / "frames").glob("*.png")) == ["00001.png", "00002.png"]
    frames = [Image.fromarray(pixels(8, 9, seed)) for seed in range(3)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:], duration=70)
    words = ["translate", tmp_path / "a.gif", "--model", model, "--out", tmp_path / "b.png", "--frames", "all"]
    assert tiny.multigen(words) == 0
    with Image.open(tmp_path / "b.png") as made:
        assert (made.n_frames, made.size) == (3, (9, 8))  # pyright: ignore[reportAttributeAccessIssue]


def test_existing_results(model: Path, album: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "new.png"
    words = ["translate", album / "a.jpg", "--model", model, "--out", out]
    assert tiny.multigen([*words, "--tile", "16"]) == 0 and f"1 image in {out}" in capsys.readouterr().out
    before = out.read_bytes()
    assert tiny.multigen([*words, "--existing", "error"]) == 2 and f"{out} exists" in capsys.readouterr().err
    assert tiny.multigen([*words, "--existing", "skip"]) == 0 and "1 there already" in capsys.readouterr().out
    assert out.read_bytes() == before
    assert tiny.multigen([*words, "--no-metadata"]) == 0 and out.read_bytes() != before  # an earlier result
    Image.new("RGB", (2, 2)).save(out)
    assert tiny.multigen(words) == 2 and "is not known as results of multigen" in capsys.readouterr().err
    assert tiny.multigen([*words, "--overwrite"]) == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ["--direction", "BA"],
            "direction BA: the model was trained for AB; expected AB: train another one with --direction BA, or cyclegan, "
            "which learns both",
        ),
        (["--tile", "0"], "--tile 0: expected 1 pixel or more"),
        (["--quality", "0"], "--quality 0: expected 1 to 100"),
        (["--codec", "vp9"], "--codec is for films, and there is none"),
    ],
)
def test_what_cannot_be_done_is_named_before_anything_is_written(
    words: list[str], said: str, model: Path, album: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["translate", album, "--model", model, "--out", tmp_path / "new", *words]
    assert tiny.multigen(given) == 2
    printed = capsys.readouterr().err
    assert said in printed and printed.count("\n") == 1
    assert not (tmp_path / "new").exists()


def test_verbs_name_each_other(model: Path, album: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["restore", album], ["upscale", album], ["sample"], ["write"]):
        assert tiny.multigen([*words, "--model", model, "--out", tmp_path / "new"]) == 2
        printed = capsys.readouterr().err
        assert f"translates images to another domain: multigen translate photo.jpg --model {model}" in printed
        assert printed.count("\n") == 1
    assert not (tmp_path / "new").exists()


def test_the_direction_is_that_of_training(album: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trainer = pix2pix.Pix2PixTrainer(replace(SMALL, direction="BA"), Run())
    back = tiny.untrained(tmp_path / "back", trainer)
    words = ["translate", album / "a.jpg", "--model", back, "--out", tmp_path / "new.png", "--json"]
    for more in ([], ["--direction", "BA"]):
        assert tiny.multigen([*words, *more]) == 0
        assert json.loads(capsys.readouterr().out)["direction"] == "BA"
    assert tiny.multigen([*words, "--direction", "AB"]) == 2
    assert "direction AB: the model was trained for BA" in capsys.readouterr().err
