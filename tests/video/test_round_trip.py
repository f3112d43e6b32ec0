"""Films through `multigen upscale` and `multigen restore`: all that is beside the pixels is
kept."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from multigen.image.decoding import Raster
from multigen.storage.output import is_own
from multigen.video import films
from multigen.video.films import FilmOptions, restore_film
from tests import tiny
from tests.video import made

pytest.importorskip("av")


def upscale(upscaler: Path, *words: str | Path) -> int:
    return tiny.multigen(["upscale", *words, "--model", upscaler])


FILMS = {
    "variable rate.mp4": {"count": 20, "steps": made.STEPS},
    "two sound tracks and subtitles.mkv": {
        "sounds": 2, "subtitles": True, "chapters": True, "attachment": True, "title": "A title",
    },
    "10 bits.mp4": {"pixels": "yuv420p10le", "codec": "libx265", "aspect": Fraction(128, 117)},
    "odd.mkv": {"size": (23, 31), "codec": "ffv1"},
    "rotated.mp4": {"turn": 90, "sounds": 1, "chapters": True},
    "full range.mov": {"limited": False},
    "untagged.mp4": {"colours": (2, 2, 2)},
    "P3.mov": {"colours": (12, 13, 6)},
    "BT.2020.mkv": {"colours": (9, 14, 9), "pixels": "yuv420p10le"},
    "4:4:4.mkv": {"pixels": "yuv444p"},
}  # fmt: skip
KEPT = ("times", "aspect", "rotation", "colours", "range", "chapters", "attachments", "others")


@pytest.mark.parametrize("name", FILMS)
def test_all_but_the_pixels_is_kept(upscaler: Path, tmp_path: Path, name: str) -> None:
    source, out = made.film(tmp_path / name, **FILMS[name]), tmp_path / "up" / name
    assert upscale(upscaler, source, "--out", out.parent) == 0
    before, after = made.facts(source), made.facts(out)
    assert {key: after[key] for key in KEPT} == {key: before[key] for key in KEPT}
    assert after["size"] == (2 * before["size"][0], 2 * before["size"][1])
    assert after["metadata"].get("title") == before["metadata"].get("title")
    assert ("10le" in before["pixels"]) == ("10le" in after["pixels"]) and before["pixels"][:6] == after["pixels"][:6]
    assert is_own(out) and not list(out.parent.glob("*.parts"))


@pytest.mark.parametrize("name", FILMS)
def test_a_known_colour_comes_back(tmp_path: Path, name: str) -> None:
    source, out = made.film(tmp_path / f"a{Path(name).suffix}", **FILMS[name]), tmp_path / f"b{Path(name).suffix}"
    restore_film(lambda raster: raster, source, out, FilmOptions())
    assert np.abs(made.colour(source) - made.COLOUR).max() <= 2
    assert np.abs(made.colour(out) - made.COLOUR).max() <= 2


def test_untagged_films_that_grow_beyond_720_lines_say_their_matrix(tmp_path: Path) -> None:
    source, out = made.film(tmp_path / "a.mp4", 1, colours=(2, 2, 2)), tmp_path / "b.mp4"
    restore_film(lambda raster: Raster(raster.pixels.repeat(32, 0).repeat(2, 1)), source, out, FilmOptions())
    assert made.facts(out)["size"] == (64, 768) and made.facts(out)["colours"][2] == 6
    assert np.abs(made.colour(out) - made.COLOUR).max() <= 2


@pytest.mark.parametrize("codec", ["h264", "hevc", "libx265", "av1", "vp9", "ffv1"])
def test_codecs_over_several_parts(tmp_path: Path, codec: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Encoders reorder frames, and the rate varies: decoding times must increase all the same where
    parts meet."""
    monkeypatch.setattr(films, "PART", 7)
    source, out = made.film(tmp_path / "a.mp4", 24, (64, 64), steps=made.STEPS), tmp_path / "b.mp4"
    films.restore_film(lambda raster: raster, source, out, films.FilmOptions(codec=codec))
    before, after = made.facts(source), made.facts(out)
    names = {"libx265": "hevc", "av1": "libdav1d"}
    assert after["times"] == before["times"] and after["codec"] == names.get(codec, codec)
    assert numbers(out) == list(range(24))


