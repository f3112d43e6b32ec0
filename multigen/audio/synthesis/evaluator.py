"""Sample-quality metrics of sounds: distances to real ones in the features of a log-mel spectrum or
of a classifier.

The networks by which the literature measures sounds (VGGish, CLAP, the classifier of WaveGAN's
authors) are not available without a download, or at all. So figures carry other names: `logmel`, a
fixed summary of the spectrum, and `classifier`, trained here on the labelled training recordings;
compare them within one set of data.
"""

import contextlib
import statistics
from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from multigen.audio.datasets import SoundSet, open_sounds
from multigen.audio.files import AUDIO, Info, read_info
from multigen.audio.recordings import EMBEDDED
from multigen.audio.spectral import log_mel
from multigen.console import say
from multigen.data.datasets import Splits, report_compared, with_skipped
from multigen.data.locate import locate
from multigen.data.parts import find_parts
from multigen.data.unread import find_files
from multigen.engine.device import choose_device
from multigen.engine.evaluation import Evaluation
from multigen.errors import ConfigError, DataError
from multigen.metrics import distances as features
from multigen.metrics.classifier import STEPS
from multigen.tasks.synthesis import evaluator as evaluator
from multigen.tasks.synthesis.evaluator import Evaluator
from multigen.tasks.synthesis.extractors import BATCH, Extractor, by_classifier

__all__ = [
    "EXTRACTORS",
    "compare",
    "compare_data",
    "in_parts",
    "logmel",
    "nearest_recordings",
    "open_evaluator",
    "open_extractor",
    "spectrogram",
    "together",
]

WINDOW, HOP = 0.032, 0.008  # seconds
RATE, LENGTH = 8000, 4096  # of the drum machine compared with itself, where no file gives another
BANDS, PARTS = 40, 8
TOGETHER = 1 << 19  # samples whose spectra are taken at a time
EXTRACTORS = {
    "logmel": f"natural logarithm of the power in {BANDS} mel bands (32 ms windows every 8 ms, at least 1e-5), its means in "
    f"{PARTS} parts of the sound, {BANDS * PARTS} features",
    "classifier": "a small convolutional network trained here on the log-mel spectrograms of the labelled training recordings, "
    "128 features",
    "drums": "the same network trained here on the embedded drum machine, whatever the training recordings",
}


def spectrogram(sounds: Tensor, rate: int) -> Tensor:
    """Log-mel spectrograms (B, 1, BANDS, frames) of the means of sounds' channels (B, C, T); frames
    of 32 ms every 8 ms."""
    n_fft = round(WINDOW * rate)
    return log_mel(sounds.mean(1, keepdim=True), rate, n_fft, round(HOP * rate), BANDS)


def together(sounds: Tensor) -> Iterable[Tensor]:
    """Sounds (N, C, T) in parts whose spectra fit into memory together."""
    return sounds.split(_fitting(sounds))


