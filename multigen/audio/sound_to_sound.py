"""Inference with a trained network that makes sounds of sounds: of any rate, length and number of
channels, whole or chunk by chunk."""

import contextlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn

from multigen.audio.files import check_rates, open_sound
from multigen.audio.mel_files import MELS
from multigen.audio.rates import RAISED, are_near, resampled
from multigen.audio.recordings import VOICE
from multigen.audio.spectrograms import GAP, HEIGHT, WIDTH, spectrogram
from multigen.audio.streaming import in_parts, streamed
from multigen.audio.voice import SPEAKERS, utterance
from multigen.console import say_once
from multigen.errors import CheckpointError, ConfigError, DataError
from multigen.tasks.ready import Ready

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

__all__ = ["Degrade", "Result", "SoundRestorer", "check_no_mels", "check_sound", "checked"]

Degrade = Callable[[Tensor, str], Tensor]
"""(a whole recording, float32 (T,); its name) -> its input (T,). Equal recordings of equal names
give equal ones."""
PART = 1 << 17
"""Samples that are taken through the network at once, and its surroundings."""


class Result(NamedTuple):
    """What a file becomes."""

    rate: int
    channels: int
    blocks: Iterator[Tensor]
    """(C, T) each, one behind another."""
    by_model: bool = True
    """Whether the model had a part in it."""
    subtype: str = ""
    """How the source holds its samples, such as PCM_24; "" where it holds none."""


