"""`python -m multigen.recipes.cyclegan [PRESET] [FLAGS]` trains this method."""

from multigen.image.translation.cyclegan import PRESETS, CycleGANTrainer
from multigen.runs.runner import main

__all__ = ["PRESETS", "TRAINER"]

TRAINER = CycleGANTrainer

if __name__ == "__main__":
    main(TRAINER, PRESETS)
