"""Changing the rate of sounds, whole or block by block."""

import itertools
import math
from collections.abc import Iterable, Iterator
from pathlib import Path

import torch
from torch import Tensor, nn

from multigen.errors import ConfigError, DataError

__all__ = ["RAISED", "are_near", "check_rates", "resample", "resampled", "uniform"]

FILTER_WIDTH = 64
"""Zero crossings on each side of the resampler's windowed sinc. With torchaudio's 6 a tone at 1.05
of the new Nyquist frequency comes back as a third of its amplitude and one at .9 loses a quarter;
with 64, under .001 both; as fast."""
ROLL_OFF = 0.99  # of the lower Nyquist frequency, at which the sinc ends: torchaudio's
KERNEL = 1 << 27  # numbers in a resampler's filters, at most, if all were kept
KEPT = 1 << 21  # those that are, as a matrix: more are computed as they are needed
AT_ONCE = 1 << 18  # of which so many at once
RAISED = 64
"""Times that a rate is raised at most."""
PIECE = 1 << 19  # frames resampled at once


def are_near(before: int, after: int) -> bool:
    """Whether `resample` serves from one rate to the other."""
    shared = math.gcd(before, after)
    old, new = before // shared, after // shared
    return old * new + 2 * FILTER_WIDTH * max(old, new) <= KERNEL and after <= RAISED * before


def check_rates(path: str | Path, before: int, after: int) -> None:
    """Raises DataError for a rate of a file, in a damaged header as a rule, which `resample`
    does not serve."""
    if not are_near(before, after):
        raise DataError(
            f"{path}: expected a whole sound file, but its rate of {before} Hz cannot be brought to the {after} Hz that are "
            "wanted; repair or remove it, or skip it: --skip-bad"
        )


def resample(sound: Tensor, before: int, after: int) -> Tensor:
    """Changes the rate, (..., T) -> (..., ceil(T * after / before)), on the sound's device, by a
    windowed sinc.

    Flat within .1 % up to .95 of the lower Nyquist frequency; 1.05 of it and more are damped by 60
    dB. Differentiable. Around the sound lies silence. Equal rates give a copy.

    Args:
        sound: floats, T at least 1.
        before: Hz.
        after: Hz.

    Raises ConfigError if a rate is below 1.
    """
    if before < 1 or after < 1:
        raise ConfigError(
            f"resampling from {before} to {after} Hz, expected rates of at least 1; correct the lower one"
        )
    if before == after:
        return sound.clone()
    shared = math.gcd(before, after)
    if before // shared * (after // shared) > KEPT:
        return _resampled_as_needed(sound, before // shared, after // shared)
    from torchaudio import functional

    resampled = functional.resample(sound.contiguous(), before, after, lowpass_filter_width=FILTER_WIDTH)
    # torchaudio rounds the length as a float32, which beyond 2**24 samples loses some of the last.
    missing = -(-sound.shape[-1] * after // before) - resampled.shape[-1]
    return nn.functional.pad(resampled, (0, missing))


def _resampled_as_needed(sound: Tensor, old: int, new: int) -> Tensor:
    """What torchaudio gives, of rates without a common divisor, whose filters, one for each of
    `new` phases, it would keep in gigabytes with the zeros around them."""
    base = min(old, new) * ROLL_OFF
    scale = base / (old * new)
    width = math.ceil(FILTER_WIDTH * old / base) + 1
    length, taps = -(-sound.shape[-1] * new // old), torch.arange(-width, width + 1, device=sound.device)
    padded = nn.functional.pad(sound, (width, width + 1))
    parts: list[Tensor] = []
    for numbers in torch.arange(length, device=sound.device).split(max(AT_ONCE // len(taps), 1)):
        place = numbers * old
        t = (taps * new - (place % new)[:, None]).double() * scale  # (n, taps), from an output to each input
        weights = torch.sinc(t) * torch.cos(t.clamp(-FILTER_WIDTH, FILTER_WIDTH) * (math.pi / 2 / FILTER_WIDTH)) ** 2
        inputs = padded[..., (place // new)[:, None] + taps + width]  # (..., n, taps)
        parts.append((inputs * (weights * (base / old)).to(sound)).sum(-1))
    return torch.cat(parts, -1)


def resampled(blocks: Iterable[Tensor], before: int, after: int) -> Iterator[Tensor]:
    """`resample` of a sound (C, T) that comes in blocks, in memory for a few of them. A sound of
    one block gives what `resample` gives; of several, rounding apart."""
    if before == after:
        yield from blocks
        return
    shared = math.gcd(before, after)
    old, new = before // shared, after // shared
    # Frames that the filter reaches, and more.
    reach = -(-(FILTER_WIDTH + 2) * old // min(old, new)) // old * old + 2 * old
    size = max(PIECE // old * old, reach)
    pending, lead = torch.empty(0, 0), 0  # frames not passed on yet, behind `lead` frames for the filter alone
    for block in blocks:
        pending = torch.cat([pending, block], 1) if pending.numel() else block
        while pending.shape[1] >= lead + size + reach and pending.shape[1] > 2 * size:
            sound = resample(pending[:, : lead + size + reach], before, after)
            yield sound[:, lead // old * new : (lead + size) // old * new]
            pending, lead = pending[:, lead + size - reach :], reach
    if pending.shape[-1] > lead:
        yield resample(pending, before, after)[:, lead // old * new :]


def uniform(path: str | Path, parts: Iterable[tuple[int, Tensor]], rate: int, channels: int) -> Iterator[Tensor]:
    """Blocks (C, T), each with its rate, as those of one rate and number of channels; each run of
    one rate by itself.

    Raises DataError for channels that are neither all averaged nor all equal.
    """

    def as_many(block: Tensor) -> Tensor:
        if len(block) == channels:
            return block
        if channels > 1 and len(block) > 1:
            raise DataError(
                f"{path}: its parts have {channels} and {len(block)} channels; expected as many in all; cut it, or skip it: "
                "--skip-bad"
            )
        return block.mean(0, keepdim=True).expand(channels, -1)

    for before, run in itertools.groupby(parts, lambda part: part[0]):
        if before != rate:
            check_rates(path, before, rate)
        yield from resampled((as_many(block) for _, block in run), before, rate)
