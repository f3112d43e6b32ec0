"""Pictures from noise: trains SNGAN and says how its samples compare with real pictures.

python -m multigen.recipes.sngan                           # embedded digits, minutes on a laptop
python -m multigen.recipes.sngan default --data photos/    # your own pictures
"""

from multigen.image.synthesis.sngan import PRESETS, SNGANTrainer
from multigen.runs.runner import main

__all__ = ["PRESETS", "TRAINER"]

TRAINER = SNGANTrainer

if __name__ == "__main__":
    main(TRAINER, PRESETS)
