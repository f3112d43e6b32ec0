"""`python -m multigen.recipes.realesrgan [PRESET] [FLAGS]`: trains multigen.image.restoration.realesrgan."""

from multigen.image.restoration.realesrgan import PRESETS, RealESRGANTrainer
from multigen.runs.runner import main

__all__ = ["PRESETS", "TRAINER"]

TRAINER = RealESRGANTrainer

if __name__ == "__main__":
    main(TRAINER, PRESETS)
