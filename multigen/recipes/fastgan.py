"""`python -m multigen.recipes.fastgan [PRESET] [FLAGS]` trains this method."""

from multigen.image.synthesis.fastgan import PRESETS, FastGANTrainer
from multigen.runs.runner import main

__all__ = ["PRESETS", "TRAINER"]

TRAINER = FastGANTrainer

if __name__ == "__main__":
    main(TRAINER, PRESETS)
