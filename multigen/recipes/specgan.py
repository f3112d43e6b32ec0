"""`python -m multigen.recipes.specgan [PRESET] [FLAGS]` trains this method."""

from multigen.audio.synthesis.specgan import PRESETS, SpecGANTrainer
from multigen.runs.runner import main

__all__ = ["PRESETS", "TRAINER"]

TRAINER = SpecGANTrainer

if __name__ == "__main__":
    main(TRAINER, PRESETS)
