"""Pitch of speech, frame by frame from the samples around each, and its move to another speaker's.

A frame's pitch depends on nothing but 75 ms around it, so a recording may be analysed in parts. The
tracker is the first step of Boersma 1993, "Accurate short-term analysis of the fundamental
frequency and the harmonics-to-noise ratio of a sampled sound"; a median of five frames stands in
the place of its search for the best path.
"""

import functools
import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from multigen.audio.envelopes import envelopes_of, stretched
from multigen.errors import DataError

__all__ = ["HIGHEST", "LEVEL", "LOWEST", "Pitch", "move", "pitch_of", "radius_of", "statistics"]

LOWEST, HIGHEST = 60.0, 500.0
"""Hz, of the pitch that is looked for."""
PERIODS = 3.0  # of the lowest pitch in a window
VOICED = 0.5  # least correlation of a voiced frame with itself a period later
LEVEL = 1e-3
"""RMS of a frame that is audible, at least."""
OCTAVE = 0.02  # by which a correlation counts less, an octave of the period longer
SMOOTH = 2  # frames on each side of a median
WIDEST = 2.0  # octaves by which a pitch is moved at most
LEAST = 20  # voiced frames by which a speaker's pitch is known
TOGETHER = 4_096  # frames looked at at a time: each takes 40 times the memory of its samples


class Pitch(NamedTuple):
    """A speaker's pitch: mean and standard deviation of the natural logarithm of f0 in Hz, over
    voiced frames."""

    mean: float
    deviation: float

    def to(self, target: "Pitch", pitch: Tensor) -> Tensor:
        """This speaker's pitch (frames,), Hz, as one of the target's, at most two octaves away; 0,
        unvoiced, stays 0."""
        spread = target.deviation / max(self.deviation, 1e-6)
        log = pitch.clamp(min=1).log()
        octaves = (target.mean + (log - self.mean) * spread - log) / math.log(2)
        return pitch * 2 ** octaves.nan_to_num(0).clamp(-WIDEST, WIDEST)


def statistics(pitches: Sequence[Tensor], name: str) -> Pitch:
    """Of all voiced frames of recordings (frames,). Raises DataError, which gives `name`, where
    hardly any frame is voiced."""
    voiced = torch.cat([pitch[pitch > 0] for pitch in pitches]).double()
    if len(voiced) < LEAST:
        raise DataError(
            f"{name}: {len(voiced)} frames have a pitch of {LOWEST:.0f} to {HIGHEST:.0f} Hz; expected recordings of one "
            "person speaking, without music or noise: give such"
        )
    return Pitch(float(voiced.log().mean()), float(voiced.log().std(correction=0)))


def radius_of(rate: int, hop: int) -> int:
    """Samples on each side of a frame's centre that its pitch may depend on."""
    return _window(rate).shape[0] // 2 + SMOOTH * hop


def pitch_of(sound: Tensor, rate: int, hop: int) -> Tensor:
    """Pitch of a sound (T,), Hz, 0 where it is unvoiced: (T // hop + 1,), frame i centred on sample
    i * hop."""
    window = _window(rate).to(sound)
    half = len(window) // 2
    frames = torch.nn.functional.pad(sound, (half, half + 1)).unfold(0, len(window), hop)  # (N, W)
    return _smoothed(torch.cat([_pitch_of_frames(some, window, rate) for some in frames.split(TOGETHER)]))


def _pitch_of_frames(frames: Tensor, window: Tensor, rate: int) -> Tensor:
    """Pitch of frames (N, W) alone, Hz, 0 where unvoiced: (N,)."""
    frames = frames - frames.mean(1, keepdim=True)
    level = frames.square().mean(1).sqrt()
    correlation = _correlation(frames * window) / _correlation(window[None])
    correlation = correlation / correlation[:, :1].clamp(min=1e-9)
    shortest, longest = math.floor(rate / HIGHEST), math.ceil(rate / LOWEST)
    r = correlation[:, shortest - 1 : longest + 2]  # one lag more on each side
    middle, before, behind = r[:, 1:-1], r[:, :-2], r[:, 2:]
    lag = torch.arange(shortest, longest + 1, device=frames.device, dtype=frames.dtype)
    strength = torch.where((middle > before) & (middle >= behind), middle - OCTAVE * (lag * LOWEST / rate).log2(), -1.0)
    best = strength.argmax(1, keepdim=True)
    y0, y1, y2 = (x.gather(1, best)[:, 0] for x in (before, middle, behind))
    turn = (y0 - y2) / (2 * (y0 - 2 * y1 + y2)).clamp(max=-1e-9)  # vertex of the parabola
    period = lag[best[:, 0]] + turn.clamp(-1, 1)
    voiced = (y1 >= VOICED) & (level >= LEVEL) & (strength.gather(1, best)[:, 0] > -1)
    return torch.where(voiced, rate / period, 0.0)


def move(magnitudes: Tensor, pitch: Tensor, moved: Tensor, rate: int, least: float, formants: float = 1.0) -> Tensor:
    """Magnitudes of an STFT (F, frames) with their harmonics moved from a pitch (frames,) to
    another, Hz, under the same envelope; frames without a pitch stay as they are.

    What the envelope leaves of the log-spectrum, the harmonics, is stretched along frequency.

    Args:
        least: smaller magnitudes count as this much.
        formants: factor by which the envelope is stretched.
    """
    voiced = (pitch > 0) & (moved > 0)
    if not voiced.any():
        return magnitudes
    log = magnitudes[:, voiced].clamp(min=least).log().T  # (n, F)
    ratio = (moved[voiced] / pitch[voiced]).clamp(2**-WIDEST, 2**WIDEST)
    envelope = envelopes_of(log, pitch[voiced], rate)
    harmonics = stretched(log - envelope, ratio[:, None], reflect=True)
    result = magnitudes.clone()
    result[:, voiced] = (stretched(envelope, formants) + harmonics).exp().T
    return result


def _smoothed(pitch: Tensor) -> Tensor:
    """The median of five frames; a frame is voiced where most of them are."""
    padded = torch.nn.functional.pad(pitch, (SMOOTH, SMOOTH))
    return padded.unfold(0, 2 * SMOOTH + 1, 1).median(1).values


@functools.lru_cache(maxsize=8)
def _window(rate: int) -> Tensor:
    with torch.inference_mode(False):
        return torch.hann_window(2 * math.ceil(PERIODS / 2 * rate / LOWEST) + 1, periodic=False)


def _correlation(frames: Tensor) -> Tensor:
    """Autocorrelation of frames (N, W), lags 0 to W - 1."""
    size = 1 << (2 * frames.shape[1] - 1).bit_length()
    power = torch.fft.rfft(frames, size).abs().square()
    return torch.fft.irfft(power)[:, : frames.shape[1]]
