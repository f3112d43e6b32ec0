"""`multigen upscale` and `restore` with sizes, formats, existing results, two models, and pictures
of odd shapes."""

import io
import json
import os
import re
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from multigen.console.bar import bar
from multigen.image.restoration import realesrgan, srgan
from multigen.storage.provenance import ENLARGED, read, source_type
from tests import tiny
from tests.image.test_depth import png, values
from tests.tasks.restoration.test_blending import saved
from tests.tiny import pixels


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("models")
    small = srgan.SRGANTrainer(srgan.SRGANConfig(generator="compact", blocks=1, width=4, scale=2))
    wide = srgan.SRGANTrainer(srgan.SRGANConfig(generator="compact", blocks=1, width=8, scale=2))
    same = realesrgan.RealESRGANTrainer(realesrgan.RealESRGANConfig(scale=1, blocks=1, width=4))
    trainers = {"a": small, "b": small, "wide": wide, "x1": same}
    return {name: saved(folder / name, trainer, i) for i, (name, trainer) in enumerate(trainers.items())}


@pytest.fixture
def album(tmp_path: Path) -> Path:
    """A small image, one that is large enough for most sizes, grey with opacity, 16 bits."""
    folder = tmp_path / "album"
    folder.mkdir()
    Image.fromarray(pixels(8, 10)).save(folder / "small.jpg")
    Image.fromarray(pixels(60, 40)).save(folder / "large.png", dpi=(300, 300))
    Image.fromarray(pixels(9, 7)).convert("LA").save(folder / "grey.png")
    png(folder / "deep.png", values(3))
    return folder


def sizes(folder: Path) -> dict[str, tuple[int, int]]:
    result = {}
    for path in sorted(folder.iterdir()):
        with Image.open(path) as file:
            result[path.stem] = file.size
    return result


def refused(words: list, capsys: pytest.CaptureFixture[str]) -> str:
    assert tiny.multigen(words) == 2
    message = capsys.readouterr().err
    assert message.startswith("error: ") and message.count("\n") == 1
    return message


# ---------------------------------------------------------------------------------------------------- sizes


@pytest.mark.parametrize(
    ("words", "large", "small"),
    [
        ("--scale 3", (120, 180), (30, 24)),
        ("--scale 1.5", (60, 90), (15, 12)),
        ("--width 30", (30, 45), (30, 24)),
        ("--height 30", (20, 30), (38, 30)),
        ("--short 20", (20, 30), (25, 20)),
        ("--width 30 --height 30", (20, 30), (30, 24)),
    ],
)
def test_a_mixed_folder_in_one_size(
    words: str, large: tuple[int, int], small: tuple[int, int], models: dict[str, Path], album: Path, tmp_path: Path
) -> None:
    out = tmp_path / "up"
    assert tiny.multigen(["upscale", album, "--model", models["a"], "--out", out, *words.split()]) == 0
    result = sizes(out)
    assert result["large"] == large and result["small"] == small
    with Image.open(out / "grey.png") as grey, Image.open(out / "large.png") as kept:
        assert grey.mode == "LA" and round(kept.info["dpi"][0]) == 300
    assert (out / "deep.png").read_bytes()[24] == 16  # bits a channel


