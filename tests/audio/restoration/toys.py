"""A vocoder of seconds."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from multigen.audio.restoration.vocoder import PRESETS, VocoderTrainer
from multigen.engine import Run
from tests import tiny

RUN = Run(device="cpu", precision="fp32", log_every=1)
SMALL: dict[str, Any] = {"width": 4, "batch": 2, "pretrain_steps": 3, "steps": 2, "ema": 0.5, "test_size": 1}


def vocoder(place: Path, data: Path, run: Run = RUN, **settings: Any) -> VocoderTrainer:
    """A vocoder on the recordings of `data`, its run in `place`/run."""
    config = replace(PRESETS["tiny"], data=str(data), **{**SMALL, **settings})
    return VocoderTrainer(config, replace(run, out=str(place / "run")))


def untrained(place: Path, **settings: Any) -> Path:
    """The run of a vocoder with random weights, at 8 kHz."""
    return tiny.untrained(place, VocoderTrainer(replace(PRESETS["tiny"], **{**SMALL, **settings})))
