"""`multigen restore` with models that make sounds of sounds: wider and cleaner recordings."""

from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import pytest
import torch

from multigen.audio.files import read_info, read_sound, write_sound
from multigen.audio.rates import resample
from multigen.audio.voice import utterance
from tests import tiny
from tests.tiny import multigen

MODELS = {"extend": "ExtendTrainer", "enhance": "EnhanceTrainer"}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Untrained models at 8 kHz, which return their input."""

    def made(name: str, trainer: str) -> Path:
        module = import_module(f"multigen.audio.restoration.{name}")
        config = replace(module.PRESETS["tiny"], width=4)
        return tiny.untrained(tmp_path_factory.mktemp(name), getattr(module, trainer)(config))

    return {name: made(name, trainer) for name, trainer in MODELS.items()}


def sentence(rate: int, channels: int = 1) -> torch.Tensor:
    return utterance("M1", 3, rate).sound[: rate + 1].expand(channels, -1) * 0.5


def restore(*words: str | Path) -> int:
    return multigen(["restore", *words])


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize(("rate", "channels"), [(8_000, 1), (16_000, 2), (44_100, 8)])
def test_results_have_the_rate_the_channels_and_the_length_of_their_sources(
    models: dict[str, Path], tmp_path: Path, name: str, rate: int, channels: int
) -> None:
    write_sound(tmp_path / "a.wav", sentence(rate, channels), rate)
    assert restore(tmp_path / "a.wav", "--model", models[name], "--out", tmp_path / "b.wav") == 0
    info = read_info(tmp_path / "b.wav")
    assert (info.rate, info.channels, info.frames) == (rate, channels, rate + 1)


def test_a_recording_of_a_low_rate_gets_the_models(models: dict[str, Path], tmp_path: Path) -> None:
    sound = sentence(4_000 * 2)[:, ::2]
    write_sound(tmp_path / "a.wav", sound, 4_000)
    assert restore(tmp_path / "a.wav", "--model", models["extend"], "--out", tmp_path / "b.wav") == 0
    made, rate = read_sound(tmp_path / "b.wav")
    assert rate == 8_000 and made.shape[1] == 2 * sound.shape[1]
    given, _ = read_sound(tmp_path / "a.wav")
    torch.testing.assert_close(made, resample(given, 4_000, 8_000), atol=1e-3, rtol=0)  # untrained, it adds nothing


@pytest.mark.parametrize("name", MODELS)
def test_loudness_stays(models: dict[str, Path], tmp_path: Path, name: str) -> None:
    write_sound(tmp_path / "a.wav", sentence(8_000), 8_000)
    assert restore(tmp_path / "a.wav", "--model", models[name], "--out", tmp_path / "b.wav") == 0
    pair = [read_sound(tmp_path / f"{which}.wav")[0] for which in "ab"]
    torch.testing.assert_close(*pair, atol=1e-3, rtol=0)


SHORT_AND_SILENT: dict[str, Callable[[], torch.Tensor]] = {
    "seven samples": lambda: 0.1 * torch.ones(1, 7),
    "silence": lambda: torch.zeros(2, 3_000),
}


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("kind", SHORT_AND_SILENT)
def test_short_and_silent_recordings_are_restored(
    models: dict[str, Path], tmp_path: Path, name: str, kind: str
) -> None:
    sound = SHORT_AND_SILENT[kind]()
    write_sound(tmp_path / "a.wav", sound, 8_000)
    assert restore(tmp_path / "a.wav", "--model", models[name], "--out", tmp_path / "b.wav") == 0
    info = read_info(tmp_path / "b.wav")
    assert (info.channels, info.frames) == tuple(sound.shape)


@pytest.mark.parametrize("name", MODELS)
def test_mels_are_refused(
    models: dict[str, Path], tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mels.npy").write_bytes(b"\x93NUMPY")
    assert restore(tmp_path / "mels.npy", "--model", models[name], "--out", tmp_path / "out") == 2
    assert "mels.npy" in capsys.readouterr().err


@pytest.mark.parametrize("name", MODELS)
def test_a_rate_without_whole_frames_is_refused_by_the_command(
    tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert multigen(["train", name, "tiny", "--rate", "11025", "--out", tmp_path / "run"]) == 2
    assert "rate 11025: it does not divide into 160 frames a second" in capsys.readouterr().err