def test_what_is_only_reduced_is_not_marked_as_made_by_a_model(
    models: dict[str, Path], album: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["upscale", album, "--model", models["a"], "--out", tmp_path / "up", "--width", "30", "--format", "webp"]
    for _ in range(2):  # the second time it replaces its own results
        assert tiny.multigen(words) == 0
    message = {name: read(tmp_path / "up" / f"{name}.webp") for name in ("large", "small")}
    assert (
        message["small"]["model"] == "a"
        and "model" not in message["large"]
        and message["large"]["source"] == "large.png"
    )
    marks = {name: source_type((tmp_path / "up" / f"{name}.webp").read_bytes()) for name in message}
    assert marks == {"large": "", "small": ENLARGED}


def test_json_says_the_scale_where_there_is_one(
    models: dict[str, Path], album: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["upscale", album / "small.jpg", "--model", models["a"], "--out", tmp_path / "up"]
    for more, scale, line in (
        ([], 2, "1 image x2 in"),
        (["--scale", "1.5"], 1.5, "1 image x1.5 in"),
        (["--width", "33"], None, "1 image in"),
    ):
        assert tiny.multigen([*words, *more, "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["scale"] == scale
        assert tiny.multigen([*words, *more]) == 0
        assert line in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--scale 3 --width 800", "scale 3 and width 800: each says how large; give one of them"),
        ("--short 3 --height 800", "height 800 and short 3"),
        ("--scale 0", "scale 0: expected a factor above 0"),
        ("--width -1", "width -1: expected pixels above 0"),
        ("--quality 90", "--quality 90: .png has none; choose --format jpg or webp"),
        ("--quality 90 --format tif", "--quality 90: .tif has none"),
        ("--quality 101 --format jpg", "--quality 101: expected 1 to 100"),
        ("--frames all --format jpg", "--frames all: .jpg holds one image; choose png, webp or tif"),
        ("--overwrite --existing skip", "--overwrite, --existing skip: they contradict each other"),
        ("--blend {a} {b} 0.5 --model {a}", "--model {a}, --blend {a} ...: each names the model"),
        ("--blend {a} {b} 1.5", "share 1.5: expected 0 to 1"),
        ("--blend {a} {wide} 0.5", "{a} and {wide} are not of one network: "),
        ("--blend {x1} {x1} 0.5", "it restores photographs: multigen restore"),
        ("--width 9999999999", "pixels; .png has sides of 2,147,483,648 at most"),
    ],
)
def test_what_cannot_be_asked_for_is_named(
    words: str, said: str, models: dict[str, Path], album: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = words.format(**models).split()
    model = [] if "--blend" in words else ["--model", models["a"]]
    line = refused(["upscale", album, "--out", tmp_path / "up", *model, *given], capsys)
    assert said.format(**models) in line
    assert not (tmp_path / "up").exists() or not any((tmp_path / "up").iterdir())


def test_restore_has_no_sizes_and_needs_a_model(
    album: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "no model; give --model RUN" in refused(["restore", album, "--out", tmp_path / "up"], capsys)
    assert tiny.multigen(["restore", album, "--out", tmp_path / "up", "--scale", "2"]) == 2
    assert "--scale" in capsys.readouterr().err


# ---------------------------------------------------------------------------------------------------- formats


@pytest.mark.parametrize(("name", "kind"), [("jpg", "JPEG"), ("webp", "WEBP"), ("tif", "TIFF"), ("png", "PNG")])
def test_a_folder_in_another_format(name: str, kind: str, models: dict[str, Path], album: Path, tmp_path: Path) -> None:
    words = ["restore", album, "--model", models["x1"], "--out", tmp_path / "up", "--format", name]
    assert tiny.multigen(words) == 0
    assert len(sizes(tmp_path / "up")) == 4
    for path in (tmp_path / "up").iterdir():
        with Image.open(path) as file:
            assert file.format == kind and path.suffix == f".{name}"


@pytest.mark.parametrize("name", ["jpg", "webp"])
def test_quality_makes_files_smaller(name: str, models: dict[str, Path], album: Path, tmp_path: Path) -> None:
    sizes = []
    for more in ([], ["--quality", "80"], ["--quality", "10"]):
        words = ["restore", album / "large.png", "--model", models["x1"], "--out", tmp_path / f"a.{name}", *more]
        assert tiny.multigen(words) == 0
        sizes.append((tmp_path / f"a.{name}").stat().st_size)
    assert sizes[0] > sizes[1] > sizes[2]


def test_a_file_has_the_format_of_its_name(
    models: dict[str, Path], album: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["upscale", album / "small.jpg", "--model", models["a"], "--format", "jpg", "--out"]
    assert tiny.multigen([*words, tmp_path / "a.JPEG"]) == 0
    assert f"--format jpg, --out {tmp_path / 'a.png'}: two formats" in refused([*words, tmp_path / "a.png"], capsys)
    Image.fromarray(pixels(8, 10)).save(album / "small.png")  # results of one name
    assert tiny.multigen(["upscale", album, "--model", models["a"], "--format", "webp", "--out", tmp_path / "up"]) == 0
    assert {"small.jpg.webp", "small.png.webp"} < {path.name for path in (tmp_path / "up").iterdir()}


# ---------------------------------------------------------------------------------------------------- existing results


def test_a_folder_job_that_was_stopped_is_resumed(
    models: dict[str, Path],
    album: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "up"
    words = ["upscale", album, "--model", models["a"], "--out", out]
    replace, done = Path.replace, []

    def stopped(self: Path, target: Path) -> Path:
        done.append(target)
        if len(done) == 3:  # its file is written, but has not its name yet
            raise KeyboardInterrupt
        return replace(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", stopped)
        assert tiny.multigen([*words, "--existing", "skip"]) == 130
    first = {path.name: path.stat().st_mtime_ns for path in out.iterdir()}
    assert len(first) == 2 and not any(name.startswith(".") for name in first)
    capsys.readouterr()
    assert tiny.multigen([*words, "--existing", "skip"]) == 0
    assert f"2 images x2 in {out}, 2 there already" in capsys.readouterr().out
    after = {path.name: path.stat().st_mtime_ns for path in out.iterdir()}
    assert len(after) == 4 and first.items() < after.items()
    assert tiny.multigen([*words, "--existing", "skip", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["files"] == [] and len(printed["existing"]) == 4


def test_existing_results_are_skipped_replaced_or_an_error(
    models: dict[str, Path], album: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mine = tmp_path / "up" / "small.png"
    mine.parent.mkdir()
    mine.write_bytes(b"mine")
    words = ["restore", album, "--model", models["x1"], "--out", tmp_path / "up"]
    assert "exists and is not known as results of multigen" in refused(words, capsys)
    assert f"{mine} exists; give another folder for --out" in refused([*words, "--existing", "error"], capsys)
    assert tiny.multigen([*words, "--existing", "skip"]) == 0 and mine.read_bytes() == b"mine"
    assert "4 files exist" in re.sub("and 3 more", "4", refused([*words, "--existing", "error"], capsys))
    for more in (["--existing", "overwrite"], ["--overwrite"], ["--overwrite", "--existing", "overwrite"]):
        mine.write_bytes(b"mine")
        assert tiny.multigen([*words, *more]) == 0 and mine.read_bytes() != b"mine"
    mine.unlink()
    mine.mkdir()
    assert "it is a folder" in refused([*words, "--existing", "skip"], capsys)


# ---------------------------------------------------------------------------------------------------- two models


def test_a_blend_lies_between_its_models(models: dict[str, Path], album: Path, tmp_path: Path) -> None:
    made = {}
    for name, words in (
        ("a", ["--model", models["a"]]),
        ("b", ["--model", models["b"]]),
        ("all", ["--blend", models["a"], models["b"], "1"]),
        ("some", ["--blend", models["a"], models["b"], ".3"]),
    ):
        out = tmp_path / f"{name}.png"
        assert tiny.multigen(["upscale", album / "small.jpg", *words, "--out", out]) == 0
        with Image.open(out) as file:
            made[name] = np.asarray(file).copy()
    assert np.array_equal(made["all"], made["a"])
    assert not np.array_equal(made["some"], made["a"]) and not np.array_equal(made["some"], made["b"])
    message = read(tmp_path / "some.png")
    assert message["model"] == ["a", "b"] and message["share"] == 0.3
    words = ["restore", album / "small.jpg", "--blend", models["x1"], models["x1"], "0.5", "--out", tmp_path / "c.png"]
    assert tiny.multigen(words) == 0


# ---------------------------------------------------------------------------------------------------- progress


def test_a_bar_with_the_time_left_on_a_terminal_only(
    models: dict[str, Path],
    album: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = ["upscale", album / "large.png", "--model", models["a"], "--out", tmp_path / "up", "--tile", "8"]
    assert tiny.multigen(words) == 0
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    assert tiny.multigen(words) == 0
    shown = capsys.readouterr()
    assert "upscale" in shown.err and "100%" in shown.err and "0:00:" in shown.err and "%" not in shown.out
    assert tiny.multigen([*words, "--quiet"]) == 0
    assert capsys.readouterr().err == ""


def test_the_time_left_follows_the_tiles_of_one_image(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = io.StringIO()
    monkeypatch.setattr(terminal, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(sys, "stderr", terminal)
    now = [0.0]
    with bar("upscale", 100) as shown:
        shown.live._get_time = shown.live.get_time = lambda: now[0]  # pyright: ignore[reportAttributeAccessIssue]
        task = shown.live.tasks[0]
        task._get_time, task.start_time = (lambda: now[0]), 0.0
        for second in range(1, 5):
            now[0] = float(second)
            shown.advance(10)
        assert task.time_remaining is not None and 5 <= task.time_remaining <= 7
        shown.reach(100)
        assert task.finished


# ---------------------------------------------------------------------------------------------------- odd input


@pytest.mark.parametrize("verb", ["restore", "upscale"])
def test_pictures_of_one_pixel_and_of_ten_thousand_by_eight(verb: str, models: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    Image.new("RGB", (1, 1), (200, 10, 10)).save(tmp_path / "in" / "dot.png")
    Image.fromarray(np.tile(pixels(8, 100), (1, 100, 1))).save(tmp_path / "in" / "line.png")
    Image.fromarray(np.tile(pixels(100, 8), (100, 1, 1))).save(tmp_path / "in" / "column.png")
    model = models["x1" if verb == "restore" else "a"]
    assert tiny.multigen([verb, tmp_path / "in", "--model", model, "--out", tmp_path / "up"]) == 0
    s = 1 if verb == "restore" else 2
    assert sizes(tmp_path / "up") == {"dot": (s, s), "line": (10_000 * s, 8 * s), "column": (8 * s, 10_000 * s)}
    if verb == "upscale":
        words = ["--scale", "1.5", "--existing", "overwrite"]
        assert tiny.multigen([verb, tmp_path / "in", "--model", model, "--out", tmp_path / "up", *words]) == 0
        assert sizes(tmp_path / "up") == {"dot": (2, 2), "line": (15_000, 12), "column": (12, 15_000)}


@pytest.mark.parametrize("channels", [1, 4])
def test_a_network_of_other_channels_is_named(
    channels: int, album: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    network = torch.nn.Sequential(torch.nn.Conv2d(channels, 8, 3), torch.nn.PReLU(8), torch.nn.Conv2d(8, 8, 3))
    weights = {f"body.{name}": value for name, value in network.state_dict().items()}
    last = {"body.4.weight": torch.zeros(4 * channels, 8, 3, 3), "body.4.bias": torch.zeros(4 * channels)}
    torch.save({**weights, "body.3.weight": torch.zeros(8), **last}, tmp_path / "net.pth")
    message = refused(["upscale", album, "--model", tmp_path / "net.pth", "--out", tmp_path / "up"], capsys)
    assert f"net.pth: a network of images of {channels} channels; expected 3, RGB" in message.replace(
        "1 channel;", "1 channels;"
    )


def test_training_does_not_start_from_a_model_of_another_scale(
    models: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = tiny.photos(tmp_path / "photos")
    words = ["train", "srgan", "tiny", "--generator", "compact", "--blocks", "1", "--width", "4", "--scale", "4"]
    words += ["--data", place, "--test", place, "--from", models["a"], "--out", tmp_path / "run"]
    message = refused(words, capsys)
    assert str(models["a"]) in message and "shape" in message


def test_skipped_files_are_listed_where_results_are(
    models: dict[str, Path], album: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (album / "bad.png").write_bytes(b"no image")
    words = ["upscale", album, "--model", models["a"], "--out", tmp_path / "up", "--skip-bad", "--existing", "skip"]
    assert tiny.multigen(words) == 0
    assert tiny.multigen(words) == 0
    printed = capsys.readouterr()
    assert "0 images x2 in" in printed.out and "4 there already, 1 skipped" in printed.out
    assert "bad.png" in printed.err and not os.path.lexists(tmp_path / "up" / "bad.png")
