"""Envelopes of voiced speech: their stretching, and the factor between two vocal tracts."""

import math

import pytest
import torch

from multigen.audio.envelopes import envelopes_of, factor_between, stretched, tracts_of
from multigen.audio.mels import MelSpec
from multigen.audio.pitch import pitch_of
from multigen.audio.voice import SPEAKERS, utterance

RATE = 16_000


def test_envelopes_are_stretched_along_frequency() -> None:
    x = torch.linspace(0, 1, 101)
    bump = torch.exp(-(((x - 0.4) / 0.05) ** 2))[None]
    for factor in (0.8, 1.0, 1.25):
        assert float(x[stretched(bump, factor).argmax()]) == pytest.approx(0.4 * factor, abs=0.011)
    assert torch.equal(stretched(bump, 1.0), bump)
    each = stretched(bump.expand(2, -1), torch.tensor([[0.8], [1.25]]))
    assert each.argmax(1).tolist() == [32, 50]
    rising = x[None]
    assert stretched(rising, 0.5)[0, 60:].eq(1).all()  # what lies above the end is as the end
    assert stretched(rising, 0.5, reflect=True)[0, 75] == pytest.approx(0.5)


def test_an_envelope_has_no_harmonics() -> None:
    frequency = torch.linspace(0, RATE / 2, 257)
    smooth = torch.cos(frequency / RATE * 6)
    harmonics = 2 * torch.cos(2 * math.pi * frequency / 200)
    made = envelopes_of((smooth + harmonics)[None], torch.tensor([200.0]), RATE)[0]
    assert (made - smooth)[20:-20].abs().max() < 0.1


def envelopes(who: str) -> torch.Tensor:
    """Of sentences that nobody else says."""
    spec, parts = MelSpec(rate=RATE), []
    for number in range(6):
        sound = utterance(who, 100 * [*SPEAKERS].index(who) + number, rate=RATE).sound
        pitch = pitch_of(sound, RATE, spec.hop)
        log = spec.magnitude(sound)[:, pitch > 0].clamp(min=spec.clip).log().T
        parts.append(envelopes_of(log, pitch[pitch > 0], RATE))
    return torch.cat(parts)


def test_the_factor_between_vocal_tracts_is_found_without_pairs() -> None:
    names = ("F1", "M1", "M2")
    spoken = [envelopes(who) for who in names]
    for i, j in ((0, 1), (0, 2), (2, 1)):
        true = SPEAKERS[names[j]].tract / SPEAKERS[names[i]].tract
        assert factor_between(spoken[i], spoken[j], RATE) == pytest.approx(true, abs=0.03)
    assert factor_between(spoken[0], spoken[0], RATE) == 1
    tracts = tracts_of(spoken, RATE)
    assert math.prod(tracts) == pytest.approx(1, abs=1e-5)
    assert tracts[0] / tracts[2] == pytest.approx(1.17 / 0.95, abs=0.05)