@pytest.mark.parametrize("codec", ["h264", "hevc", "av1", "vp9", "ffv1"])
@pytest.mark.parametrize("depth", ["yuv420p", "yuv420p10le"])
@pytest.mark.parametrize("count", [1, 2, 9])
def test_a_last_part_of_few_frames(
    count: int, depth: str, codec: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """x265 gives two frames decoding times that it has not set: so there are several parts."""
    monkeypatch.setattr(films, "PART", 2)
    source, out = made.film(tmp_path / "a.mp4", count, (64, 64), depth), tmp_path / "b.mp4"
    films.restore_film(lambda raster: raster, source, out, films.FilmOptions(codec=codec))
    assert made.facts(out)["times"] == made.facts(source)["times"] and len(numbers(out)) == count


def numbers(path: Path) -> list[int]:
    """The number of each frame, which the grey of its right half tells."""
    import av

    with av.open(str(path)) as given:
        return [made.number_of(frame.to_ndarray(format="rgb24")) for frame in given.decode(video=0)]


def test_odd_sizes_become_even(tmp_path: Path) -> None:
    source, out = made.film(tmp_path / "a.mkv", size=(23, 31), codec="ffv1"), tmp_path / "b.mp4"
    restore_film(lambda raster: raster, source, out, FilmOptions())
    assert made.facts(out)["size"] == (32, 24)


def test_a_part_of_a_film(upscaler: Path, tmp_path: Path) -> None:
    source = made.film(tmp_path / "a.mp4", 60, sounds=1, chapters=True)
    assert upscale(upscaler, source, "--from", "0:01", "--to", "2", "--out", tmp_path / "b.mp4") == 0
    after = made.facts(tmp_path / "b.mp4")
    assert after["times"] == [Fraction(i, 25) for i in range(25)]
    sound = after["others"][0][3]
    assert 0 <= sound[0][0] < Fraction(7, 100) and sound[-1][0] < 1
    assert upscale(upscaler, source, "--preview", "0.4s", "--from", "0.6", "--out", tmp_path / "c.mp4") == 0
    assert len(made.facts(tmp_path / "c.mp4")["times"]) == 10
    part = FilmOptions(start=Fraction("0.6"), end=Fraction(1))
    assert restore_film(lambda raster: raster, source, tmp_path / "c.mp4", part) == 10
    assert numbers(tmp_path / "c.mp4") == list(range(15, 25))


def test_a_film_of_one_frame(upscaler: Path, tmp_path: Path) -> None:
    assert upscale(upscaler, made.film(tmp_path / "a.mp4", 1), "--out", tmp_path / "b.mp4") == 0
    assert made.facts(tmp_path / "b.mp4")["times"] == [0]


def test_names_with_spaces_and_quotes(upscaler: Path, tmp_path: Path) -> None:
    name = 'it\'s a "film" %d $(x) ;ü.mp4'
    source = made.film(tmp_path / name)
    assert upscale(upscaler, source, "--out", tmp_path / "up") == 0
    assert made.facts(tmp_path / "up" / name)["size"] == (64, 48)


def test_sound_that_is_longer_than_the_video_stays(upscaler: Path, tmp_path: Path) -> None:
    source = made.film(tmp_path / "a.mp4", 5, sounds=1, seconds=2)
    assert upscale(upscaler, source, "--out", tmp_path / "b.mp4") == 0
    before, after = made.facts(source), made.facts(tmp_path / "b.mp4")
    assert after["others"] == before["others"] and after["others"][0][3][-1][0] > Fraction(3, 2)


def test_folders_of_films_and_images(upscaler: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tiny.photos(tmp_path / "in", 1, 8)
    made.film(tmp_path / "in" / "deep.mp4", 2)
    made.film(tmp_path / "in" / "old.avi", 2, codec="mpeg4", base=Fraction(1, 25), steps=[1])
    assert upscale(upscaler, tmp_path / "in", "--out", tmp_path / "up") == 0
    assert sorted(path.name for path in (tmp_path / "up").iterdir()) == ["0.png", "deep.mp4", "old.mkv"]
    assert "3 files x2" in capsys.readouterr().out


def test_restore_takes_films_too(upscaler: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [
        "restore",
        made.film(tmp_path / "a.mp4"),
        "--model",
        upscaler,
        "--out",
        tmp_path / "b.mp4",
        "--codec",
        "ffv1",
    ]
    assert tiny.multigen(words) == 0
    assert made.facts(tmp_path / "b.mp4")["codec"] == "ffv1" and "1 film" in capsys.readouterr().out
