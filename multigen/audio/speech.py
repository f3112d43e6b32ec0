"""Analysis of speech recordings: effective bandwidth, pauses, noise, and speakers by file name."""

import math
import re
from collections import Counter
from collections.abc import Iterable
from pathlib import PurePath
from typing import NamedTuple

import torch
from torch import Tensor

from multigen.audio.levels import QUIET
from multigen.audio.store import BLOCK, Store

__all__ = ["CUT", "Speech", "examine", "speakers_by_name", "speakers_of"]

WINDOW, FRAME = 0.032, 0.02  # seconds: of spectra, and of levels
BELOW = 1e-7  # -70 dB of the strongest frequency: what is weaker counts as nothing
STEP = 2**-15  # of 16 bits, whose rounding is no content either
DENSE = 0.9  # share of the frequencies below a low-pass filter that a filtered recording fills; tones do not
CUT = 0.8  # of half the rate: a bandwidth below it is worth a warning
QUIETEST = 0.1  # share of the frames that is taken for noise


class Speech(NamedTuple):
    """Measurements of one recording."""

    bandwidth: float
    """Effective bandwidth, Hz: the highest frequency less than 70 dB below the peak of the mean
    power spectrum (windows of 32 ms)."""
    filtered: bool
    """Whether the bandwidth is sharply limited below .8 of the Nyquist frequency: the recording was
    upsampled, or compressed."""
    silence: float
    """Share of frames (20 ms) more than 40 dB below the loudest."""
    snr: float
    """Estimated signal-to-noise ratio, dB: the mean power of all frames over that of the quietest
    tenth, less 1. Infinite where these are digital silence. Meaningless for sounds without
    pauses."""


def examine(sound: Store, rate: int, offset: Tensor) -> Speech:
    """Measures a mono recording block by block, after subtracting its DC offset (1, 1)."""
    size, frame = 1 << round(math.log2(max(WINDOW * rate, 2))), max(round(FRAME * rate), 1)
    window = torch.hann_window(size)
    spectrum, count, powers = torch.zeros(size // 2 + 1, dtype=torch.float64), 0, list[float]()
    step = math.lcm(size, frame)
    for _, block in sound.blocks(step * max(BLOCK // step, 1)):
        x = (block - offset)[0]
        frames = _rows(x, size)  # (n, size)
        spectrum += torch.fft.rfft(frames * window).abs().square().sum(0, dtype=torch.float64)
        count += len(frames)
        powers += _rows(x, frame).square().mean(1).tolist()
    mean = spectrum[1:] / count  # (F - 1,) without 0 Hz
    rounding = float(window.square().sum()) * STEP**2 / 12
    present = mean > max(BELOW * float(mean.max()), 10 * rounding)
    top = int(present.nonzero().max()) + 1 if present.any() else 0
    bandwidth = top * rate / size
    filtered = 0 < bandwidth < CUT * rate / 2 and float(present[:top].double().mean()) >= DENSE
    level = torch.tensor(powers, dtype=torch.float64).sort().values
    noise = float(level[: max(round(QUIETEST * len(level)), 1)].mean())
    ratio = max(float(level.mean()) / noise - 1, 1e-6) if noise else math.inf
    silence = float((level < QUIET**2 * level[-1]).double().mean())
    return Speech(bandwidth, filtered, silence, 10 * math.log10(ratio))


def _rows(x: Tensor, size: int) -> Tensor:
    """(T,) -> (n, size); the remainder is dropped, or zero-padded where there is no whole row."""
    n = len(x) // size
    return x[: n * size].view(n, size) if n else torch.nn.functional.pad(x, (0, size - len(x)))[None]


# ------------------------------------------------------------------------------------------------------ speakers

CODE = r"(?:[A-Za-z]{1,3}\d{1,6}|[FM][A-Z]{3}\d|(?:speaker|spk)[-_]?\w+)"  # p225, SF1, id10270; FCJF0; speaker_1
NAMES = (
    ("the names before the first _ or -", re.compile(rf"({CODE})[_-]\w.*")),
    ("the first of three numbers in the names", re.compile(r"(\d+)-\d+-\d+")),  # LibriSpeech's 84-121123-0000
    ("the words between two numbers in the names", re.compile(r"\d+_([A-Za-z]+)_\d+")),  # 7_jackson_32
)
FOLDER = re.compile(CODE)


def speakers_by_name(files: Iterable[PurePath]) -> tuple[str, Counter[str]]:
    """As `speakers_of`, with the number of recordings of each speaker."""
    how, names = speakers_of(files)
    return how, Counter(names)


def speakers_of(files: Iterable[PurePath]) -> tuple[str, list[str]]:
    """How file names tell the speaker, by the conventions of common speech corpora, and the speaker
    of each recording; ("", none) where they do not, or there is only one. Paths are relative to the
    data folder."""
    files = list(files)
    for how, pattern in NAMES:
        matches = [match for path in files if (match := pattern.fullmatch(path.stem))]
        if len(matches) == len(files) and len({match[1] for match in matches}) > 1:
            return how, [match[1] for match in matches]
    folders = [next((part for part in reversed(path.parts[:-1]) if FOLDER.fullmatch(part)), "") for path in files]
    return ("folders", folders) if all(folders) and len({*folders}) > 1 else ("", [])
