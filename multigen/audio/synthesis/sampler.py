"""Using a trained generator of sounds: samples by seed and class, as tensors or files, to listen to and to look at."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from multigen.audio.files import write_sound
from multigen.audio.plots import draw
from multigen.errors import DataError, MultigenError
from multigen.storage import hub
from multigen.storage.output import replacing
from multigen.storage.provenance import NO_PROVENANCE, Provenance, png, text
from multigen.tasks.synthesis import sampler as sampling

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

__all__ = ["AudioSampler", "joined"]

PAUSE = 0.1  # seconds of silence between sounds that are joined


class AudioSampler(sampling.Sampler):
    """A trained generator as a source of sounds, float32 (N, 1, length) in -1..1; its network gives (B, 1, length).

    Args:
        rate: samples a second, Hz.
        recordings: gives the training recordings (M, 1, T), where they are known.
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
        recordings: Callable[[], Tensor] | None = None,
    ):
        super().__init__(network, latent, classes, batch, shares)
        self.rate, self.recordings = rate, recordings

    def finish(self, x: Tensor) -> Tensor:
        return x.float().clamp(-1, 1)

    def write(self, sample: Tensor, path: Path, about: Provenance = NO_PROVENANCE) -> None:
        write_sound(path, sample, self.rate, comment=text(about))

    def show(self, samples: Tensor, path: Path, about: Provenance = NO_PROVENANCE, below: Tensor | None = None) -> None:
        """Writes sounds (N, 1, T) one after the other into one file, and an image (.png) of them and of those `below`."""
        write_sound(path, joined(samples, self.rate), self.rate, comment=text(about))
        with replacing(path.with_suffix(".png")) as file:
            draw(samples, self.rate, below=below).save(file, **png(about))

    def strip(self, samples: Tensor) -> "Picture":
        """Their waveforms and spectrograms."""
        return draw(samples, self.rate, columns=len(samples))

    def describe_output(self, shape: tuple[int, ...]) -> dict[str, str]:
        if len(shape) != 2:
            raise ValueError(f"it gives {shape} an item, expected (channels, samples)")
        what = (
            f"float32 (batch, {', '.join(map(str, shape))}), -1..1, {self.rate} samples a second; clip what lies beyond"
        )
        return {"sound": what}

    def save(
        self,
        samples: Tensor | Iterable[Tensor],
        out: Path,
        about: Provenance = NO_PROVENANCE,
        show: Callable[..., None] | None = None,
        overwrite: bool = False,
        n: int = 0,
    ) -> str:
        """As the base; where the training recordings are available, the image has the one nearest to each sound below it."""
        said = "its image has the nearest training recording below each"

        def beside(first: Tensor, path: Path, about: Provenance) -> None:
            nonlocal said
            below = None
            try:
                below = self.nearest(first)
            # The folder of the recordings, or the table of their labels, may not be on this machine.
            except MultigenError as error:
                said = f"no training recordings are beside them in its image: {error}"
            self.show(first, path, about, below=below)

        done = super().save(samples, out, about, show or beside, overwrite, n)
        return f"{done}; {said}"

    def overviews(self, out: Path) -> list[Path]:
        """The sounds together, and their image."""
        (sounds,) = super().overviews(out)
        return [sounds, sounds.with_suffix(".png")]

    def nearest(self, samples: Tensor) -> Tensor:
        """The training recording nearest to each sound (N, 1, T), by log-mel spectra. DataError where there are none."""
        from multigen.audio.synthesis.evaluator import nearest_recordings

        if self.recordings is None:
            raise DataError("its training recordings are not known; load the generator from a model folder")
        if str(self.origin.get("model", "")).startswith(hub.PREFIX):
            raise DataError(
                "its recordings are with those who trained it: folders that a model of the hub names are not read"
            )
        return nearest_recordings(samples, self.recordings(), self.rate)


def joined(sounds: Tensor, rate: int) -> Tensor:
    """Sounds (N, C, T), a tenth of a second of silence after each: (C, N * (T + pause))."""
    pause = sounds.new_zeros(*sounds.shape[:2], int(PAUSE * rate))
    return torch.cat([sounds, pause], 2).transpose(0, 1).flatten(1)  # (C, N * (T + pause))
