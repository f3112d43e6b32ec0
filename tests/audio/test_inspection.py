"""What is said of recordings, and whether training accepts what is suggested."""

from pathlib import Path, PurePath

import pytest
import torch

from multigen.audio.datasets import open_sounds
from multigen.audio.files import write_sound
from multigen.audio.inspection import inspect_sounds
from multigen.audio.rates import resample
from multigen.audio.speech import examine, speakers_by_name
from multigen.audio.store import Store
from multigen.audio.synthesis.base import AudioSynthesisTrainer
from multigen.audio.voice import utterance
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
    result = inspect_sounds(str(tmp_path))
    message = facts(result)
    assert message["items"].value == {"train": 9, "test": 0, "left": 0}
    assert message["rates"].value == {"8000": 8, "16000": 1} and "8000 Hz (8)" in message["rates"].text
    assert message["channels"].value == {"1": 9}
    assert message["formats"].value == {"PCM_16": 8, "PCM_24": 1} and "16 bits (8)" in message["formats"].text
    assert message["seconds"].value == {"least": 0.5, "median": 0.5, "most": 1.0, "total": 5.0}
    assert message["peaks"].value["most"] == pytest.approx(-6, abs=0.1)
    assert any("2 rates: those of 8000 Hz hold nothing above 4000 Hz" in warning for warning in result.warnings)
    config = configured(result.suggestions[0], tmp_path)
    assert (config.rate, config.length, config.cut) == (8000, 8192, "start")
    assert len(opened(result.suggestions[0], tmp_path).train) == 7


def test_silent_clipped_and_damaged_recordings(tmp_path: Path) -> None:
    tones(tmp_path)
    tone(tmp_path / "silent.wav", level=0)
    tone(tmp_path / "loud.wav", level=3)
    tone(tmp_path / "full.wav", level=1, pitch=2000)  # its peaks touch full scale, one sample each
    whole = tone(tmp_path / "cut.wav").read_bytes()
    (tmp_path / "cut.wav").write_bytes(whole[:1000])
    (tmp_path / "text.mp3").write_text("no sound")
    result = inspect_sounds(str(tmp_path))
    message = facts(result)
    assert message["silent"].value == 1
    assert [Path(path).name for path in message["clipped"].value] == ["loud.wav"]
    by_training = open_sounds(str(tmp_path), 8000, 4096, skip_bad=True).skipped
    assert {path.name for path, _ in result.unreadable} == {path.name for path, _ in by_training}
    assert {path.name for path, _ in result.unreadable} == {"silent.wav", "cut.wav", "text.mp3"}
    assert len(opened(result.suggestions[0], tmp_path).train) == 8  # --skip-bad


def test_classes_by_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("bass", "snare"):
        tones(tmp_path / name)
    few = inspect_sounds(str(tmp_path))
    assert any("so --conditional is not suggested" in warning for warning in few.warnings)
    assert not configured(few.suggestions[0], tmp_path).conditional
    monkeypatch.setattr(inspection, "FEW_IN_CLASS", 8)
    result = inspect_sounds(str(tmp_path))
    assert facts(result)["classes"].value == {"bass": 8, "snare": 8}
    assert configured(result.suggestions[0], tmp_path).conditional
    assert opened(result.suggestions[0], tmp_path).train.classes == ("bass", "snare")
    assert len(facts(result)["duplicates"].value) == 8


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
    result = inspect_sounds(str(path))
    config = configured(result.suggestions[0], path)
    assert (config.cut, config.length) == ("random", 16384)
    assert len(opened(result.suggestions[0], path).train) >= 4


def test_silence_at_the_ends_is_trimmed(tmp_path: Path) -> None:
    for i in range(6):
        time = torch.arange(8000) / 8000
        write_sound(tmp_path / f"{i}.wav", torch.sin(6.28 * (200 + 9 * i) * time) * (time < 0.2) * 0.9, 8000)
    result = inspect_sounds(str(tmp_path))
    assert facts(result)["quiet_ends"].value == pytest.approx(0.795, abs=0.01)
    config = configured(result.suggestions[0], tmp_path)
    assert config.trim and config.length == 2048


