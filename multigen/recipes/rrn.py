"""`python -m multigen.recipes.rrn [PRESET] [FLAGS]` trains this method."""

from multigen.runs.runner import main
from multigen.video.restoration.rrn import PRESETS, RRNTrainer

__all__ = ["PRESETS", "TRAINER"]

TRAINER = RRNTrainer

if __name__ == "__main__":
    main(TRAINER, PRESETS)
