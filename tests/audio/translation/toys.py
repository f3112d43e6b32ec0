"""What tests of voice conversion share: recordings of two embedded speakers, untrained models."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from multigen.audio.files import write_sound
from multigen.audio.mels import MelSpec
from multigen.audio.translation.features import Analysis, MelFeatures
from multigen.audio.translation.maskcyclegan import PRESETS, MaskCycleGANConfig, MaskCycleGANTrainer
from multigen.audio.translation.speaker_statistics import SpeakerInfo, statistics_of
from multigen.audio.voice import utterance
from multigen.config import to_table
from multigen.engine import Run
from multigen.engine.plan import Step
from multigen.storage.model_folder import write_model

RATE = 8_000
SPEAKERS = ("F2", "M1")
TINY: dict[str, Any] = {"width": 4, "discriminator_width": 2, "bands": 24, "segment": 16, "batch": 2}


def recordings(folder: Path, speakers: tuple[str, ...] = SPEAKERS, count: int = 5) -> Path:
    """A folder for each speaker, with the sentences 0.wav, 1.wav, ... that all of them say."""
    for speaker in speakers:
        (folder / speaker).mkdir(parents=True)
        for number in range(count):
            sound = utterance(speaker, number, rate=RATE).sound[None]
            write_sound(folder / speaker / f"{number}.wav", sound, RATE)
    return folder


def configured(folder: Path, **changes: Any) -> MaskCycleGANConfig:
    return replace(PRESETS["tiny"], data=str(folder), **{**TINY, **changes})


def prepared(folder: Path, **changes: Any) -> MaskCycleGANTrainer:
    trainer = MaskCycleGANTrainer(configured(folder, **changes), Run(device="cpu", precision="fp32"))
    trainer.prepare()
    return trainer


def info(speakers: tuple[str, ...] = SPEAKERS, bands: int = 24) -> SpeakerInfo:
    """Statistics of one sentence of each speaker."""
    mels = MelFeatures(MelSpec(rate=RATE, bands=bands))
    sounds = {speaker: [mels.analyse(utterance(speaker, 0, rate=RATE).sound)] for speaker in speakers}
    made: dict[str, list[Analysis]] = sounds
    return statistics_of(mels, made, "")[0]


def untrained(folder: Path, speakers: tuple[str, ...] = SPEAKERS, seed: int = 0, strength: float = 0.0) -> Path:
    """The folder of a run whose model has random weights; `strength`: of what it adds."""
    config = replace(PRESETS["tiny"], **TINY)
    trainer = MaskCycleGANTrainer(config, Run())
    trainer.data_info = info(speakers)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = trainer.generator()
        torch.nn.init.normal_(network.head.weight, std=strength)
    weights = {"G": network.state_dict()}
    write_model(folder / "model", trainer.name, to_table(config), weights, {}, to_table(trainer.data_info))
    return folder


def step_of(index: int = 0, size: int = 2, progress: float = 0.0) -> Step:
    key = (0, 0, "adversarial", "generator", index, 0)
    return Step(key, progress, slice(0, size), size, torch.device("cpu"), torch.float32, lambda *_: None)


def values(terms: Any) -> dict[str, float]:
    return {name: term.item() for name, term in terms.items()}


def noisy(sound: Tensor, decibels: float) -> Tensor:
    """A sound with white noise at a ratio."""
    noise = torch.randn(sound.shape, generator=torch.Generator().manual_seed(0))
    return sound + noise * sound.square().mean().sqrt() * 10 ** (-decibels / 20)