def test_too_few(tmp_path: Path) -> None:
    result = inspect_sounds(str(tones(tmp_path, count=2)))
    assert result.suggestions == [] and any("expected at least 4" in warning for warning in result.warnings)


def test_nothing_readable_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(b"RIFF")
    with pytest.raises(DataError, match=r"none of 1 recordings can be read; .*a\.wav"):
        inspect_sounds(str(tmp_path))


def test_the_drum_machine_has_its_preset() -> None:
    choice = inspect_sounds("drums").suggestions[0]
    assert choice.preset == "laptop" and configured(choice, "drums").data == "drums"


@pytest.mark.data
def test_spoken_digits(data_root: Path) -> None:
    result = inspect_sounds("audio/spoken_digits")
    assert facts(result)["items"].value["train"] == 3000 and result.unreadable == []
    config = configured(result.suggestions[1], "audio/spoken_digits")
    assert (config.rate, config.length, config.labels) == (8000, 8192, "first")


# ------------------------------------------------------------------------------------------------------------ speech


def spoken(number: int = 3, rate: int = 16_000) -> torch.Tensor:
    return utterance("F1", number, rate).sound


def test_a_recording_that_was_made_at_a_lower_rate_is_noticed(tmp_path: Path) -> None:
    for i in range(6):
        sound = spoken(i) if i else resample(spoken(0, 8_000), 8_000, 16_000)
        write_sound(tmp_path / f"{i}.wav", sound + 1e-3 * torch.randn(len(sound)) * (i > 0), 16_000)
    result = inspect_sounds(str(tmp_path))
    bandwidth = facts(result)["bandwidth"].value
    assert 3_700 < bandwidth["least"] < 4_100 < 7_900 < bandwidth["median"] <= 8_000
    (warning,) = [w for w in result.warnings if "less than their rate can" in w]
    assert "1 of 6 recordings" in warning and "0.wav: 16000 Hz" in warning and "a --rate of" in warning
    (hint,) = [w for w in result.warnings if "train extend" in w]
    assert "1 of 6 recordings have a bandwidth of" in hint and "--bandwidth 3500 4" in hint
    assert f"multigen restore {tmp_path} --model runs/extend" in hint


@pytest.mark.parametrize(("seconds", "hinted"), [(1.5, True), (0.5, False)])
def test_recordings_of_a_telephone_get_the_command_that_widens_them(
    tmp_path: Path, seconds: float, hinted: bool
) -> None:
    for i in range(4):
        write_sound(tmp_path / f"{i}.wav", spoken(i, 8_000)[: int(seconds * 8_000)], 8_000)
    hints = [w for w in inspect_sounds(str(tmp_path)).warnings if "multigen train extend default --data WIDE" in w]
    assert bool(hints) is hinted


@pytest.mark.parametrize(("ratio", "hinted"), [(8, True), (30, False)])
def test_noisy_recordings_get_the_command_that_removes_noise(tmp_path: Path, ratio: float, hinted: bool) -> None:
    for i in range(4):
        sound, draw = spoken(i), torch.Generator().manual_seed(i)
        noise = torch.randn(len(sound), generator=draw) * sound.square().mean().sqrt() * 10 ** (-ratio / 20)
        write_sound(tmp_path / f"{i}.wav", sound + noise, 16_000)
    text = facts(inspect_sounds(str(tmp_path)))["signal_to_noise"].text
    assert ("multigen train enhance" in text) is hinted


def test_recordings_of_speakers_get_the_methods_of_speech(tmp_path: Path) -> None:
    for i in range(8):
        write_sound(tmp_path / f"{('SF1', 'SM1')[i % 2]}_{i}.wav", spoken(i), 16_000)
    methods = [suggestion.method for suggestion in inspect_sounds(str(tmp_path)).suggestions]
    assert methods[0] == "wavegan" and {"vocoder", "extend", "enhance"} <= {*methods}


