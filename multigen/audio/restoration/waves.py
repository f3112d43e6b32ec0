"""Trained generators of sounds from sounds as ready objects, and what is common to their
methods."""

import contextlib
import copy
import functools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor, nn

from multigen.audio.files import open_sound
from multigen.audio.networks.amplitude_phase import AmplitudePhaseGenerator, ExportedGenerator, n_fft_of
from multigen.audio.rates import resampled
from multigen.audio.restoration.adversarial import AdversarialAudioConfig, AdversarialAudioTrainer
from multigen.audio.sound_to_sound import PART, Degrade, Result, SoundRestorer, check_no_mels, check_sound, checked
from multigen.audio.speech import examine
from multigen.audio.store import Store
from multigen.audio.streaming import in_parts, streamed
from multigen.console import say
from multigen.errors import ConfigError
from multigen.tasks.graph import Graph

__all__ = ["Extender", "WaveConfig", "WaveRestorer", "WaveTrainer"]

CROSSOVER = 250.0  # Hz below a bandwidth in which what a recording holds gives way to what is added
KAISER = 8.0  # beta of the crossover's window: 80 dB
FULL = 0.97  # of half the rate: a recording of more bandwidth is wide already


@dataclass(frozen=True)
class WaveConfig(AdversarialAudioConfig):
    """Settings common to methods with a generator of amplitudes and phases."""

    width: int = 128
    """Channels of each of the generator's two streams (512 in AP-BWE)."""
    blocks: int = 4
    """ConvNeXt blocks of each stream (8 in AP-BWE)."""

    def __post_init__(self):
        super().__post_init__()
        least = n_fft_of(self.rate) // 2 + 1
        if self.segment < least:
            raise ConfigError(
                f"segment {self.segment}: shorter than the generator's windows need; expected {least} or more"
            )


C = TypeVar("C", bound=WaveConfig)


class WaveTrainer(AdversarialAudioTrainer[C]):
    """Trains a generator of amplitudes and phases; batches hold "input" and "target" (B,
    segment)."""

    task = "audio-restoration"
    G: AmplitudePhaseGenerator
    fills = False
    """Whether G adds amplitudes to its input's, or gains."""

    def generator(self) -> AmplitudePhaseGenerator:
        c = self.config
        return AmplitudePhaseGenerator(c.rate, c.width, c.blocks, self.fills)


class WaveRestorer(SoundRestorer):
    """A trained generator of amplitudes and phases as a function of sounds.

    Args:
        corrupt: makes what its sheet shows restored.
        more: samples on each side that an output depends on beyond the network's own.
    """

    network: AmplitudePhaseGenerator

    def __init__(self, network: AmplitudePhaseGenerator, corrupt: Degrade | None = None, more: int = 0):
        super().__init__(
            network, network.rate, radius=network.radius + more, step=network.hop, shortest=network.n_fft // 2 + 1,
            corrupt=corrupt,
        )  # fmt: skip

    def graph(self) -> Graph:
        """A copy of the network for `multigen export`: sounds to sounds, both transforms as fixed
        convolutions."""
        network = ExportedGenerator(copy.deepcopy(self.network).cpu().float()).eval()

        def example(n: int, side: int) -> tuple[Tensor, ...]:
            return (0.1 * torch.randn(n, self.shortest + side * self.step, generator=torch.Generator().manual_seed(0)),)

        what = f"float32 (batch, samples) in -1..1, {self.rate} samples a second"
        says = {"sound": f"{what}, at least {self.shortest} samples", "restored": what}
        return Graph(network, {"sound": {0: "batch", 1: "samples"}}, example, "restored", ("batch", "samples"), says)


