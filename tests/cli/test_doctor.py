"""The command `multigen doctor`: what it finds, and what it says of what is missing."""

import importlib.metadata
import json
import sys
import tomllib
from pathlib import Path

import pytest
import torch
from packaging.requirements import Requirement

from multigen.cli import doctor
from tests import tiny

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def _place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MULTIGEN_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("MULTIGEN_DATA", raising=False)
    monkeypatch.setattr(doctor, "LITTLE", 0)


@pytest.fixture
def without(monkeypatch: pytest.MonkeyPatch):
    """Makes a package look as if it were not installed."""

    def hide(name: str) -> None:
        version = importlib.metadata.version

        def faked(asked: str) -> str:
            if asked == name:
                raise importlib.metadata.PackageNotFoundError(asked)
            return version(asked)

        monkeypatch.setattr(doctor.metadata, "version", faked)

    return hide


def found() -> dict[str, doctor.Check]:
    return {check.name: check for check in doctor.checks()}


def test_a_sound_installation(capsys: pytest.CaptureFixture[str]) -> None:
    assert tiny.multigen(["doctor"]) == 0
    printed = capsys.readouterr().out
    assert printed.endswith("\nall is well\n")
    assert f"\ntorch              {torch.__version__.partition('+')[0]}" in printed
    assert "precision" in printed and "gloo" in printed and "writes wav, flac, ogg, mp3" in printed


def test_json_alone_is_on_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    assert tiny.multigen(["doctor", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["problems"] == 0
    assert {"multigen", "python", "cpu", "cuda", "cache"} <= {check["name"] for check in printed["checks"]}


def test_extras_are_described_as_the_project_declares_them() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert doctor.EXTRAS.keys() == project["optional-dependencies"].keys() - doctor.FOR_DEVELOPERS


def test_extras_are_read_from_the_installed_package(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = ["torch>=2", "odd; python_version < '3'", "a>=1; extra == 'x'", "b; extra == 'x'", "c; extra == 'dev'"]
    monkeypatch.setattr(doctor.metadata, "requires", lambda name: lines)
    monkeypatch.setattr(doctor.metadata, "metadata", lambda name: _Extras())
    assert doctor.extras() == (["torch>=2"], {"x": ["a>=1", "b"]})


class _Extras:
    def get_all(self, key: str) -> list[str]:
        assert key == "Provides-Extra"
        return ["x", "dev"]


def test_a_missing_extra_is_told_with_its_remedy_but_is_no_problem(without, monkeypatch: pytest.MonkeyPatch) -> None:
    without("pesq")
    monkeypatch.setattr(doctor, "extras", lambda: ([], {"speech": ["pesq", "pystoi"]}))
    check = found()["extra speech"]
    assert check.text == "missing: pip install 'multigen[speech]' (PESQ and STOI of speech)" and not check.problem


@pytest.mark.parametrize(
    ("line", "text"),
    [("nltk", "nltk is not installed: pip install 'nltk'"), ("numpy<1", "expected <1: pip install 'numpy<1'")],
)
def test_a_core_package_that_is_missing_or_of_another_version_is_exit_code_1(
    line: str, text: str, without, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    without("nltk")
    monkeypatch.setattr(doctor, "extras", lambda: (["torch", line], {}))
    assert tiny.multigen(["doctor"]) == 1
    printed = capsys.readouterr().out
    assert text in printed and printed.endswith("\n1 problem: core packages\n")


def test_torchvision_that_does_not_fit_torch(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(name: str):
        if name == "torchvision":
            raise RuntimeError("operator torchvision::nms does not exist")

    monkeypatch.setattr(doctor, "import_module", refuse)
    assert tiny.multigen(["doctor"]) == 1
    assert "problem: torchvision" in capsys.readouterr().out
    check = found()["torchvision"]
    assert (
        check.core
        and "nms does not exist" in check.problem
        and "pip install --force-reinstall torchvision" in check.problem
    )


def test_folders_that_are_not_there_or_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MULTIGEN_DATA", str(tmp_path / "nowhere"))
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("MULTIGEN_CACHE", str(tmp_path / "file" / "cache"))
    monkeypatch.setattr(doctor, "LITTLE", 1 << 80)
    assert tiny.multigen(["doctor"]) == 0  # nothing that the core needs
    printed = capsys.readouterr().out
    assert printed.endswith("\n4 problems: MULTIGEN_DATA, cache, disk here, disk of cache\n")
    assert "no such folder" in printed and "MULTIGEN_CACHE" in printed and "make room" in printed


def test_the_cache_is_measured(tmp_path: Path) -> None:
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "a").write_bytes(bytes(3_000_000))
    assert found()["cache"].text == f"{tmp_path / 'cache'}, 1 files, 3 MB"
    assert "not here" in found()["inception"].text
    (tmp_path / "cache" / "weights-inception-2015-12-05-6726825d.pth").write_bytes(b"")
    assert found()["inception"].text.endswith(".pth")


def test_sound_formats(monkeypatch: pytest.MonkeyPatch) -> None:
    import soundfile

    monkeypatch.setattr(soundfile, "available_formats", lambda: {"WAV": "", "FLAC": "", "OGG": ""})
    check = found()["sound files"]
    assert "no MP3" in check.problem and check.text.endswith("writes wav, flac, ogg")


def test_no_ffmpeg(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    assert found()["ffmpeg"] == doctor.Check("ffmpeg", "none; the extra video brings it")


def test_sources_that_are_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(doctor.metadata, "requires", absent)
    assert doctor.extras() == ([], {})
    assert "pip install ." in found()["packages"].problem


def test_every_extra_has_packages() -> None:
    _, extra = doctor.extras()
    assert extra and all(Requirement(line).name for lines in extra.values() for line in lines)
