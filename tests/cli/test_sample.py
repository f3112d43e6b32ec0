"""`multigen sample` and `multigen interpolate`."""

import sys
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from PIL import Image, ImageSequence
from torch import nn

import multigen
from multigen.catalogue import TASKS, Task
from multigen.cli import VERBS
from multigen.config import to_table
from multigen.image.restoration import srgan
from multigen.image.synthesis import gan
from multigen.image.synthesis.base import ImageInfo
from multigen.storage.model_folder import write_model
from multigen.tasks.synthesis import sampler as sampling
from tests import tiny

GREY = gan.GANConfig(size=16, channels=1, latent=4, width=8)
COLOUR = replace(GREY, channels=3, conditional=True)


def model(folder: Path, config: gan.GANConfig | srgan.SRGANConfig) -> Path:
    """A run's folder that holds a model of untrained weights; a conditional one knows cats and
    dogs."""
    card = {"README.md": "a card"}
    if isinstance(config, gan.GANConfig):
        info = ImageInfo(channels=config.channels, classes=("cat", "dog") if config.conditional else ())
        return tiny.untrained(folder, gan.GANTrainer(config), info, card)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        weights = {"G": srgan.SRGANTrainer(config).generator().state_dict()}
    write_model(folder / "model", "srgan", to_table(config), weights, card)
    return folder


def planes(file: Path) -> np.ndarray:
    with Image.open(file) as picture:
        return np.atleast_3d(np.asarray(picture)).transpose(2, 0, 1)  # (C, H, W)


