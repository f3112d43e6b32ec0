"""Whether a recording is one of speech, by how much of it has a pitch, and whether that is held."""

from typing import NamedTuple

import torch
from torch import Tensor

from multigen.audio.pitch import HIGHEST, LEVEL, LOWEST
from multigen.console import say
from multigen.errors import DataError

__all__ = ["Voicing", "check_like_speech", "voicing_of"]

NOTE, STILL = 0.15, 40.0  # seconds, and cents: a pitch that moves less is held
HELD = 0.4  # of the voiced frames: a sixth at most in speech, four fifths in tunes, half or more in drums
VOICED = 0.1, 0.99  # least and greatest share of the audible frames of speech that have a pitch
LOW = 0.2  # share that speech with much noise or long pauses may have
SENTENCE = 400  # audible frames, 5 seconds of 80: a shorter sentence may have a pitch throughout
ENOUGH = 20  # voiced frames by which a held pitch is known


class Voicing(NamedTuple):
    """Numbers of frames."""

    audible: int = 0
    voiced: int = 0
    """Audible ones that have a pitch."""
    held: int = 0
    """Voiced ones whose pitch is held, as that of a note."""

    def plus(self, other: "Voicing") -> "Voicing":
        return Voicing(*(a + b for a, b in zip(self, other, strict=True)))


def voicing_of(sound: Tensor, pitch: Tensor, rate: int, hop: int) -> Voicing:
    """Of a sound (T,) and its pitch (frames,), Hz, 0 where unvoiced."""
    frames = sound[: len(sound) // hop * hop].view(-1, hop)
    audible = frames.square().mean(1).sqrt() >= LEVEL
    voiced = audible & (pitch[: len(frames)] > 0)
    cents = torch.where(voiced, 1200 * pitch[: len(frames)].clamp(min=1).log2(), torch.inf)
    length, held = round(NOTE * rate / hop), torch.zeros_like(voiced)
    if len(cents) >= length:
        windows = cents.unfold(0, length, 1)
        still = windows.amax(1) - windows.amin(1) <= STILL  # inf - inf is NaN, which is not
        for i in range(length):
            held[i : i + len(still)] |= still
    return Voicing(int(audible.sum()), int(voiced.sum()), int(held.sum()))


def check_like_speech(name: str, voicing: Voicing, fix: str) -> None:
    """Raises DataError, which says how to `fix` it, for music or noise; says where hardly any of
    what is audible has a pitch."""
    share, still = voicing.voiced / max(voicing.audible, 1), voicing.held / max(voicing.voiced, 1)
    expected = "expected speech of one person, without music or noise"
    if voicing.voiced >= ENOUGH and still > HELD:
        raise DataError(
            f"{name}: {still:.0%} of its pitch is held like notes, as in music; {expected}, in which at most {HELD:.0%} is; {fix}"
        )
    pitch = f"a pitch of {LOWEST:.0f} to {HIGHEST:.0f} Hz in {share:.0%} of what is audible"
    if share < VOICED[0] or (share > VOICED[1] and voicing.audible >= SENTENCE):
        raise DataError(f"{name}: {pitch}; {expected}, which has one in {VOICED[0]:.0%} to {VOICED[1]:.0%}; {fix}")
    if share < LOW:
        say(f"{name}: {pitch}; {expected}, which has one in {LOW:.0%} or more: the result may not be speech")
