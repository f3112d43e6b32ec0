"""`python -m multigen.recipes.inpainting [PRESET] [FLAGS]` trains this method."""

from multigen.image.restoration.inpainting import PRESETS, InpaintingTrainer
from multigen.runs.runner import main

__all__ = ["PRESETS", "TRAINER"]

TRAINER = InpaintingTrainer

if __name__ == "__main__":
    main(TRAINER, PRESETS)
