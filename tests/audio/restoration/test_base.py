"""The base of audio restoration: segments, test sets, what is held out, figures; bad input by the
command."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from multigen.audio.files import write_sound
from multigen.audio.recordings import fingerprint, open_recordings
from multigen.audio.restoration.evaluator import available, comparison, score
from multigen.audio.restoration.segments import SegmentSource
from multigen.audio.restoration.test_sets import TestSet
from multigen.audio.spectrograms import loudest
from multigen.engine.batches import Stream
from multigen.errors import ConfigError, DataError
from multigen.recipes import vocoder as recipe
from tests import tiny
from tests.audio.recordings import ramp, ramps, write
from tests.audio.restoration.toys import vocoder

RATE = 8_000


def batch_of(source: SegmentSource, name: str = "a", size: int = 8) -> dict[str, Tensor]:
    return Stream(source, size, slice(0, size), (name,)).at(0)


def unchanged(sound: Tensor, name: str) -> Tensor:
    return sound


# -- segments ------------------------------------------------------------------------------------------------------


def test_segments_are_parts_of_recordings_keyed_by_their_draws(tmp_path: Path) -> None:
    recordings = open_recordings(ramps(tmp_path, [300, 900]), RATE)
    source = SegmentSource(recordings, 100, step=10)
    assert len(source) == 12
    batch = batch_of(source)["target"]
    assert batch.shape == (8, 100) and torch.equal(batch, batch_of(source)["target"])
    assert not torch.equal(batch, batch_of(source, "b")["target"])
    windows = [r.part(first, 100)[0] for r in recordings for first in range(0, len(r) - 99, 10)]
    assert all(any(torch.equal(segment, window) for window in windows) for segment in batch)


def test_what_is_corrupted_has_its_surroundings_and_silence_beyond_the_recording(tmp_path: Path) -> None:
    write(tmp_path / "a.wav", ramp(100))
    seen: list[Tensor] = []

    def corrupt(sound: Tensor, rng: np.random.Generator, name: str) -> dict[str, Tensor]:
        assert name == "a.wav"
        seen.append(sound)
        return {"target": sound[20:-20], "input": -sound[20:-20]}

    source = SegmentSource(open_recordings(str(tmp_path), RATE), 100, margin=20, corrupt=corrupt)
    batch = batch_of(source, size=1)
    assert torch.equal(batch["input"], -batch["target"]) and torch.equal(batch["target"][0], ramp(100))
    assert seen[0].shape == (140,) and not seen[0][:20].any() and not seen[0][-20:].any()


def test_segments_are_made_quieter_by_chance(tmp_path: Path) -> None:
    write(tmp_path / "a.wav", torch.full((4_000,), 0.5) * torch.tensor([1.0, -1.0]).repeat(2_000))
    levels = batch_of(SegmentSource(open_recordings(str(tmp_path), RATE), 100, gain=6.0))["target"].abs().amax(1)
    assert levels.min() >= 0.5 * 10**-0.3 and levels.max() <= 0.5 and levels.unique().numel() == 8


def test_recordings_shorter_than_a_segment_are_named_or_skipped(tmp_path: Path) -> None:
    recordings = open_recordings(ramps(tmp_path, [50, 900]), RATE)
    with pytest.raises(
        DataError, match=r"0\.wav: 50 samples, shorter than a segment of 100; choose a smaller --segment"
    ):
        SegmentSource(recordings, 100)
    source = SegmentSource(recordings, 100, skip_bad=True)
    assert [r.name for r in source.recordings] == ["1.wav"] and len(source.skipped) == 1
    with pytest.raises(DataError, match="no recording is left of 2"):
        SegmentSource(recordings, 1_000, skip_bad=True)


# -- test sets and figures -----------------------------------------------------------------------------------------


def test_a_set_has_so_many_recordings_whatever_their_order(voices: Path) -> None:
    recordings = open_recordings(str(voices), RATE)
    test = TestSet.of("t", recordings, RATE, unchanged, 3)
    assert test is not None and len(test.names) == 3
    again = TestSet.of("t", recordings[::-1], RATE, unchanged, 3)
    assert again is not None and again.names == test.names
    assert fingerprint(recordings) != fingerprint(recordings[1:])


def test_a_tenth_is_held_out_or_the_data_s_own_test_split(voices: Path, tmp_path: Path) -> None:
    trainer = vocoder(tmp_path, voices)
    trainer.prepare()
    assert trainer.items() == 7 and [test.name for test in trainer.tests] == ["test"]
    assert not {*trainer.tests[0].names} & {r.name for r in trainer.data.recordings}
    named = vocoder(tmp_path, voices, test_files="M1/*")
    named.prepare()
    assert named.items() == 4 and named.tests[0].names[0].startswith("M1/")
    other = vocoder(tmp_path, voices / "F1", test=(str(voices / "M1"),))
    other.prepare()
    assert other.items() == 4 and [test.name for test in other.tests] == ["M1"]


def test_one_recording_leaves_none_to_test_with(voices: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="one recording, none is left to test with"):
        vocoder(tmp_path, voices / "F1" / "0.wav").prepare()


def test_a_recording_that_cannot_be_measured_in_a_row_is_left_out_of_all(
    voices: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    test = TestSet.of("t", open_recordings(str(voices), RATE), RATE, unchanged, 2)
    assert test is not None
    silent = test.targets[0]

    def model(sound: Tensor) -> Tensor:
        return 0 * sound if torch.equal(sound, silent) else sound

    rows = score({"model": model, "same": unchanged_sound}, [test], ("lsd", "si_sdr"))
    assert rows["same"]["t/lsd"] == 0 < rows["model"]["t/lsd"]
    assert "t/si_sdr: 1 recording of 2 cannot be measured" in capsys.readouterr().err
    assert rows["model"]["t/si_sdr"] == rows["same"]["t/si_sdr"] > 100  # of the other recording
    mute = score({"mute": lambda sound: 0 * sound}, [test], ("lsd", "si_sdr"))
    assert mute["mute"].keys() == {"t/lsd"}


def unchanged_sound(sound: Tensor) -> Tensor:
    return sound


def test_metrics_that_are_not_defined_at_a_rate_are_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    assert available(("lsd", "pesq", "dnsmos"), 11_025) == ("lsd",)
    assert "pesq is not measured: PESQ at 11025 Hz" in capsys.readouterr().err


def test_the_comparison_shows_the_loudest_part_of_each_recording(voices: Path) -> None:
    test = TestSet.of("t", open_recordings(str(voices), RATE), RATE, unchanged, 2)
    assert test is not None
    picture, sound = comparison({"a": unchanged_sound, "b": unchanged_sound}, test)
    assert picture.width > 3 * 300 and sound.shape[0] == 1 and sound.shape[1] > 2 * 3 * 8_000
    burst = torch.zeros(1_000)
    burst[700:710] = 1
    assert loudest(burst, 100).start <= 700 and loudest(burst, 100).stop >= 710


# -- bad input through the command ---------------------------------------------------------------------------------


def train(place: Path, data: Path, *words: str) -> int:
    given = ["tiny", "--data", data, "--out", place / "run", "--device", "cpu", "--precision", "fp32", *words]
    return tiny.recipe(given, recipe)


def test_bad_input_is_one_line(voices: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train(tmp_path, voices, "--rate", "11025") == 2
    assert "a rate of 11025 Hz does not divide into 80 frames a second" in capsys.readouterr().err
    assert train(tmp_path, voices, "--segment", "20000", "--test-size", "1") == 2
    assert "shorter than a segment of 20000; choose a smaller --segment" in capsys.readouterr().err
    (tmp_path / "data").mkdir()
    for i in range(3):
        write_sound(tmp_path / "data" / f"{i}.wav", torch.zeros(8_000) if i == 2 else 0.1 * torch.randn(8, 8_000), RATE)
    assert train(tmp_path, tmp_path / "data") == 2
    assert "2.wav: a peak of -inf dB of full scale" in capsys.readouterr().err
    quick = ["--width", "2", "--pretrain-steps", "1", "--steps", "0", "--batch", "2"]
    assert train(tmp_path, tmp_path / "data", "--skip-bad", *quick) == 0
    said = capsys.readouterr()
    assert "2.wav: a peak of -inf dB" in said.err and "averaged to one" in said.err and "test/lsd" in said.out
