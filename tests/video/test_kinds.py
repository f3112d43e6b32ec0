"""Kinds of films and of codecs: what a container does not hold, rates, and films of RGB."""

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from multigen.errors import ConfigError
from multigen.image import decoding
from multigen.image.decoding import Raster
from multigen.video import encoders
from multigen.video.films import FilmOptions, restore_film
from multigen.video.sources import open_source
from multigen.video.times import rate_of
from tests.video import made
from tests.video.test_round_trip import numbers

pytest.importorskip("av")
SIZE = (64, 64)
LOSSLESS: dict[str, Any] = {".webp": {"lossless": True}}


def same(raster: Raster) -> Raster:
    return raster


def never(raster: Raster) -> Raster:
    raise AssertionError("a frame was restored")


@pytest.mark.parametrize(
    ("codec", "suffix"), [("av1", ".mov"), ("vp9", ".mov"), ("h264", ".webm"), ("hevc", ".webm"), ("ffv1", ".webm")]
)
def test_a_codec_that_the_container_does_not_hold(tmp_path: Path, codec: str, suffix: str) -> None:
    source = made.film(tmp_path / "a.mp4", 1, SIZE)
    with pytest.raises(ConfigError, match=rf"--codec {codec}: {suffix} cannot hold it .*b\.mkv, or --codec "):
        restore_film(never, source, tmp_path / f"b{suffix}", FilmOptions(codec=codec))
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]


def test_an_encoder_that_the_installed_pyav_lacks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(encoders.ENCODERS, "av1", encoders.Encoder("libnothing", 23))
    source = made.film(tmp_path / "a.mp4", 1, SIZE)
    with pytest.raises(ConfigError, match=r"--codec av1: the installed PyAV has no libnothing; give another: h264"):
        restore_film(never, source, tmp_path / "b.mp4", FilmOptions(codec="av1"))


def test_rates() -> None:
    assert rate_of("23.976023976024") == Fraction(24000, 1001)
    assert (rate_of("29.97"), rate_of("30000/1001")) == (Fraction("29.97"), Fraction(30000, 1001))
    for word in ("0", "0.0001", "1001", "1/0", "nan", "inf", "x"):
        with pytest.raises(ConfigError, match=f"--fps {word}: expected frames a second, 0.001 to 1000"):
            rate_of(word)


@pytest.mark.parametrize(
    ("codec", "pixels", "suffix"),
    [
        ("qtrle", "rgb24", ".mov"),
        ("png", "rgb24", ".mov"),
        ("png", "pal8", ".mov"),
        ("libx264rgb", "rgb24", ".mkv"),
        ("ffv1", "gbrp10le", ".mkv"),
    ],
)
def test_films_of_rgb_become_bt709(tmp_path: Path, codec: str, pixels: str, suffix: str) -> None:
    import av

    source, base = tmp_path / f"a{suffix}", Fraction(1, 25)
    shown = made.frame(0, *SIZE)
    with av.open(str(source), "w") as file:
        stream: Any = file.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 64, pixels
        for number in range(2):
            frame = av.VideoFrame.from_ndarray(shown, format="rgb24")
            frame = _palette(shown) if pixels == "pal8" else frame.reformat(format=pixels)
            frame.pts, frame.time_base = number, base
            file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    seen = []

    def look(raster: Raster) -> Raster:
        seen.append(raster.colour[32, 16].astype(int) // (257 if raster.colour.dtype == np.uint16 else 1))
        return raster

    restore_film(look, source, tmp_path / "b.mp4", FilmOptions())
    facts = made.facts(tmp_path / "b.mp4")
    assert facts["colours"][2] == 1 and facts["range"] == 1
    assert np.abs(np.array(seen) - made.COLOUR).max() <= 1
    assert np.abs(made.colour(tmp_path / "b.mp4") - made.COLOUR).max() <= 3


def _palette(shown: np.ndarray) -> Any:
    import av

    colours, places = np.unique(shown.reshape(-1, 3), axis=0, return_inverse=True)
    palette = np.zeros((256, 4), np.uint8)
    palette[: len(colours), 1:] = colours
    palette[:, 0] = 255
    both: Any = (places.reshape(shown.shape[:2]).astype(np.uint8), palette)
    return av.VideoFrame.from_ndarray(both, format="pal8")


@pytest.mark.parametrize("start", [0, 7])
def test_avi_of_frames_that_are_stored_in_another_order(tmp_path: Path, start: int) -> None:
    source = made.film(tmp_path / "a.avi", 24, SIZE, base=Fraction(1, 25), steps=[1])
    count = restore_film(same, source, tmp_path / "b.mp4", FilmOptions(start=Fraction(start, 25)))
    assert count == 24 - start and numbers(tmp_path / "b.mp4") == list(range(start, 24))
    assert made.facts(tmp_path / "b.mp4")["times"] == [Fraction(i, 25) for i in range(count)]


@pytest.mark.parametrize("suffix", [".mkv", ".mp4"])
def test_without_metadata_only_languages_stay(tmp_path: Path, suffix: str) -> None:
    import av

    source = made.film(tmp_path / "a.mkv", 6, SIZE, sounds=2, chapters=True, title="secret")
    for metadata in (True, False):
        target = tmp_path / f"{metadata}{suffix}"
        restore_film(same, source, target, FilmOptions(metadata=metadata))
        facts = made.facts(target)
        assert [each[2] for each in facts["others"]] == ["eng", "deu"] and len(facts["chapters"]) == 2
        with av.open(str(target)) as file:
            message = repr([file.metadata, *(stream.metadata for stream in file.streams), *file.chapters()])
        assert [word in message for word in ("secret", "track 0", "'two'")] == [metadata] * 3


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".png"])
def test_an_animation_is_opened_once(tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    source = tmp_path / f"a{suffix}"
    images = [Image.fromarray(made.frame(5 * i, *SIZE)) for i in range(8)]
    images[0].save(source, save_all=True, append_images=images[1:], duration=40, **LOSSLESS.get(suffix, {}))
    opened, original = [], decoding.open_picture
    monkeypatch.setattr(decoding, "open_picture", lambda *words: opened.append(words) or original(*words))
    with open_source(source) as film:
        opened.clear()
        read = [made.number_of(each.raster.colour) for each in film.read(Fraction(2, 25), Fraction(7, 25), skip=1)]
    assert read == [15, 20, 25, 30] and len(opened) == 1
