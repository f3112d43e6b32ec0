"""Base trainer of voice conversion: settings, recordings of speakers, features, metrics,
comparisons.

A method derives from `AudioTranslationTrainer`, and states only what differs: networks, losses,
stages.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

from torch import Tensor, nn

from multigen.audio.files import write_sound
from multigen.audio.mels import MelSpec
from multigen.audio.recordings import Recording
from multigen.audio.translation.cepstral import CepstralFeatures
from multigen.audio.translation.converter import VoiceConverter, vocoder_of
from multigen.audio.translation.evaluator import VoiceSet, comparison, definitions, measured, score, set_of
from multigen.audio.translation.features import Analysis, Features, MelFeatures
from multigen.audio.translation.networks import least_segment
from multigen.audio.translation.segments import PairSource, SpeechSource
from multigen.audio.translation.speaker_statistics import SpeakerInfo, Statistics, Unchanged, statistics_of
from multigen.audio.translation.speakers import Opened, open_speakers
from multigen.audio.voicing import Voicing, check_like_speech, voicing_of
from multigen.console import counted, if_slow
from multigen.data.skipped import report_skipped
from multigen.engine import Batch, Callback, Step
from multigen.engine.batches import Source
from multigen.engine.schedules import ConstantThenLinear, Schedule
from multigen.errors import ConfigError, DataError
from multigen.memory import require
from multigen.runs.card import Card
from multigen.storage.output import replacing
from multigen.tasks.loading import load
from multigen.tasks.translation.base import (
    RANGES,
    Direction,
    Translate,
    TranslationConfig,
    TranslationTrainer,
)
from multigen.tasks.translation.cycle import both_ways

__all__ = ["AudioTranslationConfig", "AudioTranslationTrainer"]

ROWS = 4  # recordings of a preview, and of the comparison


@dataclass(frozen=True)
class AudioTranslationConfig(TranslationConfig):
    """Settings common to all methods."""

    data: str = "voice"
    """Recordings of the first speaker, A: a folder; or of all speakers, by folders or by names of
    files: a folder, or voice (the embedded machine)."""
    target: str = ""
    """Folder of recordings of the second speaker, B; they need not say the same."""
    speakers: tuple[str, ...] = ()
    """Of data that hold several speakers, those to train on: the first is A, the second B; none
    named: all, in alphabetical order, of voice F1 and M2."""
    parallel: bool = False
    """Learn from recordings that say the same and have one name, laid along each other by dynamic
    time warping, in place of learning without pairs."""
    seconds: float = 0.0
    """Of each speaker only so many seconds of recordings are trained on, the first ones; 0: all."""
    test_size: int = 20
    """Recordings of each speaker that are measured at most; 0: all."""
    vocoder: str = ""
    """A run of vocoder, of the same mels, by which conversions are made sound when they are
    measured and shown; empty: Griffin and Lim's algorithm. It is not part of the model: name it
    again where you use that."""
    rate: int = 16_000
    """Sample rate, Hz; recordings of another rate are resampled."""
    hop: int = 0
    """Samples between frames; 0: an eightieth of the rate."""
    n_fft: int = 0
    """Samples of a frame; 0: the power of two nearest to 64 ms."""
    representation: Literal["mels", "cepstra"] = "mels"
    """What is converted: log-mels, or mel-cepstra of the WORLD vocoder, which needs a compiled
    package: pip install 'multigen[speech-compiled]'."""
    bands: int = 80
    """Mel bands, from 0 to half the rate."""
    coefficients: int = 36
    """With cepstra: how many, c_0 among them."""
    tract: bool = True
    """Move the formants too before the generator, by the factor between the vocal tracts that makes
    the envelopes of two speakers most alike; not in the paper."""
    segment: int = 64
    """Frames of the segments that are trained on."""
    width: int = 128
    """Channels of the generator."""
    blocks: int = 6
    """ConvNeXt blocks of the generator."""
    discriminator_width: int = 128
    """Channels of the discriminators."""
    batch: int = 8
    """Segments of each speaker per step, over all processes."""
    steps: int = 20_000
    """Training steps."""
    lr: float = 5e-4
    """Learning rate of the generator; falls to 0 in the second half."""
    discriminator_lr: float = 5e-4
    """That of the discriminators; falls alike."""
    ema: float = 0.999
    """Decay of the running average of the generator; 0: none."""
    validation_size: int = 0
    """Not used: nothing but the ear, or pairs, which training must not need, chooses among
    checkpoints; the last one is used."""

    ranges = RANGES | {
        **{"rate": (4_000, 48_000), "hop": (0, 8_192), "n_fft": (0, 16_384), "bands": (8, 1_024), "segment": 8},
        "coefficients": (8, 128),
        **{"test_size": 0, "seconds": 0, "discriminator_lr": 0, "validation_size": (0, 0)},
    }

    def __post_init__(self):
        super().__post_init__()
        if self.segment % least_segment():
            raise ConfigError(
                f"segment {self.segment}: expected a multiple of {least_segment()} frames, such as "
                f"{max(1, round(self.segment / least_segment())) * least_segment()}"
            )
        if self.representation == "cepstra" and self.vocoder:
            raise ConfigError(
                f"representation cepstra, vocoder {self.vocoder}: WORLD makes sound of mel-cepstra; leave the vocoder out, or "
                "choose representation mels"
            )
        _ = self.spec  # raises for a rate and a hop that do not fit

    @property
    def spec(self) -> MelSpec:
        """The definition of its mels."""
        return MelSpec(rate=self.rate, hop=self.hop, n_fft=self.n_fft, bands=self.bands)


C = TypeVar("C", bound=AudioTranslationConfig)


class AudioTranslationTrainer(TranslationTrainer[C]):
    """Trains generators of features (B, rows, N). Batches are those of `SpeechSource`; a
    `Translate` maps recordings (T,) to recordings (T,)."""

    task = "voice-conversion"
    sizes = ("batch", "segment", "width")
    data_info: SpeakerInfo = SpeakerInfo()
    _statistics: Statistics | None = None

    def default_callbacks(self) -> Sequence[Callback]:
        return [Card()]

    @property
    def generators(self) -> dict[str, str]:
        return both_ways(self.config.direction, "G", "G")

    # ---------------------------------------------------------------------------------- what methods use

    @property
    def rows(self) -> int:
        """Of the features."""
        c = self.config
        return c.coefficients if c.representation == "cepstra" else c.spec.bands

    def representing(self, vocoder: Any = None) -> Features:
        """What is converted, and how it becomes sound."""
        c = self.config
        return (
            CepstralFeatures(c.spec, c.coefficients) if c.representation == "cepstra" else MelFeatures(c.spec, vocoder)
        )

    @property
    def known(self) -> int:
        """Numbers that are known of a speaker."""
        return 2 * self.rows + 2

    def features(self, name: str, batch: Batch, step: Step) -> Tensor:
        """Segments of features of "A", "B", "A_moved" or "B_moved", (B, rows, segment)."""
        return batch[name].to(step.dtype)

    def known_of(self, batch: Batch, step: Step) -> tuple[Tensor, Tensor]:
        """What is known of the speakers of A, and of B, (B, known) each."""
        table = self.statistics.about().to(batch["a"].device, step.dtype)
        return table[batch["a"]], table[batch["b"]]

    def rate(self, lr: float) -> Schedule:
        """A learning rate: constant, and in the second half in a line to 0."""
        return ConstantThenLinear(lr, 0.0)

    @property
    def statistics(self) -> Statistics:
        if self._statistics is None or self._statistics.info is not self.data_info:
            self._statistics = Statistics(self.data_info, self.rows)
        return self._statistics

    # ---------------------------------------------------------------------------------- data

    def items(self) -> int:
        return len(self.data)

    def open_data(self) -> Source:
        """Opens the recordings of all speakers, and the vocoder."""
        c = self.config
        self.sounds = self.representing(self.open_vocoder())
        opened = open_speakers(c)
        report_skipped(opened.skipped, "recordings")
        train = {who: [self._long_enough(each) for each in of] for who, of in opened.train.items()}
        train = {who: [each for each in of if each is not None] for who, of in train.items()}
        if missing := [who for who, of in train.items() if not of]:
            raise DataError(
                f"{c.data}: no recording of {missing[0]} is as long as a segment of {c.segment} frames; give longer ones, or "
                "lower --segment"
            )
        self._check_memory(train)
        with if_slow("analysing the recordings"):
            analysed = {
                who: [self.sounds.analyse(each.part(0, len(each))[0]) for each in of] for who, of in train.items()
            }
            self._check_speech(train, analysed)
            fingerprint, self.held_out = opened.fingerprints
            self.data_info, made = statistics_of(self.sounds, analysed, fingerprint, c.tract)
            pair = dict([*analysed.items()][:2])
            self.plain = statistics_of(self.sounds, pair, fingerprint, tracts=False)[0] if c.tract else self.data_info
        self.validation, self.tests = None, (self._tests(opened),)
        if c.parallel:
            return PairSource(made, self.statistics, c.segment, [*train.values()])
        return SpeechSource(made, self.statistics, c.segment)

    def _check_memory(self, train: Mapping[str, Sequence[Recording]]) -> None:
        """Raises OutOfMemory, before any is analysed, for more speech than fits: its magnitudes,
        and twice its features with each speaker's pitch."""
        spec = self.config.spec
        frames = [spec.frames(len(each)) for of in train.values() for each in of]
        bins, kept = spec.n_fft // 2 + 1, 2 * len(train) * self.rows
        require(
            4 * (sum(frames) * (bins + kept) + 10 * max(frames) * bins),
            f"{sum(frames) * spec.hop / spec.rate / 60:.0f} minutes of {counted(len(train), 'speakers')}",
            "choose fewer speakers, --speakers, or give fewer recordings",
        )

    def _check_speech(
        self, train: Mapping[str, Sequence[Recording]], analysed: Mapping[str, Sequence[Analysis]]
    ) -> None:
        """Raises DataError for a speaker whose recordings are of music or noise."""
        spec = self.config.spec
        for who, recordings in train.items():
            whole = Voicing()
            for each, of in zip(recordings, analysed[who], strict=True):
                whole = whole.plus(voicing_of(each.part(0, len(each))[0], of.pitch, spec.rate, spec.hop))
            check_like_speech(who, whole, "give recordings of somebody who speaks")

    def _long_enough(self, recording: Recording) -> Recording | None:
        return recording if self.config.spec.frames(len(recording)) >= self.config.segment else None

    def open_vocoder(self) -> Any:
        """The vocoder that the settings name; None without one. Raises ConfigError for another
        model."""
        return vocoder_of(self.config.vocoder) if self.config.vocoder else None

    def _tests(self, opened: Opened) -> VoiceSet:
        first, second = [*opened.train][:2]
        return set_of(opened.test_name, (first, second), opened.test, self.config.rate, self.config.test_size)

    # ---------------------------------------------------------------------------------- evaluation

    def seen_from(self, items: VoiceSet, direction: Direction) -> VoiceSet:
        turned = items if direction == "AB" else items.turned()
        return turned if direction == self.config.direction else turned.named(f"{items.name}-{direction}")

    def translator_of(self, networks: Mapping[str, nn.Module]) -> VoiceConverter:
        sounds = self.sounds if hasattr(self, "sounds") else self.representing()
        return VoiceConverter(next(iter(networks.values())), self.statistics, sounds, self.config.direction)

    def baselines(self, direction: Direction) -> dict[str, Translate]:
        """The recording; one with mean and deviation of the other speaker's features and pitch;
        that with the formants moved too, as for the generator; and the model that training began
        from, not adapted but for what is known of the speakers."""

        def converted(info: SpeakerInfo, network: nn.Module) -> VoiceConverter:
            return VoiceConverter(network, Statistics(info, self.rows), self.sounds, direction)

        rows: dict[str, Translate] = {"input": lambda sound: sound, "moments": converted(self.plain, Unchanged())}
        if self.config.tract:
            rows["tract"] = converted(self.data_info, Unchanged())
        if self.run.start:
            rows["start"] = converted(self.data_info, load(self.run.start).network)
        return rows

    def measure(
        self, translators: Mapping[str, Translate], sets: Sequence[VoiceSet], needed: Collection[str] | None = None
    ) -> dict[str, dict[str, float]]:
        pitch = dict(zip(self.statistics.names, self.statistics.pitch, strict=True))
        return score(translators, sets, pitch, self.device)

    def definitions(self) -> dict[str, str]:
        return definitions(measured(self.config.rate))

    def compare(self, translators: Mapping[str, Translate], items: VoiceSet, path: Path) -> None:
        """Writes `PATH.png`, spectrograms, and `PATH.wav`, the same recordings one after another,
        and last each target's own."""
        picture, sound = comparison(translators, items, ROWS)
        with replacing(path.with_name(f"{path.name}.png")) as file:
            picture.save(file)
        write_sound(path.with_name(f"{path.name}.wav"), sound.clamp(-1, 1), self.config.rate)

    def show(self, translator: Any, items: VoiceSet, path: Path) -> None:
        self.compare({"input": lambda sound: sound, "now": translator}, items, path)
