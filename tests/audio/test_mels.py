"""The record that defines a log-mel spectrogram: what it derives, what it refuses, and mels from
elsewhere."""

import math
import re
from typing import Any

import pytest
import torch
from torch import Tensor

from multigen.audio.mels import MelSpec
from multigen.audio.spectral import log_mel
from multigen.audio.voice import utterance
from multigen.errors import ConfigError, DataError


@pytest.fixture(scope="module")
def sound() -> Tensor:
    return utterance("M1", 3).sound


def test_the_rest_is_derived_from_the_rate() -> None:
    assert MelSpec(16_000) == MelSpec(16_000, 200, 1024, 1024, 80, 0, 8_000)
    assert (MelSpec(8_000).hop, MelSpec(8_000).n_fft) == (100, 512)
    assert (MelSpec(48_000).hop, MelSpec(48_000).n_fft, MelSpec(48_000).high) == (600, 4096, 24_000)
    assert (MelSpec(22_050, hop=256).n_fft, MelSpec(22_050, hop=256).high) == (1024, 11_025)


@pytest.mark.parametrize("power", [1, 2])
def test_it_agrees_with_librosa(sound: Tensor, power: Any) -> None:
    import librosa

    spec = MelSpec(16_000, low=50, high=7_600, power=power, window=800)
    expected = librosa.feature.melspectrogram(
        y=sound.numpy(), sr=16_000, n_fft=1024, win_length=800, hop_length=200, pad_mode="reflect", power=power,
        n_mels=80, fmin=50, fmax=7_600,
    )  # fmt: skip
    ours = spec(sound)
    assert ours.shape == (80, spec.frames(len(sound))) and float(ours.max()) < math.log(spec.greatest())
    torch.testing.assert_close(ours, torch.tensor(expected).clamp(min=1e-5).log(), rtol=1e-3, atol=1e-3)


def test_powers_are_those_of_the_spectrogram_of_losses(sound: Tensor) -> None:
    torch.testing.assert_close(MelSpec(16_000, power=2)(sound), log_mel(sound, 16_000, 1024, 200, 80))


def test_triangles_of_height_one() -> None:
    weights = MelSpec(16_000, normalisation="none").weights(torch.empty(0))
    assert float(weights.max()) <= 1 and float(weights.max()) > 0.9
    assert float(MelSpec(16_000).weights(torch.empty(0)).max()) < 0.1


@pytest.mark.parametrize("power", [1, 2])
def test_the_pseudo_inverse_has_the_same_mels(sound: Tensor, power: Any) -> None:
    spec = MelSpec(16_000, power=power)
    mels = spec(sound)
    again = spec.log(spec.of_magnitudes(spec.to_magnitudes(mels)))
    loud = mels > mels.max() - 7
    assert (again - mels)[loud].abs().mean() < 0.3
    assert spec.to_magnitudes(torch.full((80, 2), math.log(spec.clip))).min() > 0


@pytest.mark.parametrize("rate", [11_025, 22_050, 44_100])
def test_a_rate_without_a_whole_hop_is_named(rate: int) -> None:
    samples = re.escape(f"{rate / 80:g}")
    with pytest.raises(
        ConfigError, match=rf"a rate of {rate} Hz does not divide .*: {samples} samples each; .*or a hop in"
    ):
        MelSpec(rate)
    assert MelSpec(rate, hop=256).hop == 256


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"rate": 0}, "a rate of 0 Hz, expected 1 or more"),
        ({"hop": 600, "n_fft": 1024}, "hop 600, window 1024, n_fft 1024: expected"),
        ({"hop": -1}, "hop -1"),
        ({"window": 2048, "n_fft": 1024}, "window 2048, n_fft 1024: expected"),
        ({"n_fft": 1025}, "n_fft 1025: expected an even"),
        ({"clip": 0}, "clip 0, power 1, normalisation 'slaney': expected a clip above 0"),
        ({"power": 3}, "power 3"),
        ({"normalisation": "area"}, "normalisation 'area'"),
        ({"bands": 400}, "of 400 mel bands .* hold no frequency"),
        ({"bands": 0}, "0 mel bands"),
        ({"high": 9_000}, "from 0 to 9000 Hz at 16000 Hz"),
    ],
)
def test_what_does_not_fit_is_named(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        MelSpec(**settings)


@pytest.mark.parametrize(("length", "instead"), [(8_100, 8_000), (500, 600), (400, 600)])
def test_a_segment_is_a_whole_number_of_hops(length: int, instead: int) -> None:
    spec = MelSpec(16_000)
    spec.check_segment(8_000)
    with pytest.raises(ConfigError, match=f"segments of {length} samples with a hop of 200 .* take {instead}"):
        spec.check_segment(length)
    spec.check_segment(instead)


def test_it_is_read_as_it_was_written() -> None:
    spec = MelSpec(22_050, hop=256, high=8_000)
    assert MelSpec.from_dict(spec.to_dict()) == spec


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rate": "16000"}, "mels.json: rate is '16000', expected a number"),
        ({"hop": True}, "hop is True"),
        ({"normalisation": 1}, "normalisation is 1, expected text"),
        ({"colour": 1}, "colour missing or unknown; expected exactly rate, hop"),
        ({"hop": 5_000}, "mels.json: mels with hop 5000"),
    ],
)
def test_a_damaged_record_is_named(change: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        MelSpec.from_dict({**MelSpec().to_dict(), **change}, "mels.json")
    with pytest.raises(DataError, match="clip missing"):
        MelSpec.from_dict({k: v for k, v in MelSpec().to_dict().items() if k != "clip"})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: m.T, r"an array \(\d+, 80\), expected \(80, frames\); transpose it"),
        (lambda m: m[:40], r"expected \(80, frames\); give mels of 80 bands"),
        (lambda m: m[0], r"expected \(80, frames\)"),
        (lambda m: m[:, :0], r"expected \(80, frames\)"),
        (lambda m: m * float("nan"), "not a finite number"),
        (lambda m: m.exp().clamp(min=1e-7).log() - 3, "mels of another definition"),
        (lambda m: 20 / math.log(10) * m, "values from .* mels of another definition"),
        (lambda m: m + 20, "mels of another definition|none below 0"),
        (lambda m: m.exp(), "before the logarithm"),
        (lambda m: (m - m.min()) / (m.max() - m.min()), "or scaled to 0..1"),
        (lambda m: (m - 0.1).to(torch.bfloat16), "mels of another definition"),
    ],
)
def test_mels_of_another_kind_are_named(sound: Tensor, change: Any, message: str) -> None:
    spec = MelSpec(16_000)
    mels = spec(sound)
    spec.check(mels, "a.npy")
    with pytest.raises(DataError, match=f"a.npy: .*{message}"):
        spec.check(change(mels), "a.npy")


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_mels_are_taken_as_their_type_rounds_them(sound: Tensor, dtype: torch.dtype) -> None:
    spec = MelSpec(16_000)
    spec.check(spec(torch.cat([sound, torch.zeros(2_000)])).to(dtype), "a.npy")


def test_the_differences_of_two_definitions_are_named(sound: Tensor) -> None:
    spec = MelSpec(16_000)
    spec.check(spec(sound), "a.npy", MelSpec(16_000, hop=200))
    with pytest.raises(DataError, match=r"a.npy: .*the model's: hop 160 for 200, clip 1e-07 for 1e-05; make"):
        spec.check(spec(sound), "a.npy", MelSpec(16_000, hop=160, clip=1e-7))
