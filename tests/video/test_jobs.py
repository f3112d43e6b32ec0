"""A job on a film that is killed at any moment continues, and ends with the same frames."""

import errno
import json
import os
import signal
import subprocess
import sys
import time
import zlib
from fractions import Fraction
from pathlib import Path

import pytest

from multigen.console import exit_code
from multigen.errors import ConfigError, DataError, Interrupted
from multigen.image.decoding import Raster
from multigen.storage.lock import locked
from multigen.video import films
from multigen.video.films import FilmOptions, restore_film
from tests.video import made

pytest.importorskip("av")


@pytest.fixture(autouse=True)
def short_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(films, "PART", 5)


@pytest.fixture(scope="session")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made.film(tmp_path_factory.mktemp("film") / "a.mp4", 17, size=(64, 96), steps=made.STEPS, sounds=1)


def same(raster: Raster) -> Raster:
    return raster


class StopsAt:
    """The model that leaves frames as they are, until frame `number`, where it raises `error`;
    counts frames."""

    def __init__(self, number: int, error: BaseException | None = None):
        self.number, self.error, self.count = number, error, 0

    def __call__(self, raster: Raster) -> Raster:
        self.count += 1
        if self.count == self.number and self.error:
            raise self.error
        return raster


def content(path: Path) -> object:
    import av

    with av.open(str(path)) as given:
        return [(frame.pts, zlib.crc32(frame.to_ndarray().tobytes())) for frame in given.decode(video=0)]


@pytest.mark.parametrize("number", [1, 5, 6, 13, 17])
def test_a_stopped_job_continues_and_ends_with_the_same_frames(film: Path, tmp_path: Path, number: int) -> None:
    restore_film(same, film, tmp_path / "whole.mp4", FilmOptions())
    with pytest.raises(RuntimeError):
        restore_film(StopsAt(number, RuntimeError()), film, tmp_path / "b.mp4", FilmOptions())
    finished = (number - 1) // 5 * 5
    assert (tmp_path / "b.mp4.parts").is_dir() and not (tmp_path / "b.mp4").exists()
    rest = StopsAt(0)
    assert restore_film(rest, film, tmp_path / "b.mp4", FilmOptions()) == 17
    assert rest.count == 17 - finished and not (tmp_path / "b.mp4.parts").exists()
    # Not the bytes: x264 does not always store the same frames in the same bytes.
    assert content(tmp_path / "b.mp4") == content(tmp_path / "whole.mp4")


def test_a_signal_says_what_is_finished(film: Path, tmp_path: Path) -> None:
    with pytest.raises(Interrupted, match="10 of 17 frames are finished, and the same command continues"):
        restore_film(StopsAt(12, KeyboardInterrupt()), film, tmp_path / "b.mp4", FilmOptions())


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [0.0, 0.2, 0.5])
def test_a_killed_process_continues(film: Path, tmp_path: Path, seconds: float) -> None:
    code = (
        "import sys, time\nfrom pathlib import Path\nfrom multigen.video import films\nfilms.PART = 5\n"
        "def slow(raster):\n    time.sleep(.05)\n    return raster\n"
        "films.restore_film(slow, Path(sys.argv[1]), Path(sys.argv[2]), films.FilmOptions())\n"
    )
    out = tmp_path / "b.mp4"
    process = subprocess.Popen([sys.executable, "-c", code, film, out], stderr=subprocess.DEVNULL)
    while process.poll() is None and not (tmp_path / "b.mp4.parts" / "00000.mp4").exists():
        time.sleep(0.01)
    time.sleep(seconds)
    process.kill()
    process.wait()
    assert restore_film(same, film, out, FilmOptions()) == 17
    restore_film(same, film, tmp_path / "whole.mp4", FilmOptions())
    assert content(out) == content(tmp_path / "whole.mp4")


