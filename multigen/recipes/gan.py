"""`python -m multigen.recipes.gan [PRESET] [FLAGS]` trains this method."""

from multigen.image.synthesis.gan import PRESETS, GANTrainer
from multigen.runs.runner import main

__all__ = ["PRESETS", "TRAINER"]

TRAINER = GANTrainer

if __name__ == "__main__":
    main(TRAINER, PRESETS)
