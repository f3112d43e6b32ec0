"""Mel-cepstra and WORLD in the place of mels: copies near the original, parts equal to the whole, a
model, what is missing."""

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import multigen
from multigen.audio import world
from multigen.audio.files import read_sound
from multigen.audio.mels import MelSpec
from multigen.audio.metrics import METRICS
from multigen.audio.translation import base, cepstral, evaluator
from multigen.audio.translation.cepstral import CepstralFeatures
from multigen.audio.translation.converter import VoiceConverter
from multigen.audio.translation.features import Features
from multigen.audio.translation.maskcyclegan import PRESETS, MaskCycleGANTrainer
from multigen.audio.translation.speaker_statistics import Statistics, Unchanged, statistics_of
from multigen.audio.voice import utterance
from multigen.errors import ConfigError
from tests import tiny
from tests.audio.translation.toys import RATE, SPEAKERS, configured
from tests.engine.toys import options


@pytest.fixture(scope="module")
def features() -> Features:
    pytest.importorskip("pyworld")
    return CepstralFeatures(MelSpec(rate=RATE), 30)


def test_a_copy_is_near_its_original(features: Features) -> None:
    sound = utterance("M1", 1, rate=RATE).sound
    analysis = features.analyse(sound)
    made = features.of(analysis)
    assert made.shape == (30, len(sound) // features.spec.hop + 1)
    copy = features.sound(made, sound, analysis, analysis.pitch)
    assert copy.shape == sound.shape
    error, least = (float(METRICS["mcd"](made, sound, RATE)) for made in (copy, world.copy_of(sound, RATE)))
    assert error < least + 1 < 4  # frames of 12.5 ms in the place of 5


def test_mel_cepstra_give_the_envelope_they_come_from() -> None:
    smooth = torch.cos(torch.linspace(0, 3, 513, dtype=torch.float64))[:, None] * torch.tensor([1.0, 2.0]) - 3
    again = world.from_cepstra(world.to_cepstra(smooth, 16_000, 60), 16_000, 513)
    assert (again - smooth).abs().max() < 0.05


def test_parts_are_equal_to_the_whole(features: Features, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cepstral, "PIECE", 0.3)
    sound = torch.cat([utterance("F2", i, rate=RATE).sound for i in range(2)])
    ready = unchanged(features, lambda who: utterance(who, 0, rate=RATE).sound)
    assert 2 * ready.radius < len(sound)
    whole = ready(sound)
    parts = torch.cat([*ready.stream(sound[None].split(4_000, 1))], 1)[0]
    assert (parts - whole).square().mean() < 1e-4 * whole.square().mean()


def unchanged(features: Features, spoken: Callable[[str], torch.Tensor]) -> VoiceConverter:
    """Converts by pitch, formants, means and deviations."""
    info, _ = statistics_of(features, {who: [features.analyse(spoken(who))] for who in SPEAKERS}, "")
    return VoiceConverter(Unchanged(), Statistics(info, features.rows), features)


def test_a_model_of_cepstra_is_trained_and_converts(
    features: Features, voices: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (evaluator, base):  # without metrics that take packages
        monkeypatch.setattr(module, "measured", lambda rate: ())
    monkeypatch.setattr(evaluator, "_pitch_error", lambda *_: 0.0)
    config = configured(voices, representation="cepstra", coefficients=16, steps=1, test_size=1)
    MaskCycleGANTrainer(config, options(tmp_path / "run")).fit()
    model: Any = multigen.load(tmp_path / "run")
    assert isinstance(model.features, CepstralFeatures) and model.features.rows == 16
    source, target = voices / "F2" / "1.wav", tmp_path / "out.wav"
    assert tiny.multigen(["translate", source, "--model", tmp_path / "run", "--to", "M1", "--out", target]) == 0
    assert len(read_sound(target)[0][0]) == len(read_sound(source)[0][0])
    with pytest.raises(ConfigError, match="vocoder anything: the model works on mel-cepstra"):
        model.by("anything")


def test_what_does_not_fit_is_refused(voices: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(
        ConfigError, match=r"representation cepstra, vocoder run: WORLD makes sound of mel-cepstra; leave"
    ):
        replace(PRESETS["tiny"], representation="cepstra", vocoder="run")
    monkeypatch.setitem(sys.modules, "pyworld", None)
    trainer = MaskCycleGANTrainer(configured(voices, representation="cepstra"), options(Path("unused")))
    with pytest.raises(
        ConfigError, match=r"the package pyworld is not installed; pip install 'multigen\[speech-compiled"
    ):
        trainer.prepare()
