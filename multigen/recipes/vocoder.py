"""`python -m multigen.recipes.vocoder [PRESET] [FLAGS]` trains this method."""

from multigen.audio.restoration.vocoder import PRESETS, VocoderTrainer
from multigen.runs.runner import main

__all__ = ["PRESETS", "TRAINER"]

TRAINER = VocoderTrainer

if __name__ == "__main__":
    main(TRAINER, PRESETS)
