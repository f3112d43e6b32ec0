"""Inference with a trained generator of sounds: samples by seed and class, as tensors, sound files
and images."""

import functools
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from multigen.audio.files import LARGEST, write_blocks, write_sound
from multigen.audio.plots import draw
from multigen.console import counted
from multigen.engine.randomness import key
from multigen.errors import ConfigError, DataError, MultigenError
from multigen.storage.files import writing
from multigen.storage.output import replacing
from multigen.storage.provenance import NO_PROVENANCE, Provenance, png, text
from multigen.tasks.synthesis import sampler as sampling
from multigen.tasks.synthesis.latents import slerp, truncated

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

__all__ = ["AudioSampler", "joined"]

ALONG = 4  # windows from one latent to the next
PAUSE = 0.1  # seconds of silence between sounds that are joined


class AudioSampler(sampling.Sampler):
    """A trained generator as a source of sounds, float32 (N, C, length) in -1..1; its network gives
    (B, C, length).

    Args:
        rate: samples a second, Hz.
        recordings: gives the training recordings (M, C, T) of a data argument.
        data: of the training recordings that samples are shown with; empty: they are shown alone. A
            model folder may name any place on a disk, so only the embedded set is taken from one.
    """

    task = "audio-synthesis"
    suffix = ".wav"
    overview = "preview.wav"

    def __init__(
        self,
        network: nn.Module,
        latent: int,
        classes: tuple[str, ...] = (),
        batch: int = 64,
        rate: int = 8000,
        shares: tuple[float, ...] = (),
        recordings: Callable[[str], Tensor] | None = None,
        data: str = "",
    ):
        super().__init__(network, latent, classes, batch, shares)
        self.rate, self.recordings, self.data = rate, recordings, data

    def finish(self, x: Tensor) -> Tensor:
        return x.float().clamp(-1, 1)

    def write(self, sample: Tensor, path: Path, about: Provenance = NO_PROVENANCE) -> None:
        write_sound(path, sample, self.rate, comment=text(about))

    def show(self, samples: Tensor, path: Path, about: Provenance = NO_PROVENANCE, below: Tensor | None = None) -> None:
        """Writes sounds (N, C, T) one after the other into one file, and an image (.png) of them
        and of those `below`."""
        write_sound(path, joined(samples, self.rate), self.rate, comment=text(about))
        with replacing(path.with_suffix(".png")) as file:
            draw(samples, self.rate, below=below).save(file, **png(about))

    def strip(self, samples: Tensor) -> "Picture":
        """An image of their waveforms and spectrograms."""
        return draw(samples, self.rate, columns=len(samples))

    def describe_output(self, shape: tuple[int, ...]) -> dict[str, str]:
        if len(shape) != 2:
            raise ValueError(f"it gives {shape} an item, expected (channels, samples)")
        content = (
            f"float32 (batch, {', '.join(map(str, shape))}), -1..1, {self.rate} samples a second; clip what lies beyond"
        )
        return {"sound": content}

    def show_first(self, samples: Tensor, path: Path, about: Provenance) -> str:
        """The nearest training recording is drawn below each sound, where the recordings are
        available."""
        below, remark = None, "its image has the nearest training recording below each"
        try:
            below = self.nearest(samples)
        except MultigenError as error:  # as where the folder of the recordings is not on this machine
            remark = f"no training recordings are beside them in its image: {error}"
        self.show(samples, path, about, below=below)
        return remark

    def piece(
        self,
        seconds: float,
        seed: int = 0,
        label: str | int | None = None,
        truncation: float | None = None,
        number: int = 0,
    ) -> Iterator[Tensor]:
        """A longer sound, in blocks float32 (C, T): windows along a walk through the latents, a
        quarter of each faded into the next.

        The walk takes `ALONG` windows from one latent to the next. The fade keeps the sum of the
        weights' squares at 1 (sine and cosine): windows that differ keep their power, and such as
        resemble each other are up to 3 dB louder where they meet.

        Args:
            number: of the piece; each of a seed has latents of its own, and of a conditional model
                the next class.

        Raises ConfigError as `sample`, and for seconds that are not above 0.
        """
        total, z = self._frames(seconds), functools.partial(self._turn, seed, number, truncation)
        labels = self.labels(1, label, seed, number)
        length = self._generate(z(0)[None].float(), labels).shape[2]
        overlap = length // 4
        hop = length - overlap
        angle = (torch.arange(overlap) + 0.5) / max(overlap, 1) * (math.pi / 2)
        count, written, tail = max(1, -(-(total - overlap) // hop)), 0, torch.empty(0)
        for first in range(0, count, self.batch):
            at = range(first, min(first + self.batch, count))
            walk = [
                slerp(z(i // ALONG), z(i // ALONG + 1), torch.tensor([i % ALONG / ALONG], dtype=torch.float64))
                for i in at
            ]
            classes = None if labels is None else labels.expand(len(walk))
            for window in self._generate(torch.stack(walk).float(), classes):
                if written:
                    window[:, :overlap] = tail * angle.cos() + window[:, :overlap] * angle.sin()
                tail = window[:, hop:]
                yield window[:, : min(hop, total - written)].clamp(-1, 1)
                written += min(hop, total - written)
        if written < total:
            yield tail[:, : total - written].clamp(-1, 1)

    def _frames(self, seconds: float) -> int:
        if not 0 < seconds < math.inf or seconds * self.rate < 1:
            raise ConfigError(f"seconds {seconds:g}: expected a number above 0, such as 30")
        return round(seconds * self.rate)

    def _turn(self, seed: int, number: int, truncation: float | None, i: int) -> Tensor:
        """The latent (latent,) at a turn of a piece's walk."""
        draw = torch.Generator().manual_seed(key("piece", seed, number, i))
        z = torch.randn(self.latent, generator=draw)
        return (z if truncation is None else truncated(z, truncation)).double()

    def save_pieces(
        self,
        n: int,
        seconds: float,
        out: Path,
        seed: int = 0,
        label: str | int | None = None,
        truncation: float | None = None,
        about: Provenance = NO_PROVENANCE,
        overwrite: bool = False,
    ) -> str:
        """As in the base class: pieces by `piece`, each written while it is generated; memory does
        not grow with the length."""
        channels = self.sample(1, seed, label, truncation).shape[1]
        size = 2 * channels * self._frames(seconds)
        self.check_out(n, out, overwrite, size)
        if size > LARGEST:
            raise ConfigError(
                f"seconds {seconds:g}: {size:,} bytes, expected at most {LARGEST:,} in a .wav; make it shorter"
            )
        with writing(out, "another folder for --out"):
            out.mkdir(parents=True, exist_ok=True)
            for i in range(n):
                comment = text({**about, "seconds": seconds, "index": i} if about else about)
                blocks = self.piece(seconds, seed, label, truncation, i)
                write_blocks(out / f"{i:04d}{self.suffix}", blocks, self.rate, channels, comment)
        return f"{counted(n, self.items)} of {seconds:g} s in {out}"

    def overviews(self, out: Path) -> list[Path]:
        """The sounds together, and their image."""
        (sounds,) = super().overviews(out)
        return [sounds, sounds.with_suffix(".png")]

    def nearest(self, samples: Tensor) -> Tensor:
        """The training recording nearest to each sound (N, C, T), by log-mel spectra. DataError
        where there are none."""
        from multigen.audio.synthesis.evaluator import nearest_recordings

        if self.recordings is None:
            raise DataError("its training recordings are not known; load the generator from a model folder")
        if not self.data:
            raise DataError(
                "a folder that a model names is not read by itself; to see them, give it: --recordings FOLDER, in Python "
                'model.data = "FOLDER"'
            )
        return nearest_recordings(samples, self.recordings(self.data), self.rate)

    def show_beside(self, data: str) -> None:
        self.data = data


def joined(sounds: Tensor, rate: int) -> Tensor:
    """Sounds (N, C, T), a tenth of a second of silence after each: (C, N * (T + pause))."""
    pause = sounds.new_zeros(*sounds.shape[:2], int(PAUSE * rate))
    return torch.cat([sounds, pause], 2).transpose(0, 1).flatten(1)  # (C, N * (T + pause))
