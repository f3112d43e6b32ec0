"""Using a trained generator of sounds: tensors, files, what is shown; `multigen sample`."""

import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

import multigen
from multigen.audio import WaveGANConfig
from multigen.audio.drums import drum
from multigen.audio.files import read_sound, write_sound
from multigen.audio.plots import draw
from multigen.audio.synthesis import wavegan
from multigen.audio.synthesis.base import AudioSynthesisTrainer
from multigen.audio.synthesis.sampler import AudioSampler, joined
from multigen.errors import DataError
from multigen.tasks.synthesis.settings import SynthesisInfo
from tests import tiny

PLAIN = WaveGANConfig(length=1024, latent=4, width=2, labels="none")
CLASSES = replace(PLAIN, labels="", conditional=True)


def model(folder: Path, config: WaveGANConfig) -> Path:
    """A run's folder that holds a model of untrained weights."""
    info = SynthesisInfo(classes=("kick", "snare") if config.conditional else ())
    return tiny.untrained(folder, wavegan.WaveGANTrainer(config), info, {"README.md": "a card"})


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as picture:
        assert picture.mode == "L"
        return np.asarray(picture)


class Echo(nn.Module):
    """z (B, 64) as a sound (B, 1, 64), some of it beyond -1..1."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1, dtype=torch.float64))

    def forward(self, z: Tensor, label: Tensor | None = None) -> Tensor:
        return z[:, None]


# ---------------------------------------------------------------------------------------------------- tensors


def test_samples_are_clamped_and_begin_with_those_of_a_smaller_number() -> None:
    sampler = AudioSampler(Echo(), 64, batch=4)
    result = sampler.sample(9, seed=2)
    assert result.shape == (9, 1, 64) and result.dtype == torch.float32
    assert result.abs().max() == 1
    assert torch.equal(result, sampler.latents(9, seed=2)[:, None].clamp(-1, 1))
    assert torch.equal(sampler.sample(3, seed=2), result[:3])


def test_sounds_are_joined_with_a_tenth_of_a_second_between() -> None:
    sounds = torch.rand(3, 2, 50) + 1
    result = joined(sounds, 100)
    assert result.shape == (2, 3 * 60)
    for i, sound in enumerate(sounds):
        assert torch.equal(result[:, 60 * i : 60 * i + 50], sound)
        assert result[:, 60 * i + 50 : 60 * i + 60].abs().max() == 0


def test_a_picture_shows_the_waveform_above_the_spectrogram() -> None:
    time = torch.arange(4000) / 8000
    low, high = ((2 * np.pi * f * time).sin()[None] for f in (200.0, 3000.0))
    half = torch.cat([torch.zeros(2000), torch.ones(2000) / 2])[None]
    sheet = np.asarray(draw(torch.stack([low, high, half]), 8000, columns=3))
    assert sheet.shape == (96, 3 * 166 - 6) and (sheet[:, 160:166] == 255).all()
    spectra = [sheet[32:, 166 * i : 166 * i + 160].astype(int) for i in range(2)]
    brightest = [np.bincount(s.argmax(0)).argmax() for s in spectra]
    assert brightest[0] > 50 and brightest[1] < 20  # low frequencies at the bottom
    wave = sheet[:32, 332:492]
    lines = [np.flatnonzero(wave[:, x] == 0).mean() for x in (40, 120)]
    assert lines == [16, 8]  # silence in the middle, .5 a quarter of the height above
    pairs = np.asarray(draw(torch.stack([low, high]), 8000, below=torch.stack([high, low])))
    assert pairs.shape == (2 * (192 + 6) - 6, 160)
    assert np.array_equal(pairs[96:192], sheet[:, 166:326]) and np.array_equal(pairs[:96], sheet[:, :160])


def test_a_quiet_sound_has_as_bright_a_spectrogram_and_near_silence_a_dark_one() -> None:
    sound = drum("snare", 1).reshape(1, -1)
    noise = torch.randn(1, 4000, generator=torch.Generator().manual_seed(0))
    loud, quiet = (np.asarray(draw((x * sound)[None], 8000))[32:].astype(int) for x in (1.0, 0.05))
    assert loud.max() > 250 and np.abs(loud - quiet).max() <= 1
    for level, least, most in ((0.1, 250, 255), (1e-4, 20, 130), (1e-6, 0, 0), (0.0, 0, 0)):
        assert least <= np.asarray(draw((level * noise)[None], 8000))[32:].max() <= most


def test_the_nearest_recording_is_the_one_copied(drum_folder: Path) -> None:
    sampler = AudioSampler(nn.Identity(), 4)
    with pytest.raises(DataError, match="training recordings are not known; load the generator from a model folder"):
        sampler.nearest(torch.zeros(1, 1, 1024))
    config = replace(PLAIN, data=str(drum_folder), validation_size=0)
    sampler.recordings = AudioSynthesisTrainer(config).recordings
    sampler.data = config.data
    train = AudioSynthesisTrainer(config).open_splits().train.items
    assert torch.equal(sampler.nearest(0.9 * train[[5, 40, 2]]), train[[5, 40, 2]])


# ---------------------------------------------------------------------------------------------------- multigen sample


def test_sample_writes_sounds_and_shows_them_above_the_nearest_recordings(
    tmp_path: Path, drum_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = model(tmp_path / "run", replace(CLASSES, data=str(drum_folder)))
    out = tmp_path / "new" / "out"
    words = ["sample", "--model", run, "-n", "6", "--seed", "3", "--class", "snare", "--out", out]
    words += ["--recordings", drum_folder]
    assert tiny.multigen(words) == 0
    sheet = tmp_path / "new" / "out-preview.wav"
    message = f"6 sounds in {out}, the first of them together in {sheet}; its image has the nearest training recording"
    assert capsys.readouterr().out == f"{message} below each\n"
    assert sorted(p.name for p in out.iterdir()) == [f"{i:04d}.wav" for i in range(6)]
    expected = multigen.load(str(run)).sample(6, seed=3, label="snare")
    for i, sound in enumerate(expected):
        result, rate = read_sound(out / f"{i:04d}.wav")
        assert rate == 8000 and result.shape == (1, 1024)
        torch.testing.assert_close(result, sound, rtol=0, atol=1 / 32768)
    together, _ = read_sound(sheet)
    torch.testing.assert_close(together, joined(expected, 8000), rtol=0, atol=1 / 32768)
    picture = pixels(sheet.with_suffix(".png"))
    assert picture.shape == (3 * (192 + 6) - 6, 2 * 166 - 6)
    tile = np.asarray(draw(expected[:1], 8000))
    (ready := multigen.load(str(run))).data = str(drum_folder)
    nearest = np.asarray(draw(ready.nearest(expected[:1]), 8000))
    assert np.array_equal(picture[:96, :160], tile) and np.array_equal(picture[96:192, :160], nearest)


def test_sample_without_the_recordings_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder, table = tmp_path / "sounds", tmp_path / "table.csv"
    folder.mkdir()
    for i, sound in enumerate(drum("tom", 8)):
        write_sound(folder / f"{i}.wav", sound, 8000)
    table.write_text("file,label\n" + "".join(f"{i}.wav,{'ab'[i % 2]}\n" for i in range(8)))
    there = "its image has the nearest training recording below each"
    gone = "no training recordings are beside them in its image: "
    config = replace(PLAIN, data=str(folder))
    run, labelled = model(tmp_path / "run", config), model(tmp_path / "other", replace(config, labels=str(table)))
    rows = {there: 192, gone: 96}

    def sampled(run: Path, *more: Any) -> str:
        assert tiny.multigen(["sample", "--model", run, "-n", "2", "--out", tmp_path / "out", *more]) == 0
        printed = capsys.readouterr()
        (message,) = [text for text in rows if f"; {text}" in printed.out]
        assert pixels(tmp_path / "out-preview.png").shape[0] == 2 * (rows[message] + 6) - 6 and printed.err == ""
        return message

    named = ("--recordings", folder)
    assert sampled(labelled, *named) == sampled(run, *named) == there
    assert sampled(run) == gone  # the model folder may be somebody else's: what it names is not read
    with pytest.raises(DataError, match=r"a folder that a model names is not read by itself.* --recordings FOLDER"):
        (ready := multigen.load(str(run))).nearest(ready.sample(2))
    table.unlink()
    assert sampled(labelled, *named) == there
    shutil.rmtree(folder)
    assert sampled(run, *named) == gone


def test_nothing_that_a_model_folder_names_is_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not the data, the test data or the table of labels of the machine that it comes from."""
    named = {name: str(tmp_path / "elsewhere" / name) for name in ("data", "test", "labels")}
    run = model(tmp_path / "run", replace(PLAIN, **named))
    opened: list[str] = []
    real = os.stat
    monkeypatch.setattr(os, "stat", lambda path, *a, **k: (opened.append(str(path)), real(path, *a, **k))[1])
    ready = multigen.load(str(run))
    ready.save(ready.sample(2), tmp_path / "out")
    assert opened and not [path for path in opened if "elsewhere" in path]
    assert ready.data == "" and multigen.load(str(model(tmp_path / "drums", PLAIN))).data == "drums"


