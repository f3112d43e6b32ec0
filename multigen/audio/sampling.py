"""Using a trained generator of sounds: samples by seed and class, as tensors or files, to be heard and seen."""

import contextlib
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor, nn

from multigen import sampling
from multigen.audio.io import write_sound
from multigen.audio.picture import draw
from multigen.errors import DataError, MultigenError

__all__ = ["Sampler", "joined"]

PAUSE = 0.1  # seconds of silence between sounds that are joined


class Sampler(sampling.Sampler):
    """A trained generator as a source of sounds, float32 (N, 1, length) in -1..1; its network gives (B, 1, length).

    Args:
        rate: samples a second, Hz.
        config: what the generator was trained by, a `multigen.audio.generation.SoundConfig`; tells where the training
            recordings were.
    """

    noun = "sounds"
    suffix = ".wav"
    sheet = "preview.wav"

    def __init__(
        self, network: nn.Module, latent: int, classes: tuple[str, ...] = (), batch: int = 64, rate: int = 8000
    ):
        super().__init__(network, latent, classes, batch)
        self.rate = rate
        self.config: Any = None

    @classmethod
    def of(cls, network: nn.Module, config: Any) -> Self:
        found = super().of(network, config)
        found.rate, found.config = config.rate, config
        return found

    def finish(self, x: Tensor) -> Tensor:
        return x.float().clamp(-1, 1)

    def write(self, sample: Tensor, path: Path) -> None:
        write_sound(path, sample, self.rate)

    def show(self, samples: Tensor, path: Path) -> None:
        """Writes sounds (N, 1, T) one after the other into one file, and a picture of each beside it (.png)."""
        write_sound(path, joined(samples, self.rate), self.rate)
        draw(samples, self.rate).save(path.with_suffix(".png"))

    def save(self, samples: Tensor, out: Path) -> str:
        """As the base; where the training recordings can be had, the picture has the one nearest to each sound below it."""
        said = super().save(samples, out)
        path = (out.with_name(f"{out.name}-{self.sheet}") if out.name else out / self.sheet).with_suffix(".png")
        # The folder of the recordings, or the table of their labels, may not be here.
        with contextlib.suppress(MultigenError):
            shown = samples[: sampling.SHOWN]
            draw(shown, self.rate, below=self.nearest(shown)).save(path)
            return f"{said}; {path.name} has the nearest training recording below each"
        return f"{said}; {path.name} shows them, without training recordings, which are not here"

    def nearest(self, samples: Tensor) -> Tensor:
        """The training recording nearest to each sound (N, 1, T), by log-mel spectra. DataError where there are none."""
        from multigen import features
        from multigen.audio.data import open_sets
        from multigen.audio.judge import logmel

        if self.config is None:
            raise DataError("the generator's configuration is not known; load it from a model folder")
        train = open_sets(self.config).train.items
        found = features.nearest(logmel(samples, self.rate), logmel(train, self.rate))[1]
        return train[found]


def joined(sounds: Tensor, rate: int) -> Tensor:
    """Sounds (N, C, T), a tenth of a second of silence after each: (C, N * (T + pause))."""
    pause = sounds.new_zeros(*sounds.shape[:2], int(PAUSE * rate))
    return torch.cat([sounds, pause], 2).transpose(0, 1).flatten(1)  # (C, N * (T + pause))
