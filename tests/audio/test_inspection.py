"""What is said of recordings, and whether training accepts what is suggested."""

from pathlib import Path

import pytest
import torch

from multigen.audio.datasets import open_sounds
from multigen.audio.files import write_sound
from multigen.audio.inspection import inspect_sounds
from multigen.audio.synthesis.base import AudioSynthesisTrainer
from multigen.data import inspection
from multigen.data.inspection import Suggestion
from multigen.errors import DataError
from tests.data.suggestions import configured, facts


def tone(
    path: Path, seconds: float = 0.5, rate: int = 8000, level: float = 0.5, pitch: float = 300, subtype="PCM_16"
) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    time = torch.arange(round(seconds * rate)) / rate
    write_sound(path, (level * torch.sin(6.28 * pitch * time)).clamp(-1, 1), rate, subtype)
    return path


def tones(root: Path, count: int = 8, **options) -> Path:
    for i in range(count):
        tone(root / f"{i}.wav", pitch=200 + 20 * i, **options)
    return root


def opened(choice: Suggestion, data: Path):
    assert choice.method == "wavegan"
    return AudioSynthesisTrainer(configured(choice, data)).open_splits()


def test_rates_lengths_and_formats_are_reported(tmp_path: Path) -> None:
    tones(tmp_path)
    tone(tmp_path / "fast.flac", seconds=1, rate=16000, subtype="PCM_24")
    found = inspect_sounds(str(tmp_path))
    said = facts(found)
    assert said["items"].value == {"train": 9, "test": 0, "left": 0}
    assert said["rates"].value == {"8000": 8, "16000": 1} and "8000 Hz (8)" in said["rates"].text
    assert said["channels"].value == {"1": 9}
    assert said["formats"].value == {"PCM_16": 8, "PCM_24": 1} and "16 bits (8)" in said["formats"].text
    assert said["seconds"].value == {"least": 0.5, "median": 0.5, "most": 1.0, "total": 5.0}
    assert said["peaks"].value["most"] == pytest.approx(-6, abs=0.1)
    assert any("2 rates: those of 8000 Hz hold nothing above 4000 Hz" in warning for warning in found.warnings)
    config = configured(found.suggestions[0], tmp_path)
    assert (config.rate, config.length, config.cut) == (8000, 8192, "start")
    assert len(opened(found.suggestions[0], tmp_path).train) == 7


def test_silent_clipped_and_damaged_recordings(tmp_path: Path) -> None:
    tones(tmp_path)
    tone(tmp_path / "silent.wav", level=0)
    tone(tmp_path / "loud.wav", level=3)
    tone(tmp_path / "full.wav", level=1, pitch=2000)  # its peaks touch full scale, one sample each
    whole = tone(tmp_path / "cut.wav").read_bytes()
    (tmp_path / "cut.wav").write_bytes(whole[:1000])
    (tmp_path / "text.mp3").write_text("no sound")
    found = inspect_sounds(str(tmp_path))
    said = facts(found)
    assert said["silent"].value == 1
    assert [Path(path).name for path in said["clipped"].value] == ["loud.wav"]
    by_training = open_sounds(str(tmp_path), 8000, 4096, skip_bad=True).skipped
    assert {path.name for path, _ in found.unreadable} == {path.name for path, _ in by_training}
    assert {path.name for path, _ in found.unreadable} == {"silent.wav", "cut.wav", "text.mp3"}
    assert len(opened(found.suggestions[0], tmp_path).train) == 8  # --skip-bad


def test_classes_by_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("bass", "snare"):
        tones(tmp_path / name)
    few = inspect_sounds(str(tmp_path))
    assert any("so --conditional is not suggested" in warning for warning in few.warnings)
    assert not configured(few.suggestions[0], tmp_path).conditional
    monkeypatch.setattr(inspection, "FEW_IN_CLASS", 8)
    found = inspect_sounds(str(tmp_path))
    assert facts(found)["classes"].value == {"bass": 8, "snare": 8}
    assert configured(found.suggestions[0], tmp_path).conditional
    assert opened(found.suggestions[0], tmp_path).train.classes == ("bass", "snare")
    assert len(facts(found)["duplicates"].value) == 8


def test_classes_by_the_names_of_the_files_are_an_alternative(tmp_path: Path) -> None:
    for i in range(40):
        tone(tmp_path / f"{i % 2}_{'abc'[i % 3]}_{i}.wav", seconds=0.1)
    plain, named = inspect_sounds(str(tmp_path)).suggestions
    assert not configured(plain, tmp_path).conditional
    assert opened(named, tmp_path).train.classes == (
        "0",
        "1",
    )  # by what stands before the first _, not the six before the last


def test_long_recordings_are_cut_at_random_places(tmp_path: Path) -> None:
    path = tone(tmp_path / "long.wav", seconds=20)
    found = inspect_sounds(str(path))
    config = configured(found.suggestions[0], path)
    assert (config.cut, config.length) == ("random", 16384)
    assert len(opened(found.suggestions[0], path).train) >= 4


def test_silence_at_the_ends_is_trimmed(tmp_path: Path) -> None:
    for i in range(6):
        time = torch.arange(8000) / 8000
        write_sound(tmp_path / f"{i}.wav", torch.sin(6.28 * (200 + 9 * i) * time) * (time < 0.2) * 0.9, 8000)
    found = inspect_sounds(str(tmp_path))
    assert facts(found)["quiet_ends"].value == pytest.approx(0.795, abs=0.01)
    config = configured(found.suggestions[0], tmp_path)
    assert config.trim and config.length == 2048


def test_too_few(tmp_path: Path) -> None:
    found = inspect_sounds(str(tones(tmp_path, count=2)))
    assert found.suggestions == [] and any("expected at least 4" in warning for warning in found.warnings)


def test_nothing_readable_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(b"RIFF")
    with pytest.raises(DataError, match=r"none of 1 recordings can be read; .*a\.wav"):
        inspect_sounds(str(tmp_path))


def test_the_drum_machine_has_its_preset() -> None:
    choice = inspect_sounds("drums").suggestions[0]
    assert choice.preset == "laptop" and configured(choice, "drums").data == "drums"


@pytest.mark.data
def test_spoken_digits(data_root: Path) -> None:
    found = inspect_sounds("audio/spoken_digits")
    assert facts(found)["items"].value["train"] == 3000 and found.unreadable == []
    config = configured(found.suggestions[1], "audio/spoken_digits")
    assert (config.rate, config.length, config.labels) == (8000, 8192, "first")
