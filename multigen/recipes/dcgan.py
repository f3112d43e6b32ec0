"""Pictures from noise: trains DCGAN and says how its samples compare with real pictures.

python -m multigen.recipes.dcgan                           # embedded digits, minutes on a laptop
python -m multigen.recipes.dcgan --conditional             # learns the classes too
python -m multigen.recipes.dcgan default --data photos/    # your own pictures
"""

from multigen.image.synthesis.dcgan import PRESETS, DCGANTrainer
from multigen.runs.runner import main

__all__ = ["PRESETS", "TRAINER"]

TRAINER = DCGANTrainer

if __name__ == "__main__":
    main(TRAINER, PRESETS)
