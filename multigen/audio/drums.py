"""A drum machine: eight kinds of drum sounds, synthesised from seeds, so that data exist with no
download and no licence.

Each sound is a sum of a few components, as in the analogue machines of around 1980: sines that
sweep in pitch, square waves, and noise, each under an exponential envelope. `RANGES` holds the
distributions of its parameters. Everything is band-limited: partials at or above half the sampling
rate are left out, and noise is shaped by its spectrum.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from multigen.engine.randomness import key
from multigen.errors import ConfigError

__all__ = ["CLASSES", "RANGES", "RATES", "Range", "drum", "drums"]

CLASSES = ("kick", "snare", "closed_hat", "open_hat", "tom", "clap", "cowbell", "rim")
"""Names by label."""

RATES = (4_000, 48_000)
"""Lowest and highest sampling rate, Hz."""


class Range(NamedTuple):
    """Range of a parameter, drawn uniformly; log-uniformly where the unit is Hz or ms."""

    low: float
    high: float
    unit: str
    count: int = 1


# Units: Hz; ms; x, a factor or a ratio; turn, a phase; top, a share of the lower of half the sampling rate and 10 kHz.
# A decay is the time in which an envelope falls by 60 dB. Levels are relative to that of the first component, 1.
RANGES: dict[str, dict[str, Range]] = {
    "kick": {
        "start": Range(90, 340, "Hz"),
        "end": Range(36, 62, "Hz"),
        "sweep": Range(6, 40, "ms"),  # time constant of the pitch
        "decay": Range(200, 1_100, "ms"),
        "third": Range(0, 0.25, "x"),  # level of the third harmonic
        "click": Range(0, 0.5, "x"),
        "click_decay": Range(4, 20, "ms"),
    },
    "snare": {
        "tone": Range(150, 240, "Hz"),
        "ratio": Range(1.5, 1.95, "x"),  # of the second partial's frequency to the first's
        "second": Range(0.3, 0.9, "x"),
        "tone_decay": Range(120, 450, "ms"),
        "noise": Range(0.3, 1.4, "x"),
        "noise_low": Range(500, 1_300, "Hz"),
        "noise_high": Range(0.6, 0.95, "top"),
        "noise_decay": Range(180, 800, "ms"),
    },
    "closed_hat": {
        "tune": Range(0.8, 1.35, "x"),
        "detune": Range(0.96, 1.04, "x", 6),
        "phase": Range(0, 1, "turn", 6),
        "noise": Range(0.1, 1.2, "x"),
        "corner": Range(0.5, 0.85, "top"),
        "decay": Range(35, 180, "ms"),
    },
    "open_hat": {
        "tune": Range(0.8, 1.35, "x"),
        "detune": Range(0.96, 1.04, "x", 6),
        "phase": Range(0, 1, "turn", 6),
        "noise": Range(0.1, 1.2, "x"),
        "corner": Range(0.5, 0.85, "top"),
        "decay": Range(450, 1_500, "ms"),
    },
    "tom": {
        "end": Range(100, 260, "Hz"),
        "rise": Range(1.2, 2.0, "x"),  # of the first frequency over the last
        "sweep": Range(20, 100, "ms"),
        "decay": Range(250, 1_200, "ms"),
        "skin": Range(0.05, 0.4, "x"),  # level of the drumhead's next mode, 1.59 times as high
        "noise": Range(0, 0.25, "x"),
        "noise_decay": Range(10, 60, "ms"),
    },
    "clap": {
        "gap": Range(7, 15, "ms"),  # between bursts
        "bursts": Range(2.5, 4.5, "x"),  # how many, rounded: 3 or 4 before the tail
        "burst_decay": Range(12, 40, "ms"),
        "tail": Range(0.4, 1.0, "x"),
        "tail_decay": Range(150, 650, "ms"),
        "centre": Range(800, 1_500, "Hz"),
        "width": Range(1.3, 2.0, "x"),  # from the centre to either edge
    },
    "cowbell": {
        "tone": Range(470, 680, "Hz"),
        "ratio": Range(1.42, 1.54, "x"),
        "second": Range(0.7, 1.3, "x"),
        "phase": Range(0, 1, "turn", 2),
        "centre": Range(700, 1_300, "Hz"),
        "width": Range(1.3, 2.5, "x"),
        "strike": Range(0.3, 2.0, "x"),  # level of a first quick envelope over the slow one
        "strike_decay": Range(15, 60, "ms"),
        "decay": Range(200, 1_000, "ms"),
    },
    "rim": {
        "low": Range(380, 620, "Hz"),
        "high": Range(1_450, 1_900, "Hz"),
        "ring": Range(0.4, 1.6, "x"),  # level of the high resonance
        "decay": Range(25, 110, "ms"),
        "click": Range(0.1, 0.8, "x"),
        "click_decay": Range(3, 10, "ms"),
    },
}
"""Class -> parameter -> what is drawn for each sound."""

PEAK = Range(0.5, 0.95, "x")  # highest absolute sample, every class
METAL = (205.3, 304.4, 369.6, 522.7, 540.0, 800.0)  # Hz: the six oscillators of a TR-808's cymbals
BLOCK = 8  # sounds rendered together
FADE = 0.1  # share of the sound over which it is faded out

Parameters = dict[str, Tensor]  # name -> (BLOCK, count), in Hz, seconds or as they are


def drums(n: int, length: int = 4096, rate: int = 8000, seed: int = 0, first: int = 0) -> tuple[Tensor, Tensor]:
    """Drum sounds of all classes in turn.

    Sound i is of class i % 8 and depends on (seed, i), length and rate alone: a longer request
    begins with the shorter one, bit for bit.

    Args:
        n: how many sounds, at least 1.
        length: samples of each, at least 20 ms.
        rate: samples a second, within `RATES`.
        seed: of all randomness.
        first: number of the first sound.

    Returns:
        sounds float32 (n, 1, length), -1..1, and labels int64 (n,).

    Raises:
        ConfigError: an argument is out of range.
    """
    _check(n, length, rate, first)
    labels = torch.arange(first, first + n) % len(CLASSES)
    sounds = torch.empty(n, 1, length)
    for label, kind in enumerate(CLASSES):
        rows = torch.nonzero(labels == label).flatten()
        if len(rows):
            start = (first + int(rows[0])) // len(CLASSES)
            sounds[rows] = drum(kind, len(rows), length, rate, seed, start)
    return sounds, labels


def drum(kind: str, n: int, length: int = 4096, rate: int = 8000, seed: int = 0, first: int = 0) -> Tensor:
    """Sounds of one class, float32 (n, 1, length): the j-th one is sound j * 8 + label of `drums`,
    j counted from `first`.

    Arguments and errors are those of `drums`; a ConfigError too if there is no such class.
    """
    if kind not in CLASSES:
        raise ConfigError(f"no drum {kind!r}; choose from {', '.join(CLASSES)}")
    _check(n, length, rate, first)
    # Always whole blocks that begin at multiples of BLOCK: vectorised arithmetic rounds differently at a tensor's end,
    # and so each sound has its place in a tensor of always the same shape.
    blocks = range(first // BLOCK, (first + n - 1) // BLOCK + 1)
    sounds = torch.cat([_block(kind, block * BLOCK, length, rate, seed) for block in blocks])  # (whole blocks, length)
    start = first % BLOCK
    return sounds[start : start + n, None].contiguous()  # (n, 1, length)


def _check(n: int, length: int, rate: int, first: int) -> None:
    if not RATES[0] <= rate <= RATES[1]:
        raise ConfigError(f"a sampling rate of {rate} Hz, expected {RATES[0]} to {RATES[1]}; choose one in between")
    if length < rate / 50:
        raise ConfigError(f"{length} samples at {rate} Hz, expected 20 ms or more; choose a length of {rate // 50 + 1}")
    if n < 1 or first < 0:
        raise ConfigError(f"{n} sounds from number {first} on: at least 1 sound expected, and no number below 0")


def _block(kind: str, first: int, length: int, rate: int, seed: int) -> Tensor:
    """Sounds first..first + BLOCK - 1 of a class, float32 (BLOCK, length)."""
    ranges = {**RANGES[kind], "peak": PEAK}
    counts = [r.count for r in ranges.values()]
    uniform = torch.empty(BLOCK, sum(counts), dtype=torch.float64)
    noise = torch.empty(BLOCK, length, dtype=torch.float64)
    for row in range(BLOCK):
        number = (first + row) * len(CLASSES) + CLASSES.index(kind)
        generator = torch.Generator().manual_seed(key("drums", seed, number))
        uniform[row].uniform_(generator=generator)
        noise[row] = torch.randn(length, generator=generator)
    draws = zip(ranges.items(), uniform.split(counts, dim=1), strict=True)
    p = {name: _draw(r, u, rate) for (name, r), u in draws}  # (BLOCK, count) each
    t = torch.arange(length, dtype=torch.float64) / rate  # (T,) seconds
    x = SYNTHESIS[kind](p, t, noise, rate)  # (BLOCK, T)
    fade = max(2, int(FADE * length))
    x[:, -fade:] *= torch.cos(torch.linspace(0, math.pi / 2, fade, dtype=x.dtype)).square()
    x[:, -1] = 0
    x *= p["peak"] / x.abs().amax(dim=1, keepdim=True)
    # What 24 bits do not hold is silence: subnormal numbers would slow every convolution that reads them.
    return torch.where(x.abs() < 2**-24, 0, x).float()


def _draw(r: Range, uniform: Tensor, rate: int) -> Tensor:
    """Values of a parameter from numbers in 0..1: milliseconds become seconds, shares of the top
    Hz."""
    if r.unit in ("Hz", "ms"):
        value = r.low * (r.high / r.low) ** uniform
        return value / 1000 if r.unit == "ms" else value
    value = r.low + (r.high - r.low) * uniform
    return value * min(rate / 2, 10_000) if r.unit == "top" else value


# ----------------------------------------------------------------------------------------------- the instruments


def _kick(p: Parameters, t: Tensor, noise: Tensor, rate: int) -> Tensor:
    phase = _swept(p["start"], p["end"], p["sweep"], t)
    body = (phase.sin() + p["third"] * (3 * phase).sin()) * _decay(t, p["decay"])
    return body + p["click"] * _unit(noise) * _decay(t, p["click_decay"])


def _snare(p: Parameters, t: Tensor, noise: Tensor, rate: int) -> Tensor:
    tones = _sine(p["tone"], t) + p["second"] * _sine(p["tone"] * p["ratio"], t)
    hiss = _band(noise, p["noise_low"], p["noise_high"], rate)
    return tones * _decay(t, p["tone_decay"]) + p["noise"] * hiss * _decay(t, p["noise_decay"])


def _hat(p: Parameters, t: Tensor, noise: Tensor, rate: int) -> Tensor:
    tones = torch.tensor(METAL, dtype=t.dtype) * p["tune"] * p["detune"]  # (BLOCK, 6)
    pairs = zip(tones.split(1, dim=1), p["phase"].split(1, dim=1), strict=True)
    metal = sum((_square(tone, phase, t, rate) for tone, phase in pairs), torch.zeros_like(noise))
    metal, hiss = (_band(x, p["corner"], None, rate) for x in (metal, noise))
    return (metal + p["noise"] * hiss) * _decay(t, p["decay"])


def _tom(p: Parameters, t: Tensor, noise: Tensor, rate: int) -> Tensor:
    phase = _swept(p["rise"] * p["end"], p["end"], p["sweep"], t)
    body = phase.sin() * _decay(t, p["decay"])
    skin = p["skin"] * (1.59 * phase).sin() * _decay(t, p["decay"] / 2)
    return body + skin + p["noise"] * _unit(noise) * _decay(t, p["noise_decay"])


def _clap(p: Parameters, t: Tensor, noise: Tensor, rate: int) -> Tensor:
    bursts = p["bursts"].round()  # (BLOCK, 1)
    since = t - p["gap"] * torch.minimum((t / p["gap"]).floor(), bursts - 1)  # (BLOCK, T) seconds since a burst began
    after = t - p["gap"] * (bursts - 1)
    tail = p["tail"] * torch.where(after >= 0, _decay(after.clamp(min=0), p["tail_decay"]), 0)
    hands = _band(noise, p["centre"] / p["width"], p["centre"] * p["width"], rate)
    return hands * torch.maximum(_decay(since, p["burst_decay"]), tail)


def _cowbell(p: Parameters, t: Tensor, noise: Tensor, rate: int) -> Tensor:
    low, high = p["phase"].split(1, dim=1)
    tones = _square(p["tone"], low, t, rate) + p["second"] * _square(p["tone"] * p["ratio"], high, t, rate)
    bell = _band(tones, p["centre"] / p["width"], p["centre"] * p["width"], rate)
    return bell * (_decay(t, p["decay"]) + p["strike"] * _decay(t, p["strike_decay"]))


def _rim(p: Parameters, t: Tensor, noise: Tensor, rate: int) -> Tensor:
    ring = _sine(p["low"], t) * _decay(t, p["decay"]) + p["ring"] * _sine(p["high"], t) * _decay(t, p["decay"] / 1.5)
    return ring + p["click"] * _unit(noise) * _decay(t, p["click_decay"])


SYNTHESIS: dict[str, Callable[[Parameters, Tensor, Tensor, int], Tensor]] = {
    "kick": _kick,
    "snare": _snare,
    "closed_hat": _hat,
    "open_hat": _hat,
    "tom": _tom,
    "clap": _clap,
    "cowbell": _cowbell,
    "rim": _rim,
}


# ------------------------------------------------------------------------------------------------ the components


def _decay(t: Tensor, time: Tensor) -> Tensor:
    """An envelope that falls by 60 dB within `time` seconds."""
    return torch.exp(t * (-3 * math.log(10) / time))


def _sine(frequency: Tensor, t: Tensor) -> Tensor:
    return (2 * math.pi * frequency * t).sin()


def _swept(start: Tensor, end: Tensor, time: Tensor, t: Tensor) -> Tensor:
    """Phase of a tone whose frequency falls exponentially from start to end (Hz) with time constant
    `time`, radians."""
    return 2 * math.pi * (end * t + (start - end) * time * (1 - torch.exp(-t / time)))


def _square(frequency: Tensor, phase: Tensor, t: Tensor, rate: int) -> Tensor:
    """A square wave of odd harmonics below rate / 2; (BLOCK, 1) Hz and turns -> (BLOCK, T)."""
    angle = 2 * math.pi * (frequency * t + phase)  # (BLOCK, T)
    # sin((k + 2) a) = 2 cos(2 a) sin(k a) - sin((k - 2) a): a multiplication in the place of a sine for each harmonic.
    twice, before, now = 2 * (2 * angle).cos(), -angle.sin(), angle.sin()
    wave = torch.zeros_like(angle)
    for k in range(1, int(rate / 2 / frequency.min()) + 1, 2):
        wave += now * ((k * frequency < rate / 2).to(now.dtype) / k)
        before, now = now, twice * now - before
    return wave


def _band(x: Tensor, low: Tensor, high: Tensor | None, rate: int) -> Tensor:
    """Unit power between two frequencies (BLOCK, 1), Hz, with slopes of 24 dB an octave; None: up
    to rate / 2."""
    frequency = torch.fft.rfftfreq(x.shape[1], 1 / rate, dtype=x.dtype)  # (T // 2 + 1,)
    gain = (1 + (low / frequency.clamp(min=1)) ** 8).rsqrt()
    if high is not None:
        gain = gain * (1 + (frequency / high) ** 8).rsqrt()
    return _unit(torch.fft.irfft(torch.fft.rfft(x) * gain, n=x.shape[1]))


def _unit(x: Tensor) -> Tensor:
    return x / x.square().mean(dim=1, keepdim=True).sqrt()
