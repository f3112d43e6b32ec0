"""Super-resolution: trains SRGAN and shows it beside bicubic interpolation and the network before its adversarial stage.

python -m multigen.recipes.srgan                           # embedded photographs, minutes on a laptop
python -m multigen.recipes.srgan default --data photos/    # your own photographs
multigen upscale photo.jpg --model runs/srgan --out up/    # use what was trained
"""

from multigen.image.restoration.srgan import PRESETS, SRGANTrainer
from multigen.runs.runner import main

__all__ = ["PRESETS", "TRAINER"]

TRAINER = SRGANTrainer

if __name__ == "__main__":
    main(TRAINER, PRESETS)
