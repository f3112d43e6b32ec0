"""A formant synthesiser: nonsense sentences of synthetic speakers, with exactly known pitch, phones
and timing.

A vowel is the harmonics of a pitch f0, filtered by the resonances of a vocal tract (formants); a
consonant is a weaker voiced sound, band-limited noise, or aspiration through the same resonances. A
`Speaker` is a few numbers, and a sentence has the same phones for all speakers, so recordings of
two speakers are parallel, phone by phone. Harmonics above the Nyquist frequency are left out: no
aliasing. The vowels' formants are the men's means of Peterson and Barney 1952,
doi:10.1121/1.1906875.
"""

import math
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor, nn

from multigen.engine.randomness import key
from multigen.errors import ConfigError

__all__ = [
    "CONSONANTS",
    "DIPHTHONGS",
    "RATES",
    "SPEAKERS",
    "UPPER",
    "VOWELS",
    "Phone",
    "Speaker",
    "Utterance",
    "hop_of",
    "response",
    "sentence",
    "utterance",
]

RATES = (8_000, 48_000)
"""Lowest and highest sampling rate, Hz."""


class Speaker(NamedTuple):
    """The parameters of a voice."""

    pitch: float
    """Hz, mean pitch."""
    spread: float
    """Range of the intonation: 1 is about four semitones up and down."""
    tract: float
    """Factor on all formants: 1 for a man, larger for shorter vocal tracts."""
    tilt: float
    """Spectral tilt beyond 6 dB an octave, dB an octave; larger in soft voices."""
    breath: float
    """Level of aspiration noise in vowels."""
    tempo: float
    """Factor on the speaking rate."""


SPEAKERS = {
    "F1": Speaker(205, 1.1, 1.17, 1.0, 0.010, 1.05),
    "F2": Speaker(178, 0.8, 1.12, 3.0, 0.030, 0.92),
    "M1": Speaker(118, 0.9, 1.00, 0.0, 0.006, 1.0),
    "M2": Speaker(92, 0.7, 0.95, 2.0, 0.015, 0.9),
}
"""The speakers of the data set `voice`, by name, in the order of their labels."""

VOWELS = {
    "i": (270, 2290, 3010),
    "I": (390, 1990, 2550),
    "E": (530, 1840, 2480),
    "ae": (660, 1720, 2410),
    "a": (730, 1090, 2440),
    "O": (570, 840, 2410),
    "U": (440, 1020, 2240),
    "u": (300, 870, 2240),
    "V": (640, 1190, 2390),
    "3": (490, 1350, 1690),
}
"""Vowel -> its first three formants, Hz, for the factor 1."""

DIPHTHONGS = {"aI": ("a", "I"), "aU": ("a", "U"), "eI": ("E", "i"), "OI": ("O", "I"), "oU": ("O", "u")}
"""Diphthong -> the vowels at its beginning and its end."""

SYLLABIC = (*VOWELS, *DIPHTHONGS)


class Consonant(NamedTuple):
    """A consonant: levels are relative to a vowel's, times in ms."""

    formants: tuple[int, int, int]
    """Hz: formant targets (loci) of the transitions from and to its neighbours."""
    duration: float
    voice: float = 0
    noise: float = 0
    band: tuple[int, int] = (1_000, 4_000)
    """Hz, band of the noise."""
    burst: float = 0
    """ms, the burst of a stop at its end, after (near) silence; 0: not a stop."""
    breath: float = 0
    """Level of aspiration; for stops, after the burst."""


CONSONANTS = {
    "m": Consonant((250, 1_000, 2_200), 75, voice=0.3),
    "n": Consonant((250, 1_650, 2_600), 70, voice=0.3),
    "l": Consonant((360, 1_150, 2_700), 65, voice=0.5),
    "r": Consonant((350, 1_150, 1_550), 65, voice=0.5),
    "w": Consonant((290, 700, 2_200), 65, voice=0.5),
    "j": Consonant((270, 2_250, 2_950), 60, voice=0.5),
    "v": Consonant((250, 1_000, 2_200), 70, voice=0.25, noise=0.02, band=(1_500, 9_000)),
    "z": Consonant((280, 1_700, 2_600), 85, voice=0.2, noise=0.06, band=(4_200, 9_000)),
    "f": Consonant((350, 1_000, 2_200), 95, noise=0.03, band=(1_500, 9_000)),
    "s": Consonant((350, 1_700, 2_600), 110, noise=0.12, band=(4_200, 9_000)),
    "S": Consonant((350, 1_900, 2_500), 110, noise=0.12, band=(2_200, 6_000)),
    "h": Consonant((500, 1_500, 2_500), 65, breath=0.12),
    "b": Consonant((250, 900, 2_200), 70, voice=0.06, noise=0.10, band=(300, 1_600), burst=10),
    "d": Consonant((250, 1_700, 2_600), 65, voice=0.06, noise=0.10, band=(2_800, 6_000), burst=10),
    "g": Consonant((250, 2_100, 2_400), 70, voice=0.06, noise=0.10, band=(1_300, 3_200), burst=15),
    "p": Consonant((350, 900, 2_200), 115, noise=0.16, band=(300, 1_600), burst=10, breath=0.08),
    "t": Consonant((350, 1_700, 2_600), 115, noise=0.22, band=(2_800, 7_000), burst=15, breath=0.08),
    "k": Consonant((350, 2_100, 2_400), 120, noise=0.18, band=(1_300, 3_500), burst=20, breath=0.08),
}

