"""What is wrong with users' recordings and settings: each gives one line with a remedy, or is left
out and listed."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

from multigen.audio.datasets import open_sounds
from multigen.audio.files import write_sound
from multigen.audio.synthesis.base import AudioSynthesisConfig
from multigen.data.datasets import split_off
from multigen.data.folders import NoTestSplit
from multigen.errors import ConfigError, DataError
from tests.audio.recordings import RATE, Settings, ramps, sine, write


def silent(path: Path) -> None:
    write(path, torch.zeros(100))


def faint(path: Path) -> None:
    write(path, sine(100, 2000, 0.0009))


def opposed(path: Path) -> None:
    write(path, torch.stack([sine(100), -sine(100)]))


def high(path: Path) -> None:
    tone = (-1.0) ** torch.arange(4000) * torch.hann_window(4000)
    write(path, tone / 2, 4 * RATE)  # above what the lower rate has


def overflowing(path: Path) -> None:
    soundfile.write(path, np.full((100, 2), 3e38, np.float32), RATE, "FLOAT")


def broken(path: Path) -> None:
    path.write_bytes(b"no sound at all")


def empty(path: Path) -> None:
    path.touch()


def without_samples(path: Path) -> None:
    soundfile.write(path, np.zeros((0, 1), np.float32), RATE)


def undefined(path: Path) -> None:
    soundfile.write(path, np.array([0.1, np.nan, 0.2], np.float32), RATE, "FLOAT")


def odd_rate(path: Path) -> None:
    write(path, sine(1000), 999_983)


def no_rate(path: Path) -> None:
    write(path, sine(1000), 3)


def cut_off(path: Path) -> None:
    write(path, sine(1000))
    path.write_bytes(path.read_bytes()[:-100])


BAD = {
    silent: "a peak of -inf dB",
    faint: "a peak of -61 dB",
    opposed: "a peak of -inf dB of full scale, once averaged",
    high: r"a peak of -\d+ dB",
    overflowing: r"so large that their mean over the channels is (inf|nan); expected such about -1\.\.1: scale them",
    broken: "it cannot be decoded",
    empty: "it cannot be decoded",
    without_samples: "its header promises 0 frames",
    undefined: "1 of its samples are NaN",
    odd_rate: "its rate of 999983 Hz cannot be brought to the",
    no_rate: "its rate of 3 Hz cannot be brought to the",
    cut_off: "it was cut off",
}


@pytest.mark.parametrize("make", BAD, ids=lambda make: make.__name__)
def test_a_recording_that_is_no_good_is_named_or_skipped(tmp_path: Path, make: Any) -> None:
    data = ramps(tmp_path, [100, 100])
    make(tmp_path / "bad.wav")
    with pytest.raises(DataError, match=rf"bad\.wav: .*{BAD[make]}.*--skip-bad"):
        open_sounds(data, RATE, 100)
    sounds = open_sounds(data, RATE, 100, skip_bad=True, trim=True, normalise=True)
    assert sounds.names == ("0.wav", "1.wav") and torch.isfinite(sounds.items).all()
    ((path, reason),) = sounds.skipped
    assert path == tmp_path / "bad.wav" and re.search(BAD[make], reason)


def test_a_recording_just_loud_enough_is_data(tmp_path: Path) -> None:
    write(tmp_path / "0.wav", torch.full((100,), 0.00101))
    write(tmp_path / "1.wav", sine(100))
    assert len(open_sounds(str(tmp_path), RATE, 100, trim=True, normalise=True)) == 2


def test_fewer_than_two_recordings(tmp_path: Path) -> None:
    data = ramps(tmp_path, [100])
    with pytest.raises(DataError, match=r"1 recording, expected at least 2; add recordings, or cut long ones: --cut"):
        open_sounds(data, RATE, 100)
    silent(tmp_path / "1.wav")
    with pytest.raises(DataError, match=r", 1 damaged or silent: 1 recording, expected at least 2"):
        open_sounds(data, RATE, 100, skip_bad=True)
    (tmp_path / "0.wav").unlink()
    with pytest.raises(DataError, match=r", 1 damaged or silent: 0 recordings, expected at least 2"):
        open_sounds(data, RATE, 100, skip_bad=True, cut="random")


@pytest.mark.parametrize(
    "setting", [{"rate": 0}, {"length": 0}, {"split": "dev"}, {"cut": "middle"}], ids=lambda s: next(iter(s))
)
def test_settings_that_are_none(tmp_path: Path, setting: Settings) -> None:
    data = ramps(tmp_path, [100, 100])
    ((name, value),) = setting.items()
    with pytest.raises(ConfigError, match=rf"{name} {value!r}.*correct what is not"):
        settings: Settings = {"rate": RATE, "length": 100} | setting
        open_sounds(data, **settings)


@pytest.mark.parametrize("settings", [{"labels": "name"}, {"test_files": "*1*"}])
def test_the_drum_machine_has_no_files(settings: Settings) -> None:
    with pytest.raises(ConfigError, match="drums holds no files; leave both empty"):
        open_sounds("drums", RATE, 512, **settings)


def test_a_drum_machine_of_too_high_a_rate() -> None:
    with pytest.raises(ConfigError, match="96000 Hz, expected 4000 to 48000"):
        open_sounds("drums", 96000, 4096)


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no such file or folder .*the name drums"):
        open_sounds(str(tmp_path / "none"), RATE, 100)
    with pytest.raises(DataError, match=r"no sound files in this folder; expected files ending in \.aif"):
        open_sounds(str(tmp_path), RATE, 100)


def test_no_test_split(tmp_path: Path) -> None:
    data = ramps(tmp_path, [100, 100])
    for place in (data, f"{data}/0.wav"):
        with pytest.raises(NoTestSplit, match="--test FOLDER"):
            open_sounds(place, RATE, 50, split="test", cut="slices")


@pytest.mark.parametrize(("pattern", "count"), [("*.mp3", 0), ("*", 3)])
def test_a_pattern_fits_some_files(tmp_path: Path, pattern: str, count: int) -> None:
    data = ramps(tmp_path, [100] * 3)
    for split in ("train", "test"):
        with pytest.raises(
            ConfigError, match=rf"test_files '{re.escape(pattern)}' fits {count} of 3 files.*another pattern"
        ):
            open_sounds(data, RATE, 100, split=split, test_files=pattern)


@pytest.mark.parametrize("labels", ["first", "name"])
def test_file_names_without_a_class(tmp_path: Path, labels: str) -> None:
    for name in ("a_1", "b_1", "plain"):
        write(tmp_path / f"{name}.wav", sine(100))
    with pytest.raises(DataError, match=r"plain\.wav: expected CLASS_NAME in the file's name"):
        open_sounds(str(tmp_path), RATE, 100, labels=labels)
    (tmp_path / "plain.wav").rename(tmp_path / "_plain.wav")
    with pytest.raises(DataError, match=r"_plain\.wav: expected CLASS_NAME"):
        open_sounds(str(tmp_path), RATE, 100, labels=labels)


def test_labels_of_one_class(tmp_path: Path) -> None:
    for i in range(2):
        write(tmp_path / f"a_{i}.wav", sine(100))
    with pytest.raises(DataError, match=r"labels 'first' give one class only; expected two or more"):
        open_sounds(str(tmp_path), RATE, 100, labels="first")


@pytest.mark.parametrize("other", [{"test": "elsewhere"}, {"test_classes": 1}])
def test_test_data_named_twice(tmp_path: Path, other: Settings) -> None:
    with pytest.raises(ConfigError, match=r"test_files '\*1\*', .*give one of them"):
        AudioSynthesisConfig(data=str(tmp_path), test_files="*1*", **other)


def test_more_slices_than_there_are_cannot_be_held_out(tmp_path: Path) -> None:
    sounds = open_sounds(ramps(tmp_path, [100, 100]), RATE, 10, cut="slices")
    with pytest.raises(ConfigError, match="20 of 20 recordings are to be held out, expected 0 to 19"):
        split_off(sounds, 20)


def test_a_written_silence_is_read_as_one(tmp_path: Path) -> None:
    for i in range(2):
        write_sound(tmp_path / f"{i}.ogg", torch.zeros(4000), RATE)
    with pytest.raises(DataError, match=r"0\.ogg: a peak of -inf dB"):
        open_sounds(str(tmp_path), RATE, 100)
