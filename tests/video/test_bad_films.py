"""Films that cannot be taken, through the command: one line says what and what to do."""

import os
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from multigen.video.films import FilmOptions, restore_film
from tests.special import SPECIAL
from tests.video import made
from tests.video.test_round_trip import upscale

pytest.importorskip("av")


def refused(upscaler: Path, source: Path, *words: str, out: str = "out.mp4") -> int:
    return upscale(upscaler, source, "--out", source.parent / out, *words)


def sound_alone(path: Path) -> Path:
    import av

    with av.open(str(path), "w") as out:
        track = made.sound_track(out, "", "eng")
        made.sound(out, track, 0.2)
    return path


def cut(path: Path, share: float, **options: Any) -> Path:
    """A film that misses its end."""
    whole = made.film(path.with_name(f"whole{path.suffix}"), 60, (64, 64), **options)
    content = whole.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    return path


def changing(path: Path) -> Path:
    """A transport stream of two sizes one after another, as television sends them."""
    first = made.film(path.with_name("one.ts"), 5, (32, 32))
    second = made.film(path.with_name("two.ts"), 5, (48, 64))
    path.write_bytes(first.read_bytes() + second.read_bytes())
    return path


CASES = {
    "no video stream": (lambda f: sound_alone(f / "a.mp4"), "no video stream in it; expected a film"),
    "no index": (lambda f: cut(f / "a.mp4", 0.3), "cannot be decoded"),
    "cut off after its index": (
        lambda f: cut(f / "a.mp4", 0.7, movflags="faststart"),
        "cut off: it ends after 0:",
    ),
    "cut off Matroska": (lambda f: cut(f / "a.mkv", 0.6), "cut off: it ends after 0:"),
    "PQ": (lambda f: made.film(f / "a.mp4", colours=(9, 16, 9), pixels="yuv420p10le"), "high dynamic range (PQ, SMPTE ST 2084)"),
    "HLG": (lambda f: made.film(f / "a.mkv", colours=(9, 18, 9), pixels="yuv420p10le"), "high dynamic range (HLG, ARIB STD-B67)"),
    "a size that changes": (lambda f: changing(f / "a.ts"), "its frames change from 32 x 32 to 64 x 48 pixels at 0:"),
    "text": (lambda f: _write(f / "a.mp4", b"not a film at all\n" * 90), "not a video file"),
    "nothing": (lambda f: _write(f / "a.mkv", b""), "not a video file"),
    "subtitles that MP4 does not hold": (
        lambda f: made.film(f / "a.mkv", subtitles=True),
        "(srt subtitle) cannot be copied into .mp4; give a file ending in .mkv for --out",
    ),
}  # fmt: skip


