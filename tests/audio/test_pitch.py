"""Pitch of speech: what is found of it is what the speaking machine says, wherever a recording is
cut, and it is moved under the same envelope."""

import math

import pytest
import torch

from multigen.audio.mels import MelSpec
from multigen.audio.pitch import Pitch, move, pitch_of, radius_of, statistics
from multigen.audio.spectral import griffin_lim
from multigen.audio.voice import utterance
from multigen.errors import DataError

RATE, HOP = 8_000, 40


@pytest.mark.parametrize("speaker", ["F1", "M2"])
def test_the_pitch_is_that_of_the_machine(speaker: str) -> None:
    spoken = utterance(speaker, 3, rate=RATE)
    found = pitch_of(spoken.sound, RATE, HOP)
    assert len(found) == len(spoken.sound) // HOP + 1
    true = torch.cat([spoken.pitch.float(), torch.zeros(1)])
    both = (found > 0) & (true > 0)
    cents = 1200 * (found[both] / true[both]).log2().abs()
    assert cents.median() < 10 and (cents > 100).double().mean() < 0.05
    assert ((found > 0) != (true > 0)).double().mean() < 0.13  # consonants with a weak voice are no clear case


def test_what_has_no_pitch_has_none() -> None:
    noise = 0.1 * torch.randn(RATE, generator=torch.Generator().manual_seed(0))
    assert (pitch_of(noise, RATE, HOP) > 0).double().mean() < 0.05
    assert not pitch_of(torch.zeros(RATE), RATE, HOP).any()
    with pytest.raises(DataError, match=r"hum: 0 frames have a pitch .*; expected recordings of one person speaking"):
        statistics([torch.zeros(100)], "hum")


def test_a_part_has_the_pitch_of_the_whole() -> None:
    sound, radius = utterance("F2", 1, rate=RATE).sound, radius_of(RATE, HOP)
    whole = pitch_of(sound, RATE, HOP)
    first = 50 * HOP
    part = pitch_of(sound[first : first + 4 * radius], RATE, HOP)
    inside = range(-(-radius // HOP), 3 * radius // HOP)
    assert torch.allclose(part[inside.start : inside.stop], whole[50:][inside.start : inside.stop], rtol=1e-4)


def test_a_pitch_is_moved_by_mean_and_deviation_of_its_logarithm() -> None:
    pitch = torch.tensor([100.0, 0.0, 200.0])
    moved = Pitch(math.log(100), 0.1).to(Pitch(math.log(50), 0.2), pitch)
    assert moved.tolist() == pytest.approx([50.0, 0.0, 50 * 2**2])
    far = Pitch(math.log(100), 0.1).to(Pitch(math.log(50_000), 1e9), torch.tensor([100.0, 90.0]))
    assert far.tolist() == pytest.approx([400.0, 22.5])  # two octaves at most
    own = statistics([torch.full((30,), math.e**5)], "one")
    assert own.mean == pytest.approx(5) and own.deviation == pytest.approx(0, abs=1e-6)


def test_moved_harmonics_have_the_pitch_that_was_asked_for_and_the_envelope_of_before() -> None:
    spoken, spec = utterance("M1", 3, rate=RATE), MelSpec(rate=RATE)
    magnitudes, pitch = spec.magnitude(spoken.sound), pitch_of(spoken.sound, RATE, spec.hop)
    moved = move(magnitudes, pitch, pitch * 1.5, RATE, spec.clip)
    sound = griffin_lim(moved, spec.n_fft, spec.hop, length=len(spoken.sound))
    again = pitch_of(sound, RATE, spec.hop)
    both = (again > 0) & (pitch > 0)
    assert (1200 * (again[both] / pitch[both] / 1.5).log2()).abs().median() < 40
    coarse = [x.log().clamp(min=-8).unfold(0, 32, 8).mean(-1)[:, pitch > 0] for x in (magnitudes, moved)]
    assert (coarse[0] - coarse[1]).abs().mean() < 0.35
    unvoiced = pitch == 0
    assert torch.equal(moved[:, unvoiced], magnitudes[:, unvoiced])
    same, voiced = move(magnitudes, pitch, pitch, RATE, spec.clip), pitch > 0
    assert torch.allclose(same[:, voiced], magnitudes[:, voiced].clamp(min=spec.clip), rtol=1e-3)
