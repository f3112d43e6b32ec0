"""Pictures from noise: trains R3GAN and says how its samples compare with real pictures.

python -m multigen.recipes.r3gan                           # embedded digits, minutes on a laptop
python -m multigen.recipes.r3gan default --data photos/    # your own pictures
"""

from multigen.image.synthesis.r3gan import PRESETS, R3GANTrainer
from multigen.runs.runner import main

__all__ = ["PRESETS", "TRAINER"]

TRAINER = R3GANTrainer

if __name__ == "__main__":
    main(TRAINER, PRESETS)
