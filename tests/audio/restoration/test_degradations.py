"""Degradations of sounds: exact ratios, filters that end where they should, spectra of noise, keyed
draws."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from multigen.audio.restoration import degradations
from multigen.audio.restoration.degradations import FAMILIES, NOISES, Noises, coloured, filtered, lowpass, mix, narrowed
from multigen.errors import ConfigError

RATE = 16_000


def draws(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def white(length: int = RATE, seed: int = 0) -> Tensor:
    return 0.1 * torch.randn(length, generator=torch.Generator().manual_seed(seed))


def power(x: Tensor, low: float, high: float) -> float:
    """Mean power density of a band, dB."""
    spectrum = torch.fft.rfft(x.double() * torch.hann_window(len(x), dtype=torch.float64)).abs().square()
    frequency = torch.fft.rfftfreq(len(x), 1 / RATE)
    return 10 * math.log10(float(spectrum[(frequency >= low) & (frequency < high)].mean()) + 1e-30)


@pytest.mark.parametrize("snr", [-5, 0, 7.5, 15])
def test_the_ratio_of_a_mix_is_exact(snr: float) -> None:
    sound, noise = white(seed=0).double(), 40 * white(seed=1).double()
    mixed = mix(sound, noise, snr)
    ratio = 10 * torch.log10(sound.square().sum() / (mixed - sound).square().sum())
    assert float(ratio) == pytest.approx(snr, abs=1e-9)


def test_silence_is_mixed_with_nothing() -> None:
    silence = torch.zeros(100)
    assert torch.equal(mix(silence, white(100), 0), silence)
    assert torch.equal(mix(white(100), silence, 0), white(100))


@pytest.mark.parametrize("bandwidth", [2_000, 4_000])
def test_a_narrowed_sound_ends_at_its_bandwidth_and_is_itself_below(bandwidth: int) -> None:
    sound = white()
    narrow = narrowed(sound, RATE, bandwidth)
    assert narrow.shape == sound.shape
    assert power(narrow, 0, 0.9 * bandwidth) == pytest.approx(power(sound, 0, 0.9 * bandwidth), abs=0.05)
    assert power(narrow, 1.1 * bandwidth, 8_000) < power(sound, 1.1 * bandwidth, 8_000) - 55


def test_a_bandwidth_beyond_half_the_rate_is_refused() -> None:
    with pytest.raises(ConfigError, match="a bandwidth of 9000 Hz at a rate of 16000 Hz"):
        narrowed(white(), RATE, 9_000)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("seed", range(3))
def test_every_family_passes_what_is_low_and_stops_what_is_high(family: str, seed: int) -> None:
    gain = lowpass(family, torch.tensor([0, 0.3, 0.6, 2, 4], dtype=torch.float64), draws(seed))
    assert gain[:3].min() > 0.85 and gain[3:].max() < 0.1 and gain.max() <= 1


@pytest.mark.parametrize("seed", range(5))
def test_nothing_is_above_the_bandwidth_of_a_filtered_sound(seed: int) -> None:
    sound = white()
    narrow = filtered(sound, RATE, 4_000, draws(seed))
    assert narrow.dtype == sound.dtype and narrow.shape == sound.shape
    assert power(narrow, 4_400, 8_000) < power(sound, 4_400, 8_000) - 80
    assert power(narrow, 0, 1_500) == pytest.approx(power(sound, 0, 1_500), abs=1.2)


def test_filters_do_not_delay() -> None:
    click = torch.zeros(2_001)
    click[1_000] = 1
    assert all(int(filtered(click, RATE, 4_000, draws(seed)).argmax()) == 1_000 for seed in range(8))


def test_filters_differ() -> None:
    assert len({round(float(filtered(white(), RATE, 4_000, draws(seed)).square().sum()), 4) for seed in range(8)}) == 8


@pytest.mark.parametrize("slope", [-6, -3, 0, 3])
def test_coloured_noise_rises_by_its_slope(slope: float) -> None:
    noise = coloured(8 * RATE, RATE, slope, draws())
    assert float(noise.square().mean()) == pytest.approx(1, abs=1e-5)
    bands = [power(noise, low, 1.1 * low) for low in (250, 500, 1_000, 2_000, 4_000)]
    assert np.diff(bands).mean() == pytest.approx(slope, abs=0.25)


@pytest.mark.parametrize("kind", NOISES)
def test_noise_follows_from_its_draws(kind: str) -> None:
    noises = Noises(RATE, [white(5_000, seed) for seed in range(4)])
    one, same, other = (noises.draw(RATE, draws(seed), kind) for seed in (0, 0, 1))
    assert one.shape == (RATE,) and one.isfinite().all() and one.any()
    assert torch.equal(one, same) and not torch.equal(one, other)


def test_kinds_are_drawn_from_those_that_are_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(degradations, "drum", None)  # no drum is made where none is wanted
    noises, rng = Noises(RATE, [white(500)], ("coloured", "babble")), draws()
    assert all(noises.draw(400, rng).any() for _ in range(6))


def test_babble_holds_nothing_but_the_voices() -> None:
    tone = torch.sin(2 * math.pi * 1_000 * torch.arange(1_600) / RATE)
    noise = Noises(RATE, [tone], ("babble",)).draw(RATE, draws())
    assert power(noise, 950, 1_050) > power(noise, 2_000, 8_000) + 60


@pytest.mark.parametrize("count", [1, 2, 5])
def test_babble_is_of_other_voices_none_of_them_twice(count: int) -> None:
    time = torch.arange(1_600) / RATE
    voices = [torch.sin(2 * math.pi * 1_000 * (i + 1) * time) for i in range(count)]
    noises = Noises(RATE, voices, ("babble",))
    for seed in range(8):
        noise = noises.draw(1_600, draws(seed), without=0)
        powers = [float((noise @ voice) ** 2 + (noise @ voice.roll(RATE // (4_000 * (i + 1)))) ** 2)
                  for i, voice in enumerate(voices)]  # fmt: skip
        if count > 1:
            assert powers[0] < 1e-6 * max(powers)
            loud = [power for power in powers[1:] if power > 1e-6 * max(powers)]
            assert min(loud) > max(loud) / 2 and len(loud) == min(len(loud), count - 1)
        else:
            assert noise.any() and noise.isfinite().all()


@pytest.mark.parametrize(
    ("voices", "kinds", "problem"),
    [
        ([], NOISES, "noise babble: no recordings"),
        ([], (), "noise of no kind"),
        ([], ("rain",), "noise rain: expected"),
    ],
)
def test_kinds_that_cannot_be_made_are_refused(voices: list[Tensor], kinds: tuple[str, ...], problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        Noises(RATE, voices, kinds)
