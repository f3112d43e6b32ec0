"""`python -m multigen.recipes.wgan [PRESET] [FLAGS]` trains this method."""

from multigen.image.synthesis.wgan import PRESETS, WGANTrainer
from multigen.runs.runner import main

__all__ = ["PRESETS", "TRAINER"]

TRAINER = WGANTrainer

if __name__ == "__main__":
    main(TRAINER, PRESETS)
