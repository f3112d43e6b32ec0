"""`python -m multigen.recipes.lsgan [PRESET] [FLAGS]` trains this method."""

from multigen.image.synthesis.lsgan import PRESETS, LSGANTrainer
from multigen.runs.runner import main

__all__ = ["PRESETS", "TRAINER"]

TRAINER = LSGANTrainer

if __name__ == "__main__":
    main(TRAINER, PRESETS)
