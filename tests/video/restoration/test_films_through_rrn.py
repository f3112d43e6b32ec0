"""The command on films with a recurrent model: jobs that are stopped, damaged states, tiles, and
films of all kinds."""

import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from multigen.errors import DataError
from multigen.image.decoding import Raster
from multigen.image.files import read_image
from multigen.image.sizes import Size
from multigen.image.sources import read_source
from multigen.video import films
from multigen.video.films import FilmOptions, restore_film
from multigen.video.restoration.rrn import RRNConfig, RRNTrainer
from multigen.video.restoration.upscaler import FilmUpscaler
from tests import tiny
from tests.video import made
from tests.video.restoration.test_rrn import lively
from tests.video.restoration.test_upscaler import film as frames_of
from tests.video.restoration.test_upscaler import model

pytest.importorskip("av")
PATTERN = "%03d.png"


@pytest.fixture(autouse=True)
def short_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(films, "PART", 4)


@pytest.fixture(scope="module")
def numbered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """13 numbered frames, with a cut before the tenth."""
    from PIL import Image

    folder = tmp_path_factory.mktemp("frames") / "in"
    folder.mkdir()
    for number, frame in enumerate([*frames_of(9), *frames_of(4, 5)]):
        Image.fromarray(frame).save(folder / f"{number:03}.png")
    return folder


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of an untrained recurrent model."""
    trainer = RRNTrainer(RRNConfig(scale=2, blocks=1, width=6))
    generator = lively(trainer.generator())
    trainer.generator = lambda: generator  # type: ignore[method-assign]
    return tiny.untrained(tmp_path_factory.mktemp("rrn") / "run", trainer)


def result(folder: Path) -> list[int]:
    return [zlib.crc32(read_image(path).numpy().tobytes()) for path in sorted(folder.glob("*.png"))]


def restore(restore: Any, source: Path, out: Path) -> int:
    from fractions import Fraction

    return restore_film(restore, source, out / PATTERN, FilmOptions(fps=Fraction(25)))


class StopsAt:
    """A recurrent model that fails at a frame."""

    def __init__(self, restorer: FilmUpscaler, number: int):
        self.running, self.number, self.count = restorer.running(), number, 0
        self.state, self.resume = self.running.state, self.running.resume

    def __call__(self, raster: Any) -> Any:
        self.count += 1
        if self.count == self.number:
            raise RuntimeError
        return self.running(raster)


@pytest.mark.parametrize("number", [1, 4, 5, 9, 10, 13])
def test_a_stopped_job_continues_with_the_same_frames(numbered: Path, tmp_path: Path, number: int) -> None:
    assert restore(model().running(), numbered, tmp_path / "whole") == 13
    with pytest.raises(RuntimeError):
        restore(StopsAt(model(), number), numbered, tmp_path / "cut")
    parts = tmp_path / "cut" / f"{PATTERN}.parts"
    assert len([*parts.glob("*.safetensors")]) == min((number - 1) // 4, 2)
    rest = StopsAt(model(), 0)
    assert restore(rest, numbered, tmp_path / "cut") == 13
    assert rest.count == 13 - (number - 1) // 4 * 4 and not parts.exists()
    assert result(tmp_path / "cut") == result(tmp_path / "whole")


@pytest.mark.parametrize(("damaged", "left"), [(["00002"], 5), (["00001", "00002"], 13)])
def test_a_damaged_state_is_made_again(numbered: Path, tmp_path: Path, damaged: list[str], left: int) -> None:
    restore(model().running(), numbered, tmp_path / "whole")
    with pytest.raises(RuntimeError):
        restore(StopsAt(model(), 13), numbered, tmp_path / "cut")
    for name in damaged:
        (tmp_path / "cut" / f"{PATTERN}.parts" / f"{name}.safetensors").write_bytes(b"cut off")
    rest = StopsAt(model(), 0)
    assert restore(rest, numbered, tmp_path / "cut") == 13
    assert rest.count == left and result(tmp_path / "cut") == result(tmp_path / "whole")


def test_a_model_without_recurrence_and_one_with_it_do_not_continue_each_other(
    tmp_path: Path, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    film = made.film(tmp_path / "film.mkv", 13, (32, 48))
    out = tmp_path / "out" / PATTERN
    calls = [0]

    def failing(self: Any, raster: Any) -> Any:
        calls[0] += 1
        if calls[0] > 6:
            raise DataError("stopped here")
        return whole(self, raster)

    from multigen.video.restoration.upscaler import Running

    whole = Running.__call__
    words = ["upscale", film, "--model", run, "--out", out, "--device", "cpu"]
    with monkeypatch.context() as patch:
        patch.setattr(Running, "__call__", failing)
        assert tiny.multigen(words) == 2
    config = run / "model" / "config.json"
    text = config.read_text()
    try:
        config.write_text(text.replace('"recurrent": true', '"recurrent": false'))
        assert config.read_text() != text and tiny.multigen(words) == 2
    finally:
        config.write_text(text)
    assert tiny.multigen(words) == 0
    restore_film(restorer_of(run).running(), film, tmp_path / "whole" / PATTERN, FilmOptions())
    assert len(result(tmp_path / "out")) == 13 and result(tmp_path / "out") == result(tmp_path / "whole")


def restorer_of(run: Path) -> Any:
    import multigen

    return multigen.load(str(run), device="cpu")


def test_the_command_on_a_film_an_animation_and_an_image(numbered: Path, tmp_path: Path, run: Path) -> None:
    from PIL import Image

    words = ["--model", run, "--device", "cpu"]
    film = tmp_path / "film.mkv"
    assert tiny.multigen(["upscale", numbered, "--fps", "25", "--codec", "ffv1", "--out", film, *words]) == 0
    assert tiny.multigen(["upscale", film, "--out", tmp_path / "again" / PATTERN, "--scale", "1", *words]) == 0
    assert len([*(tmp_path / "again").iterdir()]) == 13
    frames = [Image.fromarray(frame) for frame in frames_of(3)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    assert tiny.multigen(["upscale", tmp_path / "a.gif", "--out", tmp_path / "gif.mp4", *words]) == 0
    assert made.facts(tmp_path / "gif.mp4")["size"] == (84, 60)
    assert tiny.multigen(["restore", numbered / "000.png", "--out", tmp_path / "one.png", *words]) == 0
    assert tiny.multigen(["upscale", numbered / "000.png", "--tile", "9", "--out", tmp_path / "tiles.png", *words]) == 0
    one, tiles = (read_image(tmp_path / name).int() for name in ("one.png", "tiles.png"))
    assert one.shape == (3, 60, 84) and (one - tiles).abs().max() <= 1


def test_an_animation_with_all_frames_goes_through_the_state(tmp_path: Path, run: Path) -> None:
    from PIL import Image

    for name in ("a.webp", "a.png", "a.tif"):
        out = tmp_path / f"large-{name}"
        first, *rest = [Image.fromarray(frame) for frame in frames_of(5)]
        first.save(tmp_path / name, save_all=True, append_images=rest, lossless=True)
        words = ["upscale", tmp_path / name, "--model", run, "--device", "cpu", "--frames", "all", "--out", out]
        assert tiny.multigen(words) == 0
        made = np.stack([raster.pixels[..., :3] for raster in read_source(out, all_frames=True).frames])
        film, alone = restorer_of(run).upscale(frames_of(5)), [restorer_of(run).upscale(each) for each in frames_of(5)]
        assert not np.array_equal(film, alone)
        assert np.array_equal(made, alone if name == "a.tif" else film)  # pages are no film


@pytest.mark.parametrize("planes", [1, 2, 4])
def test_frames_of_an_animation_keep_their_channels(run: Path, planes: int) -> None:
    """As of a single image, of which the first frame is one."""
    pixels = tiny.pixels(12, 16, 3)
    pixels = np.concatenate([pixels, pixels[..., :1] // 200 * 100], -1)[..., [0, 3] if planes == 2 else slice(planes)]
    restorer = restorer_of(run)
    for size in (Size(), Size(scale=3)):
        made = restorer.running(size).restore_raster(Raster(pixels)).pixels
        alone = restorer.restore_raster(Raster(pixels), size).pixels
        assert made.shape == alone.shape and np.abs(made.astype(int) - alone).max() <= 1


def test_a_folder_of_images_is_said_to_be_taken_singly(
    numbered: Path, tmp_path: Path, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["upscale", "--model", run, "--device", "cpu"]
    assert tiny.multigen([*words, numbered, "--out", tmp_path / "out"]) == 0
    said = capsys.readouterr().err
    assert "13 images: the model remembers frames, but each file begins without them" in said and "--fps 25" in said
    assert tiny.multigen([*words, numbered / "000.png", "--out", tmp_path / "one"]) == 0
    assert "begins without them" not in capsys.readouterr().err


def test_frames_to_frames_go_through_the_state(numbered: Path, tmp_path: Path, run: Path) -> None:
    words = ["upscale", numbered, "--fps", "25", "--model", run, "--device", "cpu", "--out", tmp_path / "out" / PATTERN]
    assert tiny.multigen(words) == 0
    restore(restorer_of(run).running(), numbered, tmp_path / "whole")
    assert len(result(tmp_path / "out")) == 13 and result(tmp_path / "out") == result(tmp_path / "whole")


def test_no_space_for_states(
    numbered: Path, tmp_path: Path, run: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three states of 4 x (3 + 6 + 12) bytes a pixel take 318 KB."""
    import shutil
    from collections import namedtuple

    usage = namedtuple("usage", "free")
    words = ["upscale", numbered, "--fps", "25", "--model", run, "--device", "cpu", "--out", tmp_path / "out.mkv"]
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(310_000))
    assert tiny.multigen(words) == 2
    error = capsys.readouterr().err
    assert "3 states, from which a stopped job continues, take" in error and "out.mkv" in error
    assert not (tmp_path / "out.mkv").exists()
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(400_000))
    assert tiny.multigen(words) == 0