def test_a_damaged_part_is_made_again(film: Path, tmp_path: Path) -> None:
    with pytest.raises(RuntimeError):
        restore_film(StopsAt(16, RuntimeError()), film, tmp_path / "b.mp4", FilmOptions())
    (tmp_path / "b.mp4.parts" / "00001.mp4").write_bytes(b"cut off")
    rest = StopsAt(0)
    assert restore_film(rest, film, tmp_path / "b.mp4", FilmOptions()) == 17
    assert rest.count == 12


@pytest.mark.parametrize(
    ("changed", "named"),
    [({"model": "other"}, "model"), ({"options": FilmOptions(crf=30)}, "settings"), ({"source": True}, "source")],
)
def test_a_job_on_something_else_is_not_continued(film: Path, tmp_path: Path, changed: dict, named: str) -> None:
    out = tmp_path / "b.mp4"
    with pytest.raises(RuntimeError):
        restore_film(StopsAt(8, RuntimeError()), film, out, FilmOptions(), "model")
    source = made.film(tmp_path / "c.mp4", 7) if "source" in changed else film
    options, model = changed.get("options", FilmOptions()), changed.get("model", "model")
    with pytest.raises(DataError, match=f"another {named}; give those again to continue it, --overwrite to start over"):
        restore_film(same, source, out, options, model)
    options = FilmOptions(crf=options.crf, overwrite=True)
    assert restore_film(same, source, out, options, model) == (7 if "source" in changed else 17)


def test_files_of_others_in_the_folder_stay(film: Path, tmp_path: Path) -> None:
    folder = tmp_path / "b.mp4.parts"
    folder.mkdir()
    (folder / "mine.txt").write_text("mine")
    with pytest.raises(DataError, match=r"mine\.txt in it was not written by multigen"):
        restore_film(same, film, tmp_path / "b.mp4", FilmOptions())
    assert (folder / "mine.txt").read_text() == "mine"


def test_one_process_at_a_time_works_at_a_film(film: Path, tmp_path: Path) -> None:
    folder = tmp_path / "b.mp4.parts"
    folder.mkdir()
    with locked(folder), pytest.raises(ConfigError, match=f"in use by process {os.getpid()}"):
        restore_film(same, film, tmp_path / "b.mp4", FilmOptions())


def test_on_a_full_disk_what_is_finished_stays(film: Path, tmp_path: Path) -> None:
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    with pytest.raises(DataError, match=r"No space left on device.*free space there: 5 of 17 frames are finished"):
        restore_film(StopsAt(7, full), film, tmp_path / "b.mp4", FilmOptions())
    rest = StopsAt(0)
    assert restore_film(rest, film, tmp_path / "b.mp4", FilmOptions()) == 17
    assert rest.count == 12


@pytest.mark.skipif(sys.platform != "linux", reason="limits the size of files")
def test_a_disk_that_fills_while_a_part_is_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With a limit on the size of files in place of a small disk."""
    import resource

    source = made.film(tmp_path / "a.mp4", 12, (96, 128))
    ignored, limits = signal.signal(signal.SIGXFSZ, signal.SIG_IGN), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, limits[1]))
    try:
        assert exit_code(lambda: restore_film(same, source, tmp_path / "b.mp4", FilmOptions())) == 2
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, ignored)
    assert "b.mp4 cannot be written (File too large); free space there" in capsys.readouterr().err
    assert not (tmp_path / "b.mp4").exists()
    assert restore_film(same, source, tmp_path / "b.mp4", FilmOptions()) == 12


def test_the_manifest(film: Path, tmp_path: Path) -> None:
    with pytest.raises(RuntimeError):
        restore_film(StopsAt(8, RuntimeError()), film, tmp_path / "b.mp4", FilmOptions(start=Fraction("0.04")), "model")
    about = json.loads((tmp_path / "b.mp4.parts" / "job.json").read_text())
    assert about["model"] == "model" and about["settings"]["start"] == "1/25" and len(about["source"]) == 16
    part = json.loads((tmp_path / "b.mp4.parts" / "00000.json").read_text())
    assert part["frames"] == 5 and part["start"] == 7003  # the frames at 0 and at 3003 are before