PAUSE = "_"
CODAS = ("m", "n", "l", "r", "s", "z", "t", "k")
WORDS, SYLLABLES = (3, 6), (1, 3)
ONSET, CODA, BREAK = 0.9, 0.35, 0.25  # chances: of a consonant before and behind a vowel, of a pause between words
VOWEL = {True: 145.0, False: 85.0}  # ms, stressed or not
UPPER = (3_500, 4_500, 5_500, 6_500, 7_500)  # Hz: formants above the third, the same in all sounds
ASPIRATION = 0.35  # share of a voiceless stop behind its burst
FRAME = 0.005  # seconds between the frames of labels and of all that moves
GLIDE, ACCENT, VOICING, ATTACK = 100, 140, 25, 10  # ms over which formants, melody, voicing and noise change
TOP = 10_000  # Hz, above which no harmonics are made
PEAK = 0.7
FLUTTER = 0.05  # semitones


class Phone(NamedTuple):
    """A phone of an utterance: a key of `VOWELS`, `DIPHTHONGS` or `CONSONANTS`, or "_" for a
    pause."""

    name: str
    first: int
    """Its first sample."""
    end: int
    """The sample after its last."""


class Utterance(NamedTuple):
    """A sentence spoken by a speaker."""

    sound: Tensor
    """float32 (T,), -1..1."""
    pitch: Tensor
    """float64 (T / hop,): f0 in Hz at sample i * hop, 0 where unvoiced; hop is
    `hop_of(rate)`."""
    phones: tuple[Phone, ...]
    """All phones in order, from sample 0 to T; their names do not depend on the speaker."""


def hop_of(rate: int) -> int:
    """Hop of the f0 labels in samples: 5 ms, rounded down."""
    return int(rate * FRAME)


def sentence(number: int, seed: int = 0) -> tuple[tuple[str, ...], ...]:
    """The words of a sentence, each a tuple of phones. The first vowel of each word is stressed."""
    draw = _draws("sentence", seed, number)
    words = []
    for _ in range(_between(draw, *WORDS)):
        word: list[str] = []
        for _ in range(_between(draw, *SYLLABLES)):
            word += [_one(draw, tuple(CONSONANTS))] if next(draw) < ONSET else []
            word.append(_one(draw, SYLLABIC))
        word += [_one(draw, CODAS)] if next(draw) < CODA else []
        words.append(tuple(word))
    return tuple(words)


def utterance(speaker: str | Speaker, number: int, rate: int = 16_000, seed: int = 0, take: int = 0) -> Utterance:
    """A sentence spoken by one of `SPEAKERS`, or by a custom speaker.

    It depends on its arguments alone. Utterances of one number, seed and take have the same
    intonation and rhythm up to the speaker's parameters; another take varies both.

    Args:
        speaker: a name of `SPEAKERS`, or the numbers of a voice.
        number: of the sentence, 0 or more.
        rate: samples a second, within `RATES`.
        seed: of all randomness.
        take: which of many ways to say it.

    Raises:
        ConfigError: an argument is out of range.
    """
    if isinstance(speaker, str):
        if speaker not in SPEAKERS:
            raise ConfigError(f"no speaker {speaker!r}; choose from {', '.join(SPEAKERS)}")
        speaker = SPEAKERS[speaker]
    if not RATES[0] <= rate <= RATES[1]:
        raise ConfigError(f"a sampling rate of {rate} Hz, expected {RATES[0]} to {RATES[1]}; choose one in between")
    if number < 0 or take < 0:
        raise ConfigError(f"sentence {number}, take {take}: expected 0 or more; choose another")
    score = _score(sentence(number, seed), speaker, _draws("take", seed, number, take))
    hop, noise = hop_of(rate), torch.Generator().manual_seed(key("voice", "noise", seed, number, take))
    tracks = _tracks(score, speaker)
    sound = _voiced(tracks, speaker, rate) + _noise(tracks, speaker, rate, noise)
    sound = sound * (PEAK / sound.abs().max())
    ends = torch.tensor([frames for _, frames, _ in score]).cumsum(0).tolist()
    names = (name for name, _, _ in score)
    phones = tuple(
        Phone(name, first * hop, end * hop) for name, first, end in zip(names, [0, *ends], ends, strict=False)
    )
    pitch = torch.where(tracks.voiced, tracks.pitch, 0)
    return Utterance(torch.where(sound.abs() < 2**-24, 0, sound).float(), pitch, phones)


