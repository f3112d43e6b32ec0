"""Sounds from noise: trains SpecGAN and says how its samples compare with real recordings.

python -m multigen.recipes.specgan                           # embedded drum machine, minutes on a laptop
python -m multigen.recipes.specgan default --data sounds/    # your own recordings
"""

from multigen.audio.synthesis.specgan import PRESETS, SpecGANTrainer
from multigen.runs.runner import main

__all__ = ["PRESETS", "TRAINER"]

TRAINER = SpecGANTrainer

if __name__ == "__main__":
    main(TRAINER, PRESETS)
