"""`python -m multigen.recipes.cut [PRESET] [FLAGS]` trains this method."""

from multigen.image.translation.cut import PRESETS, CUTTrainer
from multigen.runs.runner import main

__all__ = ["PRESETS", "TRAINER"]

TRAINER = CUTTrainer

if __name__ == "__main__":
    main(TRAINER, PRESETS)