# ------------------------------------------------------------------------------------------- what is said, and when


def _draws(*parts: str | int) -> Iterator[float]:
    """Uniform random numbers in 0..1, determined by a key."""
    generator = torch.Generator().manual_seed(key("voice", *parts))
    while True:
        yield from torch.rand(64, generator=generator, dtype=torch.float64).tolist()


def _between(draw: Iterator[float], low: int, high: int) -> int:
    return low + int(next(draw) * (high - low + 1))


def _one(draw: Iterator[float], names: tuple[str, ...]) -> str:
    return names[int(next(draw) * len(names))]


def _score(words: tuple[tuple[str, ...], ...], speaker: Speaker, draw: Iterator[float]) -> list[tuple[str, int, float]]:
    """(phone, frames, accent in semitones), pauses included."""
    score = [(PAUSE, _frames(80 + 80 * next(draw)), 0.0)]
    for i, word in enumerate(words):
        if i and next(draw) < BREAK:
            score.append((PAUSE, _frames(60 + 120 * next(draw)), 0.0))
        stressed = next(j for j, name in enumerate(word) if name in SYLLABIC)
        for j, name in enumerate(word):
            duration = VOWEL[j == stressed] if name in SYLLABIC else CONSONANTS[name].duration
            frames = _frames(duration * (0.85 + 0.3 * next(draw)) / speaker.tempo)
            score.append((name, frames, (1.5 + 3 * next(draw)) * (j == stressed)))
    last = max(i for i, (name, _, _) in enumerate(score) if name in SYLLABIC)
    score[last] = (score[last][0], int(score[last][1] * 1.4), -2.5)  # long and falling
    return [*score, (PAUSE, _frames(100 + 80 * next(draw)), 0.0)]


def _frames(ms: float) -> int:
    return max(round(ms / 1000 / FRAME), 3)


class _Tracks(NamedTuple):
    """Control parameters of an utterance, one row per frame (N)."""

    pitch: Tensor  # (N,) Hz, in pauses too
    voiced: Tensor  # (N,) bool
    voice: Tensor  # (N,) level of the harmonics
    formants: Tensor  # (N, 8) Hz
    noise: Tensor  # (N,) level of the noise in a band
    band: Tensor  # (N, 2) Hz
    breath: Tensor  # (N,) level of the noise under the formants


