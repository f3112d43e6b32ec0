"""Small recordings for tests."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from multigen.audio.datasets import SoundSet
from multigen.audio.files import write_sound
from multigen.audio.synthesis.base import AudioSynthesisTrainer
from multigen.data.datasets import Splits
from multigen.tasks.synthesis.settings import SynthesisConfig

RATE = 8000
SCALE = 2**12  # so that samples are exact

Settings = dict[str, Any]


def sine(count: int, hertz: float = 440.0, level: float = 0.5) -> Tensor:
    return level * torch.sin(2 * math.pi * hertz / RATE * torch.arange(count) + 0.3)


def ramp(count: int, first: int = 0) -> Tensor:
    """Samples that tell where they are from."""
    return torch.arange(first + 1, first + count + 1) / SCALE


def write(path: Path, sound: Tensor, rate: int = RATE) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_sound(path, sound, rate, "FLOAT")
    return path


def ramps(root: Path, counts: list[int]) -> str:
    """Recordings of so many samples, none of which is in two of them."""
    for i, count in enumerate(counts):
        write(root / f"{i}.wav", ramp(count, sum(counts[:i])))
    return str(root)


@dataclass(frozen=True)
class Config(SynthesisConfig):
    rate: int = RATE
    length: int = 10
    cut: str = "start"
    trim: bool = False
    normalise: bool = False
    channels: int = 1
    test_files: str = ""


def open_splits(config: Any) -> Splits[SoundSet]:
    """The recordings of a `Config` by their use; sounds may be shorter than a method would take."""
    return AudioSynthesisTrainer(config).open_splits()
