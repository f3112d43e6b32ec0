"""The command `multigen doctor`: what it finds, and what it says of what is missing."""

import importlib.metadata
import json
import re
import tomllib
from pathlib import Path

import pytest
import torch

from multigen.cli import doctor
from multigen.console import counted
from tests import tiny

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def _place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MULTIGEN_CACHE", str(tmp_path / "cache"))


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
    assert printed.endswith("\nno problems\n")
    assert re.search(rf"^torch +{re.escape(torch.__version__.partition('+')[0])}$", printed, re.MULTILINE)
    assert "precision" in printed and counted(torch.get_num_threads(), "threads") in printed


def test_json_alone_is_on_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    assert tiny.multigen(["doctor", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["problems"] == 0
    assert {"multigen", "python", "cpu", "cuda", "cache"} <= {check["name"] for check in printed["checks"]}


def test_extras_are_described_as_the_project_declares_them() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert doctor.EXTRAS.keys() == project["optional-dependencies"].keys() - doctor.FOR_DEVELOPERS


def test_extras_are_read_from_the_installed_package(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = ["torch<2.15,>=2.11", "a-b>=1; extra == 'x'", 'b ; extra == "x"', "multigen[x]; extra == 'dev'"]
    monkeypatch.setattr(doctor.metadata, "requires", lambda name: lines)
    assert doctor.extras() == {"": ["torch"], "x": ["a-b", "b"]}


def test_a_missing_extra_has_its_remedy_and_is_no_problem(without, monkeypatch: pytest.MonkeyPatch) -> None:
    without("pesq")
    monkeypatch.setattr(doctor, "extras", lambda: {"": [], "speech": ["pesq", "pystoi"]})
    check = found()["extra speech"]
    assert check.text == f"missing: pip install 'multigen[speech]' ({doctor.EXTRAS['speech']})" and not check.problem


def test_a_core_package_that_is_missing_is_exit_code_1(
    without, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    without("pillow")
    monkeypatch.setattr(doctor, "extras", lambda: {"": ["torch", "pillow"]})
    assert tiny.multigen(["doctor"]) == 1
    printed = capsys.readouterr().out
    assert "not installed: pip install pillow" in printed and printed.endswith("\n1 problem: core packages\n")
    assert "cache" not in found()  # what finds it may need the package


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
        and "pip install --force-reinstall torch torchvision" in check.problem
    )


def test_a_cache_that_cannot_be_written_is_no_reason_to_fail(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("MULTIGEN_CACHE", str(tmp_path / "file" / "cache"))
    assert tiny.multigen(["doctor"]) == 0  # nothing that the core needs
    printed = capsys.readouterr().out
    assert printed.endswith("\n1 problem: cache\n")
    assert "MULTIGEN_CACHE" in printed


def test_the_cache_is_measured(tmp_path: Path) -> None:
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "a").write_bytes(bytes(3_000_000))
    assert found()["cache"].text == f"{tmp_path / 'cache'}, 3 MB"


def test_sources_that_are_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(doctor.metadata, "requires", absent)
    assert doctor.extras() == {}
    assert "pip install ." in found()["packages"].problem


def test_the_installed_package_states_its_extras() -> None:
    by_extra = doctor.extras()
    assert "torch" in by_extra[""] and all(by_extra.values()) and not by_extra.keys() & doctor.FOR_DEVELOPERS
