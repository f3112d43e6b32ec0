"""What the files of films say of their making: XMP, as IPTC's digital source type, beside the
comment."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from multigen.image.decoding import Raster
from multigen.storage.provenance import ENLARGED, SAMPLE, mark_mp4, read, source_type, xmp
from multigen.video.films import FilmOptions, restore_film
from tests import tiny
from tests.video import made
from tests.video.test_round_trip import upscale

av = pytest.importorskip("av")
ABOUT = {"software": "multigen 1", "model": "a"}


def same(raster: Raster) -> Raster:
    return raster


def xmp_of(path: Path) -> bytes:
    """The packet that ffmpeg finds."""
    with av.open(str(path), options={"export_xmp": "1"}) as file:
        assert sum(1 for _ in file.decode(video=0)) == 3
        return file.metadata.get("xmp", "").encode()


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".m4v", ".mkv"])
def test_a_film_is_marked_where_its_format_holds_xmp(suffix: str, tmp_path: Path) -> None:
    out = tmp_path / f"b{suffix}"
    restore_film(same, made.film(tmp_path / "a.mp4", 3), out, FilmOptions(), about=ABOUT)
    packet = xmp_of(out)
    assert source_type(packet) == ("" if suffix == ".mkv" else ENLARGED)
    assert made.facts(out)["metadata"]["comment" if suffix != ".mkv" else "COMMENT"].startswith('{"software"')


@pytest.mark.parametrize("before", [SAMPLE, ENLARGED])
def test_what_the_source_says_is_kept(before: str, tmp_path: Path) -> None:
    source = made.film(tmp_path / "a.mp4", 3)
    mark_mp4(source, xmp(before).replace(b"</rdf:RDF>", b'<rdf:Description dc:creator="Ann" xmlns:dc="d"/></rdf:RDF>'))
    for options, about in ((FilmOptions(), ABOUT), (FilmOptions(), {}), (FilmOptions(metadata=False), ABOUT)):
        restore_film(same, source, tmp_path / "b.mp4", options, about=about)
        packet = xmp_of(tmp_path / "b.mp4")
        assert source_type(packet) == before and (b"Ann" in packet) == options.metadata
        assert packet.count(b"DigitalSourceType") == 1 and "xmp" not in made.facts(tmp_path / "b.mp4")["metadata"]


def test_without_provenance_there_is_no_mark(upscaler: Path, tmp_path: Path) -> None:
    source = made.film(tmp_path / "a.mp4", 3)
    assert upscale(upscaler, source, "--out", tmp_path / "b.mp4", "--no-provenance") == 0
    assert xmp_of(tmp_path / "b.mp4") == b""
    assert upscale(upscaler, source, "--out", tmp_path / "c.mp4") == 0
    assert source_type(xmp_of(tmp_path / "c.mp4")) == ENLARGED


def test_numbered_frames_are_marked_each(tmp_path: Path) -> None:
    source = made.film(tmp_path / "a.mp4", 3)
    mark_mp4(source, xmp(SAMPLE))
    restore_film(same, source, tmp_path / "%d.png", FilmOptions(), about=ABOUT)
    for number in (1, 2, 3):
        assert read(tmp_path / f"{number}.png") == ABOUT
        with Image.open(tmp_path / f"{number}.png") as image:
            assert source_type(image.info["xmp"]) == SAMPLE


def test_a_made_animation_stays_marked_as_made(tmp_path: Path) -> None:
    images = [Image.fromarray(np.full((16, 16, 3), value, np.uint8)) for value in (0, 90, 200)]
    images[0].save(tmp_path / "a.webp", save_all=True, append_images=images[1:], duration=40, xmp=xmp(SAMPLE))
    restore_film(same, tmp_path / "a.webp", tmp_path / "b.mp4", FilmOptions(), about=ABOUT)
    assert source_type(xmp_of(tmp_path / "b.mp4")) == SAMPLE


def test_existing_frames_are_skipped_or_an_error(
    upscaler: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Numbered frames are one result; those of a job that was stopped are none yet."""
    source, out = made.film(tmp_path / "a.mp4", 3), tmp_path / "frames" / "%03d.png"
    words = [source, "--out", out]
    assert upscale(upscaler, *words, "--existing", "error") == 0
    before = {path.name: path.stat().st_mtime_ns for path in out.parent.iterdir()}
    capsys.readouterr()
    assert upscale(upscaler, *words, "--existing", "skip") == 0
    assert "0 films x2" in (message := capsys.readouterr().out) and "1 there already" in message
    assert {path.name: path.stat().st_mtime_ns for path in out.parent.iterdir()} == before
    assert upscale(upscaler, *words, "--existing", "error") == 2
    assert "001.png and 2 more files exist; give" in capsys.readouterr().err
    job = out.with_name(f"{out.name}.parts")
    job.mkdir()
    (job / "job.json").write_text("{}")
    (out.parent / "002.png").unlink()
    assert upscale(upscaler, *words, "--existing", "skip") == 0
    assert (out.parent / "002.png").is_file() and not job.exists()


def test_an_animation_of_samples_is_marked(tmp_path: Path) -> None:
    from multigen.image.synthesis import gan
    from multigen.image.synthesis.base import ImageInfo

    model = tiny.untrained(tmp_path / "gan", gan.GANTrainer(gan.GANConfig(size=8)), ImageInfo(channels=1))
    words = ["interpolate", "--model", model, "-n", "1", "--frames", "3", "--out", tmp_path / "walk.mp4"]
    assert tiny.multigen(words) == 0
    assert source_type(xmp_of(tmp_path / "walk.mp4")) == SAMPLE
