"""Sounds from noise: trains WaveGAN and says how its samples compare with real recordings.

python -m multigen.recipes.wavegan                           # embedded drum machine, minutes on a laptop
python -m multigen.recipes.wavegan default --data sounds/    # your own recordings
"""

from multigen.audio.synthesis.wavegan import PRESETS, WaveGANTrainer
from multigen.runs.runner import main

__all__ = ["PRESETS", "TRAINER"]

TRAINER = WaveGANTrainer

if __name__ == "__main__":
    main(TRAINER, PRESETS)
