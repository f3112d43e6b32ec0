"""`python -m multigen.recipes.maskcyclegan [PRESET] [FLAGS]` trains this method."""

from multigen.audio.translation.maskcyclegan import PRESETS, MaskCycleGANTrainer
from multigen.runs.runner import main

__all__ = ["PRESETS", "TRAINER"]

TRAINER = MaskCycleGANTrainer

if __name__ == "__main__":
    main(TRAINER, PRESETS)
