"""What is measured of generated sounds: features of known ones, extractors, figures of copies, of
noise and of one sound."""

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from multigen.audio.datasets import SoundSet
from multigen.audio.drums import CLASSES, drums
from multigen.audio.synthesis.evaluator import compare, logmel, open_evaluator, open_extractor, spectrogram
from multigen.audio.synthesis.sampler import AudioSampler
from multigen.data.datasets import Splits
from multigen.errors import ConfigError, DataError
from multigen.tasks.synthesis import extractors
from multigen.tasks.synthesis.extractors import embed

CPU = torch.device("cpu")
pytestmark = pytest.mark.usefixtures("own_cache")


def recordings(n: int, seed: int, labelled: bool = True) -> SoundSet:
    sounds, labels = drums(n, 2048, seed=seed)
    names = tuple(f"{seed}/{i}" for i in range(n))
    return SoundSet("drums", sounds, labels if labelled else None, CLASSES if labelled else (), names, rate=8000)


@pytest.fixture(scope="module")
def sets() -> Splits[SoundSet]:
    return Splits(recordings(96, 1), recordings(16, 2), recordings(64, 3))


class Copies(nn.Module):
    """A generator that gives out sounds, one after another."""

    def __init__(self, sounds: Tensor):
        super().__init__()
        self.weight, self.sounds, self.next = nn.Parameter(torch.zeros(1)), sounds, 0

    def forward(self, z: Tensor, label: Tensor | None = None) -> Tensor:
        chosen = torch.arange(self.next, self.next + len(z)) % len(self.sounds)
        self.next += len(z)
        return self.sounds[chosen]


# ---------------------------------------------------------------------------------------------------- features


