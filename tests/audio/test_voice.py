"""The speaking machine: what is promised of every utterance, and that its labels are true of the
sound."""

import pytest
import torch
from torch import Tensor

from multigen.audio.datasets import open_sounds
from multigen.audio.recordings import EMBEDDED
from multigen.audio.voice import CONSONANTS, SPEAKERS, VOWELS, Speaker, Utterance, hop_of, sentence, utterance
from multigen.errors import ConfigError

RATE = 16_000
PLAIN = Speaker(pitch=125, spread=0, tract=1, tilt=0, breath=0, tempo=1)


@pytest.fixture(scope="module")
def pair() -> tuple[Utterance, Utterance]:
    return utterance("F1", 3), utterance("M2", 3)


def part(spoken: Utterance, name: str) -> Tensor:
    """The first sound of that name, float64 (T,)."""
    phone = next(p for p in spoken.phones if p.name == name)
    return spoken.sound[phone.first : phone.end].double()


def share(x: Tensor, low: float, high: float) -> float:
    """Share of its power between two frequencies."""
    power = torch.fft.rfft(x * torch.hann_window(len(x), dtype=x.dtype)).abs().square()
    frequency = torch.fft.rfftfreq(len(x), 1 / RATE)
    return float(power[(frequency >= low) & (frequency < high)].sum() / power.sum())


def holding(name: str) -> Utterance:
    """The first sentence with a sound, by M1."""
    return utterance("M1", next(i for i in range(100) if any(name in word for word in sentence(i))))


def test_shapes_levels_and_labels(pair) -> None:
    for spoken in pair:
        assert spoken.sound.dtype == torch.float32 and spoken.sound.isfinite().all()
        assert float(spoken.sound.abs().max()) == pytest.approx(0.7, abs=1e-6)
        assert len(spoken.sound) == len(spoken.pitch) * hop_of(RATE) == spoken.phones[-1].end
        assert [p.end for p in spoken.phones[:-1]] == [p.first for p in spoken.phones[1:]]
        levels = spoken.sound.abs()
        assert levels[levels > 0].min() >= 2**-24


def test_two_speakers_say_the_same_sounds_at_other_times_and_pitches(pair) -> None:
    first, second = pair
    assert [p.name for p in first.phones] == [p.name for p in second.phones]
    assert [p.name for p in first.phones if p.name != "_"] == [name for word in sentence(3) for name in word]
    assert len(first.sound) != len(second.sound)
    low, high = (float(x.pitch[x.pitch > 0].median()) for x in (second, first))
    assert low < 110 < 170 < high


def test_an_utterance_depends_on_its_arguments_alone(pair) -> None:
    before = torch.get_rng_state()
    assert torch.equal(utterance("F1", 3).sound, pair[0].sound)
    assert torch.equal(torch.get_rng_state(), before)
    for other in ({"number": 4}, {"seed": 1}, {"take": 1}):
        assert not torch.equal(utterance("F1", **{"number": 3, **other}).sound[:4000], pair[0].sound[:4000])
    assert sentence(3) == sentence(3) != sentence(3, seed=1)


def test_the_pitch_is_that_of_the_sound() -> None:
    """By the peak of the autocorrelation of a vowel's middle, whose pitch hardly moves."""
    spoken, hop = utterance(PLAIN, 3), hop_of(RATE)
    phone = max((p for p in spoken.phones if p.name in VOWELS), key=lambda p: p.end - p.first)
    middle = (phone.first + phone.end) // 2
    x = spoken.sound[middle - 512 : middle + 512].double()
    spectrum = torch.fft.rfft(x, 2048).abs().square()
    correlation = torch.fft.irfft(spectrum)[: RATE // 70] / torch.arange(1024, 1024 - RATE // 70, -1)
    lag = int(correlation[RATE // 400 :].argmax()) + RATE // 400
    assert RATE / lag == pytest.approx(float(spoken.pitch[middle // hop]), rel=0.01)


def test_vowels_have_their_formants() -> None:
    front, back = holding("i"), holding("a")
    assert share(part(front, "i"), 1_900, 3_400) > 10 * share(part(front, "i"), 900, 1_700)
    assert share(part(back, "a"), 600, 1_400) > 0.5 > 0.4 > share(part(back, "a"), 0, 500)


def test_fricatives_are_noise_without_a_pitch() -> None:
    spoken = holding("s")
    assert share(part(spoken, "s"), 3_500, 8_000) > 0.8
    phone = next(p for p in spoken.phones if p.name == "s")
    hop = hop_of(RATE)
    assert not spoken.pitch[phone.first // hop : phone.end // hop].any()


def test_stops_are_quiet_before_their_burst() -> None:
    x = part(holding("t"), "t")
    closure, rest = x[len(x) // 6 : len(x) // 3], x[len(x) // 3 :]
    assert closure.abs().max() < 0.1 * rest.abs().max()


def test_voice_is_labelled_where_a_sound_has_it(pair) -> None:
    for spoken in pair:
        for phone in spoken.phones:
            pitch = spoken.pitch[phone.first // hop_of(RATE) : phone.end // hop_of(RATE)]
            voiced = phone.name != "_" and (phone.name not in CONSONANTS or CONSONANTS[phone.name].voice > 0)
            assert bool((pitch > 0).all()) if voiced else not pitch.any(), phone


@pytest.mark.parametrize("rate", [8_000, 22_050, 48_000])
def test_no_harmonic_is_above_half_the_rate(rate: int) -> None:
    """It would come back as a tone between the others."""
    spoken = utterance(PLAIN._replace(pitch=430, tilt=-60), 3, rate)  # rising steeply, and of one pitch
    assert spoken.sound.isfinite().all() and len(spoken.sound) == len(spoken.pitch) * hop_of(rate)
    phone = max((p for p in spoken.phones if p.name in VOWELS), key=lambda p: p.end - p.first)
    middle, half = (phone.first + phone.end) // 2, rate // 25
    x = spoken.sound[middle - half : middle + half].double()
    power = torch.fft.rfft(x * torch.hann_window(len(x), dtype=x.dtype)).abs().square()
    harmonic = torch.fft.rfftfreq(len(x), 1 / rate) / 430
    between = (harmonic - harmonic.round()).abs() > 0.2
    assert power[between].sum() < 1e-5 * power.sum()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"rate": 7_999}, "7999 Hz, expected 8000 to 48000"),
        ({"speaker": "X9"}, "no speaker 'X9'; choose from F1, F2"),
        ({"number": -1}, "sentence -1, take 0: expected 0 or more"),
        ({"take": -1}, "take -1: expected 0 or more"),
    ],
)
def test_bad_arguments_are_named(arguments, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        utterance(**{"speaker": "F1", "number": 0, **arguments})


def test_the_data_set_has_its_speakers_as_classes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("multigen.audio.recordings.VOICE", {"train": (2, 0), "test": (1, 40)})
    train, test = (open_sounds("voice", 8_000, 4_000, split=split, cut="random") for split in ("train", "test"))
    assert train.classes == tuple(SPEAKERS) == EMBEDDED["voice"]
    assert {name.rpartition("#")[0] for name in train.names} == {f"voice/{s}/{i}" for s in SPEAKERS for i in (0, 1)}
    assert not {*train.origins()} & {*test.origins()} and test.names[0].startswith("voice/test/F1/40#")
    assert isinstance(train.whole, Tensor) and torch.equal(
        train.whole[0, :8000], utterance("F1", 0, 8_000).sound[:8000]
    )
    with pytest.raises(ConfigError, match="voice holds no files; leave both empty"):
        open_sounds("voice", 8_000, 4_000, labels="name")