class Extender(WaveRestorer):
    """A trained generator that adds the frequencies above a recording's bandwidth.

    What a recording holds comes out as it came in: of what the network changes, only that above the
    bandwidth is added, by a crossover of 250 Hz below it. The bandwidth is measured in the
    recording (what is 70 dB below its strongest frequency is nothing), and is half a file's rate at
    most; in `stream` it is given.

    Args:
        bandwidth: Hz, the one that `stream` takes where none is given.
    """

    def __init__(self, network: AmplitudePhaseGenerator, bandwidth: float, corrupt: Degrade | None = None):
        self.bandwidth, self.half = bandwidth, network.rate // 100
        super().__init__(network, corrupt, self.half)

    def rate_for(self, rate: int) -> int:
        """The recording's rate, or the model's where that is higher."""
        return max(rate, self.rate)

    def __call__(self, sound: Tensor) -> Tensor:
        check_sound(sound, (1,))
        x = sound.cpu().float()[None]
        return self.extended(x, _bandwidth_of([x], self.rate))[0]

    def stream(self, chunks: Iterable[Tensor], bandwidth: float | None = None) -> Iterator[Tensor]:
        """As `SoundRestorer.stream`, of a sound of this bandwidth, Hz; None: the widest that was
        trained on."""
        function = functools.partial(self.extended, bandwidth=self.bandwidth if bandwidth is None else bandwidth)
        return streamed(in_parts(checked(chunks), PART), function, self.radius, self.step)

    def blocks(self, sound: Iterable[Tensor], rate: int, out: int) -> Iterator[Tensor]:
        """As `SoundRestorer.blocks`; the sound is read to its end first, for its bandwidth, and
        kept on disk where it is long."""
        yield from self._made("a recording", sound, rate, out)[0]

    @contextlib.contextmanager
    def restored(self, path: Path, out: int = 0) -> Iterator[Result]:
        check_no_mels(path)
        with open_sound(path) as file:
            rate = self.result_rate(path, file.rate, out)
            blocks, by_model = self._made(str(path), file.blocks(), file.rate, rate)
            yield Result(rate, file.channels, blocks, by_model, file.decoder.subtype)

    def _made(self, name: str, sound: Iterable[Tensor], rate: int, out: int) -> tuple[Iterator[Tensor], bool]:
        """The result of a sound, which is read to its end, and whether anything is added."""
        whole: Store | None = None
        for block in sound:
            whole = whole or Store(len(block))
            whole.append(block)
        if whole is None:
            return iter(()), False
        bandwidth = _bandwidth_of((block for _, block in whole.blocks()), rate)
        parts = (block for _, block in whole.blocks())
        if bandwidth < FULL * self.rate / 2:
            stream = functools.partial(self.stream, bandwidth=bandwidth)
            return super().blocks(parts, rate, out, stream), True
        say(
            f"{name}: a bandwidth of {bandwidth:,.0f} Hz: as wide as the model makes recordings, so nothing is added; expected "
            f"less than {FULL * self.rate / 2:,.0f} Hz"
        )
        return resampled(parts, rate, out), False

    def extended(self, sound: Tensor, bandwidth: float) -> Tensor:
        """Sounds (C, T) at the model's rate, with what the network adds above `bandwidth`, Hz."""
        if not 0 < bandwidth < FULL * self.rate / 2:
            return sound.clone()
        difference = self._window(sound) - sound
        kernel = _lowpass(max(bandwidth - CROSSOVER / 2, CROSSOVER / 2) / self.rate, self.half)
        low = nn.functional.conv1d(difference[:, None], kernel[None, None], padding=self.half)[:, 0]
        return sound + (difference - low)


def _bandwidth_of(blocks: Iterable[Tensor], rate: int) -> float:
    """Of the mean of the channels of a sound that comes in blocks (C, T), Hz; of silence 0."""
    mono = Store()
    for block in blocks:
        mono.append(block.mean(0, keepdim=True))
    return min(examine(mono, rate, torch.zeros(1, 1)).bandwidth, rate / 2) if len(mono) else 0.0


@functools.lru_cache(maxsize=16)
def _lowpass(cutoff: float, half: int) -> Tensor:
    """A filter (2 * half + 1,) that passes what is below the cut-off, a share of the rate, by 1."""
    with torch.inference_mode(False):
        n = torch.arange(-half, half + 1, dtype=torch.float64)
        window = torch.kaiser_window(2 * half + 1, periodic=False, beta=KAISER, dtype=torch.float64)
        kernel = window * torch.sinc(2 * cutoff * n)
        return (kernel / kernel.sum()).float()
