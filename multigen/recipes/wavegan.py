"""`python -m multigen.recipes.wavegan [PRESET] [FLAGS]` trains this method."""

from multigen.audio.synthesis.wavegan import PRESETS, WaveGANTrainer
from multigen.runs.runner import main

__all__ = ["PRESETS", "TRAINER"]

TRAINER = WaveGANTrainer

if __name__ == "__main__":
    main(TRAINER, PRESETS)
