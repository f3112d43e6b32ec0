"""What generated files say of where they come from."""

from pathlib import Path
from typing import Any

import av
import pytest
import torch
from PIL import Image

from multigen.audio.files import write_sound
from multigen.audio.synthesis.wavegan import PRESETS
from multigen.errors import DataError
from multigen.storage.provenance import gif, origin, png, read, text
from multigen.version import __version__
from tests import tiny
from tests.audio.synthesis.test_sampler import model as sound_model
from tests.cli.test_sample import COLOUR, GREY, model

ABOUT = {"software": f"multigen {__version__}", "model": "fèvre", "method": "gan", "seed": 3, "class": "cat"}
WHO = {"software": f"multigen {__version__}", "model": "run", "method": "gan"}


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".ogg", ".mp3"])
def test_sounds_carry_it(suffix: str, tmp_path: Path) -> None:
    for about in (ABOUT, {}):
        write_sound(tmp_path / f"a{suffix}", torch.sin(torch.arange(8000) / 9), 8000, comment=text(about))
        assert read(tmp_path / f"a{suffix}") == about


def test_pictures_carry_it(tmp_path: Path) -> None:
    picture = Image.new("L", (9, 9))
    for about in (ABOUT, {}):
        picture.save(tmp_path / "a.png", **png(about))
        picture.save(tmp_path / "a.gif", **gif(about))
        assert read(tmp_path / "a.png") == read(tmp_path / "a.gif") == about


def test_only_the_name_of_a_model_is_recorded(tmp_path: Path) -> None:
    for name, folder, called in [
        (str(tmp_path), tmp_path / "secret" / "mine" / "model", "mine"),
        (str(tmp_path), tmp_path / "secret" / "mine", "mine"),
        ("hf:owner/name@v1", tmp_path / "snapshots" / "abc", "hf:owner/name@v1"),
    ]:
        assert origin(name, folder, "gan") == {
            "software": f"multigen {__version__}",
            "model": called,
            "method": "gan",
        }


def test_what_says_nothing_of_this_kind_and_what_is_no_file_of_it(tmp_path: Path) -> None:
    Image.new("L", (9, 9)).save(tmp_path / "a.gif", comment=b'{"by": "another"}')
    Image.new("L", (9, 9)).save(tmp_path / "b.gif", comment=b"hello")
    assert read(tmp_path / "a.gif") == read(tmp_path / "b.gif") == {}
    for name in ("a.png", "a.wav", "none.png"):
        if name != "none.png":
            (tmp_path / name).write_bytes(b"no such thing")
        with pytest.raises(DataError, match=r"cannot be read as an image or a sound .*; give another file"):
            read(tmp_path / name)


@pytest.mark.parametrize(("words", "asked"), [([], {}), (["--class", "dog"], {"class": "dog"})])
def test_samples_and_their_grid(words: list[str], asked: dict[str, str], tmp_path: Path) -> None:
    run = model(tmp_path / "run", COLOUR)
    contents = []
    for out in (tmp_path / "a", tmp_path / "b"):
        assert tiny.multigen(["sample", "--model", run, "-n", "2", "--seed", "3", "--out", out, *words]) == 0
        assert read(out / "0001.png") == {**WHO, "seed": 3, **asked, "index": 1}
        assert read(Path(f"{out}-grid.png")) == {**WHO, "seed": 3, **asked}
        contents.append([p.read_bytes() for p in (out / "0000.png", out / "0001.png", Path(f"{out}-grid.png"))])
        assert all(str(tmp_path).encode() not in content for content in contents[-1])
    assert contents[0] == contents[1]


@pytest.mark.slow
def test_samples_of_sounds_and_what_shows_them(tmp_path: Path) -> None:
    run, out = sound_model(tmp_path / "run", PRESETS["tiny"]), tmp_path / "out"
    for words, expected in ([], {"model": "run", "method": "wavegan", "seed": 0}), (["--no-provenance"], {}):
        assert tiny.multigen(["sample", "--model", run, "-n", "2", "--out", out, *words]) == 0
        about: dict[str, Any] = {"software": f"multigen {__version__}", **expected} if expected else {}
        assert read(out / "0001.wav") == ({**about, "index": 1} if about else {})
        assert read(tmp_path / "out-preview.wav") == read(tmp_path / "out-preview.png") == about


def test_without_it_files_are_free_of_it(tmp_path: Path) -> None:
    run = model(tmp_path / "run", GREY)
    assert tiny.multigen(["sample", "--model", run, "-n", "2", "--out", tmp_path / "s", "--no-provenance"]) == 0
    assert tiny.multigen(["interpolate", "--model", run, "--out", tmp_path / "s" / "w.gif", "--no-provenance"]) == 0
    for path in [*(tmp_path / "s").iterdir(), tmp_path / "s-grid.png"]:
        assert read(path) == {}
        assert b"multigen" not in path.read_bytes()


def test_walks(tmp_path: Path) -> None:
    run = model(tmp_path / "run", GREY)
    for suffix in (".gif", ".mp4"):
        words = ["interpolate", "--model", run, "-n", "2", "--frames", "2", "--seed", "5"]
        assert tiny.multigen([*words, "--out", tmp_path / f"a{suffix}"]) == 0
        assert tiny.multigen([*words, "--out", tmp_path / f"b{suffix}"]) == 0
        assert (tmp_path / f"a{suffix}").read_bytes() == (tmp_path / f"b{suffix}").read_bytes()
    assert read(tmp_path / "a.gif") == {**WHO, "seed": 5}
    with av.open(str(tmp_path / "a.mp4")) as film:
        assert film.metadata["comment"] == text({**WHO, "seed": 5})


def test_enlarged_pictures_name_their_source_without_its_folder(srgan_run: Path, tmp_path: Path) -> None:
    photos = srgan_run.parent / "photos"
    for words, expected in (
        ([], {"software": f"multigen {__version__}", "model": "run", "method": "srgan", "source": "0.png"}),
        (["--no-provenance"], {}),
    ):
        assert tiny.multigen(["upscale", photos / "0.png", "--model", srgan_run, "--out", tmp_path / "up", *words]) == 0
        assert read(tmp_path / "up" / "0.png") == expected
