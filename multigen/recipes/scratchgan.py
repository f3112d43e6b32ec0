"""`python -m multigen.recipes.scratchgan [PRESET] [FLAGS]` trains this method."""

from multigen.runs.runner import main
from multigen.text.synthesis.scratchgan import PRESETS, ScratchGANTrainer

__all__ = ["PRESETS", "TRAINER"]

TRAINER = ScratchGANTrainer

if __name__ == "__main__":
    main(TRAINER, PRESETS)