@pytest.mark.parametrize("ratio", [10, 25, 40])
def test_the_noise_of_a_recording_with_pauses_is_estimated(ratio: int) -> None:
    sound, draw = torch.cat([spoken(i) for i in range(3)]), torch.Generator().manual_seed(0)
    noise = torch.randn(len(sound), generator=draw) * sound.square().mean().sqrt() * 10 ** (-ratio / 20)
    store = Store()
    store.append((sound + noise)[None])
    assert examine(store, 16_000, torch.zeros(1, 1)).snr == pytest.approx(ratio, abs=1.5)


def test_silence_is_a_share_and_its_noise_is_none() -> None:
    store = Store()
    store.append(torch.cat([torch.zeros(8_000), 0.5 * torch.ones(8_000).cumsum(0).mul(0.3).sin()])[None])
    measured = examine(store, 16_000, torch.zeros(1, 1))
    assert measured.silence == pytest.approx(0.5, abs=0.02) and measured.snr == float("inf")


@pytest.mark.parametrize("length", [1, 100, 400])
def test_recordings_shorter_than_a_frame_are_examined(length: int) -> None:
    store = Store()
    store.append(0.5 * torch.ones(1, length))
    measured = examine(store, 16_000, torch.zeros(1, 1))
    assert 0 <= measured.bandwidth <= 8_000 and measured.silence == 0


@pytest.mark.parametrize(
    ("names", "how", "speakers"),
    [
        (["p225_001.wav", "p225_002.wav", "p226_001.wav"], "names before the first", {"p225": 2, "p226": 1}),
        (["wav48/p225/p225_001.wav", "wav48/p226/p226_001.wav"], "names before", {"p225": 1, "p226": 1}),
        (["SF1/100001.wav", "SM1/100001.wav"], "folders", {"SF1": 1, "SM1": 1}),
        (["dev/84/121123/84-121123-0000.flac", "dev/85/1/85-1-0000.flac"], "three numbers", {"84": 1, "85": 1}),
        (["7_jackson_32.flac", "0_theo_1.flac"], "words between", {"jackson": 1, "theo": 1}),
        (["DR1/FCJF0/SA1.WAV", "DR1/MDAB0/SA1.WAV"], "folders", {"FCJF0": 1, "MDAB0": 1}),
        (["id10270/5r0/00001.wav", "id10271/1gt/00001.wav"], "folders", {"id10270": 1, "id10271": 1}),
        (["kick_01.wav", "snare_01.wav"], "", {}),
        (["a/1.wav", "b/2.wav"], "", {}),
        (["p225_001.wav", "noise.wav"], "", {}),
        (["p225_001.wav", "p225_002.wav"], "", {}),
    ],
)
def test_speakers_are_told_by_names(names: list[str], how: str, speakers: dict[str, int]) -> None:
    by, counts = speakers_by_name(map(PurePath, names))
    assert how in by and dict(counts) == speakers and bool(by) == bool(speakers)


def test_speakers_are_reported(tmp_path: Path) -> None:
    for i in range(8):
        tone(tmp_path / f"p22{i % 2}_{i:03}.wav", pitch=200 + 20 * i)
    message = facts(inspect_sounds(str(tmp_path)))
    assert (
        message["speakers"].value == {"p220": 4, "p221": 4}
        and "2 by the names before the first _" in message["speakers"].text
    )


def test_the_speaking_machine_has_speakers_and_a_way_to_train() -> None:
    result = inspect_sounds("voice")
    assert facts(result)["speakers"].value == {"F1": 40, "F2": 40, "M1": 40, "M2": 40}
    config = configured(result.suggestions[0], "voice")
    assert config.data == "voice" and config.cut == "random"
