"""`python -m multigen.recipes.relgan [PRESET] [FLAGS]` trains this method."""

from multigen.runs.runner import main
from multigen.text.synthesis.relgan import PRESETS, RelGANTrainer

__all__ = ["PRESETS", "TRAINER"]

TRAINER = RelGANTrainer

if __name__ == "__main__":
    main(TRAINER, PRESETS)
