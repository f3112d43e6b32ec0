"""`python -m multigen.recipes.sngan [PRESET] [FLAGS]` trains this method."""

from multigen.image.synthesis.sngan import PRESETS, SNGANTrainer
from multigen.runs.runner import main

__all__ = ["PRESETS", "TRAINER"]

TRAINER = SNGANTrainer

if __name__ == "__main__":
    main(TRAINER, PRESETS)
