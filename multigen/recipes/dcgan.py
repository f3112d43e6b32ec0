"""`python -m multigen.recipes.dcgan [PRESET] [FLAGS]` trains this method."""

from multigen.image.synthesis.dcgan import PRESETS, DCGANTrainer
from multigen.runs.runner import main

__all__ = ["PRESETS", "TRAINER"]

TRAINER = DCGANTrainer

if __name__ == "__main__":
    main(TRAINER, PRESETS)
