"""`python -m multigen.recipes.pix2pix [PRESET] [FLAGS]` trains this method."""

from multigen.image.translation.pix2pix import PRESETS, Pix2PixTrainer
from multigen.runs.runner import main

__all__ = ["PRESETS", "TRAINER"]

TRAINER = Pix2PixTrainer

if __name__ == "__main__":
    main(TRAINER, PRESETS)
