"""Levels of a recording: DC offset, peak, audible part and loudness, computed block by block."""

import math
from pathlib import Path

import torch
from torch import Tensor

from multigen.audio.store import BLOCK, Store
from multigen.errors import DataError

__all__ = ["OFFSET", "Silent", "as_loud", "audible", "check_audible", "gain", "offset_of", "peak_of"]

SILENCE = 1e-3  # -60 dB of full scale: recordings whose peak is below are damage, not data
QUIET = 1e-2  # -40 dB, below a recording's peak for trimming, below its loudest frame for its loudness
LOUDNESS = 0.1  # -20 dB of full scale, which leaves most speech and music room for its peaks
PEAK = 0.99
MARGIN = 0.005  # seconds kept around what is not silent
FRAME = 0.05  # seconds
OFFSET = 0.005  # -46 dB of full scale: smaller offsets, as converters leave them, are inaudible
SAME_SIDE = 0.9  # share of frames whose means are on one side of 0
FRAMES = 8
LOUDER = 10.0


class Silent(DataError):
    """A recording that is silent throughout."""


def offset_of(sound: Store, rate: int) -> Tensor:
    """DC offset of each channel, (C, 1), as a faulty converter adds it; 0 where there is no clear
    one.

    It is the median of the means of frames of 50 ms, or of 10 ms in short recordings, if it is
    `OFFSET` or more and nearly all of these are on its side of 0. Low tones have means on both
    sides, and silence has none.
    """
    frame = next((size for share in (1, 5) if len(sound) >= FRAMES * (size := round(FRAME * rate / share)) > 0), 0)
    if not frame:
        return torch.zeros(sound.channels, 1)
    size = frame * max(BLOCK // frame, 1)
    # Numbers: small tensors between the blocks would keep their memory from being used again.
    means: list[list[float]] = []
    for _, block in sound.blocks(size):
        if block.shape[1] >= frame:
            means += block.unfold(1, frame, frame).mean(2).T.tolist()
    frame_means = torch.tensor(means).T  # (C, frames)
    middle = frame_means.median(1, keepdim=True).values
    beside = (frame_means.sign() == middle.sign()).float().mean(1, keepdim=True)
    plain = middle.isfinite() & (middle.abs() >= OFFSET) & (beside >= SAME_SIDE)
    return torch.where(plain, middle, 0.0)


def peak_of(sound: Store, offset: Tensor) -> float:
    """Greatest absolute sample after subtracting the offset (C, 1); NaN where a sample is NaN."""
    peaks = [float((block - offset).abs().max()) for _, block in sound.blocks()]
    return float(torch.tensor(peaks).max())


def check_audible(path: Path, peak: float) -> None:
    """Raises Silent for silence, which can neither be trimmed nor scaled, and DataError for
    channels whose mean overflows."""
    if not peak < math.inf:
        raise DataError(
            f"{path}: samples so large that their mean over the channels is {peak}; expected such about -1..1: scale them, or go "
            "on without this file: --skip-bad"
        )
    if peak < SILENCE:
        level = f"{20 * math.log10(peak):.0f}" if peak else "-inf"
        raise Silent(
            f"{path}: a peak of {level} dB of full scale, once averaged to one channel and resampled; expected -60 or more: "
            "silence is no data; remove it, or skip it: --skip-bad"
        )


def audible(sound: Store, rate: int, offset: Tensor, peak: float) -> tuple[int, int]:
    """First and end frame of the audible part: the ends that are 40 dB below the peak are cut, up
    to 5 ms."""

    def ends(backwards: bool, which: int) -> int:
        for first, block in sound.blocks(backwards=backwards):
            if len(audible_frames := ((block - offset).abs().amax(0) >= QUIET * peak).nonzero()):
                return first + int(audible_frames[which])
        return 0

    margin = round(MARGIN * rate)
    return max(ends(False, 0) - margin, 0), min(ends(True, -1) + 1 + margin, len(sound))


def gain(sound: Store, rate: int, first: int, end: int, peak: float) -> float:
    """Factor that scales a sound of this peak so that its 50 ms frames from `first` to `end`,
    without the silent ones, have an RMS of -20 dB of full scale together, or less if its peak would
    be above .99."""
    frame = min(max(round(FRAME * rate), 1), end - first)
    size = frame * max(BLOCK // frame, 1)
    parts = (sound[at : min(at + size, end)] for at in range(first, end, size))
    powers: list[float] = []
    for x in parts:
        if x.shape[1] >= frame:
            powers += x.unfold(1, frame, frame).square().mean((0, 2)).tolist()
    power = torch.tensor(powers)  # (frames,)
    loudness = float(power[power >= QUIET**2 * power.max()].mean().sqrt())
    return min(LOUDNESS / loudness, PEAK / peak)


def as_loud(sound: Tensor, other: Tensor, half: int) -> Tensor:
    """A sound (T,) made as loud as another (T,) at each moment, by the power of both within `half`
    samples on each side; at most 20 dB louder than it is."""
    ratio = _power_around(other, half) / _power_around(sound, half).clamp(min=1e-12)
    return sound * ratio.sqrt().clamp(max=LOUDER).to(sound)


def _power_around(sound: Tensor, half: int) -> Tensor:
    """Sum of squares within `half` samples on each side, where there is sound: float64 (T,)."""
    total = torch.nn.functional.pad(sound.double().square().cumsum(0), (1, 0))
    place = torch.arange(len(sound), device=sound.device)
    return total[(place + half + 1).clamp(max=len(sound))] - total[(place - half).clamp(min=0)]
