"""Inference with a trained network that converts voices: recordings of any length, whole or chunk
by chunk."""

import contextlib
import copy
import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from multigen.audio.files import open_sound
from multigen.audio.levels import as_loud
from multigen.audio.pitch import pitch_of
from multigen.audio.rates import resampled
from multigen.audio.sound_to_sound import PART, Result, SoundRestorer, check_no_mels, check_sound, checked
from multigen.audio.streaming import in_parts, streamed_at
from multigen.audio.translation.features import Features, MelFeatures
from multigen.audio.translation.speaker_statistics import Statistics
from multigen.audio.voicing import Voicing, check_like_speech, voicing_of
from multigen.catalogue import TASKS
from multigen.errors import ConfigError, DataError
from multigen.tasks.graph import Graph
from multigen.tasks.loading import load
from multigen.tasks.translation.base import Direction, other

__all__ = ["VoiceConverter", "check_speech", "vocoder_of"]

SILENT = 1e-3  # peak of a recording in which nobody speaks
LOUDNESS = 0.2  # seconds on each side, over which a conversion is as loud as its source


class VoiceConverter(SoundRestorer):
    """A trained generator of features as a function of recordings: the same words in another voice,
    of the same length to the sample.

    The pitch is moved by mean and deviation of its logarithm, the formants by the factor between
    the vocal tracts; then the generator converts the features, normalised by speaker. The result is
    as loud as the recording at each moment. It is used in parts with as much around them as a
    sample may depend on.

    Args:
        network: (features (B, rows, N), what is known of the target (B, D)) -> (B, rows, N); it
            says in `radius` on how many frames on each side an output frame may depend.
        statistics: of the speakers.
        features: what it converts, and how that becomes sound.
        pair: numbers of the source and of the target speaker.
        directions: the two speakers that "AB" is from and to.
        mix: average the channels of a recording, in place of refusing more than one.
    """

    task = "voice-conversion"

    def __init__(
        self,
        network: nn.Module,
        statistics: Statistics,
        features: Features,
        direction: Direction = "AB",
        pair: tuple[int, int] | None = None,
        mix: bool = False,
    ):
        self.statistics, self.features, self.mix = statistics, features, mix
        self.direction: Direction = direction
        self.pair = pair or ((0, 1) if direction == "AB" else (1, 0))
        spec = features.spec
        super().__init__(
            network, spec.rate, step=spec.hop, shortest=features.shortest,
            radius=int(network.radius) * spec.hop + features.radius + round(LOUDNESS * spec.rate),  # pyright: ignore[reportArgumentType]
        )  # fmt: skip

    # ---------------------------------------------------------------------------------------------- what a user calls

    def translate(self, sound: Tensor, rate: int = 0, to: str = "", direction: Direction | None = None) -> Tensor:
        """A recording (T,) or (1, T) in another voice, of the same length: float32 on the CPU.

        Args:
            rate: of the recording, Hz, and of the result; 0: the model's.
            to: the speaker whose voice it gets, one of `speakers`.
            direction: "AB" or "BA", in the place of a speaker.

        Raises ConfigError for a speaker that was not trained or two targets, DataError for more
        than one channel, a recording of no samples, or values that are not finite."""
        check_sound(sound, (1, 2))
        if sound.ndim == 2 and len(sound) > 1:
            raise DataError(
                f"a sound of {len(sound)} channels: a voice is in one; average them, sound.mean(0), or choose one"
            )
        if to and direction:
            raise ConfigError(f"to {to!r}, direction {direction}: each names the target; give one of them")
        model = self.to(to) if to else self.turned(direction) if direction else self
        pitch = pitch_of(
            sound.reshape(-1).float(), rate or self.rate, max(round(self.step * (rate or self.rate) / self.rate), 1)
        )
        voiced = pitch[pitch > 0]
        return model.for_pitch(float(voiced.log().mean()) if len(voiced) else 0.0).restore(sound, rate)

    @property
    def speakers(self) -> tuple[str, ...]:
        """The voices that were trained."""
        return self.statistics.names

    @property
    def directions(self) -> tuple[str, ...]:
        return self.direction, other(self.direction)

    def turned(self, direction: str) -> "VoiceConverter":
        """The same model from the first speaker to the second, "AB", or back, "BA"."""
        if direction not in ("AB", "BA"):
            raise ConfigError(f"direction {direction}: expected AB or BA; or name a speaker: --to {self.speakers[1]}")
        return self._as("AB" if direction == "AB" else "BA", (0, 1) if direction == "AB" else (1, 0))

    def to(self, speaker: str) -> "VoiceConverter":
        """The same model with a target among `speakers`; of two the other one is the source, else
        that whose pitch is nearest to the recording's (in a stream the first other one). Raises
        ConfigError for a speaker that was not trained."""
        target = self.statistics.index(speaker)
        if len(self.speakers) == 2:
            return self.turned("AB" if target else "BA")
        source = self.pair[0] if self.pair[0] != target else self.pair[1]
        return self._as(self.direction, (source, target))

    def for_pitch(self, mean: float) -> "VoiceConverter":
        """Of more than two speakers the model whose source is the one with the mean log f0 nearest
        to this, other than the target; else this one."""
        if len(self.speakers) == 2 or not mean:
            return self
        others = [i for i in range(len(self.speakers)) if i != self.pair[1]]
        source = min(others, key=lambda i: abs(self.statistics.pitch[i].mean - mean))
        return self._as(self.direction, (source, self.pair[1]))

    def by(self, vocoder: str, device: str = "auto") -> "VoiceConverter":
        """The same model with sound by a run of vocoder. Raises ConfigError for another model, or
        one of other mels, and where the model does not work on mels."""
        if not isinstance(self.features, MelFeatures):
            raise ConfigError(
                f"vocoder {vocoder}: the model works on mel-cepstra, which WORLD makes sound; leave the vocoder out"
            )
        return self._as(self.direction, self.pair, MelFeatures(self.features.spec, vocoder_of(vocoder, device)))

    def same(self, sound: Tensor) -> Tensor:
        """A recording (T,) of the target speaker through the same network: what it changes in what
        needs no change."""
        return self._as(self.direction, (self.pair[1], self.pair[1]))(sound)

    def stream(self, chunks: Iterable[Tensor]) -> Iterator[Tensor]:
        yield from streamed_at(in_parts(checked(chunks), PART), self._part, self.radius, self.step)

    @contextlib.contextmanager
    def restored(self, path: Path, out: int = 0) -> Iterator[Result]:
        """As of `SoundRestorer`; of a recording with more than one channel their mean, or
        DataError; DataError too for silence, music and noise."""
        check_no_mels(path)
        with open_sound(path) as file:
            if file.channels > 1 and not self.mix:
                raise DataError(
                    f"{path}: {file.channels} channels; expected one, since a voice is in one: average them, --mix, or skip it: "
                    "--skip-bad"
                )
            rate = self.result_rate(path, file.rate, out)
            mean = check_speech(str(path), resampled(_mono(file.blocks()), file.rate, self.rate), self.rate, self.step)
        model = self.for_pitch(mean)
        with open_sound(path) as file:
            yield Result(rate, 1, model.blocks(_mono(file.blocks()), file.rate, rate), subtype=file.decoder.subtype)

    def graph(self) -> Graph:
        """A copy of the network for `multigen export`: normalised features to normalised
        features."""
        network, rows = copy.deepcopy(self.network).cpu().float(), self.features.rows
        about = self.statistics.about()

        def example(n: int, side: int) -> tuple[Tensor, ...]:
            drawn = torch.randn(n, rows, side + 20, generator=torch.Generator().manual_seed(0))
            return drawn, about[self.pair[1]].expand(n, -1)

        says = {
            "features": f"float32 (batch, {rows}, frames), {self.features.says}, of each row mean 0 and deviation 1 by "
            "the source's statistics",
            "speaker": f"float32 (batch, {about.shape[1]}), what is known of the target",
            "converted": "as features, by the target's statistics",
        }
        names = {"features": {0: "batch", 2: "frames"}, "speaker": {0: "batch"}}
        return Graph(network, names, example, "converted", ("batch", str(rows), "frames"), says)

    # ---------------------------------------------------------------------------------------------- inside

    def _as(self, direction: Direction, pair: tuple[int, int], features: Features | None = None) -> "VoiceConverter":
        result = type(self)(self.network, self.statistics, features or self.features, direction, pair, self.mix)
        result.origin = self.origin
        return result

    def _window(self, sound: Tensor) -> Tensor:
        return self._part(sound, 0)

    def _part(self, sound: Tensor, first: int) -> Tensor:
        """Sounds (C, T), the part of a longer one from sample `first` on -> (C, T)."""
        return torch.stack([self._converted(channel, first) for channel in sound])

    def _converted(self, sound: Tensor, first: int) -> Tensor:
        """(T,) -> (T,)"""
        x = nn.functional.pad(sound, (0, max(self.shortest - len(sound), 0)))
        features, (source, target) = self.features, self.pair
        own, other = self.statistics.voices[source], self.statistics.voices[target]
        analysis = features.analyse(x)
        normal = self.statistics.normalise(features.of(analysis, own, other), source, target)
        about = self.statistics.about()[target]
        made = self.run(normal[None], lambda rows: self.network(rows, about[None].to(rows)))[0]
        pitch = own.pitch.to(other.pitch, analysis.pitch)
        spoken = features.sound(self.statistics.restore(made, target), x, analysis, pitch, first // features.spec.hop)
        return as_loud(spoken, x, round(LOUDNESS * self.rate))[: len(sound)]


def _mono(blocks: Iterable[Tensor]) -> Iterator[Tensor]:
    for block in blocks:
        yield block.mean(0, keepdim=True)


def check_speech(name: str, blocks: Iterable[Tensor], rate: int, hop: int) -> float:
    """The mean log f0 of a recording (1, T), in blocks; 0 without a pitch. Raises DataError where
    it is silent, music or noise."""
    peak, voicing, logs = 0.0, Voicing(), list[Tensor]()
    for block in blocks:
        for part in block[0].split(PART):
            peak = max(peak, float(part.abs().max()))
            pitch = pitch_of(part, rate, hop)
            logs.append(pitch[pitch > 0].log())
            voicing = voicing.plus(voicing_of(part, pitch, rate, hop))
    if peak < SILENT:
        raise DataError(
            f"{name}: silence, by a peak below {20 * math.log10(SILENT):.0f} dB of full scale; expected somebody who speaks; "
            "choose another recording, or skip it: --skip-bad"
        )
    check_like_speech(name, voicing, "choose another recording, or skip it: --skip-bad")
    whole = torch.cat(logs)
    return float(whole.mean()) if len(whole) else 0.0


def vocoder_of(run: str, device: str = "auto") -> Any:
    """The loaded vocoder of a run. Raises ConfigError for a model of another task."""
    model = load(run, device=device)
    if model.task != "vocoding":
        raise ConfigError(
            f"vocoder {run}: a model that {TASKS[model.task].does}; expected a run of vocoder: multigen train vocoder"
        )
    return model
