"""`python -m multigen.recipes.enhance [PRESET] [FLAGS]` trains this method."""

from multigen.audio.restoration.enhance import PRESETS, EnhanceTrainer
from multigen.runs.runner import main

__all__ = ["PRESETS", "TRAINER"]

TRAINER = EnhanceTrainer

if __name__ == "__main__":
    main(TRAINER, PRESETS)