def _tracks(score: list[tuple[str, int, float]], speaker: Speaker) -> _Tracks:
    n = sum(frames for _, frames, _ in score)
    voice, noise, breath, accent = torch.zeros(4, n, dtype=torch.float64)
    formants, band = torch.zeros(n, 3, dtype=torch.float64), torch.ones(n, 2, dtype=torch.float64)
    at, last = 0, (500, 1_500, 2_500)
    for name, frames, semitones in score:
        here, at = slice(at, at + frames), at + frames
        accent[here] = semitones
        if name in SYLLABIC:
            begin, last = (VOWELS[vowel] for vowel in DIPHTHONGS.get(name, (name, name)))
            voice[here], breath[here] = 1, speaker.breath
        elif name in CONSONANTS:
            c = CONSONANTS[name]
            last = c.formants
            voice[here], noise[here], breath[here] = c.voice, c.noise, c.breath
            band[here] = torch.tensor(c.band, dtype=torch.float64)
            if c.burst:
                aspirated = round(ASPIRATION * frames) if c.breath else 0
                burst = max(round(c.burst / 1000 / FRAME), 1)
                noise[here][: frames - aspirated - burst] = 0
                noise[here][frames - aspirated :] = 0
                breath[here][: frames - aspirated] = 0
        formants[here] = torch.tensor(last, dtype=torch.float64)
        if name in DIPHTHONGS:
            formants[here][: frames // 2] = torch.tensor(begin, dtype=torch.float64)
    upper = torch.tensor(UPPER, dtype=torch.float64).expand(n, -1)
    formants = torch.cat([_smooth(formants, GLIDE), upper], 1) * speaker.tract
    pitch = speaker.pitch * 2 ** (_melody(accent) * speaker.spread / 12)
    level, (noise, breath) = _smooth(voice[:, None], VOICING)[:, 0], _smooth(torch.stack([noise, breath], 1), ATTACK).T
    return _Tracks(pitch, voice > 0, level, formants, noise, band, breath)


def _melody(accent: Tensor) -> Tensor:
    """Semitones relative to the speaker's mean pitch: declination, accents and a little flutter
    (Klatt's sines)."""
    time = torch.arange(len(accent), dtype=torch.float64)[:, None] * FRAME
    flutter = torch.sin(2 * math.pi * torch.tensor([12.7, 7.1, 4.7], dtype=torch.float64) * time).sum(1)
    fall = torch.linspace(1.5, -2.5, len(accent), dtype=torch.float64)
    return fall + _smooth(accent[:, None], ACCENT)[:, 0] + FLUTTER * flutter


def _smooth(x: Tensor, ms: float) -> Tensor:
    """Moving average by a Hann window of that width, with edge padding: (N, C) -> (N, C)."""
    half = round(ms / 2000 / FRAME)
    window = torch.hann_window(2 * half + 3, periodic=False, dtype=x.dtype)[1:-1]  # (2 half + 1,)
    padded = nn.functional.pad(x.T[:, None], (half, half), mode="replicate")  # (C, 1, N + 2 half)
    return nn.functional.conv1d(padded, (window / window.sum())[None, None])[:, 0].T


# -------------------------------------------------------------------------------------------------------- how it sounds


def response(frequency: Tensor, formants: Tensor) -> Tensor:
    """Complex frequency response of a vocal tract: frequencies (N, K) or (K,), formants (N, 8) ->
    (N, K). 1 at 0 Hz."""
    gain = torch.ones(len(formants), frequency.shape[-1], dtype=torch.complex128)
    for f in formants.T[..., None]:  # (N, 1)
        width = 60 + 0.04 * f
        gain = gain * (f * f / torch.complex(f * f - frequency**2, frequency * width))
    return gain


def _voiced(tracks: _Tracks, speaker: Speaker, rate: int) -> Tensor:
    """The sum of the harmonics, float64 (T,)."""
    hop, top = hop_of(rate), min(0.97 * rate / 2, TOP)
    number = torch.arange(1, int(top / tracks.pitch.min()) + 1, dtype=torch.float64)  # (K,)
    frequency = tracks.pitch[:, None] * number  # (N, K)
    slope = (frequency / 500) ** -(1 + speaker.tilt / 6)  # glottis and lips together fall by 6 dB an octave
    level = tracks.voice[:, None] * slope * ((top - frequency) / (0.05 * top)).clamp(0, 1)
    gain = response(frequency, tracks.formants) * level  # (N, K)
    step = torch.arange(hop, dtype=torch.float64) / hop  # (hop,)
    f0 = _between_frames(tracks.pitch, step).flatten()  # (T,)
    angle = 2 * math.pi * (f0.cumsum(0) - f0 / 2) / rate
    turn = torch.polar(torch.ones_like(angle), angle).view(-1, hop)  # (N, hop)
    # Each gain moves from its frame's value to the next one's: two polynomials in e^(i angle), by Horner's rule.
    ends = torch.stack([gain, torch.cat([gain[1:], gain[-1:]]) - gain])[..., None]  # (2, N, K, 1)
    sums = torch.zeros(2, *turn.shape, dtype=turn.dtype)
    for k in reversed(range(len(number))):
        sums.add_(ends[:, :, k]).mul_(turn)
    return (sums[0] + sums[1] * step).real.flatten()


def _between_frames(x: Tensor, step: Tensor) -> Tensor:
    """Linear interpolation: (N,) at frames -> (N, hop) at samples; the last frame's value to the
    end."""
    return x[:, None] + (torch.cat([x[1:], x[-1:]]) - x)[:, None] * step


def _noise(tracks: _Tracks, speaker: Speaker, rate: int, generator: torch.Generator) -> Tensor:
    """White noise shaped in windows of 10 ms, float64 (T,)."""
    hop, n = hop_of(rate), len(tracks.pitch)
    # Of the same power in every band at every rate.
    white = torch.randn(n * hop, generator=generator).double() * math.sqrt(rate / 16_000)
    window = torch.hann_window(2 * hop, dtype=torch.float64).sqrt()
    spectrum = torch.stft(white, 2 * hop, hop, window=window, return_complex=True)[:, :n]  # (F, N)
    frequency = torch.fft.rfftfreq(2 * hop, 1 / rate, dtype=torch.float64)  # (F,)
    low, high = tracks.band.split(1, 1)  # (N, 1)
    band = (1 + (low / frequency.clamp(min=1)) ** 8).rsqrt() * (1 + (frequency / high) ** 8).rsqrt()  # (N, F)
    breath = response(frequency, tracks.formants) * (frequency / 1_500).clamp(max=1)
    gain = tracks.noise[:, None] * band + tracks.breath[:, None] * breath
    return torch.istft(spectrum * gain.T, 2 * hop, hop, window=window, length=n * hop)
