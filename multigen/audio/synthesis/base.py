"""Base trainer of audio synthesis: settings, data, augmentation, evaluation.

A method derives from `AudioSynthesisTrainer`, and states only what differs: networks, losses,
stages.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d

from multigen.audio.datasets import SoundSet, open_sounds
from multigen.audio.files import write_sound
from multigen.audio.plots import draw
from multigen.audio.recordings import EMBEDDED
from multigen.audio.synthesis.augment import diff_augment, parse_policy
from multigen.audio.synthesis.evaluator import (
    WINDOW,
    in_parts,
    nearest_recordings,
    open_evaluator,
    spectrogram,
    together,
)
from multigen.audio.synthesis.sampler import AudioSampler, joined
from multigen.engine import Batch, Callback, Step
from multigen.engine.randomness import key, seed_everything
from multigen.errors import ConfigError
from multigen.runs.card import Card
from multigen.storage.output import replacing
from multigen.tasks.synthesis.base import SynthesisTrainer
from multigen.tasks.synthesis.evaluator import Evaluator
from multigen.tasks.synthesis.extractors import Made
from multigen.tasks.synthesis.sampler import Sampler
from multigen.tasks.synthesis.settings import RANGES, SynthesisConfig

__all__ = ["AudioSynthesisConfig", "AudioSynthesisTrainer"]

SHOWN = 24  # samples shown with their nearest recordings
NOISE = 64  # sounds of white noise made at a time


@dataclass(frozen=True)
class AudioSynthesisConfig(SynthesisConfig):
    """Settings common to all methods."""

    data: str = "drums"
    """Training recordings: drums or voice (embedded machines), or a folder (of folders, one per
    class) of sound files."""
    rate: int = 8000
    """Sample rate, Hz; recordings of another rate are resampled."""
    length: int = 4096
    """Length of a sound, samples; shorter recordings are padded with silence."""
    channels: Literal[1, 2] = 1
    """1: mono, the mean of a recording's channels; 2: stereo, for which one of mono is copied.
    Features are those of the mean."""
    cut: Literal["start", "onsets", "slices", "random"] = "start"
    """What is taken of longer recordings: their beginning, a sound at each onset, windows one after
    another, or at random places."""
    trim: bool = False
    """Trim silence at the beginning and the end of a recording."""
    normalise: bool = False
    """Normalise the loudness of recordings."""
    test_files: str = ""
    """Pattern of the files that are measured against in the end, such as *_[0-4].flac; empty:
    folders train and test, else a tenth."""
    augment: str = ""
    """Augmentation of what D sees: gain, shift, polarity, mix, joined by commas."""
    features: tuple[Literal["logmel", "classifier", "drums"], ...] = ()
    """What sounds are compared in: log-mel spectra, a classifier trained on the labels, or one
    trained on the drum machine. The best checkpoint is chosen by logmel where it is one of them,
    else by the first. Empty: classifier, where there are labels, and logmel."""

    earlier: ClassVar[dict[str, Any]] = {"channels": 1}
    ranges = RANGES | {"rate": 4000, "length": 64}

    def __post_init__(self):
        super().__post_init__()
        parse_policy(self.augment)
        if self.test_files and (self.test or self.test_classes):
            raise ConfigError(
                f"test_files {self.test_files!r}, test {self.test!r} and test_classes {self.test_classes}: each names the test "
                "data; give one of them"
            )
        if self.length < (least := round(WINDOW * self.rate)):
            raise ConfigError(
                f"length {self.length}: expected {least} or more at {self.rate} Hz, since spectra are taken of "
                f"{WINDOW * 1000:.0f} ms; give longer sounds, or a lower rate"
            )


C = TypeVar("C", bound=AudioSynthesisConfig)


def mel_outline(sounds: Tensor, rate: int) -> Tensor:
    """Log-mel spectra in 10 bands and 8 parts: (N, C, T) -> (N, 80)."""
    return adaptive_avg_pool2d(spectrogram(sounds, rate), (10, 8)).flatten(1)


class AudioSynthesisTrainer(SynthesisTrainer[C]):
    """Trains G against D to generate sounds (B, C, length) in -1..1."""

    task = "audio-synthesis"
    sampler: ClassVar[type[AudioSampler]] = AudioSampler

    def default_callbacks(self) -> Sequence[Callback]:
        return [Card()]

    def open_items(self, data: str, split: str, labels: str, like: SoundSet | None) -> SoundSet:
        c = self.config
        return open_sounds(
            data, c.rate, c.length, split=split, labels=labels, test_files=c.test_files,
            cut=c.cut, trim=c.trim, normalise=c.normalise, skip_bad=c.skip_bad, channels=c.channels,
        )  # fmt: skip

    def open_evaluator(self) -> Evaluator[SoundSet]:
        c = self.config
        return open_evaluator(self.splits, c.samples, self.device, c.features, steps=self.extractor_steps)

    def to_network(self, batch: Batch, step: Step) -> Tensor:
        """Real sounds (B, C, length) in -1..1."""
        return batch["sound"].to(step.dtype)

    def augment(self, items: Tensor, step: Step, stream: str) -> Tensor:
        """Sounds (B, C, length) through the configured augmentation."""
        policy = parse_policy(self.config.augment)
        return diff_augment(items, policy, step.rand, stream) if policy else items

    def collapse_features(self, items: Tensor) -> Tensor:
        """Log-mel spectra in 10 bands and 8 parts: (N, C, T) -> (N, 80)."""
        return mel_outline(items, self.config.rate)

    def cluster_features(self, items: SoundSet) -> Tensor:
        """Log-mel spectra in 10 bands and 8 parts: (N, 80)."""
        return in_parts(lambda sounds: mel_outline(sounds, self.config.rate), items.items)

    def sampler_of(self, network: nn.Module) -> AudioSampler:
        c, info = self.config, self.data_info
        classes = info.classes if c.conditional else ()
        return self.sampler(
            network,
            c.latent,
            classes,
            shares=info.shares,
            rate=c.rate,
            recordings=self.recordings,
            data=c.data if c.data in EMBEDDED else "",
        )

    def recordings(self, data: str) -> Tensor:
        """The training recordings (N, 1, length) of a data argument, prepared and divided as those
        of this run."""
        labels = self.config.labels if self.config.labels in ("none", "name", "first") else ""  # not a table's
        trainer = type(self)(replace(self.config, data=data, test="", labels=labels, test_classes=0))
        return trainer.open_splits().train.items

    def baselines(self) -> dict[str, dict[str, float]]:
        """Baselines: real recordings, white noise of equal loudness, and an untrained generator."""
        with torch.random.fork_rng(devices=[]):
            seed_everything(key(self.run.seed, "untrained"), torch.device("cpu"))
            untrained = self.networks()["G"].to(self.device).eval()
        real = self.splits.test.items
        level = math.sqrt(sum(float(x.square().mean((1, 2)).sum()) for x in together(real)) / len(real))

        def noise(rows: slice) -> Iterator[Tensor]:
            draw = torch.Generator().manual_seed(key(self.run.seed, "white noise"))
            for first in range(0, rows.stop, NOISE):  # the same, whatever rows are requested
                sounds = (
                    torch.randn(min(NOISE, self.evaluator.samples - first), *real.shape[1:], generator=draw) * level
                )
                yield sounds[max(rows.start - first, 0) : rows.stop - first].clamp(-1, 1)

        return super().baselines() | {
            "noise": self.evaluator.metrics_of(Made(self.evaluator.samples, noise), None),
            "untrained": self.evaluator.measure(self.sampler_of(untrained)),
        }

    def save_figures(self, samples: Sampler) -> None:
        """Writes `nearest.png` and `nearest.wav`: samples and the training recording nearest to
        each, by log-mel spectra."""
        rate, train = self.config.rate, self.splits.train.items
        fake = samples.sample(SHOWN)
        real = nearest_recordings(fake, train, rate)
        with replacing(self.folder / "nearest.png") as file:
            draw(fake, rate, columns=SHOWN // 3, below=real).save(file)
        pairs = torch.stack([fake, real], 1).flatten(0, 1)  # (2 N, C, T), a sample and then its recording
        write_sound(self.folder / "nearest.wav", joined(pairs, rate), rate)
