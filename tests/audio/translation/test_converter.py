"""Converting a voice: the length to the sample, parts equal to the whole, silence, what is refused,
speakers by name."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch

import multigen
from multigen.audio.mels import MelSpec
from multigen.audio.translation import features
from multigen.audio.translation.converter import VoiceConverter, check_speech
from multigen.audio.translation.features import MelFeatures
from multigen.audio.translation.speaker_statistics import Statistics, Unchanged, statistics_of
from multigen.audio.voice import utterance
from multigen.errors import ConfigError, DataError
from tests.audio.translation.toys import RATE, info, untrained


@pytest.fixture(scope="module")
def ready(model: Path) -> Any:
    return multigen.load(model)


def test_the_length_is_kept_to_the_sample_at_any_rate(ready: VoiceConverter) -> None:
    for length, rate in ((1, 0), (257, 0), (4_001, 0), (9_999, 11_025), (20_000, 16_000)):
        sound = 0.1 * torch.randn(length, generator=torch.Generator().manual_seed(0))
        made = ready.translate(sound, rate)
        assert made.shape == sound.shape and made.isfinite().all()
    assert ready.translate(sound[None], 16_000).shape == (1, 20_000)


def test_parts_are_equal_to_the_whole(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(features, "ITERATIONS", 6)
    ready: Any = multigen.load(model)
    sound = torch.cat([utterance("F2", i, rate=RATE).sound for i in range(3)])[: 5 * RATE]
    whole = ready(sound)
    assert 2 * ready.radius < len(sound) // 2
    chunks = sound[None].split([1_000, 9_001, *[5_000] * 5, len(sound) - 35_001], 1)
    made = torch.cat([*ready.stream(chunks)], 1)[0]
    assert made.shape == whole.shape
    error = (made - whole).square().mean().sqrt() / whole.square().mean().sqrt()
    assert error < 0.02  # rounding, which the phases of Griffin and Lim's algorithm make grow


def test_digital_silence_stays_silent(ready: VoiceConverter) -> None:
    sound = torch.cat([utterance("F2", 0, rate=RATE).sound, torch.zeros(2 * RATE)])
    assert ready.translate(sound)[-RATE:].abs().max() < 1e-3


def test_speakers_are_named(ready: VoiceConverter) -> None:
    sound = utterance("F2", 0, rate=RATE).sound
    assert ready.speakers == ("F2", "M1") and ready.pair == (0, 1)
    assert torch.equal(ready.translate(sound, to="M1"), ready.translate(sound, direction="AB"))
    back = ready.translate(sound, to="F2")
    assert torch.equal(back, ready.translate(sound, direction="BA")) and not torch.equal(back, ready.translate(sound))
    with pytest.raises(
        ConfigError, match=r"speaker 'M2': the model was not trained on such; expected one of F2, M1: .*--from"
    ):
        ready.to("M2")
    with pytest.raises(ConfigError, match="direction up: expected AB or BA"):
        ready.turned("up")
    with pytest.raises(ConfigError, match="to 'M1', direction BA: each names the target"):
        ready.translate(sound, to="M1", direction="BA")
    with pytest.raises(DataError, match="a sound of 2 channels: a voice is in one"):
        ready.translate(torch.zeros(2, 100))


def test_of_more_speakers_each_may_be_the_target(tmp_path: Path) -> None:
    model: Any = multigen.load(untrained(tmp_path / "run", ("F1", "F2", "M1"), strength=0.05))
    sound = utterance("F2", 0, rate=RATE).sound
    made = [model.translate(sound, to=name) for name in model.speakers]
    assert model.to("M1").for_pitch(math.log(180)).pair == (1, 2) and model.to("M1").for_pitch(math.log(210)).pair == (
        0,
        2,
    )
    assert not any(torch.equal(a, b) for i, a in enumerate(made) for b in made[:i])


def test_what_is_known_of_speakers_must_fit() -> None:
    from dataclasses import replace

    known = info()
    with pytest.raises(ConfigError, match="speakers F2, F2: 4 numbers of pitch"):
        replace(known, speakers=("F2", "F2"))
    with pytest.raises(ConfigError, match=r"tracts 1\.0, 0\.0: expected factors from 0\.5 to 2"):
        replace(known, tracts=(1.0, 0.0))
    assert Statistics(replace(known, tracts=()), 24).voices[0].tract == 1  # of a model from before
    with pytest.raises(ConfigError, match="statistics of 2 speakers do not fit features of 80 rows"):
        Statistics(known, 80)


def test_what_is_no_speech_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    speech = utterance("M1", 1, rate=RATE).sound[None]
    check_speech("speech", [speech], RATE, 100)
    assert capsys.readouterr().err == ""
    with pytest.raises(DataError, match=r"quiet: silence, .*; expected somebody who speaks"):
        check_speech("quiet", [torch.zeros(1, RATE)], RATE, 100)
    time = torch.arange(6 * RATE) / RATE
    glide = torch.sin(2 * torch.pi * (150 * time[: 2 * RATE] + 20 * time[: 2 * RATE] ** 2))
    check_speech("a sentence of vowels", [glide[None]], RATE, 100)
    assert capsys.readouterr().err == ""
    organ = 0.3 * sum(torch.sin(2 * torch.pi * 220 * k * time) / k for k in (1, 2, 3))
    siren = torch.sin(2 * torch.pi * (200 * time + 40 * torch.sin(3 * time)))
    hiss = 0.1 * torch.randn(2 * RATE, generator=torch.Generator().manual_seed(0))
    for name, sound, words in (
        ("organ", organ, "of its pitch is held like notes, as in music"),
        ("siren", siren, "a pitch of 60 to 500 Hz in 100% of what is audible"),
        ("hiss", hiss, "a pitch of 60 to 500 Hz in [0-4]%"),
    ):
        with pytest.raises(DataError, match=f"{name}: .*{words}.*; expected speech of one person, without music"):
            check_speech(name, [torch.as_tensor(sound)[None]], RATE, 100)
    half = torch.cat([speech[0], hiss.repeat(6)])[None]
    check_speech("noisy", [half], RATE, 100)
    assert "noisy: a pitch of 60 to 500 Hz in" in (said := capsys.readouterr().err) and "may not be speech" in said


def test_a_conversion_is_as_loud_as_its_source() -> None:
    """Though features of the target, from much louder recordings, would make it louder."""
    mels = MelFeatures(MelSpec(rate=RATE))
    sounds = {who: [gain * utterance(who, 1, rate=RATE).sound] for who, gain in (("F1", 0.1), ("M2", 1.0))}
    info, _ = statistics_of(mels, {who: [mels.analyse(x) for x in of] for who, of in sounds.items()}, "")
    made = VoiceConverter(Unchanged(), Statistics(info, mels.rows), mels)(sounds["F1"][0])
    powers = [x.square().mean().log10() for x in (made, sounds["F1"][0])]
    assert abs(float(powers[0] - powers[1])) < 0.1  # a decibel
    assert info.tracts[0] > 1.1 * info.tracts[1]
