"""`python -m multigen.recipes.projected [PRESET] [FLAGS]` trains this method."""

from multigen.image.synthesis.projected import PRESETS, ProjectedTrainer
from multigen.runs.runner import main

__all__ = ["PRESETS", "TRAINER"]

TRAINER = ProjectedTrainer

if __name__ == "__main__":
    main(TRAINER, PRESETS)
