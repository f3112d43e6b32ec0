"""The `multigen` command: its help, and `upscale`."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import multigen
from tests import tiny
from tests.tiny import pixels, python


@pytest.mark.parametrize("words", [["--help"], ["-h"], []])
def test_help_names_every_verb(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert tiny.multigen(words) == 0
    printed = capsys.readouterr().out
    assert all(f"\n  {verb} " in printed for verb in ("bench", "upscale"))


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert tiny.multigen(["--version"]) == 0
    assert capsys.readouterr().out == f"{multigen.__version__}\n"


@pytest.mark.parametrize("words", [["--help"], ["bench", "--help"], ["upscale", "--help"]])
def test_help_is_quick_since_torch_is_not_imported(tmp_path: Path, words: list[str]) -> None:
    done = python("-X", "importtime", "-m", "multigen", *words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "usage: multigen" in done.stdout
    imported = {line.split("|")[-1].strip() for line in done.stderr.splitlines() if "|" in line}
    assert "multigen.cli" in imported
    assert imported.isdisjoint({"torch", "numpy", "PIL", "multigen.engine"})


@pytest.mark.parametrize(
    ("words", "deaf"),
    [(["--version"], "stdout"), (["evaluate", "--help"], "stdout"), (["no-verb"], "stderr")],
    ids=["held until the end", "written at once", "an error"],
)
def test_a_reader_that_has_gone_is_no_traceback(words: list[str], deaf: str, tmp_path: Path) -> None:
    read, write = os.pipe()
    os.close(read)
    streams: dict[str, int] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, deaf: write}
    done = subprocess.run([sys.executable, "-m", "multigen", *words], cwd=tmp_path, **streams)  # pyright: ignore
    os.close(write)
    assert done.returncode == 141 and not done.stdout and not done.stderr


def test_upscale_takes_files_and_folders_and_keeps_what_is_clear(
    srgan_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "album" / "deep").mkdir(parents=True)
    rgba = np.dstack([pixels(20, 26), pixels(20, 26, seed=1)[..., 0]])
    Image.fromarray(rgba).save(tmp_path / "album" / "deep" / "clear.png")
    Image.fromarray(pixels(18, 22)).save(tmp_path / "album" / "grey.tif")
    Image.fromarray(pixels(30, 24)).save(tmp_path / "one.jpg")
    (tmp_path / "album" / "notes.txt").write_text("no image, and not taken for one")

    words = ["upscale", tmp_path / "one.jpg", tmp_path / "album", "--model", srgan_run, "--out", tmp_path / "up"]
    assert tiny.multigen([*words, "--tile", "16"]) == 0
    printed = capsys.readouterr()
    assert printed.out == f"3 images x4 in {tmp_path / 'up'}\n"
    assert printed.err == f"{tmp_path / 'album'}: 1 other file ignored: .txt\n"
    results = sorted(p.relative_to(tmp_path / "up").as_posix() for p in (tmp_path / "up").rglob("*") if p.is_file())
    assert results == ["deep/clear.png", "grey.png", "one.png"]
    model = multigen.load(str(srgan_run))
    for result, source in (("deep/clear.png", "album/deep/clear.png"), ("one.png", "one.jpg")):
        with Image.open(tmp_path / "up" / result) as ours, Image.open(tmp_path / source) as given:
            expected = model.upscale(given)
            assert ours.mode == expected.mode and ours.size == expected.size == (given.width * 4, given.height * 4)
            assert np.abs(np.asarray(ours, int) - np.asarray(expected, int)).max() <= 1  # other tiles


def test_upscale_goes_on_without_bad_pictures_and_counts_them(
    srgan_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "in").mkdir()
    Image.fromarray(pixels(20, 26)).save(tmp_path / "in" / "a.png")
    for name in ("b.png", "c.jpg"):
        (tmp_path / "in" / name).write_bytes(b"no image")
    words = ["upscale", tmp_path / "in", "--model", srgan_run, "--out", tmp_path / "up"]
    assert tiny.multigen([*words, "--skip-bad"]) == 0
    assert "1 image x4" in (printed := capsys.readouterr().out) and "2 skipped" in printed
    assert [p.name for p in (tmp_path / "up").iterdir()] == ["a.png"]


def test_upscale_takes_the_newest_of_a_folder_of_runs(
    srgan_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Image.fromarray(pixels(20, 26)).save(tmp_path / "a.png")
    assert tiny.multigen(["upscale", tmp_path / "a.png", "--model", srgan_run.parent, "--out", tmp_path / "up"]) == 0
    assert capsys.readouterr().err == f"using the newest run: {srgan_run}\n"
    with Image.open(tmp_path / "up" / "a.png") as ours:
        planes = torch.from_numpy(np.array(ours)).permute(2, 0, 1)
    given = torch.from_numpy(pixels(20, 26)).permute(2, 0, 1)
    assert torch.equal(planes, multigen.load(str(srgan_run)).upscale(given))
