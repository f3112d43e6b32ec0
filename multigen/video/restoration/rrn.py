"""RRN: recurrent super-resolution of films without motion compensation. Isobe et al. 2020,
arXiv:2008.05765.

    python -m multigen.recipes.rrn                         # photographs that move, on a laptop
    python -m multigen.recipes.rrn default --data films/   # your own films and photographs
    python -m multigen.recipes.rrn sharp --data films/     # with an adversarial stage
    python -m multigen.recipes.rrn paper --data films/     # the paper's network, loss and steps

A generator enlarges a frame from it, the frame before, a hidden state and what it made of the frame
before: one pass, a state of one frame, films of any length. `steps` adds a stage in the spirit of
TecoGAN (Chu et al. 2020, arXiv:1811.09393): a discriminator sees three frames, features are
compared, and a clip that is played forth and back must agree."""

from dataclasses import dataclass, replace

from multigen.engine.schedules import Schedule, Steps, WarmUp
from multigen.errors import ConfigError
from multigen.video.restoration.base import VideoRestorationConfig, VideoRestorationTrainer
from multigen.video.restoration.networks import RRN

__all__ = ["PRESETS", "RRNConfig", "RRNTrainer"]

WARM = 0.05  # of the first stage: at the full rate at once, its recurrent units die


@dataclass(frozen=True)
class RRNConfig(VideoRestorationConfig):
    blocks: int = 5
    """Residual blocks of the generator (5 and 10 in the paper)."""
    width: int = 64
    """Channels of the generator (128 in the paper)."""
    recurrent: bool = True
    """False: the same network sees each frame alone, for comparison."""
    pretrain_steps: int = 20_000
    """Steps of the first stage."""
    pretrain_lr: float = 4e-4
    """Learning rate of the first stage; rises in a twentieth of it, then falls to 0 along half a
    cosine; or, if `constant_lr`, falls to a tenth after six sevenths."""
    constant_lr: bool = False
    """The paper's learning rate."""
    steps: int = 0
    """Steps of the second, adversarial stage (none in the paper)."""
    discriminator_width: int = 32
    """Channels of the discriminator's first layer, a multiple of 4."""
    adversarial_weight: float = 0.01
    """Weight of the adversarial loss."""

    def __post_init__(self):
        super().__post_init__()
        if self.discriminator_width % 4:
            raise ConfigError(f"discriminator_width {self.discriminator_width}: expected a multiple of 4")


SHARP = RRNConfig(pretrain_steps=15_000, steps=5_000)
PRESETS = {
    "tiny": RRNConfig(
        validation_size=0, test_frames=2, crop=32, length=3, blocks=1, width=8, discriminator_width=4, batch=2,
        pretrain_steps=16, steps=4, ema=0.9,
    ),
    "laptop": RRNConfig(
        validation_size=0, crop=64, blocks=3, width=32, batch=4, pretrain_steps=2_000, pretrain_lr=1e-3, ema=0.99,
    ),
    "default": RRNConfig(),
    "sharp": SHARP,
    "paper": replace(
        RRNConfig(), crop=256, blocks=10, width=128, degradation="bd", pixel="l1", pretrain_steps=1_128_000,
        pretrain_lr=1e-4, constant_lr=True, ema=0.0, betas=(0.9, 0.999),
    ),
}  # fmt: skip


class RRNTrainer(VideoRestorationTrainer[RRNConfig]):
    """Trains G to enlarge films for the least pixel error; then, with `steps`, so that D takes
    three frames of it for a real film's."""

    name = "rrn"

    def generator(self) -> RRN:
        c = self.config
        return RRN(c.scale, c.blocks, c.width, c.recurrent)

    def pretrain_rate(self) -> Schedule:
        rate = self.config.pretrain_lr
        if self.config.constant_lr:
            return Steps((rate, rate / 10), (6 / 7,))
        return WarmUp(WARM, super().pretrain_rate())
