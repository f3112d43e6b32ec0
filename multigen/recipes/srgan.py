"""`python -m multigen.recipes.srgan [PRESET] [FLAGS]`: trains multigen.image.restoration.srgan."""

from multigen.image.restoration.srgan import PRESETS, SRGANTrainer
from multigen.runs.runner import main

__all__ = ["PRESETS", "TRAINER"]

TRAINER = SRGANTrainer

if __name__ == "__main__":
    main(TRAINER, PRESETS)
