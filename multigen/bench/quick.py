"""What a quick run of a benchmark recipe changes, so that all of it takes about a minute of one core, and no step is left out.

The figures that come of it say nothing of the method: there are few items, few samples and hardly any training.
"""

import dataclasses
from typing import Any

from multigen.config import Run
from multigen.data.datasets import Splits, pick
from multigen.engine import Trainer
from multigen.tasks.synthesis.base import SynthesisTrainer
from multigen.text.synthesis.config import TextSynthesisConfig

__all__ = ["MINUTES", "MOST", "TEST", "TOKENS", "TRAIN", "hurried", "shortened", "small"]

MINUTES = 0.4
"""Of training, all variants together. Timing the steps before it takes up to a quarter more."""
MOST = {
    **{"samples": 50, "hold": 20, "batch": 8, "rollouts": 1, "negatives": 256},
    **{"judge_steps": 5, "oracle_texts": 1_000, "prompt": 16},
}
"""Setting -> the most that it may be."""
TOKENS = 32
"""Of a text, at most."""
TRAIN, TEST = 2_000, 200
"""Items that a generator is trained on and measured against, at most."""
CLASSIFIER_STEPS = 50
NEVER = 1_000_000_000  # steps between validations, previews and checkpoints, which remain at the end of each stage


def shortened(config: Any) -> Any:
    """The configuration with less of what takes time, and the first of several test sets."""
    changes = {field: min(getattr(config, field), most) for field, most in MOST.items() if hasattr(config, field)}
    if isinstance(test := getattr(config, "test", ""), tuple):
        changes["test"] = test[:1]
    if isinstance(config, TextSynthesisConfig):
        changes["length"] = min(config.length, TOKENS)
    return dataclasses.replace(config, **changes)


def hurried(run: Run, variants: int) -> Run:
    """The options with a variant's share of the minutes."""
    return dataclasses.replace(
        run, minutes=MINUTES / variants, validate_every=NEVER, preview_every=NEVER, save_every=NEVER
    )


def small(trainer: type[Trainer[Any]]) -> type[Trainer[Any]]:
    """The trainer, but one that makes items from noise takes few of those that its data have, and a classifier hardly trained."""
    if not issubclass(trainer, SynthesisTrainer):
        return trainer

    class Small(trainer):
        classifier_steps = CLASSIFIER_STEPS

        def open_splits(self) -> Splits[Any]:
            sets = super().open_splits()
            return Splits(pick(sets.train, TRAIN), sets.validation, pick(sets.test, TEST))

    Small.__module__ = trainer.__module__  # whose first line is the title of the method
    return Small
