"""`python -m multigen.recipes.extend [PRESET] [FLAGS]` trains this method."""

from multigen.audio.restoration.extend import PRESETS, ExtendTrainer
from multigen.runs.runner import main

__all__ = ["PRESETS", "TRAINER"]

TRAINER = ExtendTrainer

if __name__ == "__main__":
    main(TRAINER, PRESETS)
