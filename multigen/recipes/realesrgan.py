"""`python -m multigen.recipes.realesrgan [PRESET] [FLAGS]` trains this method."""

from multigen.image.restoration.realesrgan import PRESETS, RealESRGANTrainer
from multigen.runs.runner import main

__all__ = ["PRESETS", "TRAINER"]

TRAINER = RealESRGANTrainer

if __name__ == "__main__":
    main(TRAINER, PRESETS)