def _fitting(sounds: Tensor) -> int:
    return max(TOGETHER // sounds.shape[1:].numel(), 1)


def logmel(sounds: Tensor, rate: int) -> Tensor:
    """Features (N, BANDS * PARTS) of sounds (N, C, T): see `EXTRACTORS`."""
    return in_parts(lambda x: adaptive_avg_pool2d(spectrogram(x, rate), (BANDS, PARTS)).flatten(1), sounds)


def in_parts(work: Callable[[Tensor], Tensor], sounds: Tensor) -> Tensor:
    """`work` done on sounds (N, C, T) `together`: (n, C, T) -> (n, ...).

    Each result is copied to its place when it comes: in a list they would keep memory from being
    used again (see `embed_all`).
    """
    whole, at = torch.empty(0), 0
    for part in together(sounds):
        done = work(part)
        whole = whole if at else done.new_empty(len(sounds), *done.shape[1:])
        whole[at : at + len(part)] = done
        at += len(part)
    return whole


def nearest_recordings(sounds: Tensor, train: Tensor, rate: int) -> Tensor:
    """The recording (M, C, T) nearest to each sound (N, C, T), by log-mel spectra."""
    return train[features.nearest(logmel(sounds, rate), logmel(train, rate))[1]]


def open_extractor(name: str, train: SoundSet, device: torch.device, steps: int = STEPS) -> Extractor:
    """An extractor by its name in `EXTRACTORS`; the recordings give the rate, and for `classifier`
    the labels. `steps`: of a classifier's training.

    Raises ConfigError for another name, or a classifier without labels.
    """
    if name == "logmel":
        rate = train.rate
        return Extractor(lambda x: (logmel(x, rate), None), [f"{rate} Hz"])
    if name == "drums":
        return _classifier(open_sounds("drums", train.rate, train.items.shape[2]), device, steps)
    if name != "classifier":
        raise ConfigError(f"extractor {name!r}: expected one of {', '.join(EXTRACTORS)}")
    if train.labels is None:
        raise ConfigError(
            f"extractor classifier: {train.name} has no labels; take logmel, or give --labels or a folder a class"
        )
    return _classifier(train, device, steps)


def _classifier(train: SoundSet, device: torch.device, steps: int) -> Extractor:
    rate = train.rate

    def planes(sounds: Tensor) -> Tensor:
        return in_parts(lambda x: spectrogram(x, rate), sounds)

    def unit(spectra: Tensor) -> Tensor:
        return (spectra + 5) / 4  # about -1.6..1.6

    return by_classifier("sound-classifier", train, planes, unit, device, [f"{rate} Hz"], steps)


def open_evaluator(
    sets: Splits[SoundSet],
    samples: int,
    device: torch.device,
    names: Sequence[str] = (),
    to_input: Callable[[Tensor], Tensor] = torch.clone,
    steps: int = STEPS,
) -> Evaluator[SoundSet]:
    """Measures by several extractors. The best checkpoint is chosen by log-mel spectra, where they
    are among them: they are independent of the classes that the final evaluation counts, and less
    noisy.

    Args:
        names: of `EXTRACTORS`; by default the classifier, where there are labels, and log-mel
            spectra.
        to_input: sounds (N, C, T) as D takes them.
        steps: of a classifier's training.
    """
    train = sets.train
    names = names or (["logmel"] if train.labels is None else ["classifier", "logmel"])
    extractors = {name: open_extractor(name, train, device, steps) for name in names}
    first = names[0]
    about = f"features: {_about(names)}; {_form(train)}"
    reported = {name: extractors[name] for name in names[1:]}
    chooses = "logmel" if "logmel" in names else first
    batch = min(BATCH, _fitting(train.items))
    return Evaluator(sets, samples, device, first, extractors[first], about, to_input, reported, chooses, batch)


def _about(names: Sequence[str]) -> str:
    return "; ".join(f"{name}, {EXTRACTORS[name]}" for name in names)


def _form(sounds: SoundSet) -> str:
    stereo = ", by the mean of their two channels" if sounds.items.shape[1] > 1 else ""
    return f"sounds of {sounds.items.shape[2]} samples at {sounds.rate} Hz{stereo}"


def compare(name: str, real: SoundSet, fake: SoundSet, device: torch.device) -> Evaluation:
    """Two sets of sounds, as `multigen.tasks.synthesis.evaluator.compare`."""
    return evaluator.compare(name, real, fake, device, open_extractor, f"features: {_about([name])}; {_form(real)}")


def compare_data(
    real: str, fake: str, name: str, device: str, skip_bad: bool, rate: int = 0, length: int = 0
) -> Evaluation:
    """As `compare`, of two data arguments, which are brought to one rate and length first.

    Args:
        rate: Hz; 0: the lower of the two sets' commonest.
        length: samples from the beginning; 0: the longest power of two not above either set's
            median, but 32 ms at least.
    """
    if not rate or not length:
        rate, length = _common(rate, length, [info for data in (real, fake) if (info := _headers(data))])
        say(
            f"compared at {rate:,} Hz by the first {length:,} samples ({length / rate:.2f} s); --rate and --length choose others"
        )
    labels = ("" if name == "classifier" else "none", "none")
    sets = [
        open_sounds(data, rate, length, labels=which, skip_bad=skip_bad)
        for data, which in zip((real, fake), labels, strict=True)
    ]
    for data, sounds in zip((real, fake), sets, strict=True):
        report_compared(data, sounds)
    return with_skipped(compare(name, sets[0], sets[1], choose_device(device)), *sets)


def _headers(data: str) -> list[Info]:
    """Headers of the files that `open_sounds` takes; nothing for embedded data, or where none can
    be read."""
    if data in EMBEDDED:
        return []
    place = locate(data, "a folder of sounds")
    headers = []
    for path in find_parts(place, find_files(place, AUDIO)).train if place.is_dir() else [place]:
        with contextlib.suppress(DataError):  # said when the sounds are read
            headers.append(read_info(path))
    return headers


def _common(rate: int, length: int, sets: list[list[Info]]) -> tuple[int, int]:
    """Rate and length that sounds are compared at, where they are 0 chosen by the sets' headers."""
    rate = rate or min((statistics.mode(info.rate for info in headers) for headers in sets), default=RATE)
    if length or not sets:
        return rate, length or LENGTH
    median = min(statistics.median(info.seconds for info in headers) for headers in sets) * rate
    least = round(WINDOW * rate)
    return rate, max(1 << (max(int(median), 1).bit_length() - 1), 1 << (least - 1).bit_length())
