"""What the tests of methods that make sounds share: a run of a second, and draws that are known."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from multigen.audio import SpecGANConfig, SpecGANTrainer, WaveGANConfig, WaveGANTrainer
from multigen.engine import Run

RUN = Run(device="cpu", precision="fp32", log_every=2)
SMALL: dict[str, Any] = {
    **{"labels": "none", "latent": 8, "width": 2, "batch": 4, "steps": 4, "critic_steps": 1, "ema": 0.5},
    **{"samples": 40, "validation_size": 5, "lr": (1e-3, 1e-3)},
}
WAVEGAN = WaveGANConfig(length=1024, **SMALL)
SPECGAN = SpecGANConfig(length=4096, **SMALL)


def wavegan(place: Path, data: Path, **settings: Any) -> WaveGANTrainer:
    """A WaveGAN of 1,024 samples on the recordings of `data`, its run in `place`/run."""
    return WaveGANTrainer(replace(WAVEGAN, data=str(data), **settings), replace(RUN, out=str(place / "run")))


def specgan(place: Path, data: Path, **settings: Any) -> SpecGANTrainer:
    """A SpecGAN of 4,096 samples on the recordings of `data`, its run in `place`/run."""
    return SpecGANTrainer(replace(SPECGAN, data=str(data), **settings), replace(RUN, out=str(place / "run")))


class Draws:
    """A step for four items that gives the same numbers each time."""

    dtype, progress = torch.float32, 0.5

    def randn(self, stream: str, *shape: int) -> Tensor:
        return torch.randn(4, *shape, generator=torch.Generator().manual_seed(len(stream)))

    def rand(self, stream: str, *shape: int) -> Tensor:
        return torch.rand(4, *shape, generator=torch.Generator().manual_seed(sum(map(ord, stream))))