def _write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("case", CASES)
def test_a_film_that_cannot_be_taken(
    upscaler: Path,
    tmp_path: Path,
    case: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    make, message = CASES[case]
    assert refused(upscaler, make(tmp_path)) == 2
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.startswith("error: ") and message in line
    assert not (tmp_path / "out.mp4").exists()


@pytest.mark.parametrize("kind", SPECIAL)
def test_what_is_no_regular_file(
    upscaler: Path,
    tmp_path: Path,
    kind: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    SPECIAL[kind](tmp_path / "a.mkv")
    assert refused(upscaler, tmp_path / "a.mkv") == 2
    assert "error: " in capsys.readouterr().err


def test_what_is_there_of_a_film_that_was_cut_off(upscaler: Path, tmp_path: Path) -> None:
    assert refused(upscaler, cut(tmp_path / "a.mkv", 0.6), "--to", "0:00.40") == 0
    assert len(made.facts(tmp_path / "out.mp4")["times"]) == 10


def test_parts_of_a_film_whose_size_changes(upscaler: Path, tmp_path: Path) -> None:
    assert refused(upscaler, changing(tmp_path / "a.ts"), "--to", "0.16") == 0
    assert made.facts(tmp_path / "out.mp4")["size"] == (64, 64)


def test_hdr_is_passed_through_on_request(upscaler: Path, tmp_path: Path) -> None:
    source = made.film(tmp_path / "a.mp4", 2, colours=(9, 16, 9), pixels="yuv420p10le")
    assert refused(upscaler, source, "--hdr") == 0
    after = made.facts(tmp_path / "out.mp4")
    assert after["colours"] == (9, 16, 9) and after["pixels"] == "yuv420p10le"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--from 2:00", "is 0:00.24 long; give an earlier time"),
        ("--from x", "--from x: expected a time, such as 5s, 1:20"),
        ("--from 0.1 --to 0.05", "--to 0.05: expected a time after 0:00.10"),
        ("--preview 1s --to 2", "expected one of them"),
        ("--codec x263", "expected h264, hevc, av1, vp9, ffv1"),
        ("--crf 60", "--crf 60: of h264 expected 0 (best) to 51"),
        ("--codec ffv1 --crf 3", "expected none: it is lossless"),
    ],
)
def test_options_that_make_no_sense(
    upscaler: Path,
    tmp_path: Path,
    words: str,
    message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert refused(upscaler, made.film(tmp_path / "a.mp4"), *words.split()) == 2
    assert message in capsys.readouterr().err and not (tmp_path / "out.mp4").exists()


def test_options_of_films_want_a_film(upscaler: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a").mkdir()
    from PIL import Image

    Image.fromarray(made.frame(0)).save(tmp_path / "a" / "0.png")
    assert upscale(upscaler, tmp_path / "a", "--out", tmp_path / "up", "--codec", "hevc") == 2
    assert "--codec is for films, and there is none" in capsys.readouterr().err


def test_bad_films_are_skipped_on_request(upscaler: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "in").mkdir()
    made.film(tmp_path / "in" / "good.mp4", 2)
    sound_alone(tmp_path / "in" / "bad.mp4")
    assert upscale(upscaler, tmp_path / "in", "--out", tmp_path / "up", "--skip-bad") == 0
    assert os.listdir(tmp_path / "up") == ["good.mp4"] and "no video stream" in capsys.readouterr().err


def test_a_film_of_others_is_not_replaced(upscaler: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, mine = made.film(tmp_path / "a.mp4", 2), made.film(tmp_path / "out.mp4", 3)
    before = mine.read_bytes()
    assert refused(upscaler, source) == 2
    assert "--overwrite" in capsys.readouterr().err and mine.read_bytes() == before
    assert refused(upscaler, source, "--overwrite") == 0
    assert refused(upscaler, source) == 0  # its own result


def test_an_animation_and_numbered_frames_are_films(
    upscaler: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from PIL import Image

    frames = [Image.fromarray(made.frame(15 * number)) for number in range(3)]
    for name in ("a.gif", "a.webp"):
        frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:], duration=[40, 80, 200], loop=0)
        assert refused(upscaler, tmp_path / name, out=f"{name}.mp4") == 0
        after = made.facts(tmp_path / f"{name}.mp4")
        assert after["times"] == [0, Fraction(1, 25), Fraction(3, 25)] and after["size"] == (64, 48)
    assert upscale(upscaler, tmp_path / "a.gif.mp4", "--out", tmp_path / "frames" / "%03d.png") == 0
    names = ["001.png", "002.png", "003.png"]
    assert sorted(os.listdir(tmp_path / "frames")) == names
    words = ["--fps", "30000/1001", "--out", tmp_path / "b.mkv"]
    assert upscale(upscaler, tmp_path / "frames", *words) == 0
    assert made.facts(tmp_path / "b.mkv")["size"] == (256, 192)
    assert upscale(upscaler, tmp_path / "frames", "--out", tmp_path / "c.mp4") == 2
    assert "give their rate, such as --fps 25" in capsys.readouterr().err
    (tmp_path / "frames" / "002.png").unlink()
    assert upscale(upscaler, tmp_path / "frames", "--fps", "25", "--out", tmp_path / "c.mp4") == 2
    assert "no frame between 001.png and 003.png" in capsys.readouterr().err


def test_the_colours_of_numbered_frames(tmp_path: Path) -> None:
    from PIL import Image

    (tmp_path / "in").mkdir()
    for number in range(2):
        Image.fromarray(made.frame(number)).save(tmp_path / "in" / f"f{number:02}.png")
    restore_film(lambda raster: raster, tmp_path / "in", tmp_path / "a.mp4", FilmOptions(fps=Fraction(25)))
    assert abs(made.colour(tmp_path / "a.mp4") - made.COLOUR).max() <= 2
    assert made.facts(tmp_path / "a.mp4")["times"] == [0, Fraction(1, 25)]


@pytest.mark.slow
def test_memory_does_not_grow_with_the_length(tmp_path: Path) -> None:
    """An hour of small frames takes at most little more memory than a minute."""
    from tests import tiny

    code = (
        "import resource, sys\nfrom pathlib import Path\nfrom multigen.video import films\n"
        "films.restore_film(lambda r: r, Path(sys.argv[1]), Path(sys.argv[2]), films.FilmOptions())\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)\n"
    )
    peaks = []
    for count in (250, 9_000):  # of .4 s each: an hour
        source = made.film(tmp_path / f"{count}.mp4", count, (64, 64), steps=[36_000], sounds=1, seconds=60)
        done = tiny.python("-c", code, source, tmp_path / f"out{count}.mp4", cwd=tmp_path, env=tiny.environment())
        assert done.returncode == 0, done.stderr
        peaks.append(int(done.stdout) / 1024)
    assert peaks[1] < peaks[0] + 60  # MiB
