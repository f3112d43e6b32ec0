"""`python -m multigen.recipes.esrgan [PRESET] [FLAGS]` trains this method."""

from multigen.image.restoration.esrgan import PRESETS, ESRGANTrainer
from multigen.runs.runner import main

__all__ = ["PRESETS", "TRAINER"]

TRAINER = ESRGANTrainer

if __name__ == "__main__":
    main(TRAINER, PRESETS)
