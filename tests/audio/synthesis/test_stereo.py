"""Two channels: trained, measured by their mean, written, loaded, exported; and longer pieces than
a window."""

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

import multigen
from multigen.audio.datasets import open_sounds
from multigen.audio.files import read_info, read_sound, write_sound
from multigen.audio.recordings import mixed
from multigen.audio.synthesis.base import AudioSynthesisTrainer
from multigen.engine import Run
from multigen.errors import ConfigError
from tests import tiny
from tests.audio.recordings import RATE, sine
from tests.audio.toys import specgan, wavegan
from tests.cases import few

METHODS = {"wavegan": wavegan, "specgan": specgan}


@pytest.fixture(scope="module")
def stereo_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 recordings of a tone that is louder on the left, of another pitch on the right, the last
    of them mono."""
    folder = tmp_path_factory.mktemp("stereo")
    for i in range(24):
        sound = torch.stack([sine(4096, 300.0 + 20 * i), sine(4096, 600.0 + 20 * i, 0.1)])
        write_sound(folder / f"{i:02d}.wav", sound[: 1 if i == 23 else 2], RATE)
    return folder


@pytest.fixture(scope="module", params=few(METHODS, "wavegan"))
def run(request: pytest.FixtureRequest, stereo_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp(request.param)
    trainer = METHODS[request.param](place, stereo_folder, channels=2, samples=8, validation_size=2)
    trainer.fit().evaluate()
    return place / "run"


def test_channels_are_copied_mixed_and_reported(stereo_folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    stereo = open_sounds(str(stereo_folder), RATE, 4096, channels=2)
    assert stereo.items.shape == (24, 2, 4096)
    assert "1 recording of 1 channel copied to two" in capfd.readouterr().err
    assert torch.equal(stereo.items[23, 0], stereo.items[23, 1])
    assert torch.equal(stereo.items[3], read_sound(stereo_folder / "03.wav", mono=False)[0])
    mono = open_sounds(str(stereo_folder), RATE, 4096)
    assert "23 recordings of 2 channels averaged to one" in capfd.readouterr().err
    torch.testing.assert_close(mono.items, stereo.items.mean(1, keepdim=True))
    surround = torch.arange(12.0).view(4, 3)
    assert torch.equal(mixed(surround, 2), torch.stack([surround[[0, 2, 3]].mean(0), surround[[1, 2, 3]].mean(0)]))
    with pytest.raises(ConfigError, match=r"channels 3: .* 1 or 2"):
        open_sounds(str(stereo_folder), RATE, 4096, channels=3)


def test_stereo_is_trained_measured_and_written(run: Path, tmp_path: Path) -> None:
    model = multigen.load(str(run))
    sounds: Any = model.sample(3, seed=1)
    assert sounds.shape[:2] == (3, 2) and not torch.equal(sounds[:, 0], sounds[:, 1])
    assert tiny.multigen(["sample", "--model", run, "-n", "3", "--seed", "1", "--out", tmp_path / "out"]) == 0
    torch.testing.assert_close(read_sound(tmp_path / "out" / "0002.wav", mono=False)[0], sounds[2], rtol=0, atol=2**-15)
    for name in ("nearest.wav", "samples.wav"):
        assert read_info(run / name).channels == 2
    message = json.loads((run / "evaluation.json").read_text())["definitions"]
    assert any("by the mean of their two channels" in text for text in message.values())
    shutil.copytree(run, tmp_path / "again")
    assert tiny.multigen(["compare", run, tmp_path / "again", "--out", tmp_path / "both"]) == 0
    assert tiny.multigen(["evaluate", "--real", tmp_path / "out", "--fake", tmp_path / "out", "--length", "512"]) in (
        0,
        2,
    )


def test_a_model_without_channels_is_mono(drum_folder: Path, tmp_path: Path) -> None:
    wavegan(tmp_path, drum_folder, channels=1).fit()
    for path in (tmp_path / "run" / "model" / "config.json", tmp_path / "run" / "config.toml"):
        text = path.read_text()
        path.write_text("\n".join(line for line in text.splitlines() if "channels" not in line))
        assert path.read_text() != text
    model: Any = multigen.load(str(tmp_path / "run"))
    assert model.sample(1).shape == (1, 1, 1024)
    resumed = wavegan(tmp_path, drum_folder)
    resumed.run = replace(resumed.run, resume=str(tmp_path / "run"), out="")
    resumed.fit()


# ---------------------------------------------------------------------------------------------------- longer pieces


def test_pieces_are_as_long_as_asked_and_follow_from_the_seed(run: Path, tmp_path: Path) -> None:
    words = ["sample", "--model", run, "-n", "2", "--seconds", "3.3"]
    for name, seed in (("a", "1"), ("b", "1"), ("c", "2")):
        assert tiny.multigen([*words, "--seed", seed, "--out", tmp_path / name]) == 0
    assert sorted(p.name for p in (tmp_path / "a").iterdir()) == ["0000.wav", "0001.wav"]
    one, rate = read_sound(tmp_path / "a" / "0000.wav", mono=False)
    assert (one.shape, rate) == ((2, round(3.3 * RATE)), RATE)
    assert (tmp_path / "a" / "0001.wav").read_bytes() == (tmp_path / "b" / "0001.wav").read_bytes()
    others = [read_sound(tmp_path / name / "0000.wav", mono=False)[0] for name in ("c",)]
    others.append(read_sound(tmp_path / "a" / "0001.wav", mono=False)[0])
    assert not any(torch.equal(one, other) for other in others)
    with soundfile.SoundFile(tmp_path / "a" / "0000.wav") as file:
        assert json.loads(file.comment)["seconds"] == 3.3
    model: Any = multigen.load(str(run))
    joined = torch.cat(list(model.piece(3.3, seed=1)), 1)
    torch.testing.assert_close(one, joined, rtol=0, atol=2**-15)


def test_windows_of_noise_keep_their_power_where_they_meet(run: Path) -> None:
    model: Any = multigen.load(str(run))
    noise = torch.randn(400, 2, 1024, generator=torch.Generator().manual_seed(0)) / 10
    model._generate = lambda z, labels: noise[: len(z)].clone()
    sound = torch.cat(list(model.piece(20, seed=0)), 1)
    level = 100 * sound[0].unfold(0, 256, 256).square().mean(1)
    assert level[4:-4].mean() == pytest.approx(1, abs=0.05) and np.abs(level[4:-4].numpy() - 1).max() < 0.5


def test_pieces_that_cannot_be_made_are_one_line(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for seconds, message in (
        ("0", "seconds 0: expected"),
        ("nan", "seconds nan: expected"),
        ("1e12", "take .* at least, and"),
    ):
        assert tiny.multigen(["sample", "--model", run, "--seconds", seconds, "--out", tmp_path / "out"]) == 2
        lines = capsys.readouterr().err.strip().splitlines()
        assert len(lines) == 1 and re.search(message, lines[0])
    assert not (tmp_path / "out").exists()


def test_images_have_no_seconds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from tests.cli.test_sample import GREY, model

    picture = model(tmp_path / "run", GREY)
    assert tiny.multigen(["sample", "--model", picture, "--seconds", "3", "--out", tmp_path / "out"]) == 2
    assert "--seconds 3: images have no length" in capsys.readouterr().err


def test_stereo_of_the_drum_machine() -> None:
    config = replace(wavegan(Path(), Path()).config, data="drums", channels=2)
    assert AudioSynthesisTrainer(config, Run()).open_items("drums", "test", "", None).items.shape == (1000, 2, 1024)