@pytest.mark.parametrize("rate", [4000, 8000, 16_000, 44_100])
def test_features_of_silence_and_of_a_click(rate: int) -> None:
    sounds = torch.zeros(2, 1, rate // 4)
    sounds[1, 0, rate // 8 + rate // 64] = 1.0  # in the middle of the fifth of eight parts
    result = logmel(sounds, rate)
    assert result.shape == (2, 320) and result.dtype == torch.float32
    torch.testing.assert_close(result[0], torch.full((320,), math.log(1e-5)))
    louder = (result[1] - result[0]).view(40, 8)  # bands, parts of the sound
    assert (louder[:, 4] > 1).all() and (louder[:, [0, 1, 2, 6, 7]] == 0).all()


def test_features_of_a_tone_lie_in_its_band_and_grow_with_its_level() -> None:
    time = torch.arange(4096) / 8000
    sine = (2 * math.pi * 1000 * time).sin()[None, None]
    result = logmel(torch.cat([sine, sine / 2]), 8000).view(2, 40, 8)
    # Slaney's scale is 3 / 200 Hz up to 1 kHz, and there are 40 bands between 41 points of equal distance and 0.
    top = 15 + math.log(4) / (math.log(6.4) / 27)  # mels at 4 kHz
    assert result[0, :, 4].argmax().item() == round(15 / (top / 41)) - 1
    quieter = (result[0] - result[1])[result[1] > 0]
    assert len(quieter) >= 8
    torch.testing.assert_close(quieter, torch.full_like(quieter, 2 * math.log(2)), rtol=0, atol=0.02)


def test_features_do_not_depend_on_the_batch(sets: Splits[SoundSet]) -> None:
    sounds = sets.test.items[:20]
    torch.testing.assert_close(torch.cat([logmel(x[None], 8000) for x in sounds]), logmel(sounds, 8000))
    assert spectrogram(sounds, 8000).shape == (20, 1, 40, 2048 // 64 + 1)  # every 8 ms


def test_extractors_by_name(sets: Splits[SoundSet]) -> None:
    h, p = open_extractor("logmel", sets.train, CPU).run(sets.test.items)
    assert torch.equal(h, logmel(sets.test.items, 8000)) and p is None
    with pytest.raises(ConfigError, match="extractor 'vggish': expected one of logmel, classifier"):
        open_extractor("vggish", sets.train, CPU)
    with pytest.raises(ConfigError, match="extractor classifier: drums has no labels; take logmel, or give --labels"):
        open_extractor("classifier", replace(sets.train, labels=None, classes=()), CPU)


@pytest.mark.slow
def test_the_classifier_is_trained_once_and_learns_the_drums(
    sets: Splits[SoundSet], monkeypatch: pytest.MonkeyPatch
) -> None:
    train, trained = extractors.train_classifier, []

    def short(*a: Any, **k: Any) -> nn.Module:
        trained.append(a)
        return train(*a, **{**k, "steps": 30, "batch": 32})

    monkeypatch.setattr(extractors, "train_classifier", short)
    for _ in range(2):
        h, p = embed(open_extractor("classifier", sets.train, CPU), sets.test.items, CPU)
    assert len(trained) == 1 and h.shape == (64, 128) and p is not None and sets.test.labels is not None
    assert (p.argmax(1) == sets.test.labels).float().mean() > 0.6  # chance: an eighth
    open_extractor("classifier", replace(sets.train, rate=16_000), CPU)
    assert len(trained) == 2  # the same samples at another rate are other sounds


# ---------------------------------------------------------------------------------------------------- figures


def test_copies_are_called_so_and_noise_and_one_sound_lie_farther_than_recordings(sets: Splits[SoundSet]) -> None:
    plain = Splits(*(replace(s, labels=None, classes=()) for s in (sets.train, sets.validation, sets.test) if s))
    it = open_evaluator(plain, 60, CPU)
    assert (it.extractor_name, it.selection_metric, it.also) == ("logmel", "fd_logmel", {})
    floor = it.baselines()["real"]
    copies = it.measure(AudioSampler(Copies(plain.train.items), 2))
    one = it.measure(AudioSampler(Copies(plain.test.items[:1]), 2))
    noise = it.metrics_of(0.1 * torch.randn(60, 1, 2048, generator=torch.Generator().manual_seed(0)), None)
    assert copies["memorisation"] == 0 and 0.7 < floor["memorisation"] < 1.4
    assert 0.7 < floor["variety"] < 1.4 and one["variety"] == 0 and 0.7 < copies["variety"] < 1.4
    assert 3 * max(floor["fd_logmel"], copies["fd_logmel"]) < min(one["fd_logmel"], noise["fd_logmel"])
    assert copies["coverage"] > 0.5 and noise["coverage"] == 0
    named = it.definitions()
    assert {*floor, *copies, *noise} <= named.keys()
    assert (
        "in 40 mel bands" in named["fd_logmel"]
        and "sounds of 2048 samples at 8000 Hz; 60 samples" in named["fd_logmel"]
    )
    assert not {"class_accuracy", "classes", "is_logmel", "fd_classifier"} & (copies | floor).keys()


def test_with_labels_the_classifier_is_used_and_log_mel_distances_are_reported_too(
    sets: Splits[SoundSet], quick_classifier: None
) -> None:
    it = open_evaluator(sets, 64, CPU)
    assert it.extractor_name == "classifier" and it.selection_metric == "fd_logmel" and [*it.also] == ["logmel"]
    result, floor = it.measure(AudioSampler(Copies(sets.test.items), 2, CLASSES)), it.baselines()["real"]
    for row in (result, floor):
        assert {
            "fd_classifier",
            "fd_logmel",
            "kd_classifier",
            "class_accuracy",
            "classes_learned",
            "variety",
        } <= row.keys()
        assert "kd_logmel" not in row and row.keys() <= it.definitions().keys()
    assert result["fd_logmel"] == pytest.approx(0, abs=1e-6) and floor["fd_logmel"] > 1
    assert it.validate(AudioSampler(Copies(sets.test.items), 2, CLASSES)).keys() == {"fd_logmel"}


def test_d_is_given_sounds_as_it_takes_them(sets: Splits[SoundSet], quick_classifier: None) -> None:
    seen: list[Tensor] = []
    d = nn.Module()
    d.forward = lambda x, label: seen.append(x) or x.flatten(1)[:, :3]  # three critics
    it = open_evaluator(sets, 64, CPU, to_input=lambda sound: 10 * sound)
    result = it.overfitting(d, lambda items: None)["d_overfit"]
    assert sets.validation is not None and torch.equal(seen[1], 10 * sets.validation.items) and -0.5 <= result <= 0.5


def test_two_sets_are_compared(sets: Splits[SoundSet]) -> None:
    result = compare("logmel", sets.train, sets.test, CPU)
    assert [*result.rows] == ["real", "fake"] and result.definitions.keys() == result.rows["fake"].keys()
    assert result.rows["fake"]["fd_logmel"] < 3 * result.rows["real"]["fd_logmel"]
    silent = compare("logmel", sets.train, replace(sets.test, items=torch.zeros_like(sets.test.items)), CPU)
    assert silent.rows["fake"]["fd_logmel"] > 10 * result.rows["fake"]["fd_logmel"]
    assert "48 samples, 48 real ones for the baseline, against 48 other real ones" in result.definitions["fd_logmel"]
    with pytest.raises(DataError, match="drums: 3 recordings, expected at least 4"):
        compare("logmel", sets.train.subset(range(3)), sets.test, CPU)
