"""`python -m multigen.recipes.denoise [PRESET] [FLAGS]` trains this method."""

from multigen.image.restoration.denoise import PRESETS, DenoiseTrainer
from multigen.runs.runner import main

__all__ = ["PRESETS", "TRAINER"]

TRAINER = DenoiseTrainer

if __name__ == "__main__":
    main(TRAINER, PRESETS)
