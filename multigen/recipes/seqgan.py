"""`python -m multigen.recipes.seqgan [PRESET] [FLAGS]` trains this method."""

from multigen.runs.runner import main
from multigen.text.synthesis.seqgan import PRESETS, SeqGANTrainer

__all__ = ["PRESETS", "TRAINER"]

TRAINER = SeqGANTrainer

if __name__ == "__main__":
    main(TRAINER, PRESETS)
