"""Settings of synthesis from a latent, of every method and modality, and facts about its data."""

from dataclasses import dataclass
from typing import ClassVar

from multigen.config import BELOW_ONE, Settings
from multigen.engine import DataInfo

__all__ = ["RANGES", "SynthesisConfig", "SynthesisInfo"]

RANGES: dict[str, float | tuple[float, float]] = {
    **{"latent": 1, "width": 1, "batch": 1, "steps": 1, "critic_steps": 1},
    **{"validation_size": 0, "train_size": 0, "test_classes": 0, "clusters": (0, 10_000), "samples": 2, "freeze": 0},
    **{"lr": 0, "penalty": 0, "gamma": 0, "clip": 0},
    **{"top_k": (0.001, 1), "top_k_decay": (0, 1), "ema": (0, 1), "beta2": (0, BELOW_ONE), "betas": (0, BELOW_ONE)},
}
"""Setting -> minimum, or (minimum, maximum), in all methods that have it."""


@dataclass(frozen=True)
class SynthesisConfig(Settings):
    """Settings common to all synthesis methods, in every modality."""

    data: str
    """Training data: a name, a folder (of folders, one per class), or a file."""
    test: str = ""
    """Test data, used for the final evaluation only; empty: the data's own test split, else a tenth
    of them."""
    labels: str = ""
    """Classes of a folder's files: empty, its folders; name, the file name before the last _;
    first, before the first _; none; or a CSV file."""
    classes: tuple[str, ...] = ()
    """Names of the classes that are used, such as daisy rose; empty: all."""
    train_size: int = 0
    """Number of items that are trained on, each class giving its share; validation and test items,
    and the real ones that samples are compared with, stay those of all. 0: all."""
    validation_size: int = 500
    """Size of the validation split used for checkpoint selection, at most a tenth of the training
    items; 0: the last checkpoint is used."""
    test_classes: int = 0
    """Number of whole classes held out as test data, such as people whose faces or voices are never
    trained on."""
    skip_bad: bool = False
    """Skip unusable files, and report which and why."""
    conditional: bool = False
    """Condition on the classes, so that samples of a class can be generated; needs labels."""
    clusters: int = 0
    """Without labels: number of k-means clusters of the training items, on which G and D are
    conditioned (Sage et al. 2018, arXiv:1712.04407, section 3.2). 0: none."""
    latent: int = 128
    """Dimensions of z ~ N(0, I)."""
    batch: int = 64
    """Items per step, over all processes."""
    steps: int = 10_000
    """Training steps."""
    critic_steps: int = 1
    """Discriminator updates per generator update."""
    freeze: int = 0
    """With `--from`: the first layers or blocks of D, which keep what they have learnt (FreezeD:
    Mo et al. 2020, arXiv:2002.10964)."""
    ema: float = 0.999
    """Decay of the running average of the generator; 0: none."""
    top_k: float = 1.0
    """Share of a batch's samples from which G learns in the end, those with the highest scores (.5
    in Sinha et al. 2020, arXiv:2002.06224); of several processes, each takes those of its own part.
    1: all."""
    top_k_decay: float = 0.99
    """Factor of that share for each pass through the data, from all samples down to `top_k`."""
    keep_discriminator: bool = False
    """Keep D in the model folder, calibrated on the validation items, for `multigen sample
    --reject`."""
    samples: int = 2_000
    """Number of samples to evaluate, at most the number of training items, with or without
    `train_size`."""

    ranges: ClassVar[dict[str, float | tuple[float, float]]] = RANGES
    """Ranges of settings; a modality and a method add their own."""


@dataclass(frozen=True)
class SynthesisInfo(DataInfo):
    """Facts about the training data."""

    classes: tuple[str, ...] = ()
    """Names of the classes, by label."""
    shares: tuple[float, ...] = ()
    """Share of the training items in each cluster."""