@pytest.mark.parametrize(
    ("config", "words", "message"),
    [
        (CLASSES, ["--class", "tom"], "class 'tom' is unknown; choose from kick, snare"),
        (PLAIN, ["--class", "kick"], "class 'kick': the model was trained without classes"),
        (PLAIN, ["-n", "0"], "0 sounds requested; expected 1 or more"),
        (PLAIN, ["--out", "file"], "cannot be written"),
        (
            PLAIN,
            ["-n", "1", "--out", "older"],
            "1 other samples would remain in it, such as 0007.wav; choose another folder",
        ),
    ],
)
def test_what_cannot_be_made_is_named_in_one_line(
    config: WaveGANConfig,
    words: list[Any],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    run = model(Path("run"), config)
    Path("file").touch()
    Path("older").mkdir()
    Path("older/0007.wav").touch()
    assert tiny.multigen(["sample", "--model", run, *words]) == 2
    printed = capsys.readouterr()
    assert printed.err.startswith("error: ") and printed.err.count("\n") == 1 and printed.out == ""
    assert message in printed.err
    assert not [*tmp_path.glob("*-preview.*")] and not Path("samples").exists()


def test_sounds_do_not_turn_into_each_other(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = model(tmp_path / "run", PLAIN)
    assert tiny.multigen(["interpolate", "--model", run, "--out", tmp_path / "walk.gif"]) == 2
    assert "expected a model for `multigen interpolate`, but it generates sounds" in capsys.readouterr().err
