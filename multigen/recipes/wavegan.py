"""`python -m multigen.recipes.wavegan [PRESET] [FLAGS]`: trains multigen.audio.synthesis.wavegan."""

from multigen.audio.synthesis.wavegan import PRESETS, WaveGANTrainer
from multigen.runs.runner import main

__all__ = ["PRESETS", "TRAINER"]

TRAINER = WaveGANTrainer

if __name__ == "__main__":
    main(TRAINER, PRESETS)