class SoundRestorer(Ready):
    """A trained network as a function of sounds.

    Each channel is taken through the network by itself, in parts of `PART` samples with as much
    around them as an output may depend on (`radius`), so that parts leave no seams and memory does
    not grow with the recording. A subclass states its task, `graph`, and what differs.

    Args:
        network: (B, T) -> (B, T), both float32 at `rate`, for any T of at least `shortest`.
        rate: Hz.
        radius: samples on each side that an output may depend on.
        step: samples by which the input may be moved without another result than one moved as far:
            the network's hop.
        shortest: samples that the network needs; shorter sounds are followed by silence.
        corrupt: makes what its sheet shows restored.
    """

    task = "audio-restoration"

    def __init__(
        self,
        network: nn.Module,
        rate: int,
        *,
        radius: int,
        step: int = 1,
        shortest: int = 1,
        corrupt: Degrade | None = None,
    ):
        self.network, self.rate, self.step, self.shortest, self.corrupt = network, rate, step, shortest, corrupt
        self.radius = -(-radius // step) * step

    @property
    def latency(self) -> float:
        """Seconds of sound that `stream` must have behind what it passes on: what the network looks
        ahead."""
        return self.radius / self.rate

    def rate_for(self, rate: int) -> int:
        """The rate, Hz, of the result for a recording of this rate, where none is asked for: the
        same."""
        return rate

    # ---------------------------------------------------------------------------------------------- what a user calls

    def restore(self, sound: Tensor, rate: int = 0, out: int = 0) -> Tensor:
        """A restored sound, (T,) or (C, T) -> (T',) or (C, T'), float32 on the CPU.

        Args:
            rate: of the sound, Hz; 0: the model's.
            out: of the result, Hz; 0: `rate_for(rate)`. T' is T where both are equal, else T * out
                / rate, rounded up.

        Raises DataError for a sound of no samples, of another shape, or with values that are not
        finite.
        """
        check_sound(sound, (1, 2))
        rate = rate or self.rate
        blocks = self.blocks([sound.cpu().float().reshape(-1, sound.shape[-1])], rate, out or self.rate_for(rate))
        whole = torch.cat([*blocks], 1)
        return whole if sound.ndim == 2 else whole[0]

    def __call__(self, sound: Tensor) -> Tensor:
        """A sound (T,) at the model's rate -> the restored one (T,), in one piece. Raises DataError
        as `restore`."""
        check_sound(sound, (1,))
        return self._window(sound.cpu().float()[None])[0]

    def stream(self, chunks: Iterable[Tensor]) -> Iterator[Tensor]:
        """Restores a sound at the model's rate that comes in chunks (C, T) of any length: parts (C,
        T') of the result, which are equal to that of the whole. Each comes `latency` seconds behind
        the sound it is made from, and as soon as there is more than a `step` of it. Raises
        DataError as `restore`."""
        return streamed(in_parts(checked(chunks), PART), self._window, self.radius, self.step)

    def blocks(
        self,
        sound: Iterable[Tensor],
        rate: int,
        out: int,
        stream: Callable[[Iterable[Tensor]], Iterator[Tensor]] | None = None,
    ) -> Iterator[Tensor]:
        """As `restore`, of blocks (C, T) at one rate: blocks of the result at the rate `out`, in
        memory for a few of them, by `stream`, which is the model's own where none is given."""
        self.check_rate(out)
        if rate < 1 or not are_near(rate, self.rate):
            raise ConfigError(
                f"a sound of {rate} Hz cannot be brought to the model's {self.rate} Hz; expected a usual rate, such as 16000"
            )
        counted = _Counted(sound)
        result = resampled((stream or self.stream)(resampled(counted, rate, self.rate)), self.rate, out)
        made = 0
        held: Tensor | None = None  # what is beyond the length is known once the input has ended
        for block in result:
            if held is not None:
                yield held
                made += held.shape[1]
            held = block
        if held is not None:
            yield held[:, : max(-(-counted.frames * out // rate) - made, 0)]

    @contextlib.contextmanager
    def restored(self, path: Path, out: int = 0) -> Iterator[Result]:
        """The result for a file, made as its blocks are asked for; `out` as in `restore`. Raises
        DataError for a file that cannot be read."""
        check_no_mels(path)
        with open_sound(path) as file:
            rate = self.result_rate(path, file.rate, out)
            if file.rate > self.rate:
                say_once(
                    f"recordings of more than {self.rate:,} Hz keep nothing above {self.rate / 2:,.0f} Hz: half the model's rate"
                )
            blocks = self.blocks(file.blocks(), file.rate, rate)
            yield Result(rate, file.channels, blocks, subtype=file.decoder.subtype)

    def result_rate(self, path: Path, rate: int, out: int) -> int:
        """The rate, Hz, of the result for a file: `out`, or that for its own. Raises DataError
        where the file's rate cannot be brought to the model's and back, ConfigError for another
        `out` that cannot be reached."""
        check_rates(path, rate, self.rate)
        if out:
            self.check_rate(out)
        elif not are_near(self.rate, self.rate_for(rate)):
            raise DataError(
                f"{path}: a rate of {rate} Hz, to which the model's {self.rate} Hz cannot be brought back; give another rate "
                "for the result: --rate, or skip it: --skip-bad"
            )
        return out or self.rate_for(rate)

    def check_rate(self, out: int) -> None:
        """Raises ConfigError for a rate that results cannot have, Hz."""
        if out < 1 or not are_near(self.rate, out):
            raise ConfigError(
                f"rate {out}: the model's {self.rate} Hz cannot be brought to it; expected a usual one of at most "
                f"{RAISED * self.rate} Hz, such as 16000 or 44100"
            )

    def sheet(self, n: int, seed: int = 0) -> "Picture":
        """Spectrograms of n sentences of the speaking machine, restored, side by side; the same for
        every seed. Raises ConfigError for n < 1."""
        from PIL import Image

        if n < 1:
            raise ConfigError(f"n {n}: expected 1 recording or more")
        names, first = [*SPEAKERS], VOICE["test"][1]
        sheet = Image.new("L", (n * (WIDTH + GAP) - GAP, HEIGHT), "white")
        for i in range(n):
            sound = utterance(names[i % len(names)], first + i // len(names), max(self.rate, 8_000)).sound[
                : 2 * self.rate
            ]
            given = self.corrupt(sound, str(i)) if self.corrupt else sound
            sheet.paste(spectrogram(self(given), self.rate), (i * (WIDTH + GAP), 0))
        return sheet

    # ---------------------------------------------------------------------------------------------- inside

    def _window(self, sound: Tensor) -> Tensor:
        """Sounds (C, T) -> (C, T), channel by channel."""
        length = sound.shape[1]
        padded = nn.functional.pad(sound, (0, max(self.shortest - length, 0)))
        return torch.cat([self.run(channel[None], self.network)[:, :length] for channel in padded])

    @torch.no_grad()
    def run(self, given: Tensor, function: Callable[[Tensor], Tensor]) -> Tensor:
        """The network's result for an input (1, ...), float32 on the CPU. Raises CheckpointError
        where it is not finite."""
        weight = next(self.network.parameters(), given)
        made = function(given.to(weight.device, weight.dtype)).float().cpu()
        if not made.isfinite().all():
            model = self.origin.get("model", "the network")
            raise CheckpointError(
                f"{model}: its output is not finite, so its weights are no good; choose another model"
            )
        return made


def check_no_mels(path: Path) -> None:
    """Raises DataError for a file of mels."""
    if path.suffix.lower() in MELS:
        raise DataError(
            f"{path}: mels, of which a vocoder makes sound, but this model restores sounds; give it sounds, or skip it: "
            "--skip-bad"
        )


def check_sound(sound: Tensor, dimensions: tuple[int, ...], least: int = 1) -> None:
    """Raises DataError for what is no sound of so many dimensions and samples."""
    few = sound.ndim not in dimensions or sound.numel() < least
    if few or not sound.is_floating_point() or not sound.isfinite().all():
        shapes = " or ".join(["(T,)", "(C, T)"][n - 1] for n in dimensions)
        raise DataError(
            f"a sound {sound.dtype} {tuple(sound.shape)}: expected finite floats {shapes} in -1..1 of at least one sample"
        )


def checked(chunks: Iterable[Tensor]) -> Iterator[Tensor]:
    """Chunks (C, T) of a sound as float32 on the CPU. Raises DataError as `check_sound`."""
    for chunk in chunks:
        check_sound(chunk, (2,), 0)
        yield chunk.cpu().float()


class _Counted:
    """Blocks (C, T), whose frames are counted as they pass."""

    def __init__(self, blocks: Iterable[Tensor]):
        self._blocks, self.frames = blocks, 0

    def __iter__(self) -> Iterator[Tensor]:
        for block in self._blocks:
            self.frames += block.shape[1]
            yield block
