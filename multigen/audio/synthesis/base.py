"""What all methods that make sounds from noise share: settings, data, augmentation, what is heard and looked at.

A method derives from `SoundTrainer`, and states only what differs: networks, losses, stages.
"""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from multigen.audio.datasets import SoundSet, open_sets
from multigen.audio.files import write_sound
from multigen.audio.plots import draw
from multigen.audio.synthesis.augment import diff_augment, parse_policy
from multigen.audio.synthesis.evaluator import WINDOW, nearest_recordings, open_judge, spectrogram
from multigen.audio.synthesis.sampler import Sampler, joined
from multigen.data.datasets import Sets
from multigen.engine import Batch, Callback, Step
from multigen.engine.randomness import key, seed_everything
from multigen.errors import ConfigError
from multigen.runs.card import Card
from multigen.tasks.synthesis import base as generation
from multigen.tasks.synthesis import sampler as sampling
from multigen.tasks.synthesis.base import RANGES, GenerationConfig, GenerationTrainer
from multigen.tasks.synthesis.evaluator import Judge

__all__ = ["SoundConfig", "SoundTrainer", "load_sampler"]

SHOWN = 24  # samples beside the recordings nearest to them


@dataclass(frozen=True)
class SoundConfig(GenerationConfig):
    """Settings that all methods have."""

    data: str = "drums"
    """Training recordings: drums (the embedded drum machine), or a folder (of folders, one a class) of sound files."""
    rate: int = 8000
    """Samples a second, Hz; recordings of another rate are resampled."""
    length: int = 4096
    """Samples of a sound; shorter recordings are followed by silence."""
    cut: Literal["start", "onsets", "slices", "random"] = "start"
    """What is taken of longer recordings: their beginning, a sound at each onset, windows one after another, or at random
    places."""
    trim: bool = False
    """Leave out silence at the beginning and the end of a recording."""
    normalise: bool = False
    """Give all recordings the same loudness."""
    test_files: str = ""
    """Pattern of the files that are measured against in the end, such as *_[0-4].flac; empty: folders train and test, else a
    tenth."""
    augment: str = ""
    """What is done to all that D hears: gain, shift, polarity, mix, joined by commas."""
    features: tuple[Literal["logmel", "classifier", "drums"], ...] = ()
    """What sounds are compared in: log-mel spectra, a classifier trained on the labels, or one trained on the drum machine. The
    best checkpoint is chosen by logmel where it is one of them, else by the first. Empty: classifier, where there are labels,
    and logmel."""

    ranges = RANGES | {"rate": 4000, "length": 64}

    def __post_init__(self):
        super().__post_init__()
        parse_policy(self.augment)
        if self.length < (least := round(WINDOW * self.rate)):
            raise ConfigError(
                f"length {self.length}: expected {least} or more at {self.rate} Hz, since spectra are taken of "
                f"{WINDOW * 1000:.0f} ms; give longer sounds, or a lower rate"
            )


C = TypeVar("C", bound=SoundConfig)


TOGETHER = 500  # sounds whose spectra are taken at a time


def outline(sounds: Tensor, rate: int) -> Tensor:
    """Log-mel spectra in 10 bands and 8 parts: (N, 1, T) -> (N, 80)."""
    return adaptive_avg_pool2d(spectrogram(sounds, rate), (10, 8)).flatten(1)


class SoundTrainer(GenerationTrainer[C]):
    """Trains G to make sounds (B, 1, length) in -1..1 that D takes for real ones."""

    sampler = Sampler
    noun = Sampler.noun

    def default_callbacks(self) -> Sequence[Callback]:
        return [Card()]

    def open_sets(self) -> Sets[SoundSet]:
        return open_sets(self.config)

    def open_judge(self, sets: Sets[SoundSet]) -> Judge[SoundSet]:
        return open_judge(sets, self.config.samples, self.device, self.config.features, steps=self.classifier_steps)

    def reals(self, batch: Batch, step: Step) -> Tensor:
        """Real sounds (B, 1, length) in -1..1."""
        return batch["sound"].to(step.dtype)

    def augmented(self, items: Tensor, step: Step, stream: str) -> Tensor:
        """Sounds (B, 1, length) through the configured augmentation."""
        policy = parse_policy(self.config.augment)
        return diff_augment(items, policy, step.rand, stream) if policy else items

    def coarse(self, items: Tensor) -> Tensor:
        """Log-mel spectra in 10 bands and 8 parts: (N, 1, T) -> (N, 80)."""
        return outline(items, self.config.rate)

    def outlines(self, items: SoundSet) -> Tensor:
        """Log-mel spectra in 10 bands and 8 parts: (N, 80)."""
        return torch.cat([outline(sounds, self.config.rate) for sounds in items.items.split(TOGETHER)])

    def floors(self) -> dict[str, dict[str, float]]:
        """Real recordings, white noise as loud as they are, and a generator of random weights."""
        with torch.random.fork_rng(devices=[]):
            seed_everything(key(self.run.seed, "untrained"), torch.device("cpu"))
            untrained = self.networks()["G"].to(self.device).eval()
        real = self.judge.sets.test.items
        draw = torch.Generator().manual_seed(key(self.run.seed, "white noise"))
        noise = torch.randn(self.judge.samples, *real.shape[1:], generator=draw) * real.square().mean().sqrt()
        return super().floors() | {
            "noise": self.judge.figures(noise.clamp(-1, 1), None),
            "untrained": self.judge.measure(self.sampler_of(untrained)),
        }

    def illustrate(self, samples: sampling.Sampler) -> None:
        """Writes `nearest.png` and `nearest.wav`: samples and the training recording nearest to each, by log-mel spectra."""
        rate, train = self.config.rate, self.judge.sets.train.items
        fake = samples.sample(SHOWN)
        real = nearest_recordings(fake, train, rate)
        draw(fake, rate, columns=SHOWN // 3, below=real).save(self.folder / "nearest.png")
        pairs = torch.stack([fake, real], 1).flatten(0, 1)  # (2 N, 1, T), a sample and then its recording
        write_sound(self.folder / "nearest.wav", joined(pairs, rate), rate)


load_sampler = functools.partial(generation.load_sampler, Sampler)
"""`multigen.tasks.synthesis.base.load_sampler` of sounds."""
