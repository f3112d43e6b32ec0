"""`python -m multigen.recipes.srgan [PRESET] [FLAGS]` trains this method."""

from multigen.image.restoration.srgan import PRESETS, SRGANTrainer
from multigen.runs.runner import main

__all__ = ["PRESETS", "TRAINER"]

TRAINER = SRGANTrainer

if __name__ == "__main__":
    main(TRAINER, PRESETS)
