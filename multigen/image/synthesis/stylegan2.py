"""StyleGAN2: a style for each layer, from a mapping of z, scales the features of its convolution.
Karras et al. 2020, arXiv:1912.04958; with adaptive augmentation (ADA), arXiv:2006.06676.

    python -m multigen.recipes.stylegan2 laptop --data photos/               # a CPU: an hour
    python -m multigen.recipes.stylegan2 default --data photos/ --size 256   # a GPU
    python -m multigen.recipes.stylegan2 paper --data faces/                 # 1024 pixels

G is a mapping of z to a style w for each layer, and a synthesis of the image from them: `w =
G.mapping(z, label)` (B, styles, latent), `image = G.synthesis(w)`. The image is the sum of one for
each resolution; D is residual, and sees how much the images of a batch differ. Non-saturating loss,
R1 every 16 steps, on request a penalty of the path length every 4.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

from multigen import losses
from multigen.engine import Adam, Batch, Control, Decision, Step, Terms, Update
from multigen.engine.distributed import all_sum
from multigen.engine.optimisers import Optimiser
from multigen.image.resample import Upsample
from multigen.image.synthesis.augment import adapted_share
from multigen.image.synthesis.base import ImageSynthesisTrainer
from multigen.image.synthesis.grids import GridConfig
from multigen.image.synthesis.sampler import StyleSampler
from multigen.image.synthesis.style_layers import (
    GAIN,
    Deviation,
    DownBlock,
    EqualConv,
    EqualLinear,
    MappingNetwork,
    StyleCentres,
    StyleConv,
    ToImage,
    leaky,
)
from multigen.losses import penalties

__all__ = ["PRESETS", "Discriminator", "Generator", "StyleGAN2Config", "StyleGAN2Trainer"]


@dataclass(frozen=True)
class StyleGAN2Config(GridConfig):
    size: int = 64
    latent: int = 512
    """Dimensions of z ~ N(0, I), and of a style w."""
    mapping_layers: int = 2
    """Layers from z to w (8 in the paper)."""
    width: int = 256
    """Channels at the highest resolution; they double with each halving, up to `max_channels`
    (16384 over the size in the paper, 32768 from 512 pixels)."""
    max_channels: int = 512
    """Channels at most."""
    residual: bool = True
    """Residual blocks in D (the authors' settings for CIFAR-10 have plain ones)."""
    deviation: int = 4
    """Images of a group whose deviation D sees as a further channel."""
    lr: float = 2.5e-3
    """Learning rate of G and D (2e-3 in the paper, for 1024 pixels)."""
    gamma: float = 0.0256
    """Weight of R1. The authors' rule: .0002 times the number of pixels over the batch; then x 2, x
    4, / 2, / 4 are worth a try."""
    lazy: int = 16
    """Steps between R1 penalties, whose weight grows with it."""
    path_weight: float = 2.0
    """Weight of the path length penalty, which makes equal steps in w equal changes of the image;
    0: none (a tenth of the time)."""
    path_lazy: int = 4
    """Steps between path length penalties."""
    style_mixing: float = 0.9
    """Share of the batches in which the later layers get the styles of another z."""
    ema: float = 0.998
    """Decay of the running average of the generator (a half-life of 312 steps, the authors' 10,000
    images at a batch of 32); 0: none."""
    truncation_centres: int = 0
    """Without classes and clusters: number of k-means centres of w, to the nearest of which
    truncation moves it; 0: to its mean (StyleGAN-XL: Sauer et al. 2022, arXiv:2202.00273)."""
    augment_share: float = 0.0
    """Probability of each augmentation, where `augment` names any: at the beginning, or always
    where `augment_target` is 0."""
    augment_target: float = 0.6
    """ADA: the probability rises while the mean sign of D's logits of real images is above it, and
    falls while it is below. 0: the probability stays."""
    augment_speed: float = 500.0
    """ADA: thousand images in which the probability can rise from 0 to 1."""

    ranges = GridConfig.ranges | {
        **{"mapping_layers": (1, 64), "max_channels": 1, "deviation": 1, "lazy": 1, "path_lazy": 1},
        **{"path_weight": 0, "style_mixing": (0, 1), "truncation_centres": (0, 1_000)},
        **{"augment_share": (0, 1), "augment_target": (0, 1), "augment_speed": 1e-3},
    }

    @property
    def shapes(self) -> list[tuple[int, int]]:
        """Heights and widths of the results of G's 3x3 convolutions."""
        rows, columns, doublings = self.grid
        return [(rows << (i + 1) // 2, columns << (i + 1) // 2) for i in range(2 * doublings + 1)]

    @property
    def widths(self) -> list[int]:
        """Channels from the grid up to the full size."""
        return [min(self.max_channels, self.width << i) for i in reversed(range(self.grid[2] + 1))]


LAPTOP = {"latent": 128, "width": 32, "max_channels": 128, "batch": 16, "gamma": 0.05, "path_weight": 0.0}
PAPER = {"size": 1024, "mapping_layers": 8, "width": 32, "lr": 2e-3, "gamma": 10.0, "batch": 32, "mirror": True}
PRESETS = {
    "tiny": StyleGAN2Config(
        size=32, latent=16, width=4, max_channels=16, batch=16, steps=20, gamma=0.05, ema=0.9, samples=100
    ),
    "laptop": StyleGAN2Config(**LAPTOP, style_mixing=0.0, steps=3_000),
    "default": StyleGAN2Config(batch=32, steps=50_000, augment="bgc"),
    "paper": StyleGAN2Config(**PAPER, steps=781_250),
}


CLASS_LAYERS = 8
"""Layers from a class to the vector that D multiplies its features by, as in the authors' code,
whatever G has."""
ADA_EVERY = 4  # steps between two decisions of ADA
SIGNS = "real_signs"
"""Mean sign of D's logits of real images, as it is logged: the higher, the more D overfits."""


# ---------------------------------------------------------------------------------------------------- generator


class Synthesis(nn.Module):
    """Styles w (B, styles, latent) -> image (B, channels, H, W); about -1..1, not bounded.

    Each resolution adds its image to the enlarged sum of those before ("skip generator", section
    4.1). `noise`: one (B, 1, H, W) for each convolution; None: the same for all samples.
    """

    def __init__(self, c: StyleGAN2Config, channels: int):
        super().__init__()
        widths, shapes = c.widths, c.shapes
        self.start = nn.Parameter(torch.randn(widths[0], *shapes[0]))
        self.convs = nn.ModuleList(
            StyleConv(c.latent, widths[i // 2], widths[(i + 1) // 2], shape, up=i % 2 == 1)
            for i, shape in enumerate(shapes)
        )
        self.to_image = nn.ModuleList(ToImage(c.latent, width, channels) for width in widths)
        self.styles = len(self.convs) + 1

    def forward(self, w: Tensor, noise: Sequence[Tensor] | None = None) -> Tensor:
        def conv(i: int, x: Tensor) -> Tensor:
            return self.convs[i](x, w[:, i], None if noise is None else noise[i])

        x = conv(0, self.start.expand(len(w), -1, -1, -1))
        image = self.to_image[0](x, w[:, 1])
        for level, to_image in enumerate(self.to_image[1:], 1):
            x = conv(2 * level, conv(2 * level - 1, x))
            image = 4 * Upsample.apply(image) + to_image(x, w[:, 2 * level + 1])
        return image

    def affine(self, layer: int) -> Tensor:
        """What the convolution that takes the style of a layer multiplies it by, (channels,
        latent); of the last layer the image's."""
        taking: Any = self.convs[layer] if layer < len(self.convs) else self.to_image[-1]
        return taking.style.weight


class Generator(nn.Module):
    """z (B, latent), label (B,) -> image (B, channels, H, W): `mapping`, then `synthesis`."""

    average: Tensor
    seen: Tensor
    path_length: Tensor

    def __init__(self, c: StyleGAN2Config, channels: int, classes: int = 0):
        super().__init__()
        self.map = MappingNetwork(c.latent, classes, c.latent, c.mapping_layers)
        self.synthesis = Synthesis(c, channels)
        self.register_buffer("average", torch.zeros(max(classes, 1), c.latent))  # of w, for each class
        self.register_buffer("seen", torch.zeros(max(classes, 1)))  # batches behind it
        self.register_buffer("path_length", torch.zeros(()))  # its running mean
        self.centres = StyleCentres(0 if classes else c.truncation_centres)

    def forward(
        self,
        z: Tensor,
        label: Tensor | None = None,
        noise: Sequence[Tensor] | None = None,
        mix: tuple[Tensor, Tensor] | None = None,
    ) -> Tensor:
        """`mix`: another z, and for each style (styles,) whether it comes from there."""
        w = self.mapping(z, label)
        if mix is not None:
            other, late = mix
            w = torch.where(late[:, None], self.mapping(other, label), w)
        return self.synthesis(w, noise)

    def mapping(self, z: Tensor, label: Tensor | None = None, truncation: float = 1.0) -> Tensor:
        """z (B, latent), label (B,) -> w (B, styles, latent), the same for all layers.

        Args:
            truncation: psi: the distance of w to its mean, of the class or cluster if any, or to
                the nearest centre, is multiplied by it (Karras et al. 2019, arXiv:1812.04948,
                appendix B).
        """
        w = self.map(z, label)
        if truncation != 1:
            mean = self.average if label is None else self.average[label]
            w = (self.centres.nearest(w, self.map) if self.centres.count else mean).lerp(w, truncation)
        return w[:, None].expand(-1, self.synthesis.styles, -1)

    @torch.no_grad()
    def follow(self, z: Tensor, label: Tensor | None) -> None:
        """Moves the average of w by .5 % towards the batch's, of each class in it; at first it is
        the mean."""
        with torch.autocast(z.device.type, enabled=False):
            w, which = self.map(z, label), torch.zeros(len(z), dtype=torch.long, device=z.device)
            member = one_hot(which if label is None else label, len(self.average)).to(w)  # (B, classes)
            sums, counts = all_sum(member.T @ w), all_sum(member.sum(0))
        present = counts > 0
        self.seen.add_(present)
        share = torch.where(present, (1 / self.seen.clamp(min=1)).clamp(min=0.005), 0)
        self.average.lerp_((sums / counts.clamp(min=1)[:, None]).to(self.average), share[:, None])


# ---------------------------------------------------------------------------------------------------- discriminator


class Discriminator(nn.Module):
    """image (B, channels, H, W), label (B,) -> logit (B,). With classes D projects the class on its
    features (arXiv:1802.05637)."""

    def __init__(self, c: StyleGAN2Config, channels: int, classes: int = 0):
        super().__init__()
        rows, columns, _ = c.grid
        widths = c.widths[::-1]
        top = widths[-1]
        self.first = EqualConv(channels, widths[0], 1)
        self.blocks = nn.Sequential(*(DownBlock(before, after, c.residual) for before, after in pairwise(widths)))
        self.deviation = Deviation(c.deviation)
        self.conv = EqualConv(top + 1, top, 3)
        self.dense = EqualLinear(top * rows * columns, top, gain=GAIN)
        self.score = EqualLinear(top, top if classes else 1)
        self.label = MappingNetwork(0, classes, top, CLASS_LAYERS) if classes else None

    def forward(self, image: Tensor, label: Tensor | None = None) -> Tensor:
        x = self.blocks(leaky(self.first(image)))  # (B, top, rows, columns)
        x = leaky(self.conv(self.deviation(x)))
        h = self.score(leaky(self.dense(x.flatten(1))))  # (B, 1), or (B, top) with classes
        return h.squeeze(1) if self.label is None else (h * self.label(h, label)).sum(1) / math.sqrt(h.shape[1])


# ---------------------------------------------------------------------------------------------------- training


class StyleGAN2Trainer(ImageSynthesisTrainer[StyleGAN2Config]):
    """Trains G and D with the non-saturating loss, R1 and path length penalties."""

    name = "stylegan2"
    sampler = StyleSampler

    def generator(self) -> Generator:
        return Generator(self.config, self.data_info.channels, self.conditions)

    def discriminator(self) -> Discriminator:
        return Discriminator(self.config, self.data_info.channels, self.conditions)

    def optimisers(self) -> Optimiser:
        return Adam(self.config.lr, (0.0, 0.99))

    def drawn(self) -> int:
        return 2 * self.config.latent + sum(height * width for height, width in self.config.shapes)

    @property
    def bare(self) -> Generator:
        """G as it was built: of a compiled one only the forward pass is compiled."""
        return cast(Generator, self.nets["G"])

    def updates(self) -> list[Update]:
        c = self.config
        r1 = Update("r1", trains=["D"], loss=self.r1, every=c.lazy, lazy=True, couples=True)
        path = Update("path_length", trains=["G"], loss=self.path_length, every=c.path_lazy, lazy=True, couples=True)
        return [
            Update("discriminator", trains=["D"], loss=self.discriminator_loss, repeat=c.critic_steps, couples=True),
            *([r1] if c.gamma else []),
            Update("generator",     trains=["G"], loss=self.generator_loss, couples=True),
            *([path] if c.path_weight else []),
        ]  # fmt: skip

    # ---------------------------------------------------------------------------------- losses

    def discriminator_loss(self, batch: Batch, step: Step) -> Terms:
        real, fake, label = self.pairs(batch, step)
        logits = self.D(real, label)
        step.log(SIGNS, logits.sign())
        if self.adaptive:
            step.log("augment_probability", logits.new_tensor(self.augment_share(step)))
        return {"adversarial": losses.non_saturating.discriminator(logits, self.D(fake, label))}

    def r1(self, batch: Batch, step: Step) -> Terms:
        """R1 at the real images before they are augmented. As in the authors' code, an image's
        gradient is that of the logits of its whole group."""
        label = batch["label"] if self.conditions else None
        critic = self.augmented_critic(step, "real")
        return {"r1": penalties.r1(critic, self.to_network(batch, step), label) * self.config.gamma}

    def generator_loss(self, batch: Batch, step: Step) -> Terms:
        fake, label = self.fakes(batch, step)
        self.bare.follow(step.randn("z", self.config.latent), label)
        return {"adversarial": losses.non_saturating.generator(self.best(self.D(fake, label), step))}

    def path_length(self, batch: Batch, step: Step) -> Terms:
        """(|J^T y| - a)^2 for every second image of the batch (eq. 4): y is noise of the image's
        shape, J the derivative of the image by w, a the running mean of the length."""
        every_second = slice(step.rows.start % 2, None, 2)
        z, noise = step.randn("z", self.config.latent), self.noise(step)
        label = batch["label"][every_second] if self.conditions else None
        with torch.autocast(z.device.type, enabled=False):
            w = self.bare.mapping(z[every_second], label)  # (B / 2, styles, latent)
            image = self.bare.synthesis(w, [plane[every_second] for plane in noise])
            y = step.randn("y", *image.shape[1:])[every_second] / math.sqrt(image[0, 0].numel())
            (gradient,) = torch.autograd.grad((image * y).sum(), w, create_graph=True)
        length = gradient.square().sum(2).mean(1).sqrt()  # (B / 2,)
        with torch.no_grad():
            total, count = all_sum(torch.stack([length.sum(), length.new_tensor(len(length))])).unbind()
            mean = self.bare.path_length.lerp_(total / count, 0.01).clone()
        return {"path_length": (self.config.path_weight * (length - mean).square().sum(), len(length))}

    # ---------------------------------------------------------------------------------- draws

    def _generated(self, batch: Batch, step: Step) -> tuple[Tensor, Tensor | None]:
        label = batch["label"] if self.conditions else None
        return self.G(step.randn("z", self.config.latent), label, self.noise(step), self.mix(step)), label

    def noise(self, step: Step) -> list[Tensor]:
        """Noise of the images of a batch, one plane for each convolution."""
        return [step.randn(f"noise/{i}", 1, *shape) for i, shape in enumerate(self.config.shapes)]

    def mix(self, step: Step) -> tuple[Tensor, Tensor] | None:
        """Another z, and which styles come from it: those from one, drawn for the batch, on."""
        mixed, place = torch.rand(2, generator=step.rng("mix")).tolist()
        if mixed >= self.config.style_mixing:
            return None
        styles = self.bare.synthesis.styles
        late = torch.arange(styles, device=step.device) > int(place * (styles - 1))
        return step.randn("other", self.config.latent), late

    # ---------------------------------------------------------------------------------- augmentation

    @property
    def adaptive(self) -> bool:
        return bool(self.config.augment and self.config.augment_target)

    def controls(self) -> list[Control]:
        """With ADA, also the probability of the augmentations."""
        c = self.config
        ada = Control("augment", c.augment_share, ADA_EVERY, self.adapt, reads=[SIGNS])
        return [*super().controls(), *([ada] if self.adaptive else [])]

    def adapt(self, share: float, signals: Mapping[str, float]) -> Decision:
        """ADA's rule."""
        c = self.config
        signs = signals.get(SIGNS)  # none where all gradients since were dropped
        move = c.batch * ADA_EVERY / (1000 * c.augment_speed)
        return Decision(share if signs is None else adapted_share(share, signs, c.augment_target, move), "")

    def augment_share(self, step: Step) -> float:
        return self.control("augment") if self.adaptive else self.config.augment_share
