"""MaskCycleGAN-VC: one voice in the place of another, learnt without parallel sentences. Kaneko et
al. 2021, arXiv:2102.12841.

    python -m multigen.recipes.maskcyclegan                                # two embedded voices
    python -m multigen.recipes.maskcyclegan default --data A/ --target B/  # your own two folders
    python -m multigen.recipes.maskcyclegan default --data SPEAKERS/       # a folder for each

G converts log-mels, in which the pitch has been moved already, to another speaker's; D has to tell
them from that speaker's own. Some frames of what G reads are hidden, and it has to fill them in;
what was converted there and back shall be what it was, and a second D has to tell it from
recordings. With `--parallel`, G learns from pairs of recordings that say the same.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from multigen.audio.translation.base import AudioTranslationConfig, AudioTranslationTrainer
from multigen.audio.translation.networks import FeatureDiscriminator, Generator
from multigen.engine import Adam, Batch, Stage, Step, Terms, Update
from multigen.engine.history import exchange
from multigen.engine.optimisers import Optimiser
from multigen.losses import least_squares
from multigen.tasks.translation.cycle import (
    Circle,
    Translation,
    circle,
    generator_terms,
    identity_terms,
    seen_by,
)

__all__ = ["PRESETS", "MaskCycleGANConfig", "MaskCycleGANTrainer"]


@dataclass(frozen=True)
class MaskCycleGANConfig(AudioTranslationConfig):
    mask: int = 32
    """Frames in a row that are hidden: fewer than this, drawn evenly from 0."""
    cycle_weight: float = 10.0
    """Weight of the mean absolute error of features that were converted there and back."""
    identity_weight: float = 5.0
    """Weight of the mean absolute error of features given to the generator of their own speaker."""
    identity_share: float = 1.0
    """Part of the steps after which that weight is 0 (10,000 steps in the paper)."""
    second_weight: float = 1.0
    """Weight of the second adversarial loss, of what went there and back; 0: none."""
    l1_weight: float = 10.0
    """With parallel: weight of the mean absolute error."""
    history: int = 0
    """Converted segments of each role that are kept, of which the discriminators see some again; 0:
    none, as in the paper."""

    ranges = AudioTranslationConfig.ranges | {
        **{"mask": 0, "cycle_weight": 0, "identity_weight": 0, "identity_share": (0, 1), "second_weight": 0},
        **{"l1_weight": 0, "history": 0},
    }


PRESETS = {
    "tiny": MaskCycleGANConfig(
        rate=8_000, bands=40, segment=32, width=16, blocks=1, discriminator_width=8, batch=4, test_size=2, steps=10,
    ),
    "laptop": MaskCycleGANConfig(
        width=64, blocks=3, discriminator_width=96, batch=8, test_size=4, steps=2_000, lr=3e-4, discriminator_lr=3e-4,
        mask=16, ema=0.99,
    ),
    "default": MaskCycleGANConfig(),
    "paper": MaskCycleGANConfig(
        rate=22_050, hop=256, n_fft=1024, width=256, blocks=12, discriminator_width=512, batch=1,
        identity_share=0.02, lr=2e-4, discriminator_lr=1e-4, ema=0.0, steps=500_000,
        tract=False,
    ),
}  # fmt: skip


class MaskCycleGANTrainer(AudioTranslationTrainer[MaskCycleGANConfig]):
    """Trains one generator of all speakers' features, in both directions at once."""

    G: Generator
    D: FeatureDiscriminator
    D_again: FeatureDiscriminator
    name = "maskcyclegan"

    def generator(self) -> Generator:
        c = self.config
        return Generator(self.rows, self.known, c.width, c.blocks)

    @property
    def critic_names(self) -> tuple[str, ...]:
        c = self.config
        return ("D",) if c.parallel or not c.second_weight else ("D", "D_again")

    def networks(self) -> dict[str, torch.nn.Module]:
        width = self.config.discriminator_width
        return {
            "G": self.generator(),
            **{name: FeatureDiscriminator(self.rows, self.known, width) for name in self.critic_names},
        }

    def optimisers(self) -> dict[str, Optimiser]:
        c = self.config
        rates = {"G": c.lr, **dict.fromkeys(self.critic_names, c.discriminator_lr)}
        return {name: Adam(self.rate(rate), c.betas) for name, rate in rates.items()}

    def stages(self) -> list[Stage]:
        critics = self.critic_names
        if self.config.parallel:
            return [
                Stage("parallel", self.config.steps, [
                    Update("discriminator", trains=critics, loss=self.parallel_discriminator_loss),
                    Update("generator",     trains=["G"],   loss=self.parallel_loss),
                ]),
            ]  # fmt: skip
        return [
            Stage("adversarial", self.config.steps, [
                Update("discriminator", trains=critics, loss=self.discriminator_loss),
                Update("generator",     trains=["G"],   loss=self.generator_loss),
            ]),
        ]  # fmt: skip

    # ---------------------------------------------------------------------------------- there and back

    def masks(self, step: Step, stream: str, length: int) -> Tensor:
        """(B, 1, length): 0 in a row of fewer than `mask` frames, drawn anywhere, else 1."""
        most = min(self.config.mask, length)
        count = (step.rand(f"{stream} length", 1, 1) * most).floor()
        first = (step.rand(f"{stream} place", 1, 1) * (length - count + 1)).floor()
        frame = torch.arange(length, device=count.device)
        return 1 - ((frame >= first) & (frame < first + count)).to(step.dtype)

    def converted(self, batch: Batch, step: Step) -> Circle:
        """Segments of A and of B with the pitch moved, there with masks, and back without."""
        a, b = self.features("A_moved", batch, step), self.features("B_moved", batch, step)
        about_a, about_b = self.known_of(batch, step)
        masks = [self.masks(step, name, a.shape[2]) for name in "AB"]
        return circle(
            a, b,
            (lambda x: self.G(x, about_b, masks[0]), lambda x: self.G(x, about_a, masks[1])),
            (lambda x: self.G(x, about_b), lambda x: self.G(x, about_a)),
        )  # fmt: skip

    def discriminator_loss(self, batch: Batch, step: Step) -> Terms:
        """D: recordings and conversions; the second D: recordings, with the pitch moved, and what
        went there and back."""
        c, scalars = self.config, self.state.scalars
        a, b = self.features("A", batch, step), self.features("B", batch, step)
        with torch.no_grad():
            made = self.converted(batch, step)
        fake_a = exchange(scalars, "A", made.fake_a, step, c.history)
        fake_b = exchange(scalars, "B", made.fake_b, step, c.history)
        terms = dict(seen_by(a, b, fake_a, fake_b, self.critics(self.D, batch, step)))
        if c.second_weight:
            moved = self.features("A_moved", batch, step), self.features("B_moved", batch, step)
            again = seen_by(*moved, made.again_a, made.again_b, self.critics(self.D_again, batch, step))
            terms |= {name.replace("adversarial", "again"): term for name, term in again.items()}
        return terms

    def generator_loss(self, batch: Batch, step: Step) -> Terms:
        """Equations 1 to 4 of MaskCycleGAN-VC, and the identity loss, which ends."""
        c, made = self.config, self.converted(batch, step)
        moved = self.features("A_moved", batch, step), self.features("B_moved", batch, step)
        terms = generator_terms(made, *moved, self.critics(self.D, batch, step), c.cycle_weight)
        if c.second_weight:
            first, second = self.critics(self.D_again, batch, step)
            terms["again_a"] = least_squares.generator(first(made.again_a)) * 2 * c.second_weight
            terms["again_b"] = least_squares.generator(second(made.again_b)) * 2 * c.second_weight
        about_a, about_b = self.known_of(batch, step)
        own = self.features("A", batch, step), self.features("B", batch, step)
        weight = c.identity_weight if step.progress < c.identity_share else 0.0
        ways = (lambda x: self.G(x, about_b)), (lambda x: self.G(x, about_a))
        return {**terms, **identity_terms(*own, *ways, weight)}

    # ---------------------------------------------------------------------------------- in pairs

    def pairs(self, batch: Batch, step: Step) -> tuple[Tensor, Tensor]:
        """Conversions of A and of B, to be laid beside B and A."""
        about_a, about_b = self.known_of(batch, step)
        a, b = self.features("A_moved", batch, step), self.features("B_moved", batch, step)
        return self.G(b, about_a).to(a.dtype), self.G(a, about_b).to(a.dtype)

    def parallel_discriminator_loss(self, batch: Batch, step: Step) -> Terms:
        """Of recordings and conversions, both with the speakers that they are of."""
        a, b = self.features("A", batch, step), self.features("B", batch, step)
        with torch.no_grad():
            fake_a, fake_b = self.pairs(batch, step)
        return seen_by(a, b, fake_a, fake_b, self.critics(self.D, batch, step))

    def parallel_loss(self, batch: Batch, step: Step) -> Terms:
        """The error beside the truth, and the adversarial losses."""
        (fake_a, fake_b), (first, second) = self.pairs(batch, step), self.critics(self.D, batch, step)
        a, b = self.features("A", batch, step), self.features("B", batch, step)
        return {
            "l1_a": (fake_a - a).abs().mean() * self.config.l1_weight,
            "l1_b": (fake_b - b).abs().mean() * self.config.l1_weight,
            "adversarial_ab": least_squares.generator(second(fake_b)) * 2,
            "adversarial_ba": least_squares.generator(first(fake_a)) * 2,
        }

    def critics(self, network: FeatureDiscriminator, batch: Batch, step: Step) -> tuple[Translation, Translation]:
        """A discriminator as that of A's speakers, and as that of B's."""
        about_a, about_b = self.known_of(batch, step)
        return (lambda x: network(x, about_a)), (lambda x: network(x, about_b))
