"""A trained vocoder as a function of mels and of sounds, its form for export, and the baselines it
is measured beside."""

import contextlib
import copy
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from multigen.audio import world
from multigen.audio.checks import require
from multigen.audio.mel_files import MELS, read_mels
from multigen.audio.mels import MelSpec
from multigen.audio.networks import InverseSTFT
from multigen.audio.rates import resampled
from multigen.audio.sound_to_sound import PART, Result, SoundRestorer
from multigen.audio.spectral import griffin_lim
from multigen.audio.streaming import in_parts, streamed
from multigen.errors import ConfigError, DataError
from multigen.tasks.graph import Graph
from multigen.tasks.restoration.base import Restore

__all__ = ["ITERATIONS", "ExportedVocoder", "Vocoder", "griffin_lim_of", "world_copy"]

ITERATIONS = 32  # of Griffin-Lim


class Vocoder(SoundRestorer):
    """A trained generator that turns mels into sound; a sound is taken through its own mels."""

    task = "vocoding"

    def __init__(self, network: nn.Module, spec: MelSpec, frames: int):
        """`frames`: of the mels, on each side, that a frame of the network's spectrum may depend
        on."""
        self.spec, self.frames = spec, frames
        super().__init__(
            network, spec.rate, radius=spec.n_fft + frames * spec.hop, step=spec.hop, shortest=spec.n_fft // 2 + 1
        )

    def vocode(self, mels: Tensor) -> Tensor:
        """The sound of log-mels (bands, N) by the definition `spec`, which are natural logarithms:
        float32 ((N - 1) * hop,). Raises DataError for mels that cannot be of that definition, and
        for less than two frames."""
        self.check(mels, "mels")
        return torch.cat([*self._sound_of([mels.float()], mels.shape[1])], 1)[0]

    def check(self, mels: Tensor, name: str) -> None:
        """Raises DataError, with `name`, as `vocode`."""
        self.spec.check(mels, name)
        if mels.shape[1] < 2:
            raise DataError(f"{name}: mels of one frame, which hold no sound; expected two or more")

    @contextlib.contextmanager
    def restored(self, path: Path, out: int = 0) -> Iterator[Result]:
        if path.suffix.lower() not in MELS:
            with super().restored(path, out) as result:
                yield result
            return
        mels = torch.from_numpy(np.ascontiguousarray(read_mels(path)))
        self.check(mels, str(path))
        rate = out or self.rate
        self.check_rate(rate)
        yield Result(rate, 1, resampled(self._sound_of([mels.float()], mels.shape[1]), self.rate, rate))

    def graph(self) -> Graph:
        """A copy of the network for `multigen export`: log-mels (batch, bands, frames) to sounds,
        the inverse STFT as a fixed transposed convolution."""
        spec, network = self.spec, ExportedVocoder(copy.deepcopy(self.network).cpu().float(), self.spec).eval()

        def example(n: int, side: int) -> tuple[Tensor, ...]:
            sound = 0.1 * torch.randn(
                n, spec.hop * (side + 20) + spec.n_fft, generator=torch.Generator().manual_seed(0)
            )
            return (spec(sound),)

        says = {
            "mels": f"float32 (batch, {spec.bands}, frames), natural logarithms by the definition {spec.to_dict()}",
            "sound": f"float32 (batch, frames * {spec.hop}), {spec.rate} samples a second; leave out the last {spec.hop}",
        }
        return Graph(
            network, {"mels": {0: "batch", 2: "frames"}}, example, "sound", ("batch", f"{spec.hop}*frames"), says
        )

    def _window(self, sound: Tensor) -> Tensor:
        return torch.cat([self._of_channel(channel) for channel in sound])

    def _of_channel(self, sound: Tensor) -> Tensor:
        """(T,) -> (1, T)"""
        padded = nn.functional.pad(sound, (0, max(self.shortest - len(sound), 0)))
        return self.run(self.spec(padded)[None], self.network)[:, : len(sound)]

    def _sound_of(self, chunks: list[Tensor], frames: int) -> Iterator[Tensor]:
        """Mels (bands, N) in chunks -> their sound (1, T) in parts; without what lies behind the
        centre of the last frame."""
        hop = self.spec.hop
        around = self.frames + -(-self.spec.n_fft // hop)
        left = (frames - 1) * hop
        pieces = in_parts(chunks, max(PART // hop, 1))
        for part in streamed(pieces, lambda mels: self.run(mels[None], self.network), around, ratio=hop):
            if left > 0:
                yield part[:, :left]
            left -= part.shape[1]


class ExportedVocoder(nn.Module):
    """log-mels (B, bands, N) -> sound (B, N * hop), with operations that ONNX has."""

    def __init__(self, network: nn.Module, spec: MelSpec):
        super().__init__()
        self.network, self.inverse = network, InverseSTFT(spec.n_fft, spec.hop, spec.window)

    def forward(self, mels: Tensor) -> Tensor:
        magnitude, real, imaginary = self.network.parts(mels)  # pyright: ignore[reportCallIssue]
        return self.inverse(magnitude * real, magnitude * imaginary)


def griffin_lim_of(spec: MelSpec) -> Restore:
    """Sounds (T,) by way of their mels: the pseudo-inverse's magnitudes, and phases by 32
    iterations of Griffin and Lim."""

    def restore(sound: Tensor) -> Tensor:
        magnitudes = spec.to_magnitudes(spec(sound.float()))
        return griffin_lim(magnitudes, spec.n_fft, spec.hop, ITERATIONS, length=len(sound))

    return restore


def world_copy(rate: int) -> dict[str, Restore]:
    """The row of WORLD's copy-synthesis, where its package is installed and it knows the rate."""
    try:
        world.check_rate(rate)
        require("pyworld")
    except ConfigError:
        return {}
    return {"world": lambda sound: world.copy_of(sound, rate)}
