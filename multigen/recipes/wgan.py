"""Pictures from noise: trains a Wasserstein GAN and says how its samples compare with real pictures.

python -m multigen.recipes.wgan                           # embedded digits, minutes on a laptop
python -m multigen.recipes.wgan default --data photos/    # your own pictures
"""

from multigen.image.synthesis.wgan import PRESETS, WGANTrainer
from multigen.runs.runner import main

__all__ = ["PRESETS", "TRAINER"]

TRAINER = WGANTrainer

if __name__ == "__main__":
    main(TRAINER, PRESETS)
