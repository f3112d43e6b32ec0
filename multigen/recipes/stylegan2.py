"""`python -m multigen.recipes.stylegan2 [PRESET] [FLAGS]` trains this method."""

from multigen.image.synthesis.stylegan2 import PRESETS, StyleGAN2Trainer
from multigen.runs.runner import main

__all__ = ["PRESETS", "TRAINER"]

TRAINER = StyleGAN2Trainer

if __name__ == "__main__":
    main(TRAINER, PRESETS)
