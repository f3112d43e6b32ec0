"""Pictures from noise: trains the first GAN, on perceptrons, and says how its samples compare with real pictures.

python -m multigen.recipes.gan                           # embedded digits, minutes on a laptop
python -m multigen.recipes.gan default --data photos/    # your own pictures
"""

from multigen.image.synthesis.gan import PRESETS, GANTrainer
from multigen.runs.runner import main

__all__ = ["PRESETS", "TRAINER"]

TRAINER = GANTrainer

if __name__ == "__main__":
    main(TRAINER, PRESETS)