@pytest.mark.parametrize(("config", "mode"), [(GREY, "L"), (COLOUR, "RGB")])
def test_sample_writes_pictures_and_a_grid(
    config: gan.GANConfig, mode: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, out = model(tmp_path / "run", config), tmp_path / "new" / "out"
    assert tiny.multigen(["sample", "--model", run, "-n", "5", "--seed", "3", "--out", out]) == 0
    sheet = tmp_path / "new" / "out-grid.png"
    assert capsys.readouterr().out == f"5 images in {out}, the first of them together in {sheet}\n"
    names = [f"{i:04d}.png" for i in range(5)]
    assert sorted(p.name for p in out.iterdir()) == names  # and nothing that would pass for a sample
    expected = multigen.load(str(run)).sample(5, seed=3).numpy()
    for name, image in zip(names, expected, strict=True):
        assert np.array_equal(planes(out / name), image)
    for path in (out / "0000.png", sheet):
        with Image.open(path) as picture:
            assert picture.mode == mode
    with Image.open(sheet) as picture:
        assert min(picture.size) >= 2 * 16 and max(picture.size) < 5 * 16  # of two rows or columns and more


def test_sample_of_a_class_into_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run = model(Path("run"), COLOUR)
    assert tiny.multigen(["sample", "--model", run, "-n", "2", "--class", "dog"]) == 0
    dogs, turns = (multigen.load("run").sample(2, label=label).numpy() for label in ("dog", None))
    assert np.array_equal(planes(Path("samples/0000.png")), dogs[0])
    assert not np.array_equal(dogs[0], turns[0])
    assert len(list(Path("samples").iterdir())) == 2 and Path("samples-grid.png").exists()


def test_a_grid_shows_a_hundred_at_most(tmp_path: Path) -> None:
    run = model(tmp_path / "run", GREY)
    sizes = []
    for n in (100, 120):
        assert tiny.multigen(["sample", "--model", run, "-n", str(n), "--out", tmp_path / str(n)]) == 0
        assert len(list((tmp_path / str(n)).iterdir())) == n
        with Image.open(tmp_path / f"{n}-grid.png") as picture:
            sizes.append(picture.size)
    assert sizes[0] == sizes[1]


@pytest.mark.parametrize(("config", "name"), [(GREY, "walk.gif"), (COLOUR, "new/WALK.GIF")])
def test_interpolate_writes_an_endless_animation(
    config: gan.GANConfig, name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, out = model(tmp_path / "run", config), tmp_path / name
    assert tiny.multigen(["interpolate", "--model", run, "-n", "3", "--frames", "4", "--seed", "2", "--out", out]) == 0
    assert capsys.readouterr().out == f"12 frames in {out}\n"
    expected = multigen.load(str(run)).interpolate(3, 4, seed=2).numpy()
    with Image.open(out) as file:
        frames = [np.asarray(frame.convert("RGB"), int).transpose(2, 0, 1) for frame in ImageSequence.Iterator(file)]
        assert file.info["loop"] == 0 and file.info["duration"] == 50
    assert len(frames) == 12
    for frame, image in zip(frames, expected, strict=True):
        assert np.abs(frame - image).mean() <= 3  # a GIF has 256 colours


def test_interpolate_writes_a_video(tmp_path: Path) -> None:
    run, out = model(tmp_path / "run", COLOUR), tmp_path / "walk.mp4"
    assert tiny.multigen(["interpolate", "--model", run, "-n", "2", "--frames", "3", "--out", out]) == 0
    expected = multigen.load(str(run)).interpolate(2, 3).numpy()
    height, width = (2 * side for side in expected.shape[2:])
    with av.open(str(out)) as film:
        assert film.streams.video[0].average_rate == 20
        frames = [frame.to_ndarray(format="rgb24") for frame in film.decode(video=0)]
    assert len(frames) == 6 and frames[0].shape == (height, width, 3)
    for frame, image in zip(frames, expected, strict=True):
        grey, true = frame[::2, ::2].mean(2), image.mean(0)
        assert np.abs(grey - true).mean() < 12  # of 255: the codec loses some, of noise above all


def test_a_video_without_ffmpeg_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = model(tmp_path / "run", GREY)
    monkeypatch.setitem(sys.modules, "av", None)
    assert tiny.multigen(["interpolate", "--model", run, "--out", tmp_path / "walk.mp4"]) == 2
    assert "pip install 'multigen[media]', or write a .gif" in capsys.readouterr().err


def test_interpolate_of_a_class(tmp_path: Path) -> None:
    run = model(tmp_path / "run", COLOUR)
    files = [tmp_path / f"{name}.gif" for name in ("cat", "dog", "turn")]
    for file, words in zip(files, (["--class", "cat"], ["--class", "dog"], []), strict=True):
        assert tiny.multigen(["interpolate", "--model", run, "-n", "2", "--frames", "2", "--out", file, *words]) == 0
    first = [planes(file).tolist() for file in files]
    assert first[0] == first[2] != first[1]


def test_what_cannot_be_made_is_named_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    grey, colour = model(tmp_path / "grey", GREY), model(tmp_path / "colour", COLOUR)
    upscaler = model(tmp_path / "upscaler", srgan.PRESETS["tiny"])
    (tmp_path / "file").touch()
    out = tmp_path / "out"
    gif = tmp_path / "out.gif"
    for words, message in [
        (["sample", "--model", grey, "-n", "0", "--out", out], "0 images requested; expected 1 or more"),
        (["interpolate", "--model", grey, "-n", "-2", "--out", gif], "-2 images requested; expected 1 or more"),
        (["interpolate", "--model", grey, "--frames", "0", "--out", gif], "0 frames requested"),
        (
            ["sample", "--model", colour, "--class", "bird", "--out", out],
            "class 'bird' is unknown; choose from cat, dog",
        ),
        (
            ["interpolate", "--model", grey, "--class", "cat", "--out", gif],
            "class 'cat': the model was trained without",
        ),
        (
            ["sample", "--model", upscaler, "--out", out],
            f"but it enlarges photographs: multigen upscale photo.jpg --model {upscaler} --out large/",
        ),
        (
            ["interpolate", "--model", upscaler, "--out", gif],
            "expected a model for `multigen interpolate`, but it enlarges photographs: multigen upscale",
        ),
        (["sample", "--model", tmp_path / "none", "--out", out], "is not a folder; give a run's folder"),
        (
            ["interpolate", "--model", grey, "--out", tmp_path / "walk.avi"],
            "walk.avi: expected a file ending in .gif or .mp4",
        ),
        (["sample", "--model", grey, "-n", "1", "--out", tmp_path / "file"], "cannot be written"),
        (["interpolate", "--model", grey, "--out", tmp_path / "file" / "walk.gif"], "cannot be written"),
    ]:
        assert tiny.multigen(words) == 2, words
        printed = capsys.readouterr()
        assert printed.err.startswith("error: ") and printed.err.count("\n") == 1 and printed.out == ""
        assert message in printed.err, words
    assert not out.exists() and not gif.exists() and not (tmp_path / "walk.avi").exists()


def test_verbs_take_the_models_of_their_tasks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Sounds(sampling.Sampler):
        task = "audio-synthesis"

    class Odours(sampling.Sampler):
        task = "odour-synthesis"

    for kind, why in (
        (
            Sounds,
            "expected a model for `multigen interpolate`, but it generates sounds from noise: multigen sample --model 'a run' "
            "--code my_gan.py -n 16 --out sounds/",
        ),
        (Odours, f"its task is 'odour-synthesis'; expected one of {', '.join(TASKS)}"),
    ):
        monkeypatch.setattr(
            "multigen.tasks.loading.load", lambda run, code, device, kind=kind: kind(nn.Linear(4, 8), 4)
        )
        given = ["--model", "a run", "--code", "my_gan.py"]
        assert tiny.multigen(["interpolate", *given, "--out", tmp_path / "walk.gif"]) == 2
        assert capsys.readouterr().err == f"error: --model a run: {why}\n"


@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS.keys())
def test_a_task_names_verbs_that_there_are(task: Task) -> None:
    assert {task.verb, *task.more_verbs} <= VERBS.keys()


def test_truncation_by_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = model(tmp_path / "run", GREY)
    loaded = multigen.load(str(run))
    assert tiny.multigen(["sample", "--model", run, "-n", "3", "--truncation", "0.4", "--out", tmp_path / "out"]) == 0
    shown = [planes(tmp_path / "out" / f"{i:04d}.png") for i in range(3)]
    assert np.array_equal(shown, loaded.sample(3, truncation=0.4).numpy())
    assert not np.array_equal(shown, loaded.sample(3).numpy())
    gifs = [tmp_path / name for name in ("narrow.gif", "wide.gif")]
    for gif, words in zip(gifs, (["--truncation", "0.1"], []), strict=True):
        assert tiny.multigen(["interpolate", "--model", run, "-n", "2", "--frames", "2", "--out", gif, *words]) == 0
    assert gifs[0].read_bytes() != gifs[1].read_bytes()
    capsys.readouterr()
    for truncation in ("0", "-1", "nan"):
        assert tiny.multigen(["sample", "--model", run, "--truncation", truncation, "--out", tmp_path / "no"]) == 2
        assert capsys.readouterr().err.startswith(f"error: truncation {truncation}: expected a positive number")
    assert not (tmp_path / "no").exists()


def test_what_has_no_latents_cannot_be_truncated(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = model(tmp_path / "run", srgan.PRESETS["tiny"])
    assert tiny.multigen(["sample", "--model", run, "--truncation", "0.5", "--out", tmp_path / "out"]) == 2
    assert "expected a model for `multigen sample`, but it enlarges photographs: multigen" in capsys.readouterr().err
