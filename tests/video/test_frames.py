"""Numbered frames as the result of a film: what of it continues, and what is refused."""

import shutil
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from multigen.errors import ConfigError, DataError
from multigen.image.decoding import Raster
from multigen.video import films
from multigen.video.films import FilmOptions, restore_film
from tests.video import made
from tests.video.test_jobs import StopsAt
from tests.video.test_round_trip import upscale

pytest.importorskip("av")
ABOUT = {"software": "multigen 1", "model": "a"}


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made.film(tmp_path_factory.mktemp("film") / "a.mp4", 12, (64, 64))


@pytest.fixture(autouse=True)
def short_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(films, "PART", 4)


def same(raster: Raster) -> Raster:
    return raster


def test_frames_of_others_are_not_replaced(
    upscaler: Path, film: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "fr"
    folder.mkdir()
    Image.fromarray(made.frame(0)).save(folder / "00007.png")
    Image.fromarray(made.frame(0)).save(folder / "1.png")  # not of the pattern
    before = (folder / "00007.png").read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr("multigen.cli.restoring.load_restorer", None)  # refused before the model is loaded
        assert upscale(upscaler, film, "--out", folder / "%05d.png") == 2
    error = capsys.readouterr().err
    assert "00007.png exists and is not known as results of multigen" in error and "--overwrite" in error
    assert (folder / "00007.png").read_bytes() == before and len(list(folder.iterdir())) == 2
    assert restore_film(same, film, folder / "%05d.png", FilmOptions(overwrite=True), about=ABOUT) == 12
    assert restore_film(same, film, folder / "%05d.png", FilmOptions(), about=ABOUT) == 12  # its own results


def test_frames_continue(film: Path, tmp_path: Path) -> None:
    target = tmp_path / "%05d.png"
    with pytest.raises(RuntimeError):
        restore_film(StopsAt(11, RuntimeError()), film, target, FilmOptions())
    (tmp_path / "00006.png").unlink()
    rest = StopsAt(0)
    assert restore_film(rest, film, target, FilmOptions()) == 12
    assert rest.count == 8 and len(list(tmp_path.glob("*.png"))) == 12
    assert made.number_of(np.asarray(Image.open(tmp_path / "00006.png"))) == 5


def test_frames_with_another_provenance_do_not_continue(film: Path, tmp_path: Path) -> None:
    target = tmp_path / "%05d.png"
    with pytest.raises(RuntimeError):
        restore_film(StopsAt(6, RuntimeError()), film, target, FilmOptions(), about=ABOUT)
    with pytest.raises(DataError, match="a job with another settings"):
        restore_film(same, film, target, FilmOptions())
    assert restore_film(same, film, target, FilmOptions(), about=ABOUT) == 12


def test_metadata_is_no_setting_of_a_job(film: Path, tmp_path: Path) -> None:
    with pytest.raises(RuntimeError):
        restore_film(StopsAt(6, RuntimeError()), film, tmp_path / "b.mp4", FilmOptions())
    rest = StopsAt(0)
    assert restore_film(rest, film, tmp_path / "b.mp4", FilmOptions(metadata=False)) == 12
    assert rest.count == 8


@pytest.mark.parametrize(
    ("options", "out", "message"),
    [
        (FilmOptions(fps=Fraction(30)), "b.mp4", "--fps: .*a.mp4 states its own times"),
        (FilmOptions(fps=Fraction(30)), "%d.png", "--fps: .*a.mp4 states its own times"),
        (FilmOptions(codec="hevc"), "%d.png", "--codec hevc: .* names images, which have none"),
        (FilmOptions(crf=0), "%d.png", "--crf 0: .* names images, which have none"),
        (FilmOptions(), "%d-%d.png", "expected a name such as %05d.png"),
    ],
)
def test_options_that_would_be_ignored(
    film: Path, tmp_path: Path, options: FilmOptions, out: str, message: str
) -> None:
    shutil.copy(film, tmp_path / "a.mp4")
    with pytest.raises(ConfigError, match=message):
        restore_film(same, tmp_path / "a.mp4", tmp_path / out, options)
    assert len(list(tmp_path.iterdir())) == 1


def test_a_rate_is_not_of_animations(tmp_path: Path) -> None:
    images = [Image.fromarray(made.frame(15 * i, 64, 64)) for i in range(2)]
    images[0].save(tmp_path / "a.gif", save_all=True, append_images=images[1:], duration=40)
    with pytest.raises(ConfigError, match=r"--fps: .*a\.gif states its own times"):
        restore_film(same, tmp_path / "a.gif", tmp_path / "b.mp4", FilmOptions(fps=Fraction(30)))


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three frames as numbered files, in animations and in a TIFF, and a still."""
    folder = tmp_path_factory.mktemp("sources")
    (folder / "seq").mkdir()
    images = [Image.fromarray(made.frame(15 * i, 64, 64)) for i in range(3)]
    for number, image in enumerate(images):
        image.save(folder / "seq" / f"{number:03}.png")
    for name in ("a.gif", "a.webp", "a.png", "a.tif"):
        first, *rest = [image.copy() for image in images]  # Pillow keeps settings of a format in an image
        first.save(folder / name, save_all=True, append_images=rest)
    images[0].save(folder / "still.jpg")
    return folder


@pytest.mark.parametrize("name", ["seq", "a.gif", "a.webp", "a.png", "a.tif", "still.jpg"])
@pytest.mark.parametrize("pattern", ["%03d.png", "a%d.jpg"])
def test_a_pattern_makes_every_source_a_film(
    upscaler: Path, sources: Path, tmp_path: Path, name: str, pattern: str
) -> None:
    more = ["--fps", "25"] if name == "seq" else []
    assert upscale(upscaler, sources / name, *more, "--out", tmp_path / pattern) == 0
    names = [pattern.replace("%03d", f"{i:03}").replace("%d", str(i)) for i in range(1, 4)]
    assert sorted(path.name for path in tmp_path.iterdir()) == (names[:1] if name == "still.jpg" else names)
    assert upscale(upscaler, sources / name, *more, "--out", tmp_path / pattern, "--existing", "error") == 2


@pytest.mark.parametrize("pattern", ["%3d.png", "%d-%d.png", "%0d.png"])
def test_no_file_is_named_by_a_pattern(
    upscaler: Path, sources: Path, tmp_path: Path, pattern: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("seq", "a.gif", "still.jpg"):
        assert upscale(upscaler, sources / name, "--out", tmp_path / pattern) == 2
        assert "expected a name such as %05d.png" in capsys.readouterr().err
    assert not [*tmp_path.iterdir()]


def test_a_result_that_is_called_as_its_source_is_no_pattern(upscaler: Path, sources: Path, tmp_path: Path) -> None:
    shutil.copy(sources / "still.jpg", tmp_path / "50%d.jpg")
    assert upscale(upscaler, tmp_path / "50%d.jpg", "--out", tmp_path / "out") == 0
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["50%d.png"]


def test_frames_are_not_written_among_their_sources(
    upscaler: Path, sources: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = shutil.copytree(sources / "seq", tmp_path / "seq")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    for source, out in ((folder, "big%d.png"), (folder / "001.png", "%03d.png")):
        words = ["--fps", "25"] if source.is_dir() else []
        assert upscale(upscaler, source, *words, "--out", folder / out, "--overwrite") == 2
        assert "its frames would be among those of" in capsys.readouterr().err
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_a_pattern_as_a_source_names_the_folder(
    upscaler: Path, sources: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = sources / "seq"
    assert upscale(upscaler, folder / "%03d.png", "--fps", "25", "--out", tmp_path / "%03d.png") == 2
    assert f"no such file; numbered frames are given by their folder, {folder}\n" in capsys.readouterr().err
