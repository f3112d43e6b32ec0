"""Figures of a conversion: what does nothing, or adds noise, is no conversion, exactly,
on the embedded speakers; sets, and what cannot be measured."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import Tensor

from multigen.audio.pitch import Pitch, pitch_of, statistics
from multigen.audio.recordings import Recording
from multigen.audio.store import Store
from multigen.audio.translation import evaluator, known
from multigen.audio.translation.evaluator import VoiceSet, comparison, definitions, score, set_of
from multigen.audio.voice import SPEAKERS, utterance
from multigen.errors import DataError
from tests.audio.translation.toys import RATE, noisy

SOURCE, TARGET = "F1", "M2"
NUMBERS = (40, 41, 42)
TAKE = [*SPEAKERS].index(SOURCE)


def converts(row: Mapping[str, float]) -> bool:
    """Whether a row of figures is that of a conversion: formants within 10 % of the target's, nine
    of ten vowels kept, the pitch a quarter of a tone from the target's at most, and voiced where
    the source is."""
    return (
        row["test/formant_error"] <= 0.1
        and row["test/vowels_kept"] >= 0.9
        and row["test/f0_mean_error"] <= 50
        and row["test/voicing_error"] <= 0.15
    )


def spoken(speaker: str, number: int) -> Tensor:
    return utterance(speaker, number, rate=RATE, take=[*SPEAKERS].index(speaker)).sound


@pytest.fixture(scope="module")
def sentences() -> VoiceSet:
    names = tuple(f"voice/test/{SOURCE}/{number}" for number in NUMBERS)
    inputs, targets = ([spoken(who, number) for number in NUMBERS] for who in (SOURCE, TARGET))
    return VoiceSet("test", RATE, (SOURCE, TARGET), names, inputs, targets, True, names, True)


@pytest.fixture
def few_metrics(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without those that take packages, and time, and are tested elsewhere."""
    monkeypatch.setattr(evaluator, "measured", lambda rate: ())
    monkeypatch.setattr(evaluator, "_pitch_error", lambda *_: 0.0)


def said_by_the_target(sentences: VoiceSet) -> Callable[[Tensor], Tensor]:
    """A perfect conversion: the machine says the sentence again, in the source's rhythm, with the
    target's voice."""
    voice = SPEAKERS[TARGET]._replace(tempo=SPEAKERS[SOURCE].tempo)
    made = [utterance(voice, number, rate=RATE, take=TAKE).sound for number in NUMBERS]
    return lambda sound: next(m for m, x in zip(made, sentences.inputs, strict=True) if x is sound)


@pytest.mark.usefixtures("few_metrics")
def test_what_does_nothing_or_adds_noise_is_no_conversion(sentences: VoiceSet) -> None:
    rows = score(
        {
            "input": lambda sound: sound,
            "noise": partial(noisy, decibels=10),
            "little noise": partial(noisy, decibels=30),
            "silence": torch.zeros_like,
            "perfect": said_by_the_target(sentences),
        },
        [sentences],
        {TARGET: statistics([pitch_of(x, RATE, RATE // 80) for x in sentences.targets], TARGET)},
    )
    assert {name for name, row in rows.items() if "test/f0_mean_error" in row and converts(row)} == {"perfect"}
    assert rows["perfect"]["test/formant_error"] < 0.02 and rows["perfect"]["test/vowels_kept"] > 0.95
    assert rows["input"]["test/formant_error"] > 0.2 and rows["noise"]["test/vowels_kept"] < 0.5
    assert {metric.removeprefix("test/") for metric in rows["perfect"]} <= {*definitions(())}


def test_a_vowel_without_a_pitch_is_not_kept() -> None:
    name = f"voice/test/{SOURCE}/40"
    vowels = known.vowels_of(name, RATE)
    assert {phone.name for phone in vowels} <= {*known.VOWELS}
    noise = 0.1 * torch.randn(len(spoken(SOURCE, 40)), generator=torch.Generator().manual_seed(0))
    assert known.measured(noise, vowels, TARGET, RATE) == {"formant_error": 1.0, "vowels_kept": 0.0}
    with pytest.raises(DataError, match="without a vowel"):
        known.measured(noise, (), TARGET, RATE)


@pytest.mark.usefixtures("few_metrics")
def test_the_pitch_is_measured_over_all_voiced_frames(sentences: VoiceSet) -> None:
    tone = 0.5 * torch.sin(2 * torch.pi * 200 * torch.arange(4 * RATE) / RATE)
    row = score({"tone": lambda sound: tone[: len(sound)]}, [sentences], {TARGET: Pitch(5.0, 0.1)})["tone"]
    cents = 1200 * abs(torch.tensor(200.0).log2().item() - 5.0 / torch.log(torch.tensor(2.0)).item())
    assert row["test/f0_mean_error"] == pytest.approx(cents, abs=5) and row["test/f0_spread"] < 0.1


def test_a_set_pairs_the_sentences_that_both_say() -> None:
    def recording(name: str) -> Recording:
        store = Store()
        store.append(torch.ones(1, 4_000))
        return Recording(name, "", store)

    both = {"a": [recording(f"a/{i}.wav") for i in (1, 2, 3)], "b": [recording(f"b/{i}.wav") for i in (3, 2)]}
    paired = set_of("test", ("a", "b"), both, RATE)
    assert paired.paired and [n.removeprefix("a/") for n in paired.names] == [n[2:] for n in paired.target_names]
    assert paired.turned().speakers == ("b", "a") and paired.turned().names == paired.target_names
    apart = set_of("test", ("a", "b"), {**both, "b": [recording("b/9.wav")]}, RATE, 2)
    assert not apart.paired and len(apart.inputs) == 2 and not apart.embedded
    with pytest.raises(DataError, match="test: no recording of b"):
        set_of("test", ("a", "b"), {**both, "b": []}, RATE)


def test_the_comparison_shows_all_rows_and_the_target(sentences: VoiceSet, tmp_path: Path) -> None:
    picture, sound = comparison({"input": lambda x: x}, sentences, 2)
    assert picture.size == (2 * 324 - 4, 2 * 204 + 12) and sound.shape[0] == 1
    picture.save(tmp_path / "it.png")
