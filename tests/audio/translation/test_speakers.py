"""Recordings of speakers: which are trained on, and which are held out."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from multigen.audio.recordings import Recording
from multigen.audio.store import Store
from multigen.audio.translation import base, speakers
from multigen.audio.translation.maskcyclegan import PRESETS
from multigen.audio.translation.speakers import open_speakers, sentence_of
from multigen.errors import ConfigError, DataError, OutOfMemory
from tests.audio.translation.toys import RATE, configured, prepared


def test_every_preset_takes_two_folders_as_they_are(voices: Path) -> None:
    for preset in PRESETS.values():
        opened = open_speakers(replace(preset, data=str(voices / "M1"), target=str(voices / "F2")))
        assert [*opened.train] == ["M1", "F2"]


def test_of_the_speaking_machine_two_speakers_are_usual(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, ...]] = []

    def found(data: str, rate: int, split: str, skip_bad: bool, only: tuple[str, ...]) -> None:
        asked.append(only)
        raise ConfigError("enough")

    monkeypatch.setattr(speakers, "open_recordings", found)
    for named in ((), ("M1", "F2", "F1")):
        with pytest.raises(ConfigError, match="enough"):
            open_speakers(replace(PRESETS["tiny"], speakers=named))
    assert asked == [("F1", "M2"), ("M1", "F2", "F1")]


def spoken(who: str, numbers: range) -> list[Recording]:
    store = Store()
    store.append(torch.ones(1, 4))
    return [Recording(f"{who}/{i}.wav", "", store) for i in numbers]


def test_a_sentence_is_held_out_of_all_speakers_or_of_none() -> None:
    train = {"a": spoken("a", range(50)), "b": spoken("b", range(30, 50)), "c": spoken("c", range(60, 62))}
    kept, held = speakers._held_out(train)
    assert {who: len(kept[who]) + len(held[who]) for who in train} == {"a": 50, "b": 20, "c": 2}
    assert all(kept.values()) and all(held.values())
    of = [{sentence_of(each.name, who) for who in train for each in part[who]} for part in (kept, held)]
    assert not of[0] & of[1] and len(held["a"]) < 10


def test_more_speech_than_fits_is_refused_before_it_is_analysed(voices: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("multigen.memory.available", lambda: 1_000)
    monkeypatch.setattr("multigen.memory.SMALL", 0)
    monkeypatch.setattr(base.MelFeatures, "analyse", None)
    with pytest.raises(OutOfMemory, match=r"0 minutes of 2 speakers: .* choose fewer speakers, --speakers"):
        prepared(voices)


def test_of_each_speaker_the_first_seconds_are_trained_on(voices: Path) -> None:
    whole, some = (open_speakers(configured(voices, seconds=seconds)).train for seconds in (0, 9))
    for who, recordings in some.items():
        assert [each.name for each in recordings] == [each.name for each in whole[who]][: len(recordings)]
        lengths = [len(each) / RATE for each in recordings]
        assert sum(lengths) >= 9 > sum(lengths[:-1]) and len(recordings) <= len(whole[who])
    with pytest.raises(
        DataError, match=r"seconds of F2 to train on, expected at least 8, .*; add .*, or raise --seconds"
    ):
        open_speakers(configured(voices, seconds=1))
