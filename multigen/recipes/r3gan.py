"""`python -m multigen.recipes.r3gan [PRESET] [FLAGS]` trains this method."""

from multigen.image.synthesis.r3gan import PRESETS, R3GANTrainer
from multigen.runs.runner import main

__all__ = ["PRESETS", "TRAINER"]

TRAINER = R3GANTrainer

if __name__ == "__main__":
    main(TRAINER, PRESETS)
