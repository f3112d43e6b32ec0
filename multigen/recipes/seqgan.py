"""Text by policy gradient: trains SeqGAN and says whether that bought more than a lower temperature would.

python -m multigen.recipes.seqgan                            # embedded fables, minutes on a laptop
python -m multigen.recipes.seqgan default --data texts/      # your own texts
python -m multigen.recipes.seqgan paper --data oracle        # the synthetic oracle of the paper
"""

from multigen.runs.runner import main
from multigen.text.synthesis.seqgan import PRESETS, SeqGANTrainer

__all__ = ["PRESETS", "TRAINER"]

TRAINER = SeqGANTrainer

if __name__ == "__main__":
    main(TRAINER, PRESETS)
