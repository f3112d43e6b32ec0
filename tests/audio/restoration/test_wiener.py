"""The Wiener filter: less noise, the same length, silence."""

import numpy as np
import torch
from torch import Tensor

from multigen.audio.restoration.degradations import coloured, mix
from multigen.audio.restoration.wiener import wiener
from multigen.audio.voice import utterance

RATE = 16_000


def snr(x: Tensor, clean: Tensor) -> float:
    return float(10 * torch.log10(clean.square().sum() / (x - clean).square().sum()))


def test_steady_noise_becomes_less() -> None:
    clean = utterance("F1", 0, RATE).sound
    noisy = mix(clean, coloured(len(clean), RATE, 0, np.random.default_rng(0)), 5)
    restored = wiener(noisy, RATE)
    assert restored.shape == noisy.shape
    assert snr(restored, clean) > snr(noisy, clean) + 4


def test_what_is_clean_stays_nearly_as_it_is() -> None:
    clean = utterance("M1", 0, RATE).sound
    assert snr(wiener(clean, RATE), clean) > 20


def test_silence_and_short_sounds_stay_as_they_are() -> None:
    for sound in (torch.zeros(1, 4_000), 0.1 * torch.ones(1, 200)):
        torch.testing.assert_close(wiener(sound, RATE), sound)


def test_channels_are_filtered_one_by_one() -> None:
    sounds = torch.randn(2, 4_000, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(wiener(sounds, RATE)[1], wiener(sounds[1], RATE))
